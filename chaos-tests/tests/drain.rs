//! A node that is asked to go: what it says, what its clients and the other nodes see, and what
//! becomes of the messages.

use chaos_tests::live::mesh::new_cluster;
use chaos_tests::live::options::{own_host, zmesh};
use chaos_tests::live::raw::{Raw, frame, greeting};
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::{self, PATIENCE};
use chaos_tests::live::{Mesh, Node, Options, http};
use std::net::Shutdown;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use zmesh_node::report;

/// Messages published, of 16 KiB each: more than sockets hold, less than a queue does.
const COUNT: u32 = 1000;

/// A drain that has to end by itself.
const FOR_EVER: &[&str] = &["--drain-timeout", "1h"];

fn publish(socket: &zmq::Socket, topic: &str) {
    for number in 0..COUNT {
        let mut payload = vec![0; 16 << 10];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        socket
            .send_multipart([topic.as_bytes(), &payload], 0)
            .unwrap();
    }
}

fn all_taken(node: &Node) {
    wait::until_true("everything to be taken", || {
        node.status().taken_messages >= u64::from(COUNT)
    });
}

/// A subscriber at a node that reads nothing, and has more to read than sockets hold.
fn stalled(mesh: &Mesh, at: usize, publish_at: usize) -> (Raw, zmq::Context) {
    let node = &mesh.nodes[at];
    let mut slow = Raw::handshake(&node.client, "SUB");
    slow.subscribe(b"slow");
    wait::until_true("the subscription", || {
        let held = node.ask::<report::Subscriptions>("/api/v1/subscriptions");
        held.is_some_and(|it| it.subscriptions.iter().any(|it| it.ready))
    });
    let context = zmq::Context::new();
    let sender = publisher(&context, mesh.nodes[publish_at].endpoint());
    publish(&sender, "slow");
    all_taken(&mesh.nodes[publish_at]);
    wait::until_true("a queue that is not empty", || {
        let held = node.ask::<report::Connections>("/api/v1/connections");
        let mut slow = held.into_iter().flat_map(|it| it.connections);
        slow.any(|it| it.socket_type == "SUB" && it.queue_messages > 100)
    });
    (slow, context)
}

fn read_all(slow: &mut Raw) {
    for number in 0..COUNT {
        assert_eq!(slow.frame().1, b"slow");
        assert_eq!(slow.frame().1[..4], number.to_be_bytes());
    }
}

fn ready(node: &Node) -> u16 {
    http::page(&node.client, "/readyz").map_or(0, |(status, _)| status)
}

fn drain(node: &Node) -> Option<report::Drain> {
    node.ask("/api/v1/drain")
}

fn is_flushing(node: &Node) {
    wait::until_true("the node to wait for its subscribers", || {
        drain(node).is_some_and(|it| it.waits_for.contains("subscribers"))
    });
}

