//! A subscriber that does not read: what each queue policy does to it, and that it harms nobody.

use chaos_tests::live::raw::{Raw, frame, greeting, ready};
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::io::{Read, Write};
use std::time::Duration;
use zmesh_node::report;

/// Messages published: far more than the queue and the socket buffers of a slow reader hold.
const COUNT: u32 = 3000;

/// Bytes of each.
const SIZE: usize = 16 << 10;

/// Nodes whose subscribers may have 1 MiB waiting, and a subscriber at the last one that reads
/// nothing yet.
fn slow_reader(nodes: usize, policy: &str) -> (Mesh, Raw) {
    let mesh = Mesh::start_with(nodes, &["--queue-size", "1MiB", "--queue-policy", policy]);
    let mut slow = Raw::handshake(&last(&mesh).client, "SUB");
    slow.subscribe(b"slow");
    wait::until_true("the subscription", || {
        let held = last(&mesh).ask::<report::Subscriptions>("/api/v1/subscriptions");
        held.is_some_and(|it| {
            it.subscriptions
                .iter()
                .any(|it| it.prefix == "slow" && it.ready)
        })
    });
    (mesh, slow)
}

fn last(mesh: &Mesh) -> &Node {
    mesh.nodes.last().unwrap()
}

fn dropped(mesh: &Mesh) -> u64 {
    let nodes = mesh.nodes.iter().map(Node::status);
    nodes
        .flat_map(|status| status.dropped_messages.into_values())
        .sum()
}

fn message(number: u32) -> [Vec<u8>; 2] {
    let mut payload = vec![0; SIZE];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    [b"slow".to_vec(), payload]
}

/// Publishes everything; gives the socket, which must stay open until all is handed over.
fn publish(context: &zmq::Context, mesh: &Mesh) -> zmq::Socket {
    let socket = publisher(context, mesh.nodes[0].endpoint());
    for number in 0..COUNT {
        socket.send_multipart(message(number), 0).unwrap();
    }
    socket
}

/// The numbers of the messages that the slow reader finds when it reads at last, until one that
/// is sent now.
fn read_at_last(slow: &mut Raw, publisher: &zmq::Socket) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        // Repeated, as a full queue may drop this one as well.
        publisher
            .send_multipart([&b"slow end"[..], b"end"], 0)
            .unwrap();
        loop {
            let (_, topic) = slow.frame();
            let (_, payload) = slow.frame();
            if topic == b"slow end" {
                return numbers;
            }
            numbers.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
            if !slow.has_data() {
                break;
            }
        }
    }
}

/// Waits until the first node owes nobody anything.
fn all_taken(mesh: &Mesh) {
    wait::until_true("everything to be taken and done", || {
        let status = mesh.nodes[0].status();
        status.taken_messages >= u64::from(COUNT) && status.undone_bytes == 0
    });
}

fn slow_connection(mesh: &Mesh) -> report::Connection {
    let connections: report::Connections =
        wait::until("the connections", || last(mesh).ask("/api/v1/connections"));
    let mut all = connections.connections.into_iter();
    all.find(|it| it.socket_type == "SUB")
        .expect("the slow reader is connected")
}

#[test]
fn drop_newest_keeps_what_came_first_and_counts_the_rest() {
    for nodes in [1, 2] {
        let (mesh, mut slow) = slow_reader(nodes, "drop-newest");
        let context = zmq::Context::new();
        let sender = publish(&context, &mesh);
        all_taken(&mesh);
        let connection = slow_connection(&mesh);
        assert_eq!(connection.queue_policy, "drop-newest");
        assert!(connection.full_for_seconds.is_some(), "{connection:?}");
        // The run of messages that filled the queue was let in whole.
        assert!(connection.queue_bytes < 2 << 20, "{connection:?}");
        let dropped = dropped(&mesh);
        assert!(
            dropped > 0 && connection.dropped_messages == dropped,
            "{dropped} {connection:?}"
        );
        let numbers = read_at_last(&mut slow, &sender);
        assert_eq!(
            numbers.len() as u64 + dropped,
            u64::from(COUNT),
            "received and dropped"
        );
        assert!(
            numbers.iter().copied().eq(0..numbers.len() as u32),
            "the first ones, in order"
        );
    }
}

#[test]
fn drop_oldest_keeps_what_came_last_and_counts_the_rest() {
    for nodes in [1, 2] {
        let (mesh, mut slow) = slow_reader(nodes, "drop-oldest");
        let context = zmq::Context::new();
        let sender = publish(&context, &mesh);
        all_taken(&mesh);
        let numbers = read_at_last(&mut slow, &sender);
        assert_eq!(numbers.last(), Some(&(COUNT - 1)), "the newest is there");
        assert!(
            numbers.is_sorted_by(|one, other| one < other),
            "in order, none twice"
        );
        let dropped = dropped(&mesh);
        assert!(dropped > 0);
        assert_eq!(
            numbers.len() as u64 + dropped,
            u64::from(COUNT),
            "received and dropped"
        );
    }
}

