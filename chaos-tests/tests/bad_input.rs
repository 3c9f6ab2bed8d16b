//! Whatever arrives on a port, that one connection is closed with a counted reason, and nobody
//! else notices.

use chaos_tests::live::raw::{Raw, frame, greeting, ready};
use chaos_tests::live::{Client, Language, Mesh, Node, http, language, wait};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use zmesh_node::report;

/// Two nodes with short patience, and a publisher and a subscriber that must not be disturbed.
struct Scene {
    mesh: Mesh,
    publisher: Client,
    subscriber: Client,
    sent: u32,
}

impl Scene {
    fn new(flags: &[&str]) -> Self {
        let mesh = Mesh::start_with(2, &[&["--handshake-timeout", "1s"], flags].concat());
        let mut publisher = Client::start(Language::C, "PUB", &[&mesh.nodes[0].endpoint()]);
        let mut subscriber = Client::start(Language::C, "SUB", &[&mesh.nodes[1].endpoint()]);
        publisher.reach(&mut subscriber);
        subscriber.subscribe(&["calm"]);
        Self {
            mesh,
            publisher,
            subscriber,
            sent: 0,
        }
    }

    fn node(&self) -> &Node {
        &self.mesh.nodes[0]
    }

    /// The three ports of the first node.
    fn ports(&self) -> [String; 3] {
        let node = self.node();
        [node.client.clone(), node.gossip.clone(), node.link.clone()]
    }

    /// The mesh stands, and its clients get through.
    fn undisturbed(&mut self) {
        for _ in 0..10 {
            self.sent += 1;
            self.publisher.send(&["calm", &self.sent.to_string()]);
        }
        for number in self.sent - 9..=self.sent {
            self.subscriber.expect(&["calm", &number.to_string()]);
        }
        self.mesh.settle();
        for node in &self.mesh.nodes {
            let log = node.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }

    /// Says this on the client port; the connection must be closed and counted for this reason.
    fn is_closed(&self, reason: &str, what: &str, bytes: &[u8]) {
        let (refused, with_reason) = (self.node().refused(), self.node().closed(reason));
        let mut raw = Raw::connect(&self.node().client);
        raw.say(bytes);
        raw.until_closed();
        let counted = || self.node().refused() != refused;
        wait::until_true(&format!("{what} to be counted"), counted);
        let closed = self.node().status().closed_connections;
        assert_eq!(
            self.node().refused(),
            refused + 1,
            "{what} counts once: {closed:?}"
        );
        let counted = closed.get(reason).copied().unwrap_or(0);
        assert_eq!(counted, with_reason + 1, "{what} is {reason}: {closed:?}");
    }
}

impl Scene {
    /// Says this on a port between nodes; the connection must be closed and counted for this
    /// reason.
    fn is_closed_at(&self, port: Port, reason: &str, what: &str, bytes: &[u8]) {
        let before = port.closed(self.node(), reason);
        let mut raw = Raw::connect(port.of(self.node()));
        raw.say(bytes);
        raw.until_closed();
        let counted = || port.closed(self.node(), reason) == before + 1.0;
        wait::until_true(&format!("{what} to be {reason} on {port:?}"), counted);
    }
}

/// Bytes that look like nothing, the same each time.
fn noise(mut state: u64, length: usize) -> Vec<u8> {
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The first bytes of a browser that wants TLS.
fn tls_hello() -> Vec<u8> {
    [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(7, 508)].concat()
}

/// A ZMTP 1.0 peer: an anonymous identity, then a message.
const ZMTP_1: &[u8] = &[1, 0, 4, 0, b'a', b'b', b'c'];

/// A ZMTP 2.0 peer: signature, revision 1, a PUB socket, no identity.
const ZMTP_2: &[u8] = &[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 1, 0, 0];

/// A frame that announces 2^63 bytes.
const ENDLESS: &[u8] = &[2, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3];

fn opened(socket_type: &str, then: &[u8]) -> Vec<u8> {
    [&greeting(0)[..], &ready(socket_type), then].concat()
}

#[test]
fn what_is_not_zmtp_and_not_http_is_closed_with_a_counted_reason() {
    let mut scene = Scene::new(&[]);
    for seed in 0..20 {
        let mut bytes = noise(seed, 400);
        // An odd first byte, neither ZMTP nor a letter.
        bytes[0] = 0x80 | seed as u8;
        scene.is_closed("not_zmtp", "noise", &bytes);
        // It may pass for the beginning of ZMTP, now and then even for a greeting.
        bytes[0] = 0xff;
        let before = scene.node().refused();
        let mut raw = Raw::connect(&scene.node().client);
        raw.say(&bytes);
        raw.until_closed();
        wait::until_true("it to be counted", || scene.node().refused() == before + 1);
    }
    scene.is_closed("not_zmtp", "a TLS hello", &tls_hello());
    scene.is_closed("old_zmtp", "ZMTP 1", ZMTP_1);
    scene.is_closed("old_zmtp", "ZMTP 2", ZMTP_2);
    scene.undisturbed();
}

#[test]
fn http_garbage_is_answered_or_closed_and_harms_nobody() {
    let mut scene = Scene::new(&[]);
    let endless_header = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 1 << 20]].concat();
    let many_headers = ["GET / HTTP/1.1\r\n".into(), "A: b\r\n".repeat(10_000)].concat();
    let garbage = [
        &b"GET \x00\x01\x02\r\n\r\n"[..],
        b"POST / HTTP/9.9\r\n\r\n",
        b"GET GET GET GET\r\n\r\n",
    ];
    for bytes in garbage
        .into_iter()
        .chain([&endless_header[..], many_headers.as_bytes()])
    {
        let mut raw = Raw::connect(&scene.node().client);
        raw.say(bytes);
        raw.until_closed();
    }
    scene.undisturbed();
}

