//! The origin's side: every record taken from a client, kept until its owner says that it is done.
//!
//! Here lives the one rule of movement: a partition's stream goes to another owner only when the
//! old one owes nothing. Until then new records are held, behind each other. If the old owner has
//! gone, all that is not done goes to the new one, again and in order; receivers skip what they
//! have seen.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::memory::compact;
use super::{ClientId, Header, Instance, Time, Times};

/// A record with the client that it was taken from.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) header: Header,
    pub(crate) body: Bytes,
    pub(crate) client: ClientId,
    pub(crate) taken_at: Time,
}

/// All streams of this node, by partition.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    streams: HashMap<u16, Stream, FixedState>,
}

/// The records of one partition.
#[derive(Debug)]
pub(crate) struct Stream {
    next: u64,
    /// The owner that has, or gets, the assigned records.
    target: Instance,
    /// Ring version at which `target` was last looked up.
    checked: u64,
    undone: VecDeque<Kept>,
    /// How many of `undone`, from the front, have memory of their own.
    compacted: usize,
    /// How many of `undone`, from the front, are given to the target; the others are held.
    assigned: usize,
    /// Since when the stream waits for the target to owe nothing before it moves on.
    moving: Option<Time>,
}

/// What a new record is, beside its partition.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) count: u32,
    pub(crate) body: Bytes,
    pub(crate) client: ClientId,
    pub(crate) taken_at: Time,
}

/// Where a new record goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) header: Header,
    /// `None`: held until the stream has moved.
    pub(crate) to: Option<Instance>,
}

impl Outbox {
    /// Numbers a record and keeps it. `desired` is asked for the owner when the stream is free to
    /// go anywhere; `version` says when its answer may have changed.
    pub(crate) fn add(
        &mut self,
        partition: u16,
        new: New,
        version: u64,
        desired: impl FnOnce() -> Instance,
    ) -> Placed {
        let stream = self.streams.entry(partition).or_insert_with(|| Stream {
            next: 1,
            target: Instance(0),
            checked: u64::MAX,
            undone: VecDeque::new(),
            compacted: 0,
            assigned: 0,
            moving: None,
        });
        let New {
            count,
            body,
            client,
            taken_at,
        } = new;
        if stream.undone.is_empty() && stream.checked != version {
            stream.target = desired();
            stream.checked = version;
        }
        let length = body.len() as u32;
        let header = Header {
            partition,
            first: stream.next,
            count,
            messages: count,
            length,
        };
        stream.next += u64::from(count);
        stream.undone.push_back(Kept {
            header,
            body,
            client,
            taken_at,
        });
        if stream.moving.is_some() {
            return Placed { header, to: None };
        }
        stream.assigned += 1;
        Placed {
            header,
            to: Some(stream.target),
        }
    }

    /// The owner is through with a stream up to this number. Returns what is no longer kept; the
    /// flag says that the stream is now free to move.
    pub(crate) fn done(&mut self, partition: u16, last: u64) -> (Vec<Kept>, bool) {
        let Some(stream) = self.streams.get_mut(&partition) else {
            return (Vec::new(), false);
        };
        let mut freed = Vec::new();
        while stream.assigned > 0 {
            match stream.undone.front() {
                Some(kept) if kept.header.last() <= last => {
                    freed.extend(stream.undone.pop_front());
                    stream.assigned -= 1;
                    stream.compacted = stream.compacted.saturating_sub(1);
                }
                _ => break,
            }
        }
        (freed, stream.moving.is_some() && stream.assigned == 0)
    }

    /// Applies the rule of movement to a stream. Returns the owner and the records it must get
    /// now, in order; how long it waited to move goes into `waited`.
    pub(crate) fn revise(
        &mut self,
        partition: u16,
        desired: Instance,
        version: u64,
        gone: impl FnOnce(Instance) -> bool,
        (now, waited): (Time, &mut Times),
    ) -> Option<(Instance, Vec<Kept>)> {
        let stream = self.streams.get_mut(&partition)?;
        stream.checked = version;
        if stream.target == desired {
            stream.moving = None;
            return stream.assign_from(stream.assigned);
        }
        if stream.assigned == 0 || gone(stream.target) {
            stream.target = desired;
            let since = stream.moving.take().unwrap_or(now);
            if !stream.undone.is_empty() {
                waited.observe(now.saturating_sub(since), 1);
            }
            return stream.assign_from(0);
        }
        stream.moving.get_or_insert(now);
        None
    }

    /// All that a node has to get again when its link is new.
    pub(crate) fn assigned_to(&self, target: Instance) -> Vec<Kept> {
        let mine = |partition: &u16| {
            let stream = &self.streams[partition];
            let kept = stream.undone.iter().take(stream.assigned);
            if stream.target == target {
                kept
            } else {
                stream.undone.iter().take(0)
            }
        };
        self.active().iter().flat_map(mine).cloned().collect()
    }

    /// Gives memory of their own to records that have waited since the last call.
    pub(crate) fn compact(&mut self) {
        for stream in self.streams.values_mut() {
            for kept in stream.undone.iter_mut().skip(stream.compacted) {
                kept.body = compact(&kept.body);
            }
            stream.compacted = stream.undone.len();
        }
    }

