//! Who a node is: a hash over its cluster and its name, the same after every restart.

use core::cmp::Ordering;
use core::fmt;

use bincode::{Decode, Encode};

/// Identity of a node: the first 16 bytes of a BLAKE3 hash over cluster and name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct NodeId(pub [u8; 16]);

/// As the bytes are ordered, but compared as one number: tables are searched by id for every
/// packet.
impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl NodeId {
    /// The identity of the node `name` in the cluster `cluster`.
    pub fn new(cluster: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("zmesh v1 node id");
        hasher.update(&(cluster.len() as u64).to_le_bytes());
        hasher.update(cluster.as_bytes());
        hasher.update(name.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The eight bytes by which packets tell clusters apart without carrying the name.
pub(crate) fn cluster_hash(cluster: &str) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("zmesh v1 cluster");
    hasher.update(cluster.as_bytes());
    first_eight(&hasher)
}

/// The first eight bytes of a hash as a number.
pub(crate) fn first_eight(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn cluster_and_name_cannot_be_mistaken_for_one_another() {
        assert_ne!(NodeId::new("ab", "c"), NodeId::new("a", "bc"));
        assert_eq!(NodeId::new("a", "b"), NodeId::new("a", "b"));
    }

    #[test]
    fn ids_are_ordered_as_their_bytes_are() {
        let mut low = [0xff; 16];
        low[0] = 1;
        let mut high = [0; 16];
        high[0] = 2;
        assert!(NodeId(low) < NodeId(high) && low < high);
    }

    #[test]
    fn an_id_is_shown_as_32_hexadecimal_digits() {
        assert_eq!(NodeId([0xab; 16]).to_string(), "ab".repeat(16));
    }
}