#[test]
fn a_handshake_that_never_ends_is_closed_with_a_counted_reason() {
    let mut scene = Scene::new(&[]);
    let before = scene.node().closed("handshake_timeout");
    let whole = opened("PUB", &[]);
    let lengths = [0, 1, 9, 10, 11, 12, 33, 63, 64, 65, 70, whole.len() - 1];
    let mut open = lengths.map(|length| {
        let mut raw = Raw::connect(&scene.node().client);
        raw.say(&whole[..length]);
        raw
    });
    for raw in &mut open {
        raw.until_closed();
    }
    wait::until_true("all of them to be counted", || {
        scene.node().closed("handshake_timeout") == before + lengths.len() as u64
    });
    scene.undisturbed();
}

#[test]
fn a_request_that_never_ends_is_closed() {
    let mut scene = Scene::new(&[]);
    for half in ["GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut raw = Raw::connect(&scene.node().client);
        raw.say(half.as_bytes());
        raw.until_closed();
    }
    scene.undisturbed();
}

#[test]
fn a_broken_handshake_is_closed_with_a_counted_reason() {
    let mut scene = Scene::new(&[]);
    let mut curve = greeting(0);
    curve[12..17].copy_from_slice(b"CURVE");
    scene.is_closed("mechanism", "another mechanism", &curve);
    scene.is_closed(
        "bad_handshake",
        "an endless command",
        &[&greeting(0)[..], &[6], &ENDLESS[1..]].concat(),
    );
    scene.is_closed(
        "bad_handshake",
        "a message before READY",
        &[&greeting(0)[..], &frame(b"a", false)].concat(),
    );
    scene.is_closed(
        "bad_handshake",
        "an unknown command",
        &[&greeting(0)[..], b"\x04\x04\x03abc"].concat(),
    );
    scene.is_closed(
        "bad_handshake",
        "properties cut short",
        &[&greeting(0)[..], b"\x04\x08\x05READY\x0bS"].concat(),
    );
    scene.undisturbed();
}

#[test]
fn a_socket_type_that_is_not_served_is_closed_with_a_counted_reason() {
    let mut scene = Scene::new(&[]);
    for name in ["REP", "ROUTER", "PULL", "PAIR", "STREAM", "NONSENSE"] {
        scene.is_closed("unsupported_socket_type", name, &opened(name, &[]));
    }
    scene.undisturbed();
}