    /// Partitions with records that are not done.
    pub(crate) fn active(&self) -> Vec<u16> {
        let active = self
            .streams
            .iter()
            .filter(|(_, stream)| !stream.undone.is_empty());
        let mut partitions: Vec<u16> = active.map(|(partition, _)| *partition).collect();
        partitions.sort_unstable();
        partitions
    }

    /// Every record that is not done, with the owner that has or gets it.
    pub(crate) fn undone(&self) -> impl Iterator<Item = (Instance, &Kept)> {
        let streams = self.streams.values();
        streams.flat_map(|stream| stream.undone.iter().map(|kept| (stream.target, kept)))
    }

    /// Messages that are not done.
    pub(crate) fn undone_messages(&self) -> u64 {
        let kept = self.undone().map(|(_, kept)| kept);
        kept.map(|kept| u64::from(kept.header.count)).sum()
    }

    /// Whether everything is done.
    pub(crate) fn is_empty(&self) -> bool {
        self.undone().next().is_none()
    }

    /// A partition's messages that are not done, and whether they wait for its old owner.
    pub(crate) fn standing(&self, partition: u16) -> (u64, bool) {
        let Some(stream) = self.streams.get(&partition) else {
            return (0, false);
        };
        let counts = stream
            .undone
            .iter()
            .map(|kept| u64::from(kept.header.count));
        (counts.sum(), stream.moving.is_some())
    }

    /// Streams that wait to move.
    pub(crate) fn moving(&self) -> usize {
        self.streams
            .values()
            .filter(|stream| stream.moving.is_some())
            .count()
    }
}

impl Stream {
    fn assign_from(&mut self, index: usize) -> Option<(Instance, Vec<Kept>)> {
        self.assigned = self.undone.len();
        let records: Vec<Kept> = self.undone.iter().skip(index).cloned().collect();
        (!records.is_empty()).then_some((self.target, records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Instance = Instance(1);
    const B: Instance = Instance(2);

    fn add(outbox: &mut Outbox, owner: Instance) -> Placed {
        let new = New {
            count: 2,
            body: Bytes::from_static(b"xx"),
            client: ClientId(1),
            taken_at: Time::ZERO,
        };
        outbox.add(9, new, 1, || owner)
    }

    fn revise(
        outbox: &mut Outbox,
        desired: Instance,
        version: u64,
        gone: bool,
    ) -> Option<(Instance, Vec<Kept>)> {
        let mut waited = Times::default();
        let now = (Time::ZERO, &mut waited);
        outbox.revise(9, desired, version, |_| gone, now)
    }

    fn firsts(moved: Option<(Instance, Vec<Kept>)>) -> (Instance, Vec<u64>) {
        let (target, kept) = moved.unwrap();
        (target, kept.iter().map(|kept| kept.header.first).collect())
    }

    #[test]
    fn records_are_numbered_without_gaps() {
        let mut outbox = Outbox::default();
        assert_eq!(add(&mut outbox, A).header.first, 1);
        let placed = add(&mut outbox, A);
        assert_eq!(
            (placed.header.first, placed.header.last(), placed.to),
            (3, 4, Some(A))
        );
    }

    #[test]
    fn a_stream_moves_only_when_the_old_owner_owes_nothing() {
        let mut outbox = Outbox::default();
        add(&mut outbox, A);
        assert!(revise(&mut outbox, B, 2, false).is_none());
        assert_eq!(add(&mut outbox, B).to, None);
        let (freed, free) = outbox.done(9, 2);
        assert_eq!((freed.len(), free), (1, true));
        assert_eq!(firsts(revise(&mut outbox, B, 2, false)), (B, vec![3]));
        assert_eq!(add(&mut outbox, B).to, Some(B));
    }

    #[test]
    fn a_stream_that_moves_tells_how_long_it_waited() {
        let (mut outbox, mut waited) = (Outbox::default(), Times::default());
        let at = Time::from_secs;
        add(&mut outbox, A);
        outbox.revise(9, B, 2, |_| false, (at(1), &mut waited));
        add(&mut outbox, B);
        outbox.revise(9, B, 3, |_| false, (at(2), &mut waited));
        assert_eq!(waited, Times::default(), "it waits still");
        outbox.done(9, 2);
        outbox.revise(9, B, 3, |_| false, (at(4), &mut waited));
        assert_eq!(waited.sum(), at(3));
        assert_eq!(waited.counts().iter().sum::<u64>(), 1);
        // One that nothing waits for moves, too, and that is no wait.
        outbox.done(9, 4);
        outbox.revise(9, A, 4, |_| false, (at(9), &mut waited));
        assert_eq!(waited.sum(), at(3));
    }

    #[test]
    fn held_records_go_first_when_the_move_is_called_off() {
        let mut outbox = Outbox::default();
        add(&mut outbox, A);
        revise(&mut outbox, B, 2, false);
        add(&mut outbox, B);
        assert_eq!(firsts(revise(&mut outbox, A, 3, false)), (A, vec![3]));
        assert_eq!(add(&mut outbox, A).header.first, 5);
    }

    #[test]
    fn all_that_is_not_done_goes_to_the_successor_of_a_dead_owner_in_order() {
        let mut outbox = Outbox::default();
        add(&mut outbox, A);
        add(&mut outbox, A);
        outbox.done(9, 2);
        assert_eq!(firsts(revise(&mut outbox, B, 2, true)), (B, vec![3]));
        assert_eq!(outbox.assigned_to(A).len(), 0);
        assert_eq!(outbox.assigned_to(B).len(), 1);
    }
}
