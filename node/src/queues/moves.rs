//! How the tasks of a queue get to another owner: in order, or from the copy of one that has died.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::message::{Carried, Change, TaskId};
use super::owner::{BATCH_BYTES, BATCH_TASKS, Moving, Owned, What};
use super::store::{State, Store};
use super::{Message, Queues};
use crate::forward::{Instance, Time};

impl Queues {
    /// A part of a queue from its old owner.
    pub(super) fn take_moved(&mut self, from: Instance, message: Message, now: Time) {
        let Message::Move {
            queue,
            seq,
            last,
            seen,
            tasks,
        } = message
        else {
            return;
        };
        let Some(owned) = self.owned_mut(&queue, now) else {
            return;
        };
        owned.hold_moved(&tasks);
        let mut fresh = Vec::new();
        for mut task in tasks {
            if owned.store.contains(task.id) || owned.early.contains(&task.id) {
                continue;
            }
            let origin = owned.origins.get(&task.id.origin);
            if origin.is_some_and(|origin| origin.has_had(task.id.number)) {
                // It was done here, or moved on, and its old owner does not know.
                task.attempt = task.attempt.max(1);
            }
            fresh.push(task);
        }
        owned.all_here |= last;
        for (origin, number) in seen {
            let origin = owned.origins.entry(origin).or_default();
            origin.seen = origin.seen.max(number);
            origin.taken = origin.taken.max(number);
            if last {
                origin.past = origin.past.max(number);
            }
        }
        self.add(&queue, 0, fresh, Some((from, seq)));
        self.advance(&queue, now);
    }

    /// Sends what is left of a queue to its new owner.
    pub(super) fn move_on(&mut self, queue: &Bytes) {
        let to = self.owner_of(queue);
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        if owned.is_moving_to(to) {
            return;
        }
        owned.stop_moving();
        if to == self.me {
            return;
        }
        self.leave_untaken(queue);
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let seen = owned.origins.iter().map(|(of, origin)| (*of, origin.taken));
        let mut seen: Vec<(u64, u64)> = seen.collect();
        let parts = parts_of(&owned.store);
        let count = parts.len();
        let mut moving = Moving {
            to,
            parts: BTreeMap::new(),
        };
        let mut messages = Vec::new();
        for (index, tasks) in parts.into_iter().enumerate() {
            self.seq += 1;
            let seq = self.seq;
            let ids = tasks.iter().map(|task| task.id).collect();
            moving.parts.insert(seq, ids);
            let last = index + 1 == count;
            messages.push(Message::Move {
                queue: queue.clone(),
                seq,
                last,
                // With the last part: until then the pusher's node may send what is on its way.
                seen: if last {
                    std::mem::take(&mut seen)
                } else {
                    Vec::new()
                },
                tasks,
            });
        }
        owned.moving = Some(moving);
        for message in messages {
            self.send(to, message);
        }
    }

    /// What is not safe here goes from its pusher's node to the new owner.
    fn leave_untaken(&mut self, queue: &Bytes) {
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let mut dropped = Vec::new();
        for untaken in std::mem::take(&mut owned.untaken) {
            if let What::Pushed(id) = untaken.what {
                owned.store.remove(id);
                owned.waiting -= 1;
                dropped.push(id);
            } else {
                owned.untaken.push_back(untaken);
            }
        }
        for origin in owned.origins.values_mut() {
            origin.seen = origin.taken;
            origin.direct = None;
        }
        if !dropped.is_empty() {
            // Nor has the copy seen them: whoever takes its place is to take them. That it knows
            // first, since this node may end between the two.
            let seen = Self::seen_of(owned);
            self.feed(queue, Change::Seen(seen));
            self.feed(queue, Change::Gone(dropped));
        }
    }

    /// A part is safe at the new owner.
    pub(super) fn take_moved_ack(&mut self, from: Instance, queue: &Bytes, seq: u64) {
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let Some(moving) = owned.moving.as_mut().filter(|moving| moving.to == from) else {
            return;
        };
        let Some(tasks) = moving.parts.remove(&seq) else {
            return;
        };
        let over = moving.parts.is_empty();
        for id in &tasks {
            owned.store.remove(*id);
        }
        if over {
            owned.moving = None;
        }
        self.feed(queue, Change::Gone(tasks));
        let owned = self.owned.get(queue);
        if over && owned.is_some_and(|it| it.store.len() == 0) {
            self.drop_owned(queue);
        }
    }

    /// Tasks of an owner that has died, from its copy.
    pub(super) fn promote(
        &mut self,
        queue: &Bytes,
        store: &Store,
        origins: &HashMap<u64, u64>,
        now: Time,
    ) {
        let Some(owned) = self.owned_mut(queue, now) else {
            return;
        };
        for (of, seen) in origins {
            let origin = owned.origins.entry(*of).or_default();
            origin.seen = origin.seen.max(*seen);
            origin.taken = origin.taken.max(*seen);
        }
        let mut added = Vec::new();
        for (id, task) in store.iter() {
            match owned.store.get(id).map(|task| task.state) {
                None => {}
                // It came once more from its pusher's node, and was safe all the time.
                Some(State::Untaken) => {
                    owned.untaken.retain(|it| it.task() != Some(id));
                    owned.waiting -= 1;
                    owned.store.set_attempt(id, task.attempt.max(1));
                    owned.store.set(id, State::Ready);
                    continue;
                }
                Some(_) => continue,
            }
            // Whether somebody was given it died with the owner.
            let attempt = task.attempt.max(1);
            let state = match task.state {
                State::Dead => State::Dead,
                _ => State::Ready,
            };
            owned.store.add(id, 0, attempt, state, task.body.clone());
            added.extend(owned.store.get(id).map(|task| task.carried(id)));
        }
        // A copy of what was here before is told of it; otherwise it begins with everything.
        for tasks in added.chunks(BATCH_TASKS) {
            self.feed(queue, Change::Add(tasks.to_vec()));
        }
        // The dead owner's word may not have come.
        let mut safe: Vec<(u64, u64)> = origins.iter().map(|(of, seen)| (*of, *seen)).collect();
        safe.sort_unstable();
        for (of, seen) in safe {
            self.tell_taken(Instance(of), queue.clone(), seen);
        }
    }
}

/// All that is safe, in order, cut into parts; one at least.
fn parts_of(store: &Store) -> Vec<Vec<Carried>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for (id, task) in store.iter() {
        if task.state == State::Untaken {
            continue;
        }
        if part.len() >= BATCH_TASKS || bytes >= BATCH_BYTES {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += task.body.len();
        part.push(task.carried(id));
    }
    parts.push(part);
    parts
}

impl Owned {
    /// Tasks that came from their pushers' nodes, too, and are not safe here yet. Their old owner
    /// has them, and gives them up for good when it is told that this part is safe: so they are not
    /// left to the pushers' nodes any more if the queue moves on before.
    fn hold_moved(&mut self, tasks: &[Carried]) {
        let untaken = |id| matches!(self.store.get(id).map(|it| it.state), Some(State::Untaken));
        let moved = tasks.iter().filter(|task| untaken(task.id));
        let moved: HashMap<TaskId, &Carried> = moved.map(|task| (task.id, task)).collect();
        if moved.is_empty() {
            return;
        }
        for untaken in &mut self.untaken {
            if let Some(task) = untaken.task().and_then(|id| moved.get(&id)) {
                let attempt = self.store.get(task.id).map_or(0, |it| it.attempt);
                self.store.set_attempt(task.id, attempt.max(task.attempt));
                untaken.what = What::Moved(task.id, task.standing);
            }
        }
    }
}
