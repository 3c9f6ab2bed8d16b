//! What this node's own clients subscribe to, how the other nodes hear of it, and when a
//! subscription is in force everywhere.

use std::collections::BTreeMap;

use super::{ClientId, Time};

/// Longest prefix that may be subscribed to.
pub const MAX_PREFIX_BYTES: usize = 4096;

/// A prefix that was added (`true`) or removed.
pub(crate) type Change = (bool, Vec<u8>);

/// The prefixes of this node, with a version that rises with each change.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    prefixes: BTreeMap<Box<[u8]>, Held>,
    bytes: usize,
    version: u64,
    /// By the version that brought the prefix in; a version belongs to one prefix.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// Every member has acked this version.
    ready: u64,
}

#[derive(Debug)]
struct Held {
    connections: u32,
    /// The version that brought it in.
    since: u64,
}

/// A subscription that some member has yet to ack.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) client: ClientId,
    pub(crate) prefix: Box<[u8]>,
    pub(crate) since: Time,
}

impl Interest {
    /// One more connection holds the prefix. `true` if the other nodes must hear of it.
    pub(crate) fn hold(&mut self, prefix: &[u8], client: ClientId, now: Time) -> bool {
        let version = self.version + 1;
        let held = self.prefixes.entry(prefix.into());
        let held = held.or_insert(Held {
            connections: 0,
            since: version,
        });
        held.connections += 1;
        let (since, new) = (held.since, held.connections == 1);
        if new {
            self.bytes += prefix.len();
            self.version = version;
        }
        self.waiting.entry(since).or_default().push(Waiting {
            client,
            prefix: prefix.into(),
            since: now,
        });
        new
    }

    /// One connection less holds the prefix. `true` if the other nodes must hear of it.
    pub(crate) fn release(&mut self, prefix: &[u8]) -> bool {
        let Some(held) = self.prefixes.get_mut(prefix) else {
            return false;
        };
        held.connections -= 1;
        if held.connections > 0 {
            return false;
        }
        self.prefixes.remove(prefix);
        self.bytes -= prefix.len();
        self.version += 1;
        true
    }

    /// Every member has acked `version`: what is thereby ready.
    pub(crate) fn acked(&mut self, version: u64) -> Vec<Waiting> {
        self.ready = version;
        let later = self.waiting.split_off(&(version + 1));
        let ready = std::mem::replace(&mut self.waiting, later);
        ready.into_values().flatten().collect()
    }

    /// A connection has gone: nobody is to be told.
    pub(crate) fn forget(&mut self, client: ClientId) {
        for waiting in self.waiting.values_mut() {
            waiting.retain(|waiting| waiting.client != client);
        }
    }

    /// A connection has given a prefix up. If it takes it again, only that is to be told.
    pub(crate) fn forget_prefix(&mut self, client: ClientId, prefix: &[u8]) {
        let held = self.prefixes.get(prefix);
        if let Some(waiting) = held.and_then(|held| self.waiting.get_mut(&held.since)) {
            waiting.retain(|waiting| waiting.client != client);
        }
    }

    /// Whether every member knows of the prefix.
    pub(crate) fn is_ready(&self, prefix: &[u8]) -> bool {
        self.prefixes
            .get(prefix)
            .is_some_and(|held| held.since <= self.ready)
    }

    /// Everything, as changes from nothing.
    pub(crate) fn snapshot(&self) -> Vec<Change> {
        self.prefixes
            .keys()
            .map(|prefix| (true, prefix.to_vec()))
            .collect()
    }

    /// The version that a snapshot has now.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Every prefix with the number of connections that hold it.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.prefixes
            .iter()
            .map(|(prefix, held)| (&**prefix, held.connections))
    }

    /// Bytes of all prefixes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of distinct prefixes.
    pub(crate) fn len(&self) -> usize {
        self.prefixes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ClientId = ClientId(1);

    #[test]
    fn the_others_hear_of_the_first_holder_and_of_the_last() {
        let mut interest = Interest::default();
        assert!(interest.hold(b"a", CLIENT, Time::ZERO));
        assert!(!interest.hold(b"a", ClientId(2), Time::ZERO));
        assert!(!interest.release(b"a"));
        assert!(interest.release(b"a"));
        assert_eq!(interest.version(), 2);
        assert!(interest.snapshot().is_empty());
    }

    #[test]
    fn a_subscription_is_ready_when_its_version_is_acked() {
        let mut interest = Interest::default();
        interest.hold(b"a", CLIENT, Time::ZERO);
        interest.hold(b"b", CLIENT, Time::ZERO);
        let ready = interest.acked(1);
        assert_eq!(ready.len(), 1);
        assert!(interest.is_ready(b"a") && !interest.is_ready(b"b"));
        assert_eq!(interest.acked(2).len(), 1);
    }

    #[test]
    fn a_prefix_that_was_given_up_and_taken_again_is_ready_when_the_second_time_is_acked() {
        let mut interest = Interest::default();
        interest.hold(b"a", CLIENT, Time::ZERO);
        interest.forget_prefix(CLIENT, b"a");
        interest.release(b"a");
        interest.hold(b"a", CLIENT, Time::ZERO);
        assert!(interest.acked(1).is_empty());
        assert_eq!(interest.acked(3).len(), 1);
    }
}
