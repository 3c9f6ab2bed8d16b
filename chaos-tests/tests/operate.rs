//! The verbs with which a mesh is operated, against live meshes: top, explain, trace, check,
//! doctor and events.

use chaos_tests::live::options::zmesh;
use chaos_tests::live::raw::Raw;
use chaos_tests::live::socket::{publisher, subscriber};
use chaos_tests::live::{Mesh, Node, wait};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use zmesh_node::report;

/// Runs a verb to its end: exit code, stdout, stderr.
fn run(arguments: &[&str], node: &str) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = zmesh()
        .args(arguments)
        .args(["--node", node])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// What a verb prints that ends with this code.
fn printed(code: i32, arguments: &[&str], node: &str) -> String {
    let (ended, stdout, stderr) = run(arguments, node);
    assert_eq!(ended, code, "{arguments:?}: {stdout}{stderr}");
    stdout
}

fn json(arguments: &[&str], node: &str) -> Value {
    serde_json::from_str(&printed(0, arguments, node)).unwrap()
}

/// A client that subscribes and reads nothing, and messages until its queue holds some.
fn fill_a_queue(node: &Node) -> Raw {
    let mut slow = Raw::handshake(&node.client, "SUB");
    slow.subscribe(b"T");
    let context = zmq::Context::new();
    let sender = publisher(&context, node.endpoint());
    let payload = vec![b'.'; 16 << 10];
    wait::until_true("a queue that holds something", || {
        for _ in 0..100 {
            sender.send_multipart([&b"T"[..], &payload], 0).unwrap();
        }
        let clients = node.ask::<report::Connections>("/api/v1/connections");
        clients.is_some_and(|it| it.connections.iter().any(|it| it.queue_bytes > 0))
    });
    slow
}

#[test]
fn explain_names_the_owner_the_reason_and_who_subscribes_where() {
    let mesh = Mesh::start(3);
    let topic = mesh.topic_owned_by(1, "T");
    let context = zmq::Context::new();
    let _reader = subscriber(&context, mesh.nodes[2].endpoint(), &["T"]);
    let shown = printed(0, &["explain", &topic], &mesh.nodes[0].client);
    let line = |start: &str| {
        let mut lines = shown.lines();
        let found = lines.find(|line| line.split(' ').next() == Some(start));
        found.unwrap_or_else(|| panic!("no {start} in {shown}"))
    };
    assert!(line("owner").ends_with(" n2"), "{shown}");
    assert!(line("why").contains("ring"), "{shown}");
    assert!(line("wanted").ends_with("1 subscriber at 1 of 3 nodes"));
    assert!(line("n2").ends_with("owner"), "{shown}");
    for part in ["\"T\" ", " 127.0.0.1:", " drop-newest"] {
        assert!(line("n3").contains(part), "{part}: {shown}");
    }
    let explained = json(&["explain", &topic, "--json"], &mesh.nodes[0].client);
    assert_eq!(explained["owner"], "n2");
    assert_eq!(explained["nodes"][2]["subscribers"], 1);
}

#[test]
fn trace_prints_every_hop_across_three_nodes() {
    let mesh = Mesh::start(3);
    let topic = mesh.topic_owned_by(1, "T");
    let context = zmq::Context::new();
    let _reader = subscriber(&context, mesh.nodes[2].endpoint(), &["T"]);
    let shown = printed(0, &["trace", &topic], &mesh.nodes[0].client);
    for hop in [
        "n1    taken      for the owner, n2",
        "n2    served     to n3",
        "n3    delivered  to the one client that wants it",
        "n1    done       all who want it have it",
    ] {
        assert!(shown.contains(hop), "{hop}: {shown}");
    }
    assert!(shown.contains("by the one clock of n1"), "{shown}");
    assert!(shown.contains("each node's own clock"), "{shown}");
    let traced = json(&["trace", &topic, "--json"], &mesh.nodes[0].client);
    assert_eq!(traced["done"], true);
    let (code, _, told) = run(&["trace", "$zmesh.ready"], &mesh.nodes[0].client);
    assert_eq!(code, 2);
    assert!(told.contains("can be traced"), "{told}");
    let (code, _, told) = run(&["explain", "$mine"], &mesh.nodes[0].client);
    assert_eq!(code, 2);
    assert!(
        told.contains("what is published on them is dropped"),
        "{told}"
    );
}

