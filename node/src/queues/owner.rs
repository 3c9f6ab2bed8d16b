//! The owner of a queue: has its tasks, has a copy made of each, and gives them to workers.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::message::{Carried, Change, Place, Pushed, Standing, TaskId};
use super::stats::Counts;
use super::store::{State, Store};
use super::{Message, Queues, owner_in};
use crate::forward::{Instance, Time};

/// A task that was given so often is given no more.
pub const MAX_ATTEMPTS: u8 = 5;

/// Another gets a task that is not done within this time.
pub const TASK_TIME: Time = Time::from_secs(30);

/// After the death of an owner the next one waits so long for word of what workers have.
pub(super) const SETTLE: Time = Time::from_millis(500);

/// After a change of the ring a new owner waits so long for what the old one has, so that tasks
/// keep their order.
pub(super) const GRACE: Time = Time::from_secs(2);

/// Queues are looked through so often.
pub(super) const TICK: Time = Time::from_millis(100);

/// A queue in which nothing happens is forgotten after this time, with the numbers of what it has
/// seen: nobody sends again what is so old.
pub(super) const FORGET_AFTER: Time = Time::from_secs(600);

/// Tasks in one message, and their bytes.
pub(super) const BATCH_TASKS: usize = 512;
pub(super) const BATCH_BYTES: usize = 256 << 10;

/// Tasks that were done lately, so that an old owner may not know: this many are remembered.
pub(super) const MOST_EARLY: usize = 100_000;

/// What an owner knows of a pusher's node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin {
    /// The last number that came, and the last one that is safe.
    pub(super) seen: u64,
    pub(super) taken: u64,
    /// The first and the last number that came from there and not from an old owner.
    pub(super) direct: Option<(u64, u64)>,
    /// What an old owner had seen, when all that it had left had come.
    pub(super) past: u64,
    /// It was asked for all that is not safe.
    pub(super) wants_again: bool,
}

impl Origin {
    /// Whether a task that is not here has been here before.
    pub(super) fn has_had(&self, number: u64) -> bool {
        let direct = self.direct;
        let directly = direct.is_some_and(|(first, last)| (first..=last).contains(&number));
        directly || number <= self.past
    }
}

/// A worker.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) credit: u32,
    /// What it has, with the number of the message that gave it.
    pub(super) tasks: HashMap<TaskId, u64>,
    /// The number of the last one.
    pub(super) given: u64,
    /// The link to its node is another than the one that took those: what it does not have was
    /// lost.
    pub(super) is_anew: bool,
    pub(super) picked: u64,
}

/// The node that gets every change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    pub(super) to: Instance,
    /// The first change, and the last one.
    pub(super) first: u64,
    pub(super) seq: u64,
    pub(super) acked: u64,
    /// Where what it began with ends: from then on it is complete.
    pub(super) begun: u64,
}

/// What is not safe yet, in the order in which it came.
#[derive(Debug)]
pub(super) struct Untaken {
    pub(super) what: What,
    /// The change that tells the copy of it.
    pub(super) seq: u64,
}