fn ask_to_drain(node: &Node, json: bool) -> Child {
    let mut command = zmesh();
    command.args(["drain", "--node", &node.client]);
    command.args(json.then_some("--json"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program can be started")
}

/// Exit code and stdout.
fn output(asked: Child) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = asked.wait_with_output().expect("it ends");
    eprint!("zmesh drain: {}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8_lossy(&stdout).into_owned())
}

fn ends_well(node: &mut Node) {
    assert_eq!(node.wait_end(), Some(0));
    let log = node.log();
    assert!(log.contains("drained dropped_messages=0"), "{log}");
}

fn nothing_dropped(node: &Node) {
    let dropped = node.status().dropped_messages;
    assert_eq!(dropped.values().sum::<u64>(), 0, "{dropped:?}");
}

#[test]
fn whoever_asks_the_node_hands_on_what_it_has_and_ends_well() {
    for asked_by in ["TERM", "INT", "zmesh drain"] {
        let mut mesh = Mesh::start_with(2, FOR_EVER);
        let context = zmq::Context::new();
        let (here, there) = (mesh.nodes[0].endpoint(), mesh.nodes[1].endpoint());
        let readers = [here.clone(), there].map(|it| subscriber(&context, it, &["T"]));
        let sender = publisher(&context, here);
        publish(&sender, "T");
        all_taken(&mesh.nodes[0]);
        if asked_by == "zmesh drain" {
            let (code, said) = output(ask_to_drain(&mesh.nodes[0], false));
            assert_eq!(code, Some(0), "{said}");
            assert!(said.starts_with("n1 drained in "), "{said}");
            assert!(said.ends_with(": 0 messages dropped\n"), "{said}");
        } else {
            mesh.nodes[0].signal(asked_by);
        }
        for reader in &readers {
            for number in 0..COUNT {
                let message = receive_data(reader, PATIENCE).expect("every message");
                assert_eq!(message[1][..4], number.to_be_bytes());
            }
        }
        ends_well(&mut mesh.nodes[0]);
        nothing_dropped(&mesh.nodes[1]);
    }
}

#[test]
fn while_it_drains_a_node_says_so_and_takes_no_new_clients() {
    let mut mesh = Mesh::start_with(2, FOR_EVER);
    let (mut slow, _context) = stalled(&mesh, 0, 1);
    let asked = ask_to_drain(&mesh.nodes[0], false);
    is_flushing(&mesh.nodes[0]);
    let node = &mesh.nodes[0];
    assert_eq!(ready(node), 503);
    assert_eq!(node.status().state, "leaving");
    let report = drain(node).expect("it answers until the end");
    assert!(
        report.queued.messages > 100 && report.clients.len() == 1,
        "{report:?}"
    );
    // It stays a member, and owns nothing.
    wait::until_true("its topics to go to the other node", || {
        let known = mesh.nodes[1].ask::<report::Members>("/api/v1/members");
        let mut known = known.into_iter().flat_map(|it| it.members);
        let leaving = known.find(|it| it.name == "n1").expect("it is known");
        assert_eq!(leaving.state, "alive");
        leaving.partitions == 0
    });
    // A new client is sent away without a word: it may try again, here or elsewhere.
    let mut late = Raw::connect(&node.client);
    late.say(&greeting(0));
    assert_eq!(late.until_closed(), b"");
    wait::until_true("it to be counted", || node.closed("leaving") >= 1);
    // Who asks again is told the same.
    let again = ask_to_drain(node, true);
    read_all(&mut slow);
    drop(slow);
    for asked in [asked, again] {
        let (code, said) = output(asked);
        assert_eq!(code, Some(0), "{said}");
    }
    ends_well(&mut mesh.nodes[0]);
}

#[test]
fn a_subscriber_that_never_reads_takes_the_whole_time_and_is_named() {
    for nodes in [1, 2] {
        let mut mesh = Mesh::start_with(nodes, &["--drain-timeout", "2s"]);
        let (slow, _context) = stalled(&mesh, 0, nodes - 1);
        let peer = slow.stream.local_addr().unwrap().to_string();
        let asked = ask_to_drain(&mesh.nodes[0], true);
        assert_eq!(mesh.nodes[0].wait_end(), Some(2));
        let log = mesh.nodes[0].log();
        let named = log.lines().find(|it| it.contains("has not read all"));
        assert!(named.is_some_and(|it| it.contains(&peer)), "{log}");
        let error = log.lines().find(|it| it.starts_with("error: "));
        let error = error.expect("the reason for the exit code");
        for part in ["left: ", "for 1 client", "--drain-timeout"] {
            assert!(error.contains(part), "{error}");
        }
        let (code, said) = output(asked);
        assert_eq!(code, Some(1), "{said}");
        let report: report::Drain = serde_json::from_str(&said).expect("JSON");
        assert_eq!(report.state, "cut_short");
        assert_eq!(report.clients.len(), 1);
        assert_eq!(report.clients[0].peer, peer);
        // What was delivered to the operating system is not left.
        assert!(
            (100..=u64::from(COUNT)).contains(&report.queued.messages),
            "{report:?}"
        );
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut mesh = Mesh::start_with(1, FOR_EVER);
    let (_slow, _context) = stalled(&mesh, 0, 0);
    mesh.nodes[0].signal("TERM");
    is_flushing(&mesh.nodes[0]);
    // Two signals within a fifth of a second are one wish.
    wait::until_true("the node to end", || {
        !mesh.nodes[0].is_running() || {
            mesh.nodes[0].signal("TERM");
            false
        }
    });
    assert_eq!(mesh.nodes[0].wait_end(), Some(2));
    let log = mesh.nodes[0].log();
    assert!(log.contains("by a second signal"), "{log}");
}

#[test]
fn a_node_that_is_alone_gives_its_subscribers_what_waits_for_them() {
    let mut mesh = Mesh::start_with(1, FOR_EVER);
    let (mut slow, _context) = stalled(&mesh, 0, 0);
    mesh.nodes[0].signal("TERM");
    is_flushing(&mesh.nodes[0]);
    read_all(&mut slow);
    drop(slow);
    ends_well(&mut mesh.nodes[0]);
}

#[test]
fn a_node_that_is_drained_while_it_joins_ends_well() {
    // A seed that never answers, and an address that is known before it is told.
    let (host, ports) = (own_host(), [7000, 7001, 7002]);
    let options = Options::new("n1", &new_cluster()).at(&host, ports);
    let mut node = Node::spawn(options.seed(&format!("{host}:9")));
    node.client = format!("{host}:{}", ports[0]);
    wait::until_true("it to answer", || drain(&node).is_some());
    let (code, said) = output(ask_to_drain(&node, false));
    assert_eq!(code, Some(0), "{said}");
    ends_well(&mut node);
}

#[test]
fn nodes_that_leave_together_wait_for_each_others_messages_and_not_for_each_other() {
    let mut mesh = Mesh::start_with(3, FOR_EVER);
    let context = zmq::Context::new();
    let endpoints: Vec<String> = mesh.nodes.iter().map(Node::endpoint).collect();
    let topics: Vec<String> = (0..3).map(|at| mesh.topic_owned_by(at, "all")).collect();
    let readers: Vec<zmq::Socket> = endpoints
        .iter()
        .map(|it| subscriber(&context, it.clone(), &["all"]))
        .collect();
    let senders: Vec<zmq::Socket> = endpoints
        .iter()
        .map(|it| publisher(&context, it.clone()))
        .collect();
    // Each publishes on a topic of the next node.
    for (at, sender) in senders.iter().enumerate() {
        publish(sender, &topics[(at + 1) % 3]);
    }
    mesh.nodes.iter().for_each(all_taken);
    mesh.nodes.iter().for_each(|node| node.signal("TERM"));
    for reader in &readers {
        let mut next = [0; 3];
        for _ in 0..3 * COUNT {
            let message = receive_data(reader, PATIENCE).expect("every message");
            let topic = topics.iter().position(|it| it.as_bytes() == message[0]);
            let next = &mut next[topic.expect("one of the topics")];
            assert_eq!(message[1][..4], u32::to_be_bytes(*next));
            *next += 1;
        }
    }
    mesh.nodes.iter_mut().for_each(ends_well);
}

#[test]
fn a_node_that_leaves_stays_for_the_messages_of_another_that_leaves_too() {
    let flags = ["--queue-policy", "block", "--queue-size", "1MiB"];
    let flags = [FOR_EVER, &flags, &["--connection-budget", "1MiB"]].concat();
    let mut mesh = Mesh::start_with(2, &flags);
    let topic = mesh.topic_owned_by(0, "T");
    let mut slow = Raw::handshake(&mesh.nodes[1].client, "SUB");
    slow.subscribe(topic.as_bytes());
    wait::until_true("the subscription", || {
        let held = mesh.nodes[1].ask::<report::Subscriptions>("/api/v1/subscriptions");
        held.is_some_and(|it| it.subscriptions.iter().any(|it| it.ready))
    });
    let mut fast = Raw::handshake(&mesh.nodes[0].client, "PUB");
    let name = topic.clone();
    let publishing = thread::spawn(move || {
        for number in 0..COUNT {
            let mut payload = vec![0; 16 << 10];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            fast.say(&[frame(name.as_bytes(), true), frame(&payload, false)].concat());
        }
        fast.stream.shutdown(Shutdown::Write).unwrap();
        fast.until_closed();
    });
    wait::until_true("the publisher to be held back", || {
        let all = mesh.nodes[0].ask::<report::Connections>("/api/v1/connections");
        all.is_some_and(|it| it.connections.iter().any(|it| it.paused))
    });
    mesh.nodes.iter().for_each(|node| node.signal("TERM"));
    wait::until_true("the other node to wait", || {
        drain(&mesh.nodes[1]).is_some_and(|it| it.waits_for.contains("messages of other nodes"))
    });
    for number in 0..COUNT {
        assert_eq!(slow.frame().1, topic.as_bytes());
        assert_eq!(slow.frame().1[..4], number.to_be_bytes());
    }
    drop(slow);
    publishing.join().unwrap();
    mesh.nodes.iter_mut().for_each(ends_well);
}

#[test]
fn a_drain_ends_although_what_the_subscribers_want_goes_on_and_on() {
    let mut mesh = Mesh::start_with(2, FOR_EVER);
    let (mut slow, context) = stalled(&mesh, 0, 1);
    let sender = publisher(&context, mesh.nodes[1].endpoint());
    mesh.nodes[0].signal("TERM");
    is_flushing(&mesh.nodes[0]);
    let mut read = 0;
    while slow.stream.peek(&mut [0]).unwrap() > 0 {
        assert_eq!(slow.frame().1, b"slow");
        assert_eq!(slow.frame().1[..4], u32::to_be_bytes(read));
        // As much comes as goes: what waits never gets less by itself.
        sender.send_multipart(["slow", "more"], 0).unwrap();
        read += 1;
    }
    assert_eq!(read, COUNT);
    drop(slow);
    ends_well(&mut mesh.nodes[0]);
    nothing_dropped(&mesh.nodes[1]);
}

/// Ends what runs beside a test, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Publishes numbered messages on `T`, some thousands a second, until told to stop.
fn publish_on(sender: &zmq::Socket, sent: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let number = sent.fetch_add(1, Ordering::SeqCst).to_string();
        sender.send_multipart(["T", &number], 0).unwrap();
        thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn the_subscriptions_of_a_leaving_node_end_before_it_does_so_that_nothing_is_dropped_for_it() {
    let mut mesh = Mesh::start_with(2, FOR_EVER);
    let context = zmq::Context::new();
    let reader = subscriber(&context, mesh.nodes[0].endpoint(), &["T"]);
    let sender = publisher(&context, mesh.nodes[1].endpoint());
    let (stop, sent) = (&AtomicBool::new(false), &AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(move || publish_on(&sender, sent, stop));
        let _stopper = StopOnDrop(stop);
        for _ in 0..1000 {
            receive_data(&reader, PATIENCE).expect("what is published");
        }
        mesh.nodes[0].signal("TERM");
        ends_well(&mut mesh.nodes[0]);
    });
    nothing_dropped(&mesh.nodes[1]);
}

#[test]
fn publishers_of_a_node_that_is_restarted_lose_nothing() {
    let mut mesh = Mesh::start_with(2, FOR_EVER);
    let context = zmq::Context::new();
    let reader = subscriber(&context, mesh.nodes[0].endpoint(), &["T"]);
    let sender = publisher(&context, mesh.nodes[1].endpoint());
    let (stop, sent) = (&AtomicBool::new(false), &AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(move || publish_on(&sender, sent, stop));
        let _stopper = StopOnDrop(stop);
        let mut next = 0;
        let mut until = |target: u64| {
            while next < target {
                let message = receive_data(&reader, PATIENCE).expect("what is published");
                assert_eq!(message[1], next.to_string().as_bytes());
                next += 1;
            }
        };
        until(1000);
        // The one that knows a seed.
        mesh.nodes[1].signal("TERM");
        ends_well(&mut mesh.nodes[1]);
        mesh.nodes[1].restart();
        // All that was sent while the node was away, and more.
        until(sent.load(Ordering::SeqCst) + 1000);
    });
}