#[test]
fn a_message_beyond_the_limits_is_closed_with_a_counted_reason() {
    let mut scene = Scene::new(&["--max-message", "1MiB", "--max-subscriptions", "100"]);
    scene.is_closed(
        "message_too_large",
        "a frame of 2^63 bytes",
        &opened("PUB", ENDLESS),
    );
    scene.is_closed(
        "bad_frame",
        "a frame with reserved flags",
        &opened("PUB", &[0xf8, 1, b'a']),
    );
    scene.is_closed(
        "message_too_large",
        "a large frame",
        &opened("PUB", &frame(&vec![1; 2 << 20], false)),
    );
    let large = frame(&vec![1; 1 << 19], true).repeat(3);
    scene.is_closed(
        "message_too_large",
        "a large message of small frames",
        &opened("PUB", &large),
    );
    scene.is_closed(
        "too_many_frames",
        "a million empty frames",
        &opened("PUB", &[1, 0].repeat(1_000_000)),
    );
    let subscriptions: Vec<u8> = (0..200)
        .flat_map(|number| frame(format!("\x01{number}").as_bytes(), false))
        .collect();
    scene.is_closed(
        "too_many_subscriptions",
        "too many subscriptions",
        &opened("SUB", &subscriptions),
    );
    scene.undisturbed();
}

