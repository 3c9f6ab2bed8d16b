//! Deaths that are told and doubted, above all from beyond a cut. Who was held dead and is heard
//! again holds dead, in its turn, those from whom it was cut off; it would be believed by them all,
//! and for a moment everybody would hold dead whom nothing ever happened to. So its word waits
//! until the subject has had the time to refute. So does the death of a process whose link has just
//! brought something. That is no more than a slow packet.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use crate::id::NodeId;
use crate::member::{Member, State};
use crate::packet::Header;

/// Time for the subject to hear of it and for its refutation to come.
const REFUTATION: Duration = Duration::from_secs(2);
/// Who has come back by then has heard the refutations, too.
const COMEBACK: Duration = Duration::from_secs(5);

/// Records that wait, with the time at which they are taken in.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    waiting: BTreeMap<NodeId, (Member, Duration)>,
}

impl Doubts {
    pub(super) fn deadline(&self) -> Duration {
        let times = self.waiting.values().map(|(_, until)| *until);
        times.min().unwrap_or(Duration::MAX)
    }
}

impl Gossip {
    /// Whether a packet comes from beyond a cut: from a process that is, or was until a moment ago,
    /// held dead.
    pub(super) fn is_from_beyond(&self, header: &Header) -> bool {
        let Some(entry) = self.table.get(header.from) else {
            return false;
        };
        let same = entry.member.instance() == (header.epoch, header.nonce);
        let back = entry.back_at.is_some_and(|at| self.now < at + COMEBACK);
        same && (entry.member.state == State::Dead || back)
    }

    /// Takes in a record that may be wrong, later if it is the death of a member held alive.
    pub(super) fn doubt(&mut self, record: Member) {
        let known = self.table.get(record.id).map(|entry| &entry.member);
        let held_alive = known.is_some_and(|known| {
            let same = known.instance() == record.instance();
            same && known.is_live() && record.claim() > known.claim()
        });
        if record.state != State::Dead || record.id == self.id || !held_alive {
            self.learn(record);
            return;
        }
        let before = self.doubts.waiting.get(&record.id);
        if before.is_some_and(|(before, _)| before.claim() >= record.claim()) {
            return;
        }
        if let Some(address) = known.map(|known| known.gossip.clone()) {
            self.emit(
                &address,
                crate::packet::Body::Accuse,
                alloc::vec![record.clone()],
            );
        }
        let until = self.now + REFUTATION;
        self.doubts.waiting.insert(record.id, (record, until));
    }

    /// What was not refuted is taken in; what was is old by now.
    pub(super) fn doubts_due(&mut self) {
        let due = |(_, (_, until)): &(&NodeId, &(Member, Duration))| *until <= self.now;
        let due: Vec<NodeId> = self
            .doubts
            .waiting
            .iter()
            .filter(due)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            if let Some((record, _)) = self.doubts.waiting.remove(&id) {
                self.learn(record);
            }
        }
    }
}
