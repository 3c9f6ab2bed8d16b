//! A packet on the gossip port, and a membership record as a link carries it. Whatever can be read
//! is within its bounds and can be written and read again.

use zmesh_gossip::{MAX_PACKET_IN, Member, PROTOCOL_VERSION, Packet, decode, encode};

use super::member::{self, Seen};
use super::script::Script;

/// Takes the bytes of a packet, or of a record.
pub fn run(bytes: &[u8]) {
    if let Ok(packet) = decode(bytes) {
        whole(&packet, bytes);
    }
    if let Ok(record) = Member::decode(bytes) {
        assert_eq!(Member::decode(&record.encode()), Ok(record));
    }
}

fn whole(packet: &Packet, bytes: &[u8]) {
    let written = encode(packet);
    assert_eq!(decode(&written).as_ref(), Ok(packet));
    assert!(bytes.len() <= MAX_PACKET_IN);
    if packet.version != PROTOCOL_VERSION {
        assert!(
            packet.records.is_empty(),
            "of other versions they are not read"
        );
        return;
    }
    // Numbers are written as short as they can be.
    assert!(
        written.len() <= bytes.len(),
        "{} > {}",
        written.len(),
        bytes.len()
    );
    for record in &packet.records {
        assert_eq!(record.check(), Ok(()));
        assert_eq!(Member::decode(&record.encode()).as_ref(), Ok(record));
    }
    for pair in packet.records.windows(2) {
        lattice(&pair[0], &pair[1]);
    }
}

/// The merge of two records of a node does not depend on their order, and is one of a node too.
fn lattice(one: &Member, other: &Member) {
    let mut other = other.clone();
    other.id = one.id;
    let (mut first, mut second) = (one.clone(), other.clone());
    first.merge(&other);
    second.merge(one);
    assert_eq!(first, second);
    assert_eq!(first.check(), Ok(()));
    assert!(
        !first.merge(one) && !first.merge(&other),
        "it has taken in both"
    );
}

/// See [`super::Target::examples`]: every kind of packet, with records.
pub fn examples() -> Vec<Vec<u8>> {
    let seen = Seen {
        cluster: 1 << 60,
        seqs: &[7],
        digest: 5,
    };
    let packet = |kind: u8| {
        let mut script = vec![1, 64, 200, 3, 2, 9];
        for record in 0..2 {
            script.extend([2, record + 1, 200, 250, record, 16, 3, 4]);
        }
        script.extend([kind, 0, 1, 2, 3, 4, 5, 6, 7]);
        encode(&member::packet(&mut Script::new(&script), &seen))
    };
    let mut examples: Vec<Vec<u8>> = (0..15).map(packet).collect();
    examples.push(member::member(&mut Script::new(&[1, 1, 9, 9, 9, 16, 3])).encode());
    examples
}
