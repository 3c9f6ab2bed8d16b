//! What the verbs print, with a made-up node on the other side.

use std::io::Write;

use crate::support::{Program, bound, http_answer, run, subscription};
use serde_json::{Value, json};

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = run(&["completions", shell]);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("queue-policy"), "{shell}");
    }
}

#[test]
fn the_settings_in_force_are_printed_as_a_file_that_can_be_read() {
    let first = run(&[
        "node",
        "--print-config",
        "--name",
        "a",
        "--seed",
        "h:1",
        "--seed",
        "h:2",
    ]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(
        first.stdout.contains("seed = [\"h:1\", \"h:2\"]"),
        "{}",
        first.stdout
    );
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(first.stdout.as_bytes()).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let again = run(&["node", "--print-config", "--config", path]);
    assert_eq!(again.stdout, first.stdout);
}

#[test]
fn an_answer_is_a_table_for_people_and_unchanged_for_machines() {
    let body = r#"{"topic": "a b", "partition": 7, "owner": "n1", "successors": ["n2"], "new": 1}"#;
    for json in [false, true] {
        let (address, server) = http_answer("200 OK", body);
        let mut arguments = vec!["owner", "a b", "--node", &address];
        arguments.extend(json.then_some("--json"));
        let run = run(&arguments);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        if json {
            assert_eq!(run.stdout, format!("{body}\n"));
        } else {
            assert!(run.stdout.contains("owner       n1"), "{}", run.stdout);
        }
        let request = server.join().expect("the server answered");
        assert!(
            request.starts_with("GET /api/v1/owner?topic=a"),
            "{request}"
        );
    }
}

#[test]
fn a_negative_answer_ends_with_exit_code_1() {
    let (address, _server) = http_answer("404 Not Found", "no owner: the view is empty\n");
    let run = run(&["owner", "T", "--node", &address]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("no owner: the view is empty"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, "");
}

#[test]
fn an_answer_of_something_else_is_an_error() {
    let (address, _server) = http_answer("200 OK", "<html>hello</html>");
    let other = run(&["status", "--node", &address]);
    assert_eq!(other.code, Some(2));
    let (address, _server) = http_answer("404 Not Found", "nothing here");
    let other = run(&["status", "--node", &address]);
    assert_eq!(other.code, Some(2));
    assert!(
        other.stderr.contains("is it a zmesh node"),
        "{}",
        other.stderr
    );
}

#[test]
fn payloads_are_published_as_they_were_given() {
    let (socket, address) = bound(zmq::SUB);
    socket.set_subscribe(b"").expect("an option");
    let program = Program::start(&["pub", "--node", &address, "T", "one", "-2", ""]);
    for payload in ["one", "-2", ""] {
        let frames = socket.recv_multipart(0).expect("a message");
        assert_eq!(frames, [b"T".to_vec(), payload.as_bytes().to_vec()]);
    }
    let run = program.run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_line_is_published_before_the_next_one_is_there() {
    let (socket, address) = bound(zmq::SUB);
    socket.set_subscribe(b"").expect("an option");
    let mut program = Program::start(&["pub", "--node", &address, "T"]);
    let mut stdin = program.stdin();
    for line in [&b"first"[..], b"\xff\x00", b"third"] {
        stdin.write_all(&[line, b"\n"].concat()).expect("written");
        assert_eq!(socket.recv_multipart(0).expect("a message"), [b"T", line]);
    }
    drop(stdin);
    assert_eq!(program.run().code, Some(0));
}

#[test]
fn what_a_vanished_node_has_not_taken_is_an_error() {
    let (socket, address) = bound(zmq::SUB);
    socket.set_subscribe(b"").expect("an option");
    let mut program = Program::start(&["pub", "--node", &address, "T"]);
    let mut stdin = program.stdin();
    stdin.write_all(b"first\n").expect("written");
    socket.recv_multipart(0).expect("a message");
    drop(socket);
    // The first line after the end may still go into a socket that nobody reads: go on until the
    // program has noticed.
    while stdin
        .write_all(&[b'x'; 4096])
        .and_then(|()| stdin.write_all(b"\n"))
        .is_ok()
    {}
    let run = program.run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("has not taken all"), "{}", run.stderr);
}

#[test]
fn messages_are_printed_as_json_and_counted() {
    let (socket, address) = bound(zmq::XPUB);
    let program = Program::start(&["sub", "--node", &address, "T", "--count", "2", "--json"]);
    subscription(&socket, "T");
    for frames in [&[&b"T1"[..], b"\xff"][..], &[b"T2"], &[b"T3"]] {
        socket.send_multipart(frames, 0).expect("sent");
    }
    let run = program.run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let first = json!({"topic": "T1", "frames": [{"base64": "/w=="}], "size": 3});
    assert_eq!(
        lines,
        [first, json!({"topic": "T2", "frames": [], "size": 2})]
    );
}

#[test]
fn that_every_node_knows_a_subscription_is_told_but_is_no_message() {
    let (socket, address) = bound(zmq::XPUB);
    let program = Program::start(&["sub", "--node", &address, "T", "S", "--count", "1"]);
    subscription(&socket, "T");
    for frames in [["$zmesh.ready", "T"], ["$zmesh.ready", "S"], ["T", "first"]] {
        socket.send_multipart(frames, 0).expect("sent");
    }
    let run = program.run();
    assert_eq!(run.stdout, "T\tfirst\n");
    assert_eq!(run.stderr, "subscribed: every node knows\n");
}

#[test]
fn what_the_node_dropped_is_told_where_it_is_missing_but_is_no_message() {
    let (socket, address) = bound(zmq::XPUB);
    let arguments = ["sub", "--node", &address, "T", "--count", "2"];
    let program = Program::start(&arguments);
    subscription(&socket, "T");
    let told = ["$zmesh.dropped", "12", "queue_full", "15", ""];
    for frames in [&["T", "1"][..], &told, &["T", "14"]] {
        socket.send_multipart(frames, 0).expect("sent");
    }
    let run = program.run();
    assert_eq!(run.stdout, "T\t1\nT\t14\n");
    assert_eq!(
        run.stderr,
        "12 messages are missing here (queue_full), 15 in all: read faster\n"
    );
}

/// How a node that drains answers, in this state.
fn drain(state: &str) -> &'static str {
    let nothing = json!({"messages": 0, "bytes": 0});
    let answer = json!({
        "node": "n1", "state": state, "waits_for": "", "seconds": 1.0, "timeout_seconds": 30.0,
        "dropped_messages": {}, "undone": nothing, "unacked": nothing, "queued": nothing,
        "nodes": [], "clients": [],
    });
    answer.to_string().leak()
}

#[test]
fn a_node_that_goes_without_a_word_of_how_its_drain_ended_is_an_error() {
    let (address, _server) = http_answer("200 OK", drain("leaving"));
    let run = run(&["drain", "--node", &address]);
    assert_eq!(run.code, Some(2), "{}", run.stdout);
    assert!(run.stderr.contains("without a word"), "{}", run.stderr);
}

#[test]
fn a_drain_is_told_as_the_node_told_it() {
    let (address, server) = http_answer("200 OK", drain("drained"));
    let run = run(&["drain", "--node", &address]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "n1 drained in 1.0 s: 0 messages dropped\n");
    let request = server.join().expect("the server answered");
    assert_eq!(request, "POST /api/v1/drain HTTP/1.1");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (socket, address) = bound(zmq::XPUB);
    let mut program = Program::start(&["sub", "--node", &address]);
    subscription(&socket, "");
    socket.send_multipart(["T", "first"], 0).expect("sent");
    let mut lines = program.stdout();
    assert_eq!(lines.next().expect("a line").expect("text"), "T\tfirst");
    drop(lines);
    socket.send_multipart(["T", "second"], 0).expect("sent");
    assert_eq!(program.run().code, Some(0));
}

#[test]
fn a_silence_that_lasts_too_long_ends_with_exit_code_1() {
    let (_socket, address) = bound(zmq::XPUB);
    let run = run(&["sub", "--node", &address, "--timeout", "200ms"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}

#[test]
fn a_direct_bench_loses_nothing_and_reports_as_json() {
    let arguments = [
        "bench", "--direct", "--count", "5000", "--topics", "3", "--runs", "2", "--json",
    ];
    let run = run(&arguments);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(report["lost"], 0);
    assert_eq!(report["throughput"][0]["path"], "direct");
    assert_eq!(
        report["throughput"][0]["runs"].as_array().map(Vec::len),
        Some(2)
    );
    assert!(report["throughput"][0]["messages_per_second"]["median"].as_f64() > Some(0.0));
    assert!(
        run.stderr.contains("throughput 2/2 direct"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_comparison_needs_a_mesh() {
    let run = run(&["bench", "compare", "--direct"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("leave --direct out"), "{}", run.stderr);
}
