//! Which prefixes match a topic: a radix trie of prefixes with a memo per topic in front.

use std::collections::BTreeMap;
use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Entries of the memo before it starts over.
const MEMO_LIMIT: usize = 65_536;

/// Longer beginnings of topics are looked up each time: the memo is bounded in bytes, too.
const MEMO_KEY_BYTES: usize = 256;

/// A set of ids that some topic matched; valid until the next change of the index or
/// [`PrefixIndex::trim`]. Equal sets have equal ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetId(u32);

/// Maps prefixes to ids (of nodes or of client connections).
#[derive(Debug, Default)]
pub(crate) struct PrefixIndex {
    root: Node,
    /// How many (prefix, id) pairs there are of each prefix length.
    lengths: BTreeMap<usize, usize>,
    /// What decides a match is the topic's first bytes, as many as the longest prefix has: that
    /// part is the key. Messages of one frame whose text differs share an entry.
    memo: HashMap<Box<[u8]>, SetId, RandomState>,
    sets: Vec<Box<[u32]>>,
    ids_of_sets: HashMap<Box<[u32]>, SetId, RandomState>,
}

#[derive(Debug, Default)]
struct Node {
    label: Box<[u8]>,
    ids: Vec<u32>,
    /// Sorted by the first byte of the label.
    children: Vec<Node>,
}

impl PrefixIndex {
    /// Adds a pair; `false` if it was there.
    pub(crate) fn insert(&mut self, prefix: &[u8], id: u32) -> bool {
        let ids = &mut self.root.make(prefix).ids;
        let Err(place) = ids.binary_search(&id) else {
            return false;
        };
        ids.insert(place, id);
        *self.lengths.entry(prefix.len()).or_insert(0) += 1;
        self.forget_matches();
        true
    }

    /// Takes a pair out; `false` if it was not there.
    pub(crate) fn remove(&mut self, prefix: &[u8], id: u32) -> bool {
        if !self.root.remove(prefix, id) {
            return false;
        }
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
        self.forget_matches();
        true
    }

    /// The ids whose prefixes the topic begins with.
    #[inline]
    pub(crate) fn find(&mut self, topic: &[u8]) -> SetId {
        let longest = self
            .lengths
            .last_key_value()
            .map_or(0, |(length, _)| *length);
        let key = &topic[..topic.len().min(longest)];
        if let Some(set) = self.memo.get(key) {
            return *set;
        }
        self.search(key)
    }

    /// The ids of a set, ascending.
    #[inline]
    pub(crate) fn ids(&self, set: SetId) -> &[u32] {
        &self.sets[set.0 as usize]
    }

    /// Keeps the memo bounded. To be called between batches: it ends every [`SetId`].
    pub(crate) fn trim(&mut self) {
        if self.memo.len() >= MEMO_LIMIT {
            self.forget_matches();
        }
    }

    #[cold]
    fn search(&mut self, key: &[u8]) -> SetId {
        let mut ids = Vec::new();
        self.root.collect(key, &mut ids);
        ids.sort_unstable();
        ids.dedup();
        let set = match self.ids_of_sets.get(&ids[..]) {
            Some(set) => *set,
            None => {
                let set = SetId(self.sets.len() as u32);
                self.sets.push(ids.clone().into_boxed_slice());
                self.ids_of_sets.insert(ids.into_boxed_slice(), set);
                set
            }
        };
        if key.len() <= MEMO_KEY_BYTES && self.memo.len() < 2 * MEMO_LIMIT {
            self.memo.insert(key.into(), set);
        }
        set
    }

    fn forget_matches(&mut self) {
        self.memo.clear();
        self.sets.clear();
        self.ids_of_sets.clear();
    }
}

impl Node {
    fn child(&self, byte: u8) -> Result<usize, usize> {
        self.children
            .binary_search_by_key(&byte, |node| node.label[0])
    }

    /// The node of exactly this prefix, made if need be.
    fn make(&mut self, prefix: &[u8]) -> &mut Node {
        let mut node = self;
        let mut rest = prefix;
        while let Some(&byte) = rest.first() {
            let index = match node.child(byte) {
                Ok(index) => index,
                Err(index) => {
                    let leaf = Node {
                        label: rest.into(),
                        ..Node::default()
                    };
                    node.children.insert(index, leaf);
                    index
                }
            };
            let child = &mut node.children[index];
            let common = common_length(&child.label, rest);
            if common < child.label.len() {
                child.split(common);
            }
            rest = &rest[common..];
            node = &mut node.children[index];
        }
        node
    }

    /// Puts a node between this one and its parent, for the first `at` bytes of the label.
    fn split(&mut self, at: usize) {
        let upper = Node {
            label: self.label[..at].into(),
            ..Node::default()
        };
        let mut lower = std::mem::replace(self, upper);
        lower.label = lower.label[at..].into();
        self.children.push(lower);
    }

    fn remove(&mut self, prefix: &[u8], id: u32) -> bool {
        let Some(&byte) = prefix.first() else {
            let Ok(place) = self.ids.binary_search(&id) else {
                return false;
            };
            self.ids.remove(place);
            return true;
        };
        let Ok(index) = self.child(byte) else {
            return false;
        };
        let child = &mut self.children[index];
        let Some(rest) = prefix.strip_prefix(&*child.label) else {
            return false;
        };
        let removed = child.remove(rest, id);
        if removed && child.ids.is_empty() {
            match child.children.len() {
                0 => drop(self.children.remove(index)),
                1 => child.join_only_child(),
                _ => {}
            }
        }
        removed
    }

    fn join_only_child(&mut self) {
        if let Some(mut lower) = self.children.pop() {
            lower.label = [&*self.label, &*lower.label].concat().into();
            *self = lower;
        }
    }

    fn collect(&self, topic: &[u8], ids: &mut Vec<u32>) {
        let mut node = self;
        let mut rest = topic;
        loop {
            ids.extend_from_slice(&node.ids);
            let Some(&byte) = rest.first() else { return };
            let Ok(index) = node.child(byte) else { return };
            node = &node.children[index];
            let Some(tail) = rest.strip_prefix(&*node.label) else {
                return;
            };
            rest = tail;
        }
    }
}

fn common_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn short() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0u8..3, 0..6)
    }

    #[test]
    fn the_empty_prefix_matches_every_topic() {
        let mut index = PrefixIndex::default();
        index.insert(b"", 7);
        let set = index.find(b"anything");
        assert_eq!(index.ids(set), [7]);
        let set = index.find(b"");
        assert_eq!(index.ids(set), [7]);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_of_pairs_would(
            changes in prop::collection::vec((any::<bool>(), short(), 0u32..4), 0..60),
            topics in prop::collection::vec(short(), 1..20),
        ) {
            let mut index = PrefixIndex::default();
            let mut model = BTreeSet::new();
            for (add, prefix, id) in changes {
                if add {
                    prop_assert_eq!(index.insert(&prefix, id), model.insert((prefix, id)));
                } else {
                    prop_assert_eq!(index.remove(&prefix, id), model.remove(&(prefix, id)));
                }
                for topic in &topics {
                    let expected: BTreeSet<u32> = model.iter()
                        .filter(|(prefix, _)| topic.starts_with(prefix))
                        .map(|(_, id)| *id).collect();
                    let set = index.find(topic);
                    prop_assert_eq!(index.ids(set), &expected.into_iter().collect::<Vec<_>>()[..]);
                }
            }
            for (prefix, id) in std::mem::take(&mut model) {
                index.remove(&prefix, id);
            }
            prop_assert!(index.root.children.is_empty() && index.lengths.is_empty());
        }
    }
}
