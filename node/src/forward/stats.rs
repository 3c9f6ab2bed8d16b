//! What the core counts, in plain numbers; the node exports them.

use super::{Instance, Time};
use crate::config::QueuePolicy;

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A subscriber's queue was full and its policy keeps what waits.
    QueueFull,
    /// A subscriber's queue was full and its policy keeps what is new.
    QueueOldest,
    /// A subscriber left, or was disconnected, with messages waiting.
    SubscriberGone,
    /// A node with interest died, left or was cut off before it had the message.
    Unreachable,
    /// A node with interest had acked nothing for too long while it owed acks.
    PassedOver,
    /// A living node could not say what its clients want: it may have wanted the message. Counted
    /// for each such node.
    InterestUnknown,
    /// The topic begins with `$zmesh.`, which only nodes may use.
    Reserved,
}

impl DropReason {
    /// Every reason with its name in metrics.
    pub const ALL: [(&'static str, Self); 7] = [
        ("queue_full", Self::QueueFull),
        ("queue_oldest", Self::QueueOldest),
        ("subscriber_gone", Self::SubscriberGone),
        ("unreachable", Self::Unreachable),
        ("passed_over", Self::PassedOver),
        ("interest_unknown", Self::InterestUnknown),
        ("reserved", Self::Reserved),
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// Why a queue with this policy drops what it drops.
    pub(crate) fn of_policy(policy: QueuePolicy) -> Self {
        match policy {
            QueuePolicy::DropOldest => Self::QueueOldest,
            _ => Self::QueueFull,
        }
    }
}

/// Counters of a node since its start, and sizes of what it holds now.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Messages taken from clients.
    pub taken_messages: u64,
    /// Bytes of those.
    pub taken_bytes: u64,
    /// Messages given to links, each time they were given.
    pub forwarded_messages: u64,
    /// Bytes of those.
    pub forwarded_bytes: u64,
    /// Pairs of a message and a client of this node that wanted it.
    pub matched_messages: u64,
    /// Messages handed to clients' sockets.
    pub delivered_messages: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Dropped messages, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Bytes of those.
    pub dropped_bytes: [u64; DropReason::ALL.len()],
    /// Records that came once more and were skipped.
    pub duplicate_records: u64,
    /// Bytes taken from clients and not yet done.
    pub undone_bytes: usize,
    /// Bytes that wait in subscribers' queues.
    pub queued_bytes: usize,
    /// Bytes of records that other nodes have yet to ack.
    pub unacked_bytes: usize,
    /// Partitions whose stream waits to move to another owner.
    pub moving_partitions: usize,
    /// Distinct prefixes of this node's clients.
    pub prefixes: usize,
    /// Origins whose sequence numbers are remembered.
    pub origins: usize,
}

impl Stats {
    pub(crate) fn drop(&mut self, reason: DropReason, messages: u64, bytes: usize) {
        self.dropped[reason as usize] += messages;
        self.dropped_bytes[reason as usize] += bytes as u64;
    }
}

/// One client connection.
#[derive(Clone, Debug)]
pub struct ClientStats {
    /// Subscriptions it holds.
    pub subscriptions: usize,
    /// Messages taken from it.
    pub taken_messages: u64,
    /// Messages handed to it.
    pub delivered_messages: u64,
    /// Messages dropped because its queue was full.
    pub dropped_messages: u64,
    /// Messages that wait for it.
    pub queue_messages: u64,
    /// Bytes that wait for it.
    pub queue_bytes: usize,
    /// Since when its queue has been full, under one rule at least.
    pub full_since: Option<Time>,
    /// Bytes taken from it and not yet done.
    pub undone_bytes: usize,
    /// Whether it must not be read from now.
    pub paused: bool,
    /// The parts of its queue: first that of topics without a rule, then those of rules, in the
    /// order in which they were first used.
    pub lanes: Vec<LaneStats>,
}

/// The part of a subscriber's queue that belongs to one rule.
#[derive(Clone, Debug)]
pub struct LaneStats {
    /// Prefix of the rule; empty for topics without one.
    pub prefix: Vec<u8>,
    /// What happens when it is full.
    pub policy: QueuePolicy,
    /// When it is full, in bytes.
    pub limit_bytes: usize,
    /// Messages that wait.
    pub messages: u64,
    /// Their bytes, and what they cost beside.
    pub bytes: usize,
    /// Messages dropped for want of room.
    pub dropped_messages: u64,
    /// Bytes of those.
    pub dropped_bytes: u64,
    /// Under which reason they are counted.
    pub reason: DropReason,
    /// When it last dropped something.
    pub dropped_at: Option<Time>,
    /// Since when it has been full.
    pub full_since: Option<Time>,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerStats {
    /// Which process.
    pub instance: Instance,
    /// Whether the link to it is up.
    pub up: bool,
    /// Messages given to its link.
    pub messages: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Bytes that wait for the link.
    pub pending_bytes: usize,
    /// Prefixes that its clients subscribe to.
    pub prefixes: usize,
    /// How often the link came up.
    pub sessions: u64,
}
