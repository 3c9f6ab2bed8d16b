//! What waits for one subscriber, and what happens when there is no room.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Time;
use super::memory::compact;
use crate::config::{QueueConfig, QueuePolicy};

/// A run of whole messages that lie one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// ZMTP bytes of the messages.
    pub bytes: Bytes,
    /// How many messages.
    pub messages: u32,
}

/// A subscriber with this many segments waiting does not keep up: the next ones will wait long.
const COPY_AFTER: usize = 64;

/// What a segment takes beside its bytes.
const OVERHEAD_BYTES: usize = 64;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits, and older messages made room for it.
    Queued { dropped: Dropped },
    /// It waits although the queue is full: whoever sent it must not be told that it is through.
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

/// A bounded queue. A queue is full when it holds its limit or more, so that a message larger
/// than the limit still gets through.
#[derive(Debug)]
pub(crate) struct Queue {
    segments: VecDeque<Segment>,
    config: QueueConfig,
    bytes: usize,
    messages: u64,
    full_since: Option<Time>,
}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self {
            segments: VecDeque::new(),
            config,
            bytes: 0,
            messages: 0,
            full_since: None,
        }
    }

    /// `crowded`: all queues together hold so much that this one counts as full.
    pub(crate) fn push(&mut self, segment: Segment, crowded: bool, now: Time) -> Pushed {
        let mut dropped = Dropped::default();
        let mut blocked = false;
        // What `block` lets wait is bounded by the publishers' budgets already.
        let crowded = crowded && self.config.policy != QueuePolicy::Block;
        if self.is_full() || crowded {
            self.full_since.get_or_insert(now);
            match self.config.policy {
                QueuePolicy::DropNewest => return Pushed::Refused,
                QueuePolicy::Disconnect => return Pushed::Disconnect,
                QueuePolicy::DropOldest => dropped = self.make_room(),
                QueuePolicy::Block => blocked = true,
            }
        }
        self.bytes += cost(&segment);
        self.messages += u64::from(segment.messages);
        self.segments
            .push_back(if self.segments.len() < COPY_AFTER {
                segment
            } else {
                Segment {
                    bytes: compact(&segment.bytes),
                    ..segment
                }
            });
        if blocked {
            Pushed::Blocked
        } else {
            Pushed::Queued { dropped }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.bytes -= cost(&segment);
        self.messages -= u64::from(segment.messages);
        if !self.is_full() {
            self.full_since = None;
        }
        Some(segment)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.config.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the messages alone.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.bytes - self.segments.len() * OVERHEAD_BYTES
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn full_since(&self) -> Option<Time> {
        self.full_since
    }

    pub(crate) fn policy(&self) -> QueuePolicy {
        self.config.policy
    }

    /// Drops the oldest, at least one.
    fn make_room(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        while self.is_full() || dropped.messages == 0 {
            let Some(oldest) = self.segments.pop_front() else {
                break;
            };
            self.bytes -= cost(&oldest);
            self.messages -= u64::from(oldest.messages);
            dropped.messages += u64::from(oldest.messages);
            dropped.bytes += oldest.bytes.len();
        }
        dropped
    }
}

fn cost(segment: &Segment) -> usize {
    segment.bytes.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u8) -> Segment {
        Segment {
            bytes: Bytes::from(vec![number; 36]),
            messages: 2,
        }
    }

    fn filled(policy: QueuePolicy) -> (Queue, Vec<Pushed>) {
        let mut queue = Queue::new(QueueConfig { bytes: 200, policy });
        let pushed = (0..3)
            .map(|n| queue.push(segment(n), false, Time::ZERO))
            .collect();
        (queue, pushed)
    }

    #[test]
    fn drop_newest_keeps_what_waits() {
        let (mut queue, pushed) = filled(QueuePolicy::DropNewest);
        assert_eq!(pushed[2], Pushed::Refused);
        assert_eq!(queue.pop(), Some(segment(0)));
        assert_eq!(queue.messages(), 2);
    }

    #[test]
    fn drop_oldest_keeps_the_newest() {
        let (mut queue, pushed) = filled(QueuePolicy::DropOldest);
        assert_eq!(
            pushed[2],
            Pushed::Queued {
                dropped: Dropped {
                    messages: 2,
                    bytes: 36
                }
            }
        );
        assert_eq!(queue.pop(), Some(segment(1)));
        assert_eq!(queue.pop(), Some(segment(2)));
    }

    #[test]
    fn disconnect_says_so() {
        assert_eq!(filled(QueuePolicy::Disconnect).1[2], Pushed::Disconnect);
    }

    #[test]
    fn block_keeps_everything_and_says_so() {
        let (mut queue, pushed) = filled(QueuePolicy::Block);
        assert_eq!(pushed[2], Pushed::Blocked);
        assert!(queue.full_since().is_some());
        queue.pop();
        queue.pop();
        assert!(!queue.is_full() && queue.full_since().is_none());
    }
}