/// A program that answers one question with this JSON.
fn answers_once(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = Vec::new();
        let mut byte = [0];
        while !question.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
            question.push(byte[0]);
        }
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    });
    address
}

#[test]
fn trace_of_a_message_that_is_not_done_says_so_and_ends_with_one() {
    let hop = |node: &str, what: &str, to: &str| report::Hop {
        node: node.into(),
        what: what.into(),
        to: vec![to.into()],
        ..report::Hop::default()
    };
    let trace = report::Trace {
        hops: vec![hop("n1", "taken", "n2"), hop("n2", "served", "n3")],
        ..report::Trace::default()
    };
    let node = answers_once(serde_json::to_string(&trace).unwrap());
    let shown = printed(1, &["trace", "T"], &node);
    assert!(shown.contains("NOT DONE in time: not delivered yet at n3"));
}

#[test]
fn check_is_ok_then_critical_when_a_node_is_killed_in_every_format() {
    let mut mesh = Mesh::start(3);
    let node = mesh.nodes[0].client.clone();
    let check = ["check", "--interval", "1s"];
    let line = printed(0, &check, &node);
    let begin = format!(
        "ZMESH OK - 3 nodes of cluster {} in one view | ",
        mesh.cluster
    );
    assert!(line.starts_with(&begin), "{line}");
    assert!(line.contains("members=3;;;0 ") && line.lines().count() == 1);
    let more = printed(2, &["check", "--members", "4"], &node);
    assert!(more.contains("3 members instead of 4"), "{more}");
    printed(1, &["check", "--members", "2"], &node);

    mesh.nodes.remove(2).kill();
    let line = wait::until("the check to be critical", || {
        let (code, line, _) = run(&check, &node);
        (code == 2 && line.contains("n3 is dead")).then_some(line)
    });
    assert!(line.starts_with("ZMESH CRITICAL - "), "{line}");
    let by_format = |format| {
        let (code, text, _) = run(&["check", "--format", format], &node);
        assert_eq!(code, 2, "{text}");
        text
    };
    let json: Value = serde_json::from_str(&by_format("json")).unwrap();
    assert_eq!(json["status"], "CRITICAL");
    assert_eq!(json["checks"]["members"], "CRITICAL");
    assert_eq!(json["measures"]["dead"], 1);
    let text = by_format("prometheus");
    assert!(text.contains("\nzmesh_check_dead{"), "{text}");
    assert!(text.contains("check=\"members\"} 2\n"), "{text}");
    // As many as there should be: the dead one is gone for good.
    wait::until_true("two to be enough", || {
        run(&["check", "--members", "2"], &node).0 == 0
    });
}

#[test]
fn check_where_nobody_is_or_somebody_else_or_with_wrong_arguments() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let line = printed(2, &["check"], &nobody);
    assert!(line.starts_with("ZMESH CRITICAL - no node answers at"));
    // The verbs that ask say the same as an error.
    for verb in [&["doctor"][..], &["top", "--once"], &["explain", "T"]] {
        let (code, _, told) = run(verb, &nobody);
        assert_eq!(code, 2, "{verb:?}");
        assert!(told.contains("no node answers at"), "{told}");
    }
    let (code, _, told) = run(&["check", "--membres", "3"], &nobody);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("--members"), "{told}");
    let another = answers_once("{}".into());
    let line = printed(3, &["check"], &another);
    assert!(line.starts_with("ZMESH UNKNOWN - "), "{line}");
}

