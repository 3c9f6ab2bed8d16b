//! Calls on dead members, so that a partition that has healed needs no operator.

use core::time::Duration;

use super::Gossip;
use crate::id::NodeId;
use crate::packet::Body;

impl Gossip {
    /// Calls on the dead, one at a time and less and less often: a healed partition needs nobody.
    pub(super) fn calls_due(&mut self) {
        if self.now < self.call_deadline() {
            return;
        }
        self.next_call = self.now + self.config.dead_call_first;
        let next = |id: &NodeId| self.table.get(*id).map(|entry| (entry.next_call, *id));
        let Some((at, id)) = self.table.dead().iter().filter_map(next).min() else {
            return;
        };
        if at > self.now {
            return;
        }
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.call_wait = (entry.call_wait * 2).min(self.config.dead_call_longest);
        entry.next_call = self.now + entry.call_wait;
        let nonce = entry.member.nonce;
        let seq = self.probes.next_seq();
        self.send_member(
            id,
            Body::Ping {
                seq,
                target: id,
                nonce,
            },
        );
    }

    pub(super) fn call_deadline(&self) -> Duration {
        let idle = self.table.dead().is_empty() || !self.join.is_announced();
        if idle { Duration::MAX } else { self.next_call }
    }
}
