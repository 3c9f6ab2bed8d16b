//! A subscriber's queue, the part of it that belongs to one rule: its room, and what happens when
//! there is none left.

use std::collections::VecDeque;

use super::memory::compact;
use super::queue::Segment;
use super::{DropReason, Time};
use crate::config::{QueueConfig, QueuePolicy};

/// What an entry takes beside its bytes.
pub(crate) const OVERHEAD_BYTES: usize = 64;

/// The rule that a message falls under: 0 where no rule's prefix matches its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(crate) u32);

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits, and older messages made room for it.
    Queued { dropped: Dropped },
    /// It waits although the lane is full: whoever sent it must not be told that it is through.
    Blocked,
    /// It was dropped.
    Refused,
    /// It was dropped, and the subscriber has to go.
    Disconnect,
}

/// Messages that made room for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) messages: u64,
    pub(crate) bytes: usize,
}

/// How a segment is to be put into a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    /// Its place in the order of the whole queue.
    pub(crate) at: u64,
    /// Whether it must not hold on to the buffer that it was cut from.
    pub(crate) copy: bool,
    /// Whether all queues together hold so much that this one counts as full.
    pub(crate) crowded: bool,
    /// Whether the subscriber is to be told of what is dropped.
    pub(crate) told: bool,
    pub(crate) now: Time,
}

/// One place in the queue.
#[derive(Debug)]
struct Entry {
    at: u64,
    what: Waiting,
}

/// What waits there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Messages(Segment),
    /// So many messages of the lane were here and were dropped; the subscriber is to be told.
    Gap(u64),
}

/// See the module. A lane is full when it holds its limit or more, so that a message larger than
/// the limit still gets through.
///
/// There is a gap at most between two segments, so gaps are bounded as what waits is.
#[derive(Debug)]
pub(crate) struct Lane {
    id: LaneId,
    config: QueueConfig,
    entries: VecDeque<Entry>,
    bytes: usize,
    messages: u64,
    dropped: Dropped,
    full_since: Option<Time>,
    dropped_at: Option<Time>,
}

impl Lane {
    pub(crate) fn new(id: LaneId, config: QueueConfig) -> Self {
        Self {
            id,
            config,
            entries: VecDeque::new(),
            bytes: 0,
            messages: 0,
            dropped: Dropped::default(),
            full_since: None,
            dropped_at: None,
        }
    }

    pub(crate) fn push(&mut self, segment: Segment, push: Push) -> Pushed {
        let mut dropped = Dropped::default();
        let mut blocked = false;
        // What `block` lets wait is bounded by the publishers' budgets already.
        let crowded = push.crowded && self.config.policy != QueuePolicy::Block;
        if self.is_full() || crowded {
            // One that holds nothing is none that its subscriber leaves full.
            if self.bytes > 0 {
                self.full_since.get_or_insert(push.now);
            }
            match self.config.policy {
                QueuePolicy::DropNewest => {
                    self.refuse(&segment, push);
                    return Pushed::Refused;
                }
                QueuePolicy::Disconnect => return Pushed::Disconnect,
                QueuePolicy::DropOldest => dropped = self.make_room(push),
                QueuePolicy::Block => blocked = true,
            }
        }
        let bytes = if push.copy {
            compact(&segment.bytes)
        } else {
            segment.bytes
        };
        self.add(
            push.at,
            Waiting::Messages(Segment { bytes, ..segment }),
            false,
        );
        if blocked {
            Pushed::Blocked
        } else {
            Pushed::Queued { dropped }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let what = self.take_first()?.what;
        if !self.is_full() {
            self.full_since = None;
        }
        Some(what)
    }

    /// The place of what comes out next in the order of the whole queue.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.at)
    }

    pub(crate) fn id(&self) -> LaneId {
        self.id
    }

    pub(crate) fn config(&self) -> QueueConfig {
        self.config
    }

    /// What waits stays, also where it is more than there is room for now.
    pub(crate) fn set_config(&mut self, config: QueueConfig) {
        self.config = config;
        if !self.is_full() {
            self.full_since = None;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.config.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the messages alone.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.bytes - self.entries.len() * OVERHEAD_BYTES
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Messages in gaps that are still to be told of.
    pub(crate) fn untold(&self) -> u64 {
        let gaps = self.entries.iter().map(|entry| match entry.what {
            Waiting::Gap(messages) => messages,
            Waiting::Messages(_) => 0,
        });
        gaps.sum()
    }

    pub(crate) fn full_since(&self) -> Option<Time> {
        self.full_since
    }

    /// When it last dropped something.
    pub(crate) fn dropped_at(&self) -> Option<Time> {
        self.dropped_at
    }

    /// Why it drops.
    pub(crate) fn reason(&self) -> DropReason {
        DropReason::of_policy(self.config.policy)
    }

    fn refuse(&mut self, segment: &Segment, push: Push) {
        let messages = u64::from(segment.messages);
        self.count(messages, segment.bytes.len(), push.now);
        if !push.told {
            return;
        }
        match self.entries.back_mut().map(|entry| &mut entry.what) {
            Some(Waiting::Gap(gap)) => *gap += messages,
            _ => self.add(push.at, Waiting::Gap(messages), false),
        }
    }

    /// Drops the oldest messages, at least one.
    fn make_room(&mut self, push: Push) -> Dropped {
        let mut dropped = Dropped::default();
        let mut gap = None;
        while (self.is_full() || dropped.messages == 0)
            && let Some(Entry { at, what }) = self.take_first()
        {
            let before = gap.map_or(0, |(_, messages)| messages);
            let lost = match what {
                Waiting::Gap(messages) => messages,
                Waiting::Messages(oldest) => {
                    dropped.messages += u64::from(oldest.messages);
                    dropped.bytes += oldest.bytes.len();
                    u64::from(oldest.messages)
                }
            };
            gap = Some((at, before + lost));
        }
        if let Some((at, messages)) = gap.filter(|_| push.told) {
            self.add(at, Waiting::Gap(messages), true);
        }
        self.count(dropped.messages, dropped.bytes, push.now);
        dropped
    }

    fn count(&mut self, messages: u64, bytes: usize, now: Time) {
        if messages > 0 {
            self.dropped.messages += messages;
            self.dropped.bytes += bytes;
            self.dropped_at = Some(now);
        }
    }

    fn add(&mut self, at: u64, what: Waiting, first: bool) {
        self.bytes += what.cost();
        self.messages += what.messages();
        let entry = Entry { at, what };
        if first {
            self.entries.push_front(entry);
        } else {
            self.entries.push_back(entry);
        }
    }

    fn take_first(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.what.cost();
        self.messages -= entry.what.messages();
        Some(entry)
    }
}

impl Waiting {
    fn cost(&self) -> usize {
        match self {
            Self::Messages(segment) => segment.bytes.len() + OVERHEAD_BYTES,
            Self::Gap(_) => OVERHEAD_BYTES,
        }
    }

    fn messages(&self) -> u64 {
        match self {
            Self::Messages(segment) => segment.messages.into(),
            Self::Gap(_) => 0,
        }
    }
}
