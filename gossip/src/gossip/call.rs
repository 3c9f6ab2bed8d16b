//! Calls on dead members, so that a partition that has healed needs no operator.

use core::time::Duration;

use super::Gossip;
use crate::id::NodeId;
use crate::packet::Body;

/// A member that has been dead for so long is called on again after this part of that time, so that
/// a cut is found healed within a few hundredths of the time that it lasted.
const CALL_PART: u32 = 30;

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
        let (shortest, longest) = (self.config.dead_call_first, self.config.dead_call_longest);
        let wait = entry.age(self.now) / CALL_PART;
        entry.next_call = self.now + wait.clamp(shortest, longest);
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
