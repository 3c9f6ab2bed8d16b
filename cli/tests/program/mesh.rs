//! `zmesh dev` with real nodes, and the verbs that talk to them.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Program, run};

/// A mesh on free ports, and where its nodes are.
struct Mesh {
    dev: Program,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    client: String,
    gossip: String,
    pid: String,
}

impl Mesh {
    fn start(nodes: usize) -> Self {
        let number = nodes.to_string();
        let mut dev = Program::start(&["dev", "--nodes", &number, "--port", "0", "--log", "warn"]);
        let lines = dev.stdout().map(|line| line.expect("text"));
        let rows = lines
            .skip_while(|line| !line.starts_with("NODE "))
            .skip(1)
            .take(nodes);
        let nodes: Vec<Node> = rows.map(|row| Node::read(&row)).collect();
        assert_eq!(nodes.len().to_string(), number, "the table of the nodes");
        Self { dev, nodes }
    }

    /// Waits until nobody listens at any of the client addresses.
    fn wait_for_end(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self
            .nodes
            .iter()
            .any(|node| TcpStream::connect(&node.client).is_ok())
        {
            assert!(Instant::now() < deadline, "a node is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Node {
    /// Reads a row such as `node1  127.0.0.1:5555  127.0.0.1:5556  127.0.0.1:5557  4711`.
    fn read(row: &str) -> Self {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [name, client, gossip, _link, pid] = cells[..] else {
            panic!("a row: {row}")
        };
        Self {
            name: name.into(),
            client: client.into(),
            gossip: gossip.into(),
            pid: pid.into(),
        }
    }

    fn kill(&self, signal: &str) {
        kill(signal, &self.pid);
    }

    fn ask(&self, verb: &[&str]) -> Value {
        let run = run(&[verb, &["--json", "--node", &self.client]].concat());
        assert_eq!(run.code, Some(0), "{verb:?}: {}", run.stderr);
        serde_json::from_str(&run.stdout).expect("JSON")
    }
}

fn kill(signal: &str, pid: &str) {
    let killed = Command::new("kill")
        .args([signal, pid])
        .status()
        .expect("kill runs");
    assert!(killed.success());
}

#[test]
fn a_message_published_at_one_node_is_printed_at_another() {
    let mesh = Mesh::start(3);
    let (first, last) = (&mesh.nodes[0], &mesh.nodes[2]);
    let subscriber = [
        "sub",
        "--node",
        &last.client,
        "STOCK.",
        "--count",
        "2",
        "--json",
    ];
    let mut subscriber = Program::start(&subscriber);
    let told = subscriber.stderr().next().expect("a line").expect("text");
    assert_eq!(told, "subscribed: every node knows");
    let published = run(&[
        "pub",
        "--node",
        &first.client,
        "STOCK.AAPL",
        "187.32",
        "187.35",
    ]);
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    let lines: Vec<String> = subscriber
        .stdout()
        .map(|line| line.expect("text"))
        .collect();
    assert_eq!(
        lines,
        [
            r#"{"topic":"STOCK.AAPL","frames":["187.32"],"size":16}"#,
            r#"{"topic":"STOCK.AAPL","frames":["187.35"],"size":16}"#
        ]
    );
}

#[test]
fn every_question_is_answered_by_every_node() {
    let mesh = Mesh::start(2);
    let names: Vec<&str> = mesh.nodes.iter().map(|node| node.name.as_str()).collect();
    for node in &mesh.nodes {
        let members = node.ask(&["members"]);
        let members = members["members"].as_array().expect("a list");
        assert!(
            members.iter().all(|member| member["state"] == "alive"),
            "{members:?}"
        );
        assert!(
            members
                .iter()
                .all(|member| names.contains(&member["name"].as_str().unwrap()))
        );
        assert_eq!(node.ask(&["status"])["name"], node.name.as_str());
        assert_eq!(
            node.ask(&["ring"])["owners"].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(
            node.ask(&["connections"])["connections"]
                .as_array()
                .map(Vec::len),
            Some(0)
        );
    }
    let owners = mesh
        .nodes
        .iter()
        .map(|node| node.ask(&["owner", "STOCK.AAPL"]));
    let owners: Vec<Value> = owners.collect();
    assert_eq!(owners[0], owners[1]);
    assert!(names.contains(&owners[0]["owner"].as_str().expect("a name")));
}

#[test]
fn a_bench_through_the_mesh_loses_nothing() {
    let mesh = Mesh::start(2);
    let (from, to) = (&mesh.nodes[0].client, &mesh.nodes[1].client);
    let size = [
        "--count",
        "20000",
        "--topics",
        "7",
        "--rate",
        "1000",
        "--seconds",
        "1",
    ];
    let ends = [
        "bench", "compare", "--from", from, "--to", to, "--runs", "1", "--json",
    ];
    let run = run(&[&ends[..], &size].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(report["lost"], 0);
    assert!(
        report["mesh_to_direct"]["p50_us"].as_f64() > Some(0.0),
        "{report}"
    );
}

#[test]
fn a_node_that_dies_is_reported_with_the_command_that_starts_it_again() {
    let mut mesh = Mesh::start(2);
    let mut told = mesh.dev.stderr().map(|line| line.expect("text"));
    mesh.nodes[1].kill("-KILL");
    let line = told
        .find(|line| line.starts_with("node2 (pid"))
        .expect("a report");
    assert!(line.contains(&mesh.nodes[1].pid), "{line}");
    let command = told.next().expect("a command");
    assert!(command.contains("node --name node2 --port "), "{command}");
}

#[test]
fn a_signal_ends_all_nodes_and_is_no_error() {
    for signal in ["-INT", "-TERM"] {
        let mut mesh = Mesh::start(2);
        kill(signal, &mesh.dev.pid());
        assert_eq!(mesh.dev.wait(), Some(0));
        for node in &mesh.nodes {
            TcpStream::connect(&node.client).expect_err("it has ended");
        }
    }
}

#[test]
fn a_node_that_is_drained_has_gone_when_the_verb_ends_and_the_others_go_on() {
    let mut mesh = Mesh::start(3);
    let mut told = mesh.dev.stderr().map(|line| line.expect("text"));
    let client = mesh.nodes[1].client.as_str();
    let drained = run(&["drain", "--node", client]);
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
    assert!(
        drained.stdout.starts_with("node2 drained in ")
            && drained.stdout.ends_with(": 0 messages dropped\n"),
        "{}",
        drained.stdout
    );
    TcpStream::connect(client).expect_err("it has ended");
    let line = told.find(|line| line.starts_with("node2 (pid"));
    assert!(line.expect("a report").contains("exit status: 0"));
    let members = mesh.nodes[0].ask(&["members"]);
    let members = members["members"].as_array().expect("a list");
    let state = |name| &members.iter().find(|it| it["name"] == name).expect(name)["state"];
    assert_eq!(*state("node2"), "left");
    assert_eq!(*state("node3"), "alive");
}

#[test]
fn the_nodes_end_when_their_parent_is_killed() {
    let mesh = Mesh::start(2);
    kill("-KILL", &mesh.dev.pid());
    mesh.wait_for_end();
}

#[test]
fn a_node_says_where_it_is_and_ends_well_when_told_to() {
    for signal in ["-INT", "-TERM"] {
        let mut node = Program::start(&["node", "--name", "alone", "--port", "0"]);
        let ready = node.stdout().next().expect("a line").expect("text");
        let words: Vec<&str> = ready.split(' ').collect();
        assert_eq!(words[..2], ["ready", "name=alone"], "{ready}");
        for (word, name) in words[2..].iter().zip(["client=", "gossip=", "link="]) {
            let address = word.strip_prefix(name).expect("in this order");
            TcpStream::connect(address).expect("it listens");
        }
        kill(signal, &node.pid());
        assert_eq!(node.wait(), Some(0));
    }
}

#[test]
fn a_second_process_with_the_same_name_is_refused_with_the_remedy() {
    let mesh = Mesh::start(1);
    let seed = mesh.nodes[0].gossip.as_str();
    let second = run(&["node", "--name", "node1", "--port", "0", "--seed", seed]);
    assert_eq!(second.code, Some(2));
    assert_eq!(second.stdout, "");
    assert!(
        second.stderr.contains("another --name"),
        "{}",
        second.stderr
    );
}
