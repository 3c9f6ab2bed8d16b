//! What waits for one subscriber: one order, with a lane for each rule that its messages fall
//! under.
//!
//! A rule has room of its own, so that a flood under one rule neither takes the room of another
//! nor pushes its messages out. What comes out is in the order in which it went in, whatever lane
//! it is in.

use bytes::Bytes;

use super::Time;
use super::lane::{Lane, LaneId, Push, Pushed, Waiting};
use crate::config::QueueConfig;

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

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Those that were ever used, the one without a rule first: seldom more than one.
    lanes: Vec<Lane>,
    /// Entries in all of them.
    len: usize,
    next: u64,
    /// Messages dropped in lanes that are no longer there.
    dropped_before: u64,
}

/// What the caller knows of a push beside the segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// All queues together hold so much that this one counts as full.
    pub(crate) crowded: bool,
    /// The subscriber is to be told of what is dropped.
    pub(crate) told: bool,
    pub(crate) now: Time,
}

/// What comes out of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Popped {
    pub(crate) what: Waiting,
    pub(crate) lane: LaneId,
    /// The lane was full and no longer is.
    pub(crate) freed: bool,
}

impl Queue {
    /// A queue with a lane for what falls under no rule.
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self {
            lanes: vec![Lane::new(LaneId::default(), config)],
            len: 0,
            next: 0,
            dropped_before: 0,
        }
    }

    /// The rules have changed: `config` has what holds for a lane now, none if its rule has gone.
    /// Such a lane stays until what waits in it is out.
    pub(crate) fn set_configs(&mut self, config: impl Fn(LaneId) -> Option<QueueConfig>) {
        let gone = self.lanes.extract_if(.., |lane| match config(lane.id()) {
            Some(config) => {
                lane.set_config(config);
                false
            }
            None => lane.len() == 0,
        });
        self.dropped_before += gone.map(|lane| lane.dropped().messages).sum::<u64>();
    }

    /// Puts a segment into a lane, which is made with `config` if it was not there.
    pub(crate) fn push(
        &mut self,
        segment: Segment,
        lane: LaneId,
        config: QueueConfig,
        circumstances: Circumstances,
    ) -> Pushed {
        let push = Push {
            at: self.next,
            copy: self.len >= COPY_AFTER,
            crowded: circumstances.crowded,
            told: circumstances.told,
            now: circumstances.now,
        };
        self.next += 1;
        let lane = self.lane(lane, config);
        let before = lane.len();
        let pushed = lane.push(segment, push);
        let after = lane.len();
        self.len = self.len - before + after;
        pushed
    }

    pub(crate) fn pop(&mut self) -> Option<Popped> {
        let lane = match &mut self.lanes[..] {
            [only] => only,
            lanes => lanes
                .iter_mut()
                .min_by_key(|lane| lane.first().unwrap_or(u64::MAX))?,
        };
        let was_full = lane.is_full();
        let what = lane.pop()?;
        self.len -= 1;
        Some(Popped {
            what,
            lane: lane.id(),
            freed: was_full && !lane.is_full(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    /// Bytes of the messages alone.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::payload_bytes).sum()
    }

    pub(crate) fn messages(&self) -> u64 {
        self.lanes.iter().map(Lane::messages).sum()
    }

    /// Messages dropped for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        let dropped = self.lanes.iter().map(|lane| lane.dropped().messages);
        self.dropped_before + dropped.sum::<u64>()
    }

    /// Of those, the ones that the subscriber is still to be told of.
    pub(crate) fn untold(&self) -> u64 {
        self.lanes.iter().map(Lane::untold).sum()
    }

    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    fn lane(&mut self, id: LaneId, config: QueueConfig) -> &mut Lane {
        let found = self.lanes.iter().position(|lane| lane.id() == id);
        let index = found.unwrap_or(self.lanes.len());
        if found.is_none() {
            self.lanes.push(Lane::new(id, config));
        }
        &mut self.lanes[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::QueuePolicy::{self, Block, Disconnect, DropNewest, DropOldest};
    use crate::forward::lane::Dropped;

    const CALM: Circumstances = Circumstances {
        crowded: false,
        told: true,
        now: Time::ZERO,
    };

    const A: LaneId = LaneId(0);
    const B: LaneId = LaneId(1);

    /// Two messages that cost 100 bytes.
    fn segment(number: u8) -> Segment {
        Segment {
            bytes: Bytes::from(vec![number; 36]),
            messages: 2,
        }
    }

    /// Room for two segments in each lane.
    fn room(policy: QueuePolicy) -> QueueConfig {
        QueueConfig { bytes: 200, policy }
    }

    fn push_all(queue: &mut Queue, all: &[(u8, LaneId, QueuePolicy)]) -> Vec<Pushed> {
        let push = |(number, lane, policy): &(u8, LaneId, QueuePolicy)| {
            queue.push(segment(*number), *lane, room(*policy), CALM)
        };
        all.iter().map(push).collect()
    }

    fn filled(policy: QueuePolicy) -> (Queue, Vec<Pushed>) {
        let mut queue = Queue::new(room(policy));
        let pushed = push_all(&mut queue, &[0, 1, 2].map(|number| (number, A, policy)));
        (queue, pushed)
    }

    /// Numbers of segments, and sizes of gaps as negative numbers.
    fn drained(queue: &mut Queue) -> Vec<i64> {
        let number = |popped: Popped| match popped.what {
            Waiting::Messages(segment) => segment.bytes[0].into(),
            Waiting::Gap(messages) => -(messages as i64),
        };
        let all = std::iter::from_fn(|| queue.pop()).map(number).collect();
        assert_eq!((queue.bytes(), queue.messages(), queue.len), (0, 0, 0));
        all
    }

    #[test]
    fn drop_newest_keeps_what_waits_and_has_the_gap_behind_it() {
        let (mut queue, pushed) = filled(DropNewest);
        assert_eq!(pushed[2], Pushed::Refused);
        assert_eq!(
            (queue.messages(), queue.dropped(), queue.untold()),
            (4, 2, 2)
        );
        assert_eq!(drained(&mut queue), [0, 1, -2]);
    }

    #[test]
    fn drop_oldest_keeps_the_newest_and_has_the_gap_before_it() {
        let (mut queue, pushed) = filled(DropOldest);
        let dropped = Dropped {
            messages: 2,
            bytes: 36,
        };
        assert_eq!(pushed[2], Pushed::Queued { dropped });
        // The gap takes room, too: another segment makes room for it.
        assert_eq!(drained(&mut queue), [-2, 1, 2]);
    }

    #[test]
    fn one_that_holds_nothing_is_not_full_whatever_the_others_hold() {
        let crowded = |told| Circumstances {
            crowded: true,
            told,
            now: Time::from_secs(1),
        };
        let full_since = |queue: &Queue| queue.lanes()[0].full_since();
        let mut queue = Queue::new(room(DropNewest));
        let mut push = |told| queue.push(segment(0), A, room(DropNewest), crowded(told));
        assert_eq!(
            (push(false), push(true)),
            (Pushed::Refused, Pushed::Refused)
        );
        assert_eq!(full_since(&queue), None);
        let push = |queue: &mut Queue| queue.push(segment(0), A, room(DropNewest), crowded(true));
        assert_eq!(push(&mut queue), Pushed::Refused);
        assert_eq!(
            full_since(&queue),
            Some(Time::from_secs(1)),
            "word of drops waits"
        );
        assert_eq!(drained(&mut queue), [-4]);
        assert_eq!(full_since(&queue), None);
    }

    #[test]
    fn gaps_that_meet_become_one() {
        let (mut queue, _) = filled(DropNewest);
        push_all(&mut queue, &[(3, A, DropNewest)]);
        queue.pop();
        push_all(&mut queue, &[(4, A, DropNewest), (5, A, DropNewest)]);
        assert_eq!(drained(&mut queue), [1, -4, 4, -2]);
        let (mut queue, _) = filled(DropOldest);
        push_all(&mut queue, &[3, 4, 5].map(|number| (number, A, DropOldest)));
        assert_eq!(queue.untold(), queue.dropped());
        assert_eq!(drained(&mut queue).iter().filter(|n| **n < 0).count(), 1);
    }

    #[test]
    fn who_is_not_to_be_told_has_no_gaps() {
        let mut queue = Queue::new(room(DropNewest));
        let untold = Circumstances {
            told: false,
            ..CALM
        };
        for number in 0..4 {
            queue.push(segment(number), A, room(DropNewest), untold);
        }
        assert_eq!((queue.dropped(), queue.untold()), (4, 0));
        assert_eq!(drained(&mut queue), [0, 1]);
    }

    #[test]
    fn disconnect_says_so() {
        assert_eq!(filled(Disconnect).1[2], Pushed::Disconnect);
    }

    #[test]
    fn block_keeps_everything_and_says_when_there_is_room() {
        let (mut queue, pushed) = filled(Block);
        assert_eq!(pushed[2], Pushed::Blocked);
        assert!(queue.lanes()[0].full_since().is_some());
        let freed: Vec<bool> = std::iter::from_fn(|| queue.pop())
            .map(|popped| popped.freed)
            .collect();
        assert_eq!(freed, [false, true, false]);
        assert!(queue.lanes()[0].full_since().is_none());
    }

    #[test]
    fn lanes_keep_one_order_and_take_no_room_from_each_other() {
        let mut queue = Queue::new(room(Block));
        let flood = [
            (0, A, Block),
            (1, B, DropOldest),
            (2, B, DropOldest),
            (3, A, Block),
            (4, B, DropOldest),
            (5, B, DropOldest),
        ];
        let pushed = push_all(&mut queue, &flood);
        assert!(!pushed.contains(&Pushed::Refused) && !pushed.contains(&Pushed::Blocked));
        let dropped: Vec<u64> = queue
            .lanes()
            .iter()
            .map(|it| it.dropped().messages)
            .collect();
        assert_eq!(dropped[0], 0);
        let all = drained(&mut queue);
        let kept: Vec<i64> = all.iter().copied().filter(|number| *number >= 0).collect();
        assert!(kept.is_sorted() && kept.contains(&0) && kept.contains(&3) && kept.contains(&5));
        assert_eq!(
            -all.iter().filter(|n| **n < 0).sum::<i64>(),
            dropped[1] as i64
        );
    }
}