#[test]
fn check_warns_of_a_slow_subscriber_and_of_a_drain_that_hangs() {
    let flags = ["--queue-size", "64KiB", "--drain-timeout", "8s"];
    let mesh = Mesh::start_with(2, &flags);
    let _slow = fill_a_queue(&mesh.nodes[1]);
    let asked = &mesh.nodes[0].client;
    let line = printed(1, &["check", "--interval", "1s"], asked);
    assert!(line.contains("1 slow subscriber at n2"), "{line}");
    mesh.nodes[1].signal("TERM");
    wait::until_true("the drain to be told of", || {
        let (code, line, _) = run(&["check", "--interval", "1s"], asked);
        code == 1 && line.contains("n2 has been leaving for")
    });
}

#[test]
fn doctor_has_one_line_for_a_mesh_that_is_well() {
    let mut mesh = Mesh::start(3);
    let node = mesh.nodes[0].client.clone();
    let shown = printed(0, &["doctor"], &node);
    let begin = format!("all is well: the 3 members of cluster {}", mesh.cluster);
    assert!(shown.starts_with(&begin), "{shown}");
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let told = json(&["doctor", "--json"], &node);
    assert_eq!(told["ok"], true);
    assert_eq!(told["attempts"], 18);
    mesh.nodes.remove(2).kill();
    wait::until_true("a note of the dead one", || {
        let (code, shown, _) = run(&["doctor"], &node);
        code == 0 && shown.contains("note     n3 (client")
    });
}

#[test]
fn doctor_names_the_address_of_a_node_that_tells_a_wrong_host() {
    let mesh = Mesh::start(2);
    let wrong = mesh.next_options().flags(&["--advertise", "127.9.9.9"]);
    let wrong = Node::start(wrong);
    let [port, gossip, _] = wrong.options.ports;
    let really = format!("127.0.0.1:{port}");
    let told = format!("gossip address 127.9.9.9:{gossip} that n3 tells others is not reached");
    // Asked itself, and named to the doctor of the others.
    let shown = printed(1, &["doctor"], &really);
    assert!(shown.contains(&told), "{shown}");
    assert!(shown.contains("--advertise"), "{shown}");
    let shown = printed(1, &["doctor", &really], &mesh.nodes[0].client);
    assert!(shown.contains(&told), "{shown}");
    assert!(shown.contains("n3 at 127.0.0.1:"), "{shown}");
    // A node of the mesh that is named is no problem.
    printed(0, &["doctor", &mesh.nodes[1].client], &mesh.nodes[0].client);
}

#[test]
fn doctor_names_a_member_that_hangs() {
    let mesh = Mesh::start(3);
    mesh.nodes[2].signal("STOP");
    // Until the others hold it dead it is a problem, then a note.
    wait::until_true("it to be named", || {
        let (_, shown, _) = run(&["doctor"], &mesh.nodes[0].client);
        shown.contains("n3 does not answer n1") || shown.contains("n3 (client")
    });
}

/// A running `zmesh events`, killed when this is dropped.
struct Events {
    child: Child,
    lines: Receiver<String>,
}

