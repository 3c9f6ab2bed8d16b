//! What has been seen of each origin's streams, so that nothing is delivered twice.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{Instance, Time};

/// How long the memory of an origin outlives it: a node that was held dead by mistake, or a node
/// that was cut off with undelivered records, must not bring doubles when it is back.
pub(crate) const MEMORY: Time = Time::from_secs(600);

/// The last sequence number seen per origin and partition.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    origins: HashMap<Instance, Seen, FixedState>,
}

#[derive(Debug, Default)]
struct Seen {
    last: HashMap<u16, u64, FixedState>,
    gone_since: Option<Time>,
}

impl Dedup {
    /// Whether the record that ends with this number is new; if so it is remembered.
    pub(crate) fn is_new(&mut self, origin: Instance, partition: u16, last: u64) -> bool {
        let seen = self.origins.entry(origin).or_default();
        let known = seen.last.entry(partition).or_insert(0);
        let new = last > *known;
        *known = last.max(*known);
        new
    }

    /// Forgets origins that have been gone for [`MEMORY`].
    pub(crate) fn expire(&mut self, is_here: impl Fn(Instance) -> bool, now: Time) {
        self.origins.retain(|origin, seen| {
            if is_here(*origin) {
                seen.gone_since = None;
                return true;
            }
            now.saturating_sub(*seen.gone_since.get_or_insert(now)) < MEMORY
        });
    }

    /// Origins remembered.
    pub(crate) fn origins(&self) -> usize {
        self.origins.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_remembered_for_ten_minutes_after_it_has_gone() {
        let mut dedup = Dedup::default();
        let origin = Instance(1);
        assert!(dedup.is_new(origin, 3, 5));
        dedup.expire(|_| false, Time::ZERO);
        dedup.expire(|_| false, MEMORY - Time::from_secs(1));
        assert!(!dedup.is_new(origin, 3, 5));
        dedup.expire(|_| false, MEMORY);
        assert!(dedup.is_new(origin, 3, 5));
    }
}
