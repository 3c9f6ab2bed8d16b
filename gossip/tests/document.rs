//! The example of docs/protocol.md is what this crate sends, byte for byte.

use std::time::Duration;

use zmesh_gossip::{Body, Config, Gossip, Header, Me, NodeId, Output, Packet, decode, encode};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

#[test]
fn the_ping_in_the_document_is_the_one_on_the_wire() {
    let Packet {
        header, records, ..
    } = answer_of_a_node_alone();
    let ping = Packet {
        version: 1,
        header,
        body: Body::Ping {
            seq: 300,
            target: NodeId::new("zmesh", "b"),
            nonce: 251,
        },
        records,
    };
    assert_eq!(hex(&encode(&ping)), example("Example: a Ping"));
}

/// Node `a`, alone and ready, lets `b` in: the answer has its header and its record as they are
/// sent, with hashes that nobody has put in by hand.
fn answer_of_a_node_alone() -> Packet {
    let me = Me {
        cluster: "zmesh".into(),
        name: "a".into(),
        epoch: 1_700_000_000_000,
        nonce: 0x0123_4567_89ab_cdef,
        client: "127.0.0.1:5555".into(),
        gossip: "127.0.0.1:5556".into(),
        link: "127.0.0.1:5557".into(),
        zone: String::new(),
        weight: 1,
    };
    let mut gossip = Gossip::new(Config::local(), me, Vec::new(), 1, Duration::ZERO).unwrap();
    gossip.handle_timeout(Duration::ZERO);
    gossip.set_ready(Duration::ZERO);
    let mut now = Duration::ZERO;
    while gossip.view_hash() == 0 {
        now = gossip.next_deadline();
        gossip.handle_timeout(now);
    }
    gossip.handle_packet(&encode(&join_of_b()), now);
    let sent = std::iter::from_fn(|| gossip.poll_output()).find_map(|output| match output {
        Output::Send { packet, .. } => Some(packet),
        _ => None,
    });
    decode(&sent.unwrap()).unwrap()
}

fn join_of_b() -> Packet {
    Packet {
        version: 1,
        header: Header {
            cluster: 0,
            from: NodeId::new("zmesh", "b"),
            epoch: 0,
            nonce: 251,
            incarnation: 0,
            address: "127.0.0.1:5566".into(),
            digest: 0,
            view: 0,
        },
        body: Body::Join {
            via: "127.0.0.1:5556".into(),
            name: "b".into(),
            cluster: "zmesh".into(),
            partitions: 16384,
        },
        records: Vec::new(),
    }
}

/// The bytes of an example: of each line of the block below its heading, what stands before `;`.
fn example(heading: &str) -> String {
    let (_, below) = DOCUMENT.split_once(heading).unwrap();
    let block = below.split("```").nth(1).unwrap();
    let bytes = block.lines().filter_map(|line| line.split(';').next());
    bytes.flat_map(str::split_whitespace).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
