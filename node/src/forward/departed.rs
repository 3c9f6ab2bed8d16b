//! Nodes that were held alive and are held dead now: since when, and what their clients wanted.
//!
//! A node that was cut off comes back with the same clients. Until it has said again what they
//! want, what they wanted before is the best guess: messages for it are then held, or dropped and
//! counted, but never passed by as if nobody wanted them.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::dedup::MEMORY;
use super::{Instance, Time};

/// Bytes of prefixes that are kept of all of them together: what one node may have.
const PREFIX_BYTES: usize = 64 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    nodes: HashMap<Instance, Node, FixedState>,
    bytes: usize,
}

#[derive(Debug)]
struct Node {
    since: Time,
    prefixes: HashSet<Vec<u8>>,
    /// The highest version of what its clients want that another node has named meanwhile.
    named: u64,
}

impl Departed {
    /// Whether a node is held dead now.
    pub(crate) fn contains(&self, instance: Instance) -> bool {
        self.nodes.contains_key(&instance)
    }

    /// A node is held dead from now on.
    pub(crate) fn add(&mut self, instance: Instance, now: Time) {
        self.take(instance);
        let node = Node {
            since: now,
            prefixes: HashSet::new(),
            named: 0,
        };
        self.nodes.insert(instance, node);
    }

    /// The state of a node that is held dead is given up: this is what its clients wanted.
    pub(crate) fn keep(&mut self, instance: Instance, prefixes: HashSet<Vec<u8>>) {
        let bytes = size(&prefixes);
        if let Some(node) = self.nodes.get_mut(&instance)
            && self.bytes + bytes <= PREFIX_BYTES
        {
            self.bytes += bytes;
            node.prefixes = prefixes;
        }
    }

    /// Another node, which holds it alive, has named this version of what its clients want.
    pub(crate) fn name(&mut self, instance: Instance, version: u64) {
        if let Some(node) = self.nodes.get_mut(&instance) {
            node.named = version.max(node.named);
        }
    }

    /// A node is held alive again: what its clients wanted, and the version of it that others have
    /// named. `None` if it was not held dead.
    pub(crate) fn take(&mut self, instance: Instance) -> Option<(HashSet<Vec<u8>>, u64)> {
        let node = self.nodes.remove(&instance)?;
        self.bytes -= size(&node.prefixes);
        Some((node.prefixes, node.named))
    }

    /// Forgets whom nothing more is said of.
    pub(crate) fn expire(&mut self, now: Time) {
        let over = |node: &Node| now.saturating_sub(node.since) >= MEMORY;
        let over = self.nodes.iter().filter(|(_, node)| over(node));
        let over: Vec<Instance> = over.map(|(instance, _)| *instance).collect();
        for instance in over {
            self.take(instance);
        }
    }
}

fn size(prefixes: &HashSet<Vec<u8>>) -> usize {
    prefixes.iter().map(Vec::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_wanted_is_known_when_it_comes_back_and_forgotten_in_time() {
        let mut departed = Departed::default();
        let (one, other) = (Instance(1), Instance(2));
        departed.add(one, Time::ZERO);
        departed.add(other, Time::ZERO);
        departed.keep(one, HashSet::from([b"a".to_vec()]));
        departed.keep(other, HashSet::from([vec![0; PREFIX_BYTES]]));
        departed.name(one, 3);
        departed.name(one, 2);
        let wanted = HashSet::from([b"a".to_vec()]);
        assert_eq!(departed.take(one), Some((wanted, 3)));
        assert_eq!(departed.take(one), None);
        departed.expire(MEMORY);
        assert!(!departed.contains(other));
        assert_eq!(departed.bytes, 0);
    }
}