#[test]
fn bad_input_on_the_ports_between_nodes_is_closed_with_a_counted_reason() {
    let mut scene = Scene::new(&[]);
    let half = greeting(0);
    let attacks = [
        ("a TLS hello", "not_zmtp", tls_hello()),
        ("a request", "not_zmtp", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("ZMTP 1", "old_zmtp", ZMTP_1.to_vec()),
        ("ZMTP 2", "old_zmtp", ZMTP_2.to_vec()),
        ("a publisher", "unsupported_socket_type", opened("PUB", &[])),
        (
            "a frame of 2^63 bytes",
            "message_too_large",
            opened("DEALER", ENDLESS),
        ),
        (
            "a frame with reserved flags",
            "bad_frame",
            opened("DEALER", &[0xf8, 1, b'a']),
        ),
        (
            "a million empty frames",
            "too_many_frames",
            opened("DEALER", &[1, 0].repeat(1_000_000)),
        ),
        ("half a greeting", "handshake_timeout", half[..40].to_vec()),
        ("a greeting alone", "handshake_timeout", half.to_vec()),
        ("nothing", "handshake_timeout", Vec::new()),
    ];
    for (what, reason, bytes) in &attacks {
        for port in Port::BETWEEN_NODES {
            scene.is_closed_at(port, reason, what, bytes);
        }
    }
    let noise = opened("DEALER", &frame(&noise(3, 200), false).repeat(50));
    scene.is_closed_at(Port::Link, "bad_message", "noise in frames", &noise);
    // A member of a later version would send the same to the gossip port: it has time to say
    // something that can be read.
    let mut stranger = Raw::connect(Port::Gossip.of(scene.node()));
    stranger.say(&noise);
    scene.undisturbed();
}

#[test]
fn every_gossip_packet_that_cannot_be_read_is_counted() {
    let mut scene = Scene::new(&[]);
    let packets: Vec<u8> = (0..1000)
        .flat_map(|seed| frame(&noise(seed, 200), false))
        .collect();
    let mut raw = Raw::connect(Port::Gossip.of(scene.node()));
    raw.say(&opened("DEALER", &packets));
    wait::until_true("each of them to be counted", || {
        let metric = "zmesh_gossip_packets_rejected_total";
        http::metric(&scene.node().client, metric, "").is_ok_and(|count| count == 1000.0)
    });
    scene.undisturbed();
}

/// What a DEALER with heartbeats does that was pointed at the wrong port.
#[test]
fn a_ping_before_anything_else_is_answered_and_harms_nobody() {
    let mut scene = Scene::new(&[]);
    for port in Port::BETWEEN_NODES {
        let mut raw = Raw::handshake(port.of(scene.node()), "DEALER");
        raw.say(b"\x04\x0b\x04PING\0\0abcd");
        assert_eq!(raw.frame(), (4, b"\x04PONGabcd".to_vec()), "{port:?}");
        // While the connection is open the node goes on to serve.
        scene.undisturbed();
    }
}

#[test]
fn noise_on_the_ports_between_nodes_harms_nobody() {
    let mut scene = Scene::new(&[]);
    for port in Port::BETWEEN_NODES {
        for seed in 0..20 {
            let mut raw = Raw::connect(port.of(scene.node()));
            raw.say(&noise(seed, 1000));
            raw.until_closed();
        }
    }
    scene.undisturbed();
}

/// A port on which only other nodes have business.
#[derive(Clone, Copy, Debug)]
enum Port {
    Gossip,
    Link,
}

impl Port {
    const BETWEEN_NODES: [Self; 2] = [Self::Gossip, Self::Link];

    fn of(self, node: &Node) -> &str {
        match self {
            Self::Gossip => &node.gossip,
            Self::Link => &node.link,
        }
    }

    /// Connections closed for this reason so far.
    fn closed(self, node: &Node, reason: &str) -> f64 {
        let metric = match self {
            Self::Gossip => "zmesh_gossip_connections_closed_total",
            Self::Link => "zmesh_links_refused_total",
        };
        let label = format!("reason=\"{reason}\"");
        wait::until("the metrics", || {
            http::metric(&node.client, metric, &label).ok()
        })
    }
}

#[test]
fn the_reasons_are_in_the_metrics_too() {
    let scene = Scene::new(&[]);
    scene.is_closed(
        "unsupported_socket_type",
        "a request that cannot be",
        &opened("PULL", &[]),
    );
    let (_, metrics) = http::page(&scene.node().client, "/metrics").unwrap();
    for (reason, count) in scene.node().status().closed_connections {
        let sample = format!("zmesh_connections_closed_total{{reason=\"{reason}\",");
        let count = format!(" {count}");
        let is_there = |line: &str| line.starts_with(&sample) && line.ends_with(&count);
        assert!(metrics.lines().any(is_there), "{sample}{count}\n{metrics}");
    }
}

#[test]
fn two_thousand_silent_connections_are_closed_and_memory_stays_bounded() {
    let mut scene = Scene::new(&[]);
    for address in scene.ports() {
        let (host, port) = address.rsplit_once(':').unwrap();
        let before = scene.node().memory();
        let mut crowd = Command::new(language::python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/silent.py"))
            .args([host, port, "2000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(crowd.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert_eq!(
            lines.next().as_deref(),
            Some("2000"),
            "{address} takes 2000 connections"
        );
        scene.undisturbed();
        let more = scene.node().memory().saturating_sub(before);
        assert!(
            more < 64 << 20,
            "2000 silent connections take {} MiB",
            more >> 20
        );
        assert_eq!(
            lines.next().as_deref(),
            Some("closed"),
            "{address} closes them"
        );
        crowd.wait().unwrap();
    }
    scene.undisturbed();
    wait::until_true("each of them to be counted", || {
        scene.node().closed("handshake_timeout") >= 2000
    });
    for port in Port::BETWEEN_NODES {
        wait::until_true("each of them to be counted", || {
            let reasons = ["handshake_timeout", "too_many_connections"];
            let counts = reasons.map(|reason| port.closed(scene.node(), reason));
            counts.iter().sum::<f64>() >= 2000.0
        });
    }
}

#[test]
fn memory_does_not_grow_with_bad_input() {
    let mut scene = Scene::new(&[]);
    let frames = [1, 0].repeat(1_000_000);
    let mut attack = |times| {
        for (address, socket_type) in scene.ports().iter().zip(["PUB", "DEALER", "DEALER"]) {
            let endless = opened(socket_type, ENDLESS);
            let attacks = [endless, opened(socket_type, &frames), tls_hello()];
            for bytes in attacks.iter().cycle().take(times) {
                let mut raw = Raw::connect(address);
                raw.say(bytes);
                raw.until_closed();
            }
        }
        scene.undisturbed();
        scene.node().memory()
    };
    let warm = attack(30);
    let after = attack(150);
    let (warm_mib, after_mib) = (warm >> 20, after >> 20);
    assert!(
        after < warm + (32 << 20),
        "from {warm_mib} to {after_mib} MiB"
    );
}

#[test]
fn a_client_that_disappears_in_the_middle_of_a_message_leaves_nothing_behind() {
    let mut scene = Scene::new(&[]);
    for length in [1, 2, 9, 500] {
        let mut raw = Raw::handshake(&scene.node().client, "PUB");
        raw.say(
            &[
                &frame(b"calm", true)[..],
                &frame(&[1; 1000], false)[..length],
            ]
            .concat(),
        );
    }
    scene.undisturbed();
    wait::until_true("their connections to be gone", || {
        let connections = scene
            .node()
            .ask::<report::Connections>("/api/v1/connections");
        connections.is_some_and(|it| it.connections.len() == 1)
    });
}
