//! The verbs of the program against a live mesh, as a script would use them.

use chaos_tests::live::options::{program, zmesh};
use chaos_tests::live::running::Running;
use chaos_tests::live::{Mesh, wait};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use zmesh_node::report;

/// Runs a verb to its end.
fn run(arguments: &[&str], node: &str) -> Output {
    zmesh()
        .args(arguments)
        .args(["--node", node])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a verb that succeeds prints.
fn printed(arguments: &[&str], node: &str) -> String {
    let output = run(arguments, node);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn json(arguments: &[&str], node: &str) -> Value {
    serde_json::from_str(&printed(arguments, node)).unwrap()
}

/// A running `zmesh sub`, killed when this is dropped.
struct Subscriber {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    fn start(mesh: &Mesh, node: usize, arguments: &[&str], prefix: &str) -> Self {
        let mut command = zmesh();
        command
            .arg("sub")
            .args(arguments)
            .args(["--node", &mesh.nodes[node].client]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        wait::until_true("the subscription to be ready", || {
            let held = mesh.nodes[node].ask::<report::Subscriptions>("/api/v1/subscriptions");
            held.is_some_and(|it| {
                it.subscriptions
                    .iter()
                    .any(|it| it.prefix == prefix && it.ready)
            })
        });
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn pub_loses_nothing_on_start_and_sub_prints_as_messages_come() {
    let mesh = Mesh::start(3);
    let mut subscriber = Subscriber::start(&mesh, 2, &["news"], "news");
    for round in 0..10 {
        let payload = format!("headline {round}");
        printed(&["pub", "news.today", &payload], &mesh.nodes[0].client);
        assert_eq!(subscriber.line(), format!("news.today\t{payload}"));
    }
    printed(&["pub", "news.today", "one", "two"], &mesh.nodes[1].client);
    assert_eq!(
        [subscriber.line(), subscriber.line()],
        ["news.today\tone", "news.today\ttwo"]
    );
}

#[test]
fn pub_takes_lines_from_a_pipe_and_hands_over_all_of_them() {
    let mesh = Mesh::start(2);
    let mut subscriber = Subscriber::start(&mesh, 1, &["pipe", "--count", "20000"], "pipe");
    let node = ["--node", &mesh.nodes[0].client];
    let mut publisher = zmesh()
        .args(["pub", "pipe"])
        .args(node)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    publisher
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    for number in 0..20_000 {
        assert_eq!(subscriber.line(), format!("pipe\t{number}"));
    }
    assert!(publisher.wait().unwrap().success());
    assert!(
        subscriber.child.wait().unwrap().success(),
        "--count ends it"
    );
}

#[test]
fn sub_json_prints_one_object_a_message() {
    let mesh = Mesh::start(1);
    let mut subscriber = Subscriber::start(&mesh, 0, &["--json", "j"], "j");
    let context = zmq::Context::new();
    let socket = chaos_tests::live::socket::publisher(&context, mesh.nodes[0].endpoint());
    socket
        .send_multipart([&b"j.1"[..], "grüße".as_bytes(), b"\xff\xfe", b""], 0)
        .unwrap();
    let message: Value = serde_json::from_str(&subscriber.line()).unwrap();
    assert_eq!(message["topic"], "j.1");
    assert_eq!(
        message["frames"],
        serde_json::json!(["grüße", {"base64": "//4="}, ""])
    );
    assert_eq!(message["size"], 3 + 7 + 2);
}

#[test]
fn members_ring_owner_status_and_connections_agree_with_each_other() {
    let mesh = Mesh::start(3);
    let node = &mesh.nodes[0].client;
    let members = json(&["members", "--json"], node);
    let names: Vec<_> = members["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    assert!(
        members["members"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["state"] == "alive")
    );
    let owner = json(&["owner", "STOCK.AAPL", "--json"], node);
    assert_eq!(
        (&owner["topic"], &owner["partition"]),
        (&"STOCK.AAPL".into(), &10618.into())
    );
    assert!(names.contains(&&owner["owner"]));
    assert_eq!(owner["successors"].as_array().unwrap().len(), 2);
    let ring = json(&["ring", "--json"], node);
    assert_eq!(ring["partitions"], 16384);
    let status = json(&["status", "--json"], node);
    assert_eq!(
        (&status["name"], &status["state"]),
        (&"n1".into(), &"ready".into())
    );
    let _subscriber = Subscriber::start(&mesh, 0, &["c"], "c");
    let connections = json(&["connections", "--json"], node);
    assert_eq!(connections["connections"][0]["socket_type"], "SUB");
    for verb in ["members", "ring", "status", "connections"] {
        let table = printed(&[verb], node);
        assert!(!table.is_empty() && !table.starts_with('{'), "{table}");
    }
    assert!(printed(&["members"], node).contains("n3"));
    let named = owner["owner"].as_str().unwrap();
    assert!(printed(&["owner", "STOCK.AAPL"], node).contains(named));
}

#[test]
fn errors_name_the_remedy_and_end_with_exit_code_2() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = run(&["members"], &nobody);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains(&nobody),
        "{}",
        text(&output.stderr)
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zmesh.toml");
    std::fs::write(&file, "name = \"a\"\nclustr = \"b\"\n").unwrap();
    let output = zmesh()
        .arg("node")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("cluster"),
        "{}",
        text(&output.stderr)
    );
    let output = zmesh().args(["node", "--clustr", "b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--cluster"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_node_may_have_as_many_connections_as_the_system_allows() {
    let program = program();
    let script = format!(
        "ulimit -Sn 256 && exec {} node --name a --port 0",
        program.display()
    );
    let mut shell = Command::new("sh");
    let child = shell
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut node = Running(child);
    let mut lines = BufReader::new(node.0.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("ready "));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.0.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let mut numbers = files.split_whitespace().skip(3);
    assert_eq!(
        numbers.next(),
        numbers.next(),
        "soft and hard limit: {files}"
    );
}

#[test]
fn a_port_that_is_taken_is_named_with_the_remedy() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for flag in ["--port", "--gossip-port", "--link-port"] {
        let ports = ["--port", "--gossip-port", "--link-port"].map(|it| {
            if it == flag {
                format!("{it}={port}")
            } else {
                format!("{it}=0")
            }
        });
        let output = zmesh()
            .args(["node", "--name", "a"])
            .args(ports)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains(&port) && said.contains(flag), "{said}");
    }
}
