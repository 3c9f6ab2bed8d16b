//! Settings that change while the node runs: a SIGHUP reads them again, all of them or none.
#![cfg(target_os = "linux")]

use chaos_tests::live::mesh::new_cluster;
use chaos_tests::live::raw::Raw;
use chaos_tests::live::socket::publisher;
use chaos_tests::live::{Mesh, Node, Options, wait};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use tempfile::NamedTempFile;
use zmesh_node::report;

/// A node that is started with a file of settings.
fn started_with(text: &str) -> (Node, NamedTempFile) {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    write(&file, text);
    let path = file.path().to_str().unwrap();
    let mut mesh = Mesh::start_with(1, &["--config", path]);
    (mesh.nodes.remove(0), file)
}

/// Replaces what stands in the file.
fn write(file: &NamedTempFile, text: &str) {
    let mut file = file.reopen().unwrap();
    file.set_len(0).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn reloads(node: &Node, result: &str) -> u64 {
    let labels = format!("result=\"{result}\"");
    node.metric("zmesh_config_reloads_total", &labels)
}

/// Lets the node read its settings again, and waits until it has.
fn reload(node: &Node, result: &str) {
    let before = reloads(node, result);
    node.signal("HUP");
    wait::until_true(result, || reloads(node, result) == before + 1);
}

fn config_hash(node: &Node) -> u64 {
    node.metric("zmesh_config_hash", "")
}

/// Publishes until this holds.
fn publish_until(node: &Node, what: &str, mut condition: impl FnMut() -> bool) {
    let sender = publisher(&zmq::Context::new(), node.endpoint());
    let payload = vec![b'.'; 16 << 10];
    wait::until_true(what, || {
        for _ in 0..20 {
            sender.send_multipart([&b"T"[..], &payload], 0).unwrap();
        }
        condition()
    });
}

#[test]
fn the_queue_of_a_subscriber_that_waits_changes_under_it() {
    let (node, file) = started_with("queue-size = \"64KiB\"\n");
    let before = config_hash(&node);
    let mut slow = Raw::handshake(&node.client, "SUB");
    slow.subscribe(b"T");
    let full = || node.metric("zmesh_queues_full", "") == 1;
    publish_until(&node, "a full queue", full);
    let rules = "[[queue]]\nprefix = \"T\"\npolicy = \"drop-oldest\"\nsize = \"128KiB\"\n";
    write(&file, &format!("queue-size = \"1GiB\"\n{rules}"));
    reload(&node, "applied");
    assert!(!full(), "what holds without a rule has room again");
    assert_ne!(config_hash(&node), before);
    publish_until(&node, "the rule", || {
        let labels = "reason=\"queue_oldest\"";
        full() && node.metric("zmesh_messages_dropped_total", labels) > 0
    });
    let told: report::Events = node.ask("/api/v1/events").unwrap();
    let reloaded = told.events.iter().find(|it| it.event == "node.reloaded");
    let changes = &reloaded.expect("it is an event").fields["changes"];
    assert!(
        changes.starts_with("queue-size \"64KiB\" -> \"1GiB\""),
        "{changes}"
    );
    write(&file, "queue-size = \"64KiB\"\n");
    reload(&node, "applied");
    assert_eq!(config_hash(&node), before);
    // The subscriber gets what waits, whatever has become of its rules.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Read;
            let mut buffer = [0; 65536];
            while slow.stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        wait::until_true("nothing waits, and all is counted", || {
            let count = |name| node.metric(name, "");
            let gone =
                count("zmesh_messages_delivered_total") + count("zmesh_messages_dropped_total");
            count("zmesh_queued_bytes") == 0 && count("zmesh_messages_matched_total") == gone
        });
        node.signal("TERM");
    });
}

#[test]
fn one_change_that_needs_a_start_refuses_all_of_them() {
    let (node, file) = started_with("queue-size = \"1MiB\"\nzone = \"here\"\n");
    let before = config_hash(&node);
    write(
        &file,
        "queue-size = \"2MiB\"\nzone = \"there\"\nlog = \"debug\"\n",
    );
    reload(&node, "refused");
    let why = "nothing has changed: zone \"here\" -> \"there\": restart the node for that, or put \
               it back as it was";
    wait::until_true("the reason", || node.log().contains(why));
    write(&file, "queue-size = \n");
    reload(&node, "refused");
    let place = format!("{}:1", file.path().display());
    wait::until_true("the place", || node.log().contains(&place));
    assert_eq!(config_hash(&node), before);
    write(&file, "zone = \"here\"\nqueue-size = \"1024KiB\"\n");
    reload(&node, "unchanged");
    assert_eq!(config_hash(&node), before);
    assert_eq!(reloads(&node, "applied"), 0);
}

#[test]
fn what_is_logged_changes() {
    let (node, file) = started_with("log = \"info\"\n");
    let told = "client connected";
    drop(Raw::handshake(&node.client, "SUB"));
    write(&file, "log = \"debug\"\ndrain-timeout = \"7s\"\n");
    reload(&node, "applied");
    assert!(!node.log().contains(told));
    drop(Raw::handshake(&node.client, "SUB"));
    wait::until_true("a line", || node.log().contains(told));
    assert!(node.log().contains("log \"info\" -> \"debug\""));
    assert_eq!(node.metric("zmesh_drain_timeout_seconds", ""), 7);
}

/// The file is a pipe, so that the node stands still while it reads it.
#[test]
fn a_hangup_while_the_settings_are_read_for_the_first_time_is_one_to_read_them_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.toml");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, &path, FileType::Fifo, mode, 0).unwrap();
    let options = Options::new("n1", &new_cluster());
    let mut node = Node::spawn(options.flags(&["--config", path.to_str().unwrap()]));
    let reader = || {
        // Without a reader there is nobody to open it for.
        let mut pipe = File::options();
        let pipe = pipe
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32);
        wait::until("a reader", || pipe.open(&path).ok())
    };
    let give = |mut pipe: File| pipe.write_all(b"queue-size = \"2MiB\"\n").unwrap();
    let first = reader();
    node.signal("HUP");
    give(first);
    node.wait_ready();
    give(reader());
    wait::until_true("the second reading", || reloads(&node, "unchanged") == 1);
}