impl Untaken {
    pub(super) fn task(&self) -> Option<TaskId> {
        match self.what {
            What::Pushed(id) | What::Moved(id, _) => Some(id),
            What::Part(..) => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A task from its pusher's node, which is told.
    Pushed(TaskId),
    /// A task from an old owner, and how it is to stand.
    Moved(TaskId, Standing),
    /// The end of a part of what an old owner moves, which is told.
    Part(Instance, u64),
}

/// A queue whose tasks are here.
#[derive(Debug, Default)]
pub(super) struct Owned {
    pub(super) store: Store,
    pub(super) origins: BTreeMap<u64, Origin>,
    pub(super) workers: BTreeMap<Place, Worker>,
    pub(super) feed: Option<Feed>,
    /// Who had a copy before, to be told that it need not have it any more.
    pub(super) former: Option<Instance>,
    pub(super) untaken: VecDeque<Untaken>,
    /// Tasks among those.
    pub(super) waiting: usize,
    /// When others get what was given, in this order; what was done is passed over.
    pub(super) timeouts: VecDeque<(Time, TaskId)>,
    pub(super) picked: u64,
    /// The old owner has moved everything.
    pub(super) all_here: bool,
    /// Done lately, or before they came from an old owner.
    pub(super) early: HashSet<TaskId>,
    /// Parts that are on their way to another owner, with their tasks.
    pub(super) moving: Option<Moving>,
    pub(super) used: Time,
    pub(super) stats: Counts,
}

/// Tasks on their way to another owner.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) to: Instance,
    pub(super) parts: BTreeMap<u64, Vec<TaskId>>,
}

impl Owned {
    /// The link to this node is a new one.
    pub(super) fn expect_seats(&mut self, peer: Instance) {
        let workers = self
            .workers
            .iter_mut()
            .filter(|((node, _), _)| *node == peer);
        workers.for_each(|(_, worker)| worker.is_anew = true);
    }

    pub(super) fn is_moving_to(&self, node: Instance) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.to == node)
    }

    /// What was on its way to another owner may be there, and may have been given.
    pub(super) fn stop_moving(&mut self) {
        let parts = self.moving.take().map(|moving| moving.parts);
        for id in parts.into_iter().flat_map(BTreeMap::into_values).flatten() {
            let attempt = self.store.get(id).map_or(0, |task| task.attempt);
            self.store.set_attempt(id, attempt.max(1));
        }
    }

    /// Whether there is no place for another task: those that are not safe do not count.
    pub(super) fn is_full(&self, limits: &super::Limits) -> bool {
        let store = &self.store;
        let tasks = store.len() - store.dead() - self.waiting;
        let bytes = store.bytes() - store.dead_bytes();
        tasks >= limits.queue_tasks || bytes >= limits.queue_bytes
    }

    pub(super) fn is_copied(&self) -> bool {
        self.feed.is_some_and(|feed| feed.acked >= feed.begun)
    }

    /// The worker with the least to do, of those the one that has waited longest.
    pub(super) fn pick(&mut self) -> Option<Place> {
        let free = self.workers.iter_mut();
        let free = free.filter(|(_, worker)| worker.tasks.len() < worker.credit as usize);
        let (place, worker) = free.min_by_key(|(_, it)| (it.tasks.len(), it.picked))?;
        self.picked += 1;
        worker.picked = self.picked;
        Some(*place)
    }
}

impl Queues {
    pub(super) fn owned_mut(&mut self, queue: &Bytes, now: Time) -> Option<&mut Owned> {
        if !self.owned.contains_key(queue) {
            if self.owned.len() >= self.limits.queues {
                return None;
            }
            self.owned.insert(queue.clone(), Owned::default());
            self.choose_copy(queue);
        }
        self.next_tick.get_or_insert(now + TICK);
        let owned = self.owned.get_mut(queue)?;
        owned.used = now;
        Some(owned)
    }

    /// Tasks from a pusher's node.
    pub(super) fn take_pushes(
        &mut self,
        from: Instance,
        queue: Bytes,
        after: u64,
        tasks: Vec<Pushed>,
        now: Time,
    ) {
        let Some(owned) = self.owned_mut(&queue, now) else {
            // They stay with their pusher's node, which is not read.
            return;
        };
        let origin = owned.origins.entry(from.0).or_default();
        if after != 0 && after != origin.seen {
            // What was not safe here was left to its pusher's node when the queue moved.
            origin.wants_again = true;
            return self.send(from, Message::PushAgain { queue });
        }
        origin.wants_again = false;
        let mut fresh = Vec::new();
        let mut known = false;
        for Pushed {
            number,
            again,
            body,
        } in tasks
        {
            if number <= origin.seen {
                known |= number <= origin.taken;
                continue;
            }
            origin.seen = number;
            let first = origin.direct.map_or(number, |(first, _)| first);
            origin.direct = Some((first, number));
            fresh.push(Carried {
                id: TaskId {
                    origin: from.0,
                    number,
                },
                attempt: again.into(),
                standing: Standing::Ready,
                body,
            });
        }
        let taken = origin.taken;
        if known {
            // Word of that was lost.
            self.tell_taken(from, queue.clone(), taken);
        }
        self.add(&queue, 1, fresh, None);
        self.advance(&queue, now);
    }

