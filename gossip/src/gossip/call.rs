//! Calls on dead members, so that a partition that has healed needs no operator.

use core::time::Duration;

use rand::RngExt;

use super::Gossip;
use crate::id::NodeId;
use crate::packet::Body;

impl Gossip {
    /// Calls on the dead, one at a time: a healed partition needs nobody.
    pub(super) fn calls_due(&mut self) {
        if self.now < self.call_deadline() {
            return;
        }
        self.next_call = self.now + self.config.dead_call_pace;
        let next = |id: &NodeId| self.table.get(*id).map(|entry| (entry.next_call, *id));
        let Some((at, id)) = self.table.dead().iter().filter_map(next).min() else {
            return;
        };
        if at > self.now {
            self.next_call = self.next_call.max(at);
            return;
        }
        let wait = self.call_wait(id);
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.next_call = self.now + wait;
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

    /// A member is dead from now on. Those who learn that together do not call together.
    pub(super) fn plan_calls(&mut self, id: NodeId) {
        let first = self.call_wait(id).mul_f64(self.rng.random::<f64>());
        let at = self.now + self.config.dead_call_pace + first;
        if let Some(entry) = self.table.get_mut(id) {
            entry.next_call = at;
        }
        self.next_call = self.next_call.min(at);
    }

    /// Time between two calls of this node on a dead member.
    fn call_wait(&self, id: NodeId) -> Duration {
        let together = self.config.dead_call;
        let callers = u32::try_from(self.table.live().len()).unwrap_or(u32::MAX);
        let mine = together.saturating_mul(callers.max(1));
        let age = self
            .table
            .get(id)
            .map_or(Duration::ZERO, |it| it.age(self.now));
        let fresh = self.config.dead_call_fresh;
        if age <= fresh {
            return mine;
        }
        mine.mul_f64(age.as_secs_f64() / fresh.as_secs_f64())
    }

    pub(super) fn call_deadline(&self) -> Duration {
        let idle = self.table.dead().is_empty() || !self.join.is_announced();
        if idle { Duration::MAX } else { self.next_call }
    }
}
