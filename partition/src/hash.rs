//! The three hashes of this crate, each under a key of its own so that none can stand for another.

/// For the key of a topic.
const TOPIC: &[u8; 32] = b"zmesh partition of a topic key 1";
/// For the place of a partition on the ring.
const PARTITION: &[u8; 32] = b"zmesh place of a partition     1";
/// For the points of a member on the ring.
const MEMBER: &[u8; 32] = b"zmesh points of a ring member  1";

/// The hash of a topic's key.
pub(crate) fn of_topic_key(key: &[u8]) -> u64 {
    first_u64(&blake3::keyed_hash(TOPIC, key))
}

/// The place of a partition on the ring.
pub(crate) fn of_partition(number: u16) -> u64 {
    first_u64(&blake3::keyed_hash(PARTITION, &number.to_be_bytes()))
}

/// The first `count` points of a member on the ring: its extended hash, eight bytes a point.
pub(crate) fn points_of_member(id: &[u8; 16], count: usize) -> impl Iterator<Item = u64> {
    let mut bytes = blake3::Hasher::new_keyed(MEMBER).update(id).finalize_xof();
    (0..count).map(move |_| {
        let mut point = [0; 8];
        bytes.fill(&mut point);
        u64::from_be_bytes(point)
    })
}

fn first_u64(hash: &blake3::Hash) -> u64 {
    let (first, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a hash has 32 bytes");
    u64::from_be_bytes(*first)
}