    /// `part` of what an old owner moves, or from a pusher's node.
    pub(super) fn add(
        &mut self,
        queue: &Bytes,
        class: u8,
        tasks: Vec<Carried>,
        part: Option<(Instance, u64)>,
    ) {
        let seq = match tasks.is_empty() {
            true => self.feed_seq(queue),
            false => self.feed(queue, Change::Add(tasks.clone())),
        };
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        for task in tasks {
            let id = task.id;
            if owned.store.contains(id) {
                continue;
            }
            owned
                .store
                .add(id, class, task.attempt, State::Untaken, task.body);
            let what = match part {
                None => What::Pushed(id),
                Some(_) => What::Moved(id, task.standing),
            };
            owned.waiting += 1;
            owned.untaken.push_back(Untaken { what, seq });
        }
        if let Some((old, part)) = part {
            let what = What::Part(old, part);
            owned.untaken.push_back(Untaken { what, seq });
        }
    }

    /// Tasks that the copy has, too, and that have a place, are safe.
    pub(super) fn advance(&mut self, queue: &Bytes, now: Time) {
        let limits = self.limits;
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        // Without a feed nobody else is there.
        let acked = owned.feed.map_or(u64::MAX, |feed| feed.acked);
        let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
        let mut parts = Vec::new();
        while owned
            .untaken
            .front()
            .is_some_and(|first| first.seq <= acked)
            && !owned.is_full(&limits)
            && let Some(first) = owned.untaken.pop_front()
        {
            match first.what {
                What::Part(old, seq) => parts.push((old, seq)),
                What::Pushed(id) => {
                    taken.insert(id.origin, id.number);
                    owned.waiting -= 1;
                    owned.store.set(id, State::Ready);
                }
                What::Moved(id, standing) => {
                    owned.waiting -= 1;
                    owned.store.set(
                        id,
                        match standing {
                            Standing::Ready => State::Ready,
                            Standing::Dead => State::Dead,
                            Standing::Given => {
                                owned.timeouts.push_back((now + TASK_TIME, id));
                                State::Given(None, now + TASK_TIME)
                            }
                        },
                    );
                }
            }
        }
        for (origin, number) in &taken {
            if let Some(origin) = owned.origins.get_mut(origin) {
                origin.taken = *number;
            }
        }
        for (origin, number) in taken {
            self.tell_taken(Instance(origin), queue.clone(), number);
        }
        for (old, seq) in parts {
            let queue = queue.clone();
            self.send(old, Message::Moved { queue, seq });
        }
        self.give(queue, now);
    }

    /// Whether what an old owner or dead workers' nodes know may still come.
    pub(super) fn is_unsettled(&self, queue: &Bytes, now: Time) -> bool {
        let before = owner_in(&self.old_ring, queue).unwrap_or(self.me);
        if before == self.me {
            return false;
        }
        let all_here = self.owned.get(queue).is_some_and(|it| it.all_here);
        match self.here.contains(&before) {
            true if !all_here => now < self.ring_since + GRACE,
            _ => now < self.ring_since + SETTLE,
        }
    }

