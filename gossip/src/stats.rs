//! What the machine has counted since its start.

use crate::packet::Kind;

/// Plain counters; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets sent, by [`Kind`] as a number.
    pub sent: [u64; Kind::COUNT],
    /// Packets received and understood, by [`Kind`] as a number.
    pub received: [u64; Kind::COUNT],
    /// Bytes of all packets sent.
    pub sent_bytes: u64,
    /// Bytes of all packets received, the unreadable ones included.
    pub received_bytes: u64,
    /// Packets that could not be read.
    pub malformed: u64,
    /// Packets of other clusters, and of other protocol versions.
    pub foreign: u64,
    /// Records whose id does not belong to their name, that found the table full, or that claim of
    /// this node what it could not answer.
    pub records_rejected: u64,
    /// Probes started.
    pub probes: u64,
    /// Probes that needed helpers.
    pub probes_indirect: u64,
    /// Probes that nobody answered.
    pub probes_failed: u64,
    /// Those of them whose target was not suspected: its link brought something.
    pub probes_spared: u64,
    /// Refused connections that pointed at a member.
    pub refused_connections: u64,
    /// Lost connections that pointed at a member.
    pub reset_connections: u64,
    /// Pings answered by somebody else than the one meant.
    pub wrong_targets: u64,
    /// Members that became suspect.
    pub suspicions: u64,
    /// Claims against this node that it refuted.
    pub refutations: u64,
    /// Members that were declared or learned dead.
    pub deaths: u64,
    /// Members that said goodbye.
    pub leaves: u64,
    /// Nodes let in through this one.
    pub joins: u64,
    /// Nodes not let in, and seeds that did not let this node in.
    pub refusals: u64,
    /// Syncs this node asked for.
    pub syncs: u64,
    /// Stalls of this process that were noticed.
    pub stalls: u64,
    /// Local health, 0 (good) to 8: how much this node distrusts its own accusations.
    pub health: u64,
}

impl Stats {
    /// Packets sent of one kind.
    pub fn sent_of(&self, kind: Kind) -> u64 {
        self.sent[kind as usize]
    }

    /// Packets received of one kind.
    pub fn received_of(&self, kind: Kind) -> u64 {
        self.received[kind as usize]
    }
}
