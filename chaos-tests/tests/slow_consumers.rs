//! One subscriber that does not keep up: what the others notice of it (nothing), what it learns
//! itself, and how rules give some topics queues of their own.

use chaos_tests::live::language::python;
use chaos_tests::live::raw::Raw;
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use zmesh_node::report;

/// Messages published: far more than the queue and the socket buffers of a slow reader hold.
const COUNT: u32 = 3000;

/// Bytes of each.
const SIZE: usize = 16 << 10;

/// Every message begins with its number, as text of eight signs.
fn payload(number: u32) -> Vec<u8> {
    let mut payload = vec![b'.'; SIZE];
    payload[..8].copy_from_slice(format!("{number:<8}").as_bytes());
    payload
}

fn number(payload: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(&payload[..8]);
    text.trim().parse().expect("a number")
}

fn last(mesh: &Mesh) -> &Node {
    mesh.nodes.last().unwrap()
}

/// The connection of the subscriber at the last node that has something in its queue, or dropped.
fn slow_one(mesh: &Mesh) -> report::Connection {
    let all = || last(mesh).ask::<report::Connections>("/api/v1/connections");
    wait::until("a connection that does not keep up", || {
        let mut all = all()?.connections.into_iter();
        all.find(|it| it.queue_messages > 0 || it.dropped_messages > 0)
    })
}

/// Waits until everything is taken, and done but for what a subscriber holds back.
fn all_taken(node: &Node, count: u32) {
    wait::until_true("everything to be taken and done", || {
        let status = node.status();
        status.taken_messages >= u64::from(count) && status.undone_bytes == 0
    });
}

/// A subscriber at the last node, ready, that reads nothing by itself.
fn stalled(mesh: &Mesh, prefix: &str) -> Raw {
    let mut slow = Raw::handshake(&last(mesh).client, "SUB");
    slow.subscribe(prefix.as_bytes());
    wait::until_true("the subscription", || {
        let held = last(mesh).ask::<report::Subscriptions>("/api/v1/subscriptions");
        let mut held = held.into_iter().flat_map(|it| it.subscriptions);
        held.any(|it| it.prefix == prefix && it.ready)
    });
    slow
}

#[test]
fn a_stalled_subscriber_delays_nobody_and_what_it_misses_is_counted() {
    for nodes in [1, 2] {
        let mesh = Mesh::start_with(nodes, &["--queue-size", "1MiB"]);
        let _slow = stalled(&mesh, "T");
        let context = zmq::Context::new();
        let healthy = subscriber(&context, last(&mesh).endpoint(), &["T"]);
        let sender = publisher(&context, mesh.nodes[0].endpoint());
        // As fast as the healthy one reads, so that nothing is dropped but for the other.
        const AT_ONCE: u32 = 30;
        for first in (0..COUNT).step_by(AT_ONCE as usize) {
            for number in first..first + AT_ONCE {
                let frames = [&b"T"[..], &payload(number)];
                sender.send_multipart(frames, 0).unwrap();
            }
            for expected in first..first + AT_ONCE {
                let message = receive_data(&healthy, PATIENCE).expect("the healthy one gets all");
                assert_eq!(number(&message[1]), expected);
            }
        }
        all_taken(&mesh.nodes[0], COUNT);
        let slow = slow_one(&mesh);
        assert!(
            slow.dropped_messages > 0 && slow.full_for_seconds.is_some(),
            "{slow:?}"
        );
        assert_eq!(slow.dropped_by_reason["queue_full"], slow.dropped_messages);
        let frames = 4 + 9;
        assert_eq!(slow.dropped_bytes % slow.dropped_messages, 0);
        assert!(slow.dropped_bytes / slow.dropped_messages <= (SIZE + frames) as u64);
        assert!(slow.seconds_since_drop.is_some());
        let seen = slow.delivered_messages + slow.queue_messages + slow.dropped_messages;
        assert_eq!(seen, u64::from(COUNT));
        let dropped = last(&mesh).status().dropped_messages;
        assert_eq!(dropped.values().sum::<u64>(), slow.dropped_messages);
        assert_eq!(dropped["queue_full"], slow.dropped_messages);
    }
}