    /// Gives tasks to workers.
    pub(super) fn give(&mut self, queue: &Bytes, now: Time) {
        // What moves is no longer given here.
        let idle = self
            .owned
            .get(queue)
            .is_none_or(|it| it.store.ready() == 0 || it.workers.is_empty() || it.moving.is_some());
        if idle || self.is_unsettled(queue, now) {
            return;
        }
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let mut given: BTreeMap<Place, Vec<Carried>> = BTreeMap::new();
        let until = now + TASK_TIME;
        while let Some(id) = owned.store.first_ready()
            && let Some(place) = owned.pick()
        {
            if let Some(worker) = owned.workers.get_mut(&place) {
                // All that it gets now is one message.
                worker.tasks.insert(id, worker.given + 1);
            }
            owned.store.set(id, State::Given(Some(place), until));
            owned.timeouts.push_back((until, id));
            let Some(task) = owned.store.get(id) else {
                continue;
            };
            owned.stats.given += 1;
            owned.stats.again += u64::from(task.attempt > 0);
            given.entry(place).or_default().push(task.carried(id));
        }
        for ((node, worker), tasks) in given {
            let place = self
                .owned
                .get_mut(queue)
                .and_then(|it| it.workers.get_mut(&(node, worker)));
            let seq = place.map_or(0, |worker| {
                worker.given += 1;
                worker.given
            });
            let queue = queue.clone();
            let message = Message::Give {
                queue,
                worker,
                seq,
                tasks,
            };
            self.send(node, message);
        }
    }

    /// Looks through the queues here: who has had a task for too long, what belongs elsewhere.
    pub(super) fn look_through(&mut self, now: Time) {
        if self.next_tick.is_none_or(|at| now < at) {
            return;
        }
        let queues: Vec<Bytes> = self.owned.keys().cloned().collect();
        let settled = now >= self.ring_since + 2 * GRACE;
        for queue in queues {
            if settled && let Some(owned) = self.owned.get_mut(&queue) {
                owned.early.clear();
            }
            self.end_late(&queue, now);
            self.give(&queue, now);
            self.move_on(&queue);
            let used = self.is_used(&queue, now);
            if !used {
                self.drop_owned(&queue);
            }
        }
        self.next_tick = (!self.owned.is_empty()).then(|| now + TICK);
    }

    pub(super) fn is_used(&self, queue: &Bytes, now: Time) -> bool {
        self.owned.get(queue).is_some_and(|owned| {
            let empty = owned.store.len() == 0 && owned.workers.is_empty();
            !empty || now < owned.used + FORGET_AFTER
        })
    }

    /// The queue is elsewhere, or no more.
    pub(super) fn drop_owned(&mut self, queue: &Bytes) {
        if let Some(owned) = self.owned.remove(queue) {
            self.past.add(owned.stats);
            self.forget_copy(queue, owned.feed);
        }
    }

    /// Word for a pusher's node that may have been lost.
    pub(super) fn tell_origin_again(&mut self, peer: Instance) {
        let mut told = Vec::new();
        for (queue, owned) in &self.owned {
            if let Some(origin) = owned.origins.get(&peer.0) {
                told.push((queue.clone(), origin.taken, origin.wants_again));
            }
        }
        for (queue, taken, wants_again) in told {
            if wants_again {
                let queue = queue.clone();
                self.send(peer, Message::PushAgain { queue });
            }
            self.tell_taken(peer, queue, taken);
        }
    }

    /// The numbers that an owner has seen, for a copy.
    pub(super) fn seen_of(owned: &Owned) -> Vec<(u64, u64)> {
        let origins = owned.origins.iter();
        origins.map(|(of, origin)| (*of, origin.seen)).collect()
    }

    /// A copy begins anew: whatever is not safe yet is part of what it begins with.
    pub(super) fn rebase(owned: &mut Owned, begun: u64) {
        for untaken in &mut owned.untaken {
            untaken.seq = begun;
        }
    }

    /// Tells another node, if any, that it had the copy before.
    pub(super) fn replace_former(owned: &mut Owned, former: Option<Instance>) -> Option<Instance> {
        std::mem::replace(&mut owned.former, former)
    }

    /// Who had the copy before, once the new one is complete.
    pub(super) fn former_to_forget(owned: &mut Owned) -> Option<Instance> {
        match owned.is_copied() {
            true => owned.former.take(),
            false => None,
        }
    }
}
