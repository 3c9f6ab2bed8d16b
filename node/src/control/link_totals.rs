//! What went over links, by the name of the peer, whatever process bore it: a node that was started
//! anew is a new peer to the core, whose numbers begin at 0.

use std::collections::{BTreeMap, HashMap};

use crate::forward::{Instance, PeerStats};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LinkTotals {
    by_name: BTreeMap<String, Total>,
    /// What was last seen of each process.
    seen: HashMap<Instance, Total>,
}

/// What a link has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) sessions: u64,
}

impl Total {
    /// `None` if one of them was more then.
    fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            messages: self.messages.checked_sub(before.messages)?,
            bytes: self.bytes.checked_sub(before.bytes)?,
            sessions: self.sessions.checked_sub(before.sessions)?,
        })
    }
}

impl LinkTotals {
    /// Adds what went over the links since the last time. `names` are those of all members that
    /// are known: others are forgotten.
    pub(super) fn update(&mut self, peers: &[PeerStats], names: &HashMap<u64, &str>) {
        // One that is held dead has no link, and may come back with what it had.
        self.seen.retain(|peer, _| names.contains_key(&peer.0));
        for peer in peers {
            let Some(name) = names.get(&peer.instance.0) else {
                continue;
            };
            let now = Total {
                messages: peer.messages,
                bytes: peer.bytes,
                sessions: peer.sessions,
            };
            let before = self.seen.insert(peer.instance, now);
            // Fewer than before: the core had forgotten it, and counts anew.
            let new = before.and_then(|it| now.since(it)).unwrap_or(now);
            let total = self.by_name.entry((*name).into()).or_default();
            total.messages += new.messages;
            total.bytes += new.bytes;
            total.sessions += new.sessions;
        }
        self.by_name
            .retain(|name, _| names.values().any(|known| known == name));
    }

    /// The totals, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Total)> {
        self.by_name.iter().map(|(name, total)| (&**name, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(instance: u64, messages: u64, sessions: u64) -> PeerStats {
        PeerStats {
            instance: Instance(instance),
            up: true,
            messages,
            bytes: messages * 10,
            pending_bytes: 0,
            prefixes: 0,
            sessions,
        }
    }

    fn totals(links: &LinkTotals) -> Vec<(&str, u64, u64)> {
        let all = links.iter();
        all.map(|(name, it)| (name, it.messages, it.sessions))
            .collect()
    }

    #[test]
    fn a_peer_that_is_started_anew_goes_on_where_it_was() {
        let mut links = LinkTotals::default();
        links.update(&[peer(1, 5, 1)], &HashMap::from([(1, "b")]));
        links.update(&[peer(1, 7, 2)], &HashMap::from([(1, "b")]));
        links.update(&[peer(2, 3, 1)], &HashMap::from([(2, "b")]));
        assert_eq!(totals(&links), [("b", 10, 3)]);
        // While one process takes over from the other both are there.
        let both = HashMap::from([(2, "b"), (3, "b")]);
        links.update(&[peer(2, 4, 1), peer(3, 1, 1)], &both);
        assert_eq!(totals(&links), [("b", 12, 4)]);
    }

    #[test]
    fn a_peer_that_was_held_dead_is_not_counted_twice() {
        let mut links = LinkTotals::default();
        let names = HashMap::from([(1, "b")]);
        links.update(&[peer(1, 5, 1)], &names);
        links.update(&[], &names);
        links.update(&[peer(1, 6, 2)], &names);
        assert_eq!(totals(&links), [("b", 6, 2)]);
        // This time the core had forgotten it.
        links.update(&[], &names);
        links.update(&[peer(1, 3, 1)], &names);
        assert_eq!(totals(&links), [("b", 9, 3)]);
    }

    #[test]
    fn who_is_no_member_any_more_is_forgotten() {
        let mut links = LinkTotals::default();
        let names = HashMap::from([(1, "b"), (2, "c")]);
        links.update(&[peer(1, 5, 1), peer(2, 6, 1)], &names);
        links.update(&[peer(2, 6, 1)], &HashMap::from([(2, "c")]));
        assert_eq!(totals(&links), [("c", 6, 1)]);
    }
}
