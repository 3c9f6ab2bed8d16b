//! What the core counts, in plain numbers; the node exports them.

use super::{Instance, Time, Times};
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

/// Which of the three places of a message dropped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropPlace {
    /// Where it was taken.
    Origin,
    /// Where it was matched.
    Owner,
    /// Where it was to be handed to a client.
    Subscriber,
}

impl DropPlace {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Owner => "owner",
            Self::Subscriber => "subscriber",
        }
    }
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

    /// Where it is that messages are dropped for it.
    pub fn place(self) -> DropPlace {
        match self {
            Self::Reserved => DropPlace::Origin,
            Self::Unreachable | Self::PassedOver | Self::InterestUnknown => DropPlace::Owner,
            Self::QueueFull | Self::QueueOldest | Self::SubscriberGone => DropPlace::Subscriber,
        }
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
    /// Of those, the ones that are known to be with everybody who wants them.
    pub done_messages: u64,
    /// From when a message was taken until that was known.
    pub done_times: Times,
    /// Pairs of a message that this node serves as its owner and a node that wants it, this one
    /// included.
    pub routed_messages: u64,
    /// Of those, the ones that the node is through with.
    pub acked_messages: u64,
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
    /// Taken from clients and not yet done.
    pub undone_messages: u64,
    /// Bytes of those.
    pub undone_bytes: usize,
    /// Messages that wait in subscribers' queues.
    pub queued_messages: u64,
    /// Bytes of those.
    pub queued_bytes: usize,
    /// Routed, and neither acked nor dropped.
    pub unacked_messages: u64,
    /// Bytes of records that other nodes have yet to ack.
    pub unacked_bytes: usize,
    /// Partitions whose stream waits to move to another owner.
    pub moving_partitions: usize,
    /// How long streams waited to move.
    pub move_times: Times,
    /// Times that a subscriber's queue became full, in the order of [`QueuePolicy::ALL`].
    pub became_slow: [u64; QueuePolicy::ALL.len()],
    /// Subscribers whose queue is full now.
    pub full_queues: usize,
    /// Subscribers that do not keep up.
    pub slow: usize,
    /// Publishers that must not be read from now.
    pub throttled: usize,
    /// For how long publishers were not read from, of all of them together, up to the last tick.
    pub throttled_time: Time,
    /// Messages of topics that were not named when they came; see [`super::TopicStats`].
    pub other_topics: u64,
    /// Distinct prefixes of this node's clients.
    pub prefixes: usize,
    /// Origins whose sequence numbers are remembered.
    pub origins: usize,
}

impl Stats {
    /// What is not accounted for at each place: 0, 0 and 0 at every moment, or it is a bug.
    ///
    /// - origin: taken = done + dropped + undone
    /// - owner: routed = acked + dropped + unacked
    /// - subscriber: matched = delivered + dropped + queued
    ///
    /// What is dropped as [`DropReason::InterestUnknown`] was not routed to anybody.
    pub fn unaccounted(&self) -> [i64; 3] {
        let dropped = |place: DropPlace| -> u64 {
            let reasons = DropReason::ALL.into_iter().map(|(_, reason)| reason);
            let there = reasons.filter(|reason| reason.place() == place);
            let routed = there.filter(|reason| *reason != DropReason::InterestUnknown);
            routed.map(|reason| self.dropped[reason as usize]).sum()
        };
        let place = |came: u64, went: u64, place: DropPlace, here: u64| {
            came as i64 - went as i64 - dropped(place) as i64 - here as i64
        };
        [
            place(
                self.taken_messages,
                self.done_messages,
                DropPlace::Origin,
                self.undone_messages,
            ),
            place(
                self.routed_messages,
                self.acked_messages,
                DropPlace::Owner,
                self.unacked_messages,
            ),
            place(
                self.matched_messages,
                self.delivered_messages,
                DropPlace::Subscriber,
                self.queued_messages,
            ),
        ]
    }

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