impl Events {
    fn start(arguments: &[&str], node: &Node) -> Self {
        let mut command = zmesh();
        command.arg("events").args(arguments);
        command.args(["--node", &node.client]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        let next = self.lines.recv_timeout(wait::PATIENCE);
        next.expect("another line")
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a node has a client that subscribes.
fn wait_followed(node: &Node) {
    wait::until_true("somebody to follow the node", || {
        let clients = node.ask::<report::Connections>("/api/v1/connections");
        let clients = clients.into_iter().flat_map(|it| it.connections);
        clients
            .into_iter()
            .any(|it| it.socket_type == "SUB" && it.subscriptions > 0)
    });
}

#[test]
fn events_prints_a_line_when_a_member_dies_and_ends_after_the_count() {
    let mut mesh = Mesh::start(3);
    let mut people = Events::start(&["member.dead", "--count", "1"], &mesh.nodes[0]);
    wait_followed(&mesh.nodes[0]);
    let scripts = Events::start(&["--json", "member."], &mesh.nodes[1]);
    wait_followed(&mesh.nodes[1]);
    mesh.nodes.remove(2).kill();
    let line = people.line();
    assert!(
        line.contains("  n1        member.dead        member n3 is dead"),
        "{line}"
    );
    assert!(people.child.wait().unwrap().success());
    let dead = std::iter::repeat_with(|| scripts.line())
        .map(|line| serde_json::from_str::<report::Event>(&line).unwrap())
        .find(|event| event.event == "member.dead")
        .unwrap();
    assert_eq!((&*dead.node, &*dead.subject), ("n2", "n3"));
}

#[test]
fn events_of_the_mesh_are_told_by_every_member_also_by_one_that_comes_later() {
    let mut mesh = Mesh::start(2);
    let events = Events::start(&["--mesh", "member.dead"], &mesh.nodes[0]);
    mesh.nodes.iter().for_each(wait_followed);
    mesh.nodes.push(Node::start(mesh.next_options()));
    mesh.settle();
    wait_followed(&mesh.nodes[2]);
    mesh.nodes.remove(1).kill();
    let lines = [events.line(), events.line()];
    for node in ["n1", "n3"] {
        let told = format!("  {node}        member.dead        member n2 is dead");
        let times = lines.iter().filter(|line| line.contains(&told)).count();
        assert_eq!(times, 1, "{lines:?}");
    }
}

#[test]
fn top_without_a_terminal_prints_one_look() {
    let mesh = Mesh::start(3);
    let node = &mesh.nodes[1].client;
    for arguments in [&["top"][..], &["top", "--once"]] {
        let shown = printed(0, arguments, node);
        let begin = format!("{}: 3 alive, one view; ", mesh.cluster);
        assert!(shown.starts_with(&begin), "{shown}");
        for part in [
            "\nn1    ready ",
            "Links of n2\n",
            "\nTopics\n",
            "Clients of n2\n",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
    let told = json(&["top", "--json"], node);
    assert_eq!(told["nodes"].as_array().unwrap().len(), 3);
}

#[cfg(target_os = "linux")]
mod on_a_terminal {
    use super::*;
    use chaos_tests::live::terminal::Terminal;
    use std::process::Command;

    fn top(mesh: &Mesh) -> Terminal {
        let mut command = zmesh();
        command.args(["top", "--node", &mesh.nodes[0].client]);
        let terminal = Terminal::start(&mut command, 80, 24);
        for text in ["n1", "n2", "n3", "q leave"] {
            terminal.wait_shown(text);
        }
        terminal
    }

    #[test]
    fn top_shows_three_nodes_and_leaves_the_terminal_as_it_was() {
        let mesh = Mesh::start(3);
        let mut terminal = top(&mesh);
        assert!(!terminal.is_as_before(), "it is taken over");
        terminal.press("2");
        terminal.wait_shown("SESSIONS");
        terminal.press("4");
        terminal.wait_shown("Clients of n1");
        terminal.press("n");
        terminal.wait_shown("none");
        terminal.press("q");
        assert!(terminal.wait_end().success());
        wait::until_true("the terminal as it was", || terminal.is_as_before());
    }

    #[test]
    fn top_gives_the_terminal_back_at_ctrl_c_and_when_it_is_told_to_end() {
        let mesh = Mesh::start(3);
        let mut terminal = top(&mesh);
        terminal.press("\u{3}");
        assert!(terminal.wait_end().success());
        wait::until_true("the terminal as it was", || terminal.is_as_before());
        let mut terminal = top(&mesh);
        let pid = terminal.pid().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.unwrap().success());
        assert!(terminal.wait_end().success());
        wait::until_true("the terminal as it was", || terminal.is_as_before());
    }

    #[test]
    fn top_shows_a_killed_node_as_dead_and_says_when_nobody_answers() {
        let mut mesh = Mesh::start(3);
        let mut terminal = top(&mesh);
        mesh.nodes.remove(2).kill();
        terminal.wait_shown("1 dead");
        mesh.nodes.clear();
        terminal.wait_shown("OLD, no answer");
        terminal.press("\u{1b}");
        assert!(terminal.wait_end().success());
        wait::until_true("the terminal as it was", || terminal.is_as_before());
    }
}