/// The program in Python that reads when it is told to.
struct Reader {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Reader {
    fn start(endpoint: &str, prefix: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/slow.py");
        let mut command = Command::new(python());
        command.arg(script).args([endpoint, prefix]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let stdin = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut reader = Self {
            child,
            stdin,
            lines,
        };
        assert_eq!(reader.line(), "open");
        reader
    }

    fn line(&mut self) -> String {
        let line = self.lines.next().expect("it goes on to print");
        line.expect("text")
    }

    /// Lets it read; gives what it printed before `end`.
    fn read(&mut self, mesh: &Mesh, sender: &zmq::Socket) -> Vec<String> {
        self.stdin.write_all(b"\n").unwrap();
        wait::until_true("an empty queue, which has room for the end", || {
            let all = last(mesh).ask::<report::Connections>("/api/v1/connections");
            all.is_some_and(|it| it.connections.iter().all(|it| it.queue_messages == 0))
        });
        sender.send_multipart(["T", "end"], 0).unwrap();
        let lines = std::iter::from_fn(|| Some(self.line()));
        lines.take_while(|line| line != "end").collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the reader printed: between the numbers exactly as many are missing as it was told there.
fn check(lines: &[String], reason: &str) -> u64 {
    let (mut next, mut told, mut total) = (0, 0, 0);
    for line in lines {
        if let Ok(number) = line.parse::<u64>() {
            assert_eq!(number, next + told, "told of {told} behind {next}");
            (next, told) = (number + 1, 0);
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let ["dropped", count, why, sum, ""] = words[..] else {
            panic!("{line}");
        };
        let count: u64 = count.parse().unwrap();
        assert_eq!(why, reason);
        told += count;
        total += count;
        assert_eq!(sum, total.to_string());
    }
    assert_eq!(next + told, u64::from(COUNT), "the last ones are told of");
    total
}

#[test]
fn a_slow_reader_in_python_learns_where_messages_are_missing() {
    for (policy, reason) in [
        ("drop-newest", "queue_full"),
        ("drop-oldest", "queue_oldest"),
    ] {
        let mesh = Mesh::start_with(2, &["--queue-size", "1MiB", "--queue-policy", policy]);
        let context = zmq::Context::new();
        let mut reader = Reader::start(&last(&mesh).endpoint(), "T");
        let sender = publisher(&context, mesh.nodes[0].endpoint());
        for number in 0..COUNT {
            let frames = [&b"T"[..], &payload(number)];
            sender.send_multipart(frames, 0).unwrap();
        }
        all_taken(&mesh.nodes[0], COUNT);
        let slow = slow_one(&mesh);
        assert!(slow.dropped_messages > 0, "{slow:?}");
        let lines = reader.read(&mesh, &sender);
        assert_eq!(check(&lines, reason), slow.dropped_messages);
    }
}

/// Orders published behind a flood of prices and lines.
const ORDERS: u32 = 20;

/// Rules for prices and orders; lines have none.
const RULES: &str = r#"
queue-size = "1MiB"

[[queue]]
prefix = "live."
policy = "drop-oldest"
size = "256KiB"

[[queue]]
prefix = "order."
policy = "block"
"#;

fn flood(mesh: &Mesh, sender: &zmq::Socket) {
    let send = |topic: &str, number| {
        let frames = [topic.as_bytes(), &payload(number)];
        sender.send_multipart(frames, 0).unwrap();
    };
    for number in 0..COUNT {
        send("live.price", number);
        send("log.line", number);
    }
    all_taken(&mesh.nodes[0], 2 * COUNT);
    // Both kinds are dropped by now; orders have room all the same.
    (0..ORDERS).for_each(|number| send("order.new", number));
    all_taken(&mesh.nodes[0], 2 * COUNT + ORDERS);
}

#[test]
fn topics_with_a_rule_have_a_part_of_the_queue_of_their_own() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), RULES).unwrap();
    let config = file.path().to_str().unwrap();
    let mesh = Mesh::start_with(2, &["--config", config]);
    let mut slow = stalled(&mesh, "");
    let context = zmq::Context::new();
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    flood(&mesh, &sender);
    let connection = slow_one(&mesh);
    let part = |prefix: &str| {
        let found = connection.queue.iter().find(|it| it.prefix == prefix);
        found.unwrap_or_else(|| panic!("{prefix:?} in {connection:?}"))
    };
    let (live, rest, orders) = (part("live."), part(""), part("order."));
    assert_eq!(
        (&*live.policy, live.limit_bytes),
        ("drop-oldest", 256 << 10)
    );
    assert_eq!((&*rest.policy, rest.limit_bytes), ("drop-newest", 1 << 20));
    assert_eq!((&*orders.policy, orders.limit_bytes), ("block", 1 << 20));
    assert_eq!(
        (orders.messages, orders.dropped_messages),
        (ORDERS.into(), 0)
    );
    assert!(
        live.dropped_messages > 0 && live.full_for_seconds.is_some(),
        "{live:?}"
    );
    assert!(
        rest.dropped_messages > 0 && rest.full_for_seconds.is_some(),
        "{rest:?}"
    );
    let by_reason = &connection.dropped_by_reason;
    assert_eq!(by_reason["queue_oldest"], live.dropped_messages);
    assert_eq!(by_reason["queue_full"], rest.dropped_messages);
    let mut seen: [Vec<u32>; 3] = Default::default();
    while seen[2].len() < ORDERS as usize {
        let (_, topic) = slow.frame();
        let (_, payload) = slow.frame();
        let kinds = [&b"live.price"[..], b"log.line", b"order.new"];
        let kind = kinds
            .iter()
            .position(|it| *it == topic)
            .expect("one of them");
        seen[kind].push(number(&payload));
    }
    let [live, rest, orders] = seen;
    assert_eq!(live.last(), Some(&(COUNT - 1)), "the newest prices");
    assert!(
        rest.iter().copied().eq(0..rest.len() as u32),
        "the first lines"
    );
    assert!(orders.iter().copied().eq(0..ORDERS), "all orders");
    assert!(live.is_sorted_by(|one, other| one < other));
}
