//! What the machine has counted since its start.

use core::time::Duration;

use crate::packet::Kind;

/// Bounds of round-trip times: from two processes on one machine to a path that loses packets.
pub const RTT_BOUNDS: [Duration; 14] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
];

/// Plain counters; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets sent, by [`Kind`] as a number.
    pub sent: [u64; Kind::COUNT],
    /// Packets received and understood, by [`Kind`] as a number.
    pub received: [u64; Kind::COUNT],
    /// Bytes of those sent, by [`Kind`] as a number.
    pub sent_bytes_by: [u64; Kind::COUNT],
    /// Bytes of those received, by [`Kind`] as a number.
    pub received_bytes_by: [u64; Kind::COUNT],
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
    /// Members that were held dead and turned out to live.
    pub flaps: u64,
    /// Direct probes that were answered, by how long that took: up to each of [`RTT_BOUNDS`] and
    /// longer than the one before, and, last, longer than all.
    pub rtt_counts: [u64; RTT_BOUNDS.len() + 1],
    /// The sum of those times.
    pub rtt_sum: Duration,
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
    /// A direct probe was answered after this time.
    pub(crate) fn answered(&mut self, rtt: Duration) {
        let bucket = RTT_BOUNDS.partition_point(|bound| *bound < rtt);
        self.rtt_counts[bucket] += 1;
        self.rtt_sum += rtt;
    }

    /// Packets sent of one kind.
    pub fn sent_of(&self, kind: Kind) -> u64 {
        self.sent[kind as usize]
    }

    /// Packets received of one kind.
    pub fn received_of(&self, kind: Kind) -> u64 {
        self.received[kind as usize]
    }
}
