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

impl LinkTotals {
    /// Adds what went over the links since the last time. `names` are those of all members that
    /// are known: others are forgotten.
    pub(super) fn update(&mut self, peers: &[PeerStats], names: &HashMap<u64, &str>) {
        let mut seen = HashMap::new();
        for peer in peers {
            let Some(name) = names.get(&peer.instance.0) else {
                continue;
            };
            let now = Total {
                messages: peer.messages,
                bytes: peer.bytes,
                sessions: peer.sessions,
            };
            let before = self.seen.get(&peer.instance).copied().unwrap_or_default();
            let total = self.by_name.entry((*name).into()).or_default();
            total.messages += now.messages.saturating_sub(before.messages);
            total.bytes += now.bytes.saturating_sub(before.bytes);
            total.sessions += now.sessions.saturating_sub(before.sessions);
            seen.insert(peer.instance, now);
        }
        self.seen = seen;
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
    fn who_is_no_member_any_more_is_forgotten() {
        let mut links = LinkTotals::default();
        let names = HashMap::from([(1, "b"), (2, "c")]);
        links.update(&[peer(1, 5, 1), peer(2, 6, 1)], &names);
        links.update(&[peer(2, 6, 1)], &HashMap::from([(2, "c")]));
        assert_eq!(totals(&links), [("c", 6, 1)]);
    }
}
