//! Signs of life that other connections bring. Where packets are lost a connection stands still for
//! seconds while another one between the same two nodes does not: links carry enough for TCP to
//! mend their losses at once, gossip's few packets wait for its timer. Who is heard over a link
//! lives, whatever gossip's connections do; the silence of its links proves nothing.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::Gossip;
use crate::member::{Member, State};

/// A process that its links alone show alive for longer than this has lost its gossip thread.
const LINKS_ALONE: Duration = Duration::from_secs(10);
/// Peers ask one another for a sign of life every second, in both directions.
const FRESH: Duration = Duration::from_secs(1);

/// When the link of each peer, by its nonce, last brought something.
#[derive(Debug, Default)]
pub(super) struct Signs {
    heard: BTreeMap<u64, Duration>,
}

impl Gossip {
    pub(super) fn take_signs(&mut self, ago: BTreeMap<u64, Duration>) {
        let heard = ago.into_iter();
        let now = self.now;
        self.signs.heard = heard
            .map(|(nonce, ago)| (nonce, now.saturating_sub(ago)))
            .collect();
        self.end_relays_heard();
    }

    /// Whether the link of this process has brought something since then.
    pub(super) fn has_sign(&self, nonce: u64, since: Duration) -> bool {
        let heard = self.signs.heard.get(&nonce);
        heard.is_some_and(|at| *at >= since)
    }

    /// Since when a member suspected at that time may be silent.
    pub(super) fn silent_since(&self, nonce: u64, suspected: Duration) -> Duration {
        let heard = self.signs.heard.get(&nonce).copied().unwrap_or_default();
        heard.clamp(suspected, suspected + LINKS_ALONE)
    }

    /// Whether a member that has not answered what it was asked at that time is not to be
    /// suspected, since its link shows that it lives.
    pub(super) fn is_spared(&mut self, member: (crate::NodeId, u64), asked_at: Duration) -> bool {
        let (id, nonce) = member;
        if !self.has_sign(nonce, asked_at) || self.refuses(id) {
            return false;
        }
        let now = self.now;
        let entry = self.table.get_mut(id);
        entry.is_some_and(|entry| now <= *entry.spared_at.get_or_insert(now) + LINKS_ALONE)
    }

    /// Whether a record tells of the death of a process whose link has just brought something.
    pub(super) fn is_doubtful(&self, record: &Member) -> bool {
        record.state == State::Dead
            && !self.refuses(record.id)
            && self.has_sign(record.nonce, self.now.saturating_sub(FRESH))
    }
}