#[test]
fn disconnect_closes_the_slow_one_with_a_counted_reason() {
    for nodes in [1, 2] {
        let (mesh, mut slow) = slow_reader(nodes, "disconnect");
        let context = zmq::Context::new();
        let _sender = publish(&context, &mesh);
        slow.until_closed();
        wait::until_true("it to be counted", || {
            last(&mesh).closed("slow_subscriber") == 1
        });
    }
}

/// A publisher in ZMTP 3.1, which the node sends PINGs, that has read what the node said.
fn publisher_by_hand(address: &str) -> Raw {
    let mut raw = Raw::connect(address);
    raw.say(&[&greeting(1)[..], &ready("PUB")].concat());
    let mut theirs = [0; 64];
    raw.stream.read_exact(&mut theirs).expect("a greeting");
    assert!(raw.frame().1.starts_with(b"\x05READY"));
    assert!(raw.frame().1.starts_with(b"\x09SUBSCRIBE"));
    raw
}

/// Whatever comes for a publisher that has ended makes its kernel drop what it had sent, a PING as
/// well: each publisher that is read gets one every 10 s.
#[test]
fn a_publisher_that_ended_while_it_was_not_read_has_lost_nothing() {
    let (mesh, mut slow) = slow_reader(1, "block");
    let the_publisher = || {
        let all = mesh.nodes[0].ask::<report::Connections>("/api/v1/connections");
        let mut all = all.into_iter().flat_map(|it| it.connections);
        all.find(|it| it.socket_type == "PUB")
            .expect("it is not read")
    };
    let mut sender = publisher_by_hand(&mesh.nodes[0].client);
    sender.stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    let as_sent = |number| {
        let [topic, payload] = message(number);
        [frame(&topic, true), frame(&payload, false)].concat()
    };
    let length = as_sent(0).len();
    wait::until_true("all buffers to be full", || {
        let before = written;
        let mut write = || {
            let rest = &as_sent((written / length) as u32)[written % length..];
            sender.stream.write(rest).map(|count| written += count)
        };
        while write().is_ok() {}
        let is_full = slow_connection(&mesh).full_for_seconds.is_some();
        is_full && written == before && the_publisher().paused
    });
    // Its operating system has what the node's has no room for.
    drop(sender);
    let ended_at = the_publisher().age_seconds;
    wait::until_true("the time in which it would be pinged", || {
        let still = the_publisher();
        assert!(still.paused);
        still.age_seconds > ended_at + 11.0
    });
    for expected in 0..written / length {
        slow.frame();
        let (_, payload) = slow.frame();
        assert_eq!(payload[..4], (expected as u32).to_be_bytes());
    }
}

#[test]
fn block_slows_the_publisher_down_and_drops_nothing() {
    for nodes in [1, 2] {
        let (mesh, mut slow) = slow_reader(nodes, "block");
        let context = zmq::Context::new();
        let sender = publish(&context, &mesh);
        wait::until_true("the publisher to be paused", || {
            let connections = mesh.nodes[0].ask::<report::Connections>("/api/v1/connections");
            connections.is_some_and(|it| it.connections.iter().any(|it| it.paused))
        });
        let numbers = read_at_last(&mut slow, &sender);
        assert!(
            numbers.iter().copied().eq(0..COUNT),
            "every message, in order"
        );
        assert_eq!(dropped(&mesh), 0);
    }
}

#[test]
fn a_slow_subscriber_takes_nothing_from_a_fast_one() {
    let (mesh, _slow) = slow_reader(1, "drop-newest");
    let context = zmq::Context::new();
    let fast = subscriber(&context, mesh.nodes[0].endpoint(), &["slow"]);
    let reader = std::thread::spawn(move || {
        let numbers = (0..COUNT).map_while(|_| {
            let message = receive_data(&fast, PATIENCE)?;
            Some(u32::from_be_bytes(message[1][..4].try_into().unwrap()))
        });
        numbers.collect::<Vec<_>>()
    });
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    for number in 0..COUNT {
        let mut payload = vec![0; SIZE];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        sender.send_multipart([&b"slow"[..], &payload], 0).unwrap();
        if number % 20 == 0 {
            // A pace that a reader keeps up with.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let numbers = reader.join().unwrap();
    assert!(
        numbers.iter().copied().eq(0..COUNT),
        "all {} of them",
        numbers.len()
    );
}
