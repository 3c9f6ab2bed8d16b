//! From a topic to its partition.

use crate::hash;
use std::fmt;

/// Number of partitions, a constant of the protocol: enough for a fair split among a few hundred
/// members, few enough that a table of all of them is small.
pub const PARTITIONS: u16 = 16384;

/// Longest key in bytes. What follows in a topic does not change its partition.
pub const MAX_KEY_BYTES: usize = 255;

/// One of the [`PARTITIONS`] shares of the topic space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

/// The part of a topic that decides its partition: up to the first space, at most
/// [`MAX_KEY_BYTES`]. So messages of one frame, such as `10001 80 20`, keep to one partition.
pub fn key(topic: &[u8]) -> &[u8] {
    let head = &topic[..topic.len().min(MAX_KEY_BYTES)];
    let end = head
        .iter()
        .position(|&byte| byte == b' ')
        .unwrap_or(head.len());
    &head[..end]
}

impl Partition {
    /// The partition with this number, if there is one.
    pub fn new(number: u16) -> Option<Self> {
        (number < PARTITIONS).then_some(Self(number))
    }

    /// The partition of a topic's key: its hash, scaled down to the number of partitions.
    pub fn of_key(key: &[u8]) -> Self {
        let scaled = (u128::from(hash::of_topic_key(key)) * u128::from(PARTITIONS)) >> 64;
        Self(u16::try_from(scaled).expect("less than PARTITIONS, which fits"))
    }

    /// The partition of a whole topic.
    pub fn of_topic(topic: &[u8]) -> Self {
        Self::of_key(key(topic))
    }

    /// Every partition, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator {
        (0..PARTITIONS).map(Self)
    }

    /// Its number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Its number as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_ends_at_the_first_space_or_after_255_bytes() {
        let long = [b'a'; 300];
        let with_late_space = [&long[..], b" b"].concat();
        for (topic, expected) in [
            (&b""[..], &b""[..]),
            (b"STOCK.AAPL", b"STOCK.AAPL"),
            (b"10001 80 20", b"10001"),
            (b" leading", b""),
            (b"tab\tis not a space", b"tab\tis"),
            (b"\xff\x00\xfe", b"\xff\x00\xfe"),
            (&long[..255], &long[..255]),
            (&long[..], &long[..255]),
            (&with_late_space[..], &long[..255]),
        ] {
            assert_eq!(key(topic), expected, "{topic:?}");
        }
    }

    #[test]
    fn a_topic_has_the_partition_of_its_key() {
        assert_eq!(
            Partition::of_topic(b"10001 80 20"),
            Partition::of_key(b"10001")
        );
        assert_ne!(Partition::of_topic(b"10001"), Partition::of_topic(b"10002"));
    }

    #[test]
    fn only_numbers_below_the_count_are_partitions() {
        assert_eq!(
            Partition::new(PARTITIONS - 1).map(Partition::get),
            Some(16383)
        );
        assert_eq!(Partition::new(PARTITIONS), None);
        assert_eq!(Partition::all().len(), 16384);
        assert_eq!(
            Partition::all()
                .map(|it| it.to_string())
                .next_back()
                .unwrap(),
            "16383"
        );
    }
}
