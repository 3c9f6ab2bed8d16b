//! Who works for a queue, and what becomes of the tasks that they have.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::message::{Change, Place, Seat, TaskId};
use super::owner::{GRACE, MAX_ATTEMPTS, MOST_EARLY, TASK_TIME, Worker};
use super::store::State;
use super::{Message, Queues};
use crate::forward::{Instance, Time};

impl Queues {
    /// Word of a worker.
    pub(super) fn take_seat(&mut self, node: Instance, seat: Seat, now: Time) {
        let queue = seat.queue;
        let is_news = seat.credit > 0 || self.owned.contains_key(&queue);
        if !is_news || self.owned_mut(&queue, now).is_none() {
            return;
        }
        let Some(owned) = self.owned.get_mut(&queue) else {
            return;
        };
        let place = (node, seat.worker);
        let before = owned.workers.remove(&place).unwrap_or_default();
        let holding: HashSet<TaskId> = seat.holding.into_iter().collect();
        let (mut missing, mut coming) = (Vec::new(), HashMap::new());
        for (id, seq) in before.tasks {
            let is_lost = before.is_anew || seq <= seat.heard;
            match holding.contains(&id) {
                true => {}
                false if is_lost => missing.push(id),
                false => drop(coming.insert(id, seq)),
            }
        }
        missing.sort_unstable();
        let mut held: Vec<TaskId> = holding
            .into_iter()
            .filter(|id| owned.store.contains(*id))
            .collect();
        held.sort_unstable();
        for id in &held {
            let state = owned.store.get(*id).map(|task| task.state);
            let until = match state {
                Some(State::Given(_, until)) => until,
                Some(State::Ready) => {
                    owned.timeouts.push_back((now + TASK_TIME, *id));
                    now + TASK_TIME
                }
                // It is not safe yet, or nobody is given it.
                _ => continue,
            };
            let who = (seat.credit > 0).then_some(place);
            owned.store.set(*id, State::Given(who, until));
        }
        if seat.credit > 0 {
            coming.extend(held.into_iter().map(|id| (id, 0)));
            let worker = Worker {
                credit: seat.credit,
                tasks: coming,
                given: before.given,
                is_anew: false,
                picked: owned.picked,
            };
            owned.workers.insert(place, worker);
        }
        // What it was given and does not have was lost on the way.
        for id in missing {
            self.give_back(&queue, id, Some(place));
        }
        self.give(&queue, now);
    }

    /// All workers of a node, and nobody else.
    pub(super) fn take_seats(&mut self, node: Instance, seats: Vec<Seat>, now: Time) {
        let told: HashSet<(Bytes, Place)> = seats
            .iter()
            .map(|seat| (seat.queue.clone(), (node, seat.worker)))
            .collect();
        let mut gone = Vec::new();
        for (queue, owned) in &self.owned {
            let places = owned.workers.keys().filter(|place| place.0 == node);
            let missing = places.filter(|place| !told.contains(&(queue.clone(), **place)));
            gone.extend(missing.map(|place| (queue.clone(), place.1)));
        }
        for (queue, worker) in gone {
            let seat = Seat {
                queue,
                worker,
                credit: 0,
                holding: Vec::new(),
                heard: u64::MAX,
            };
            self.take_seat(node, seat, now);
        }
        for seat in seats {
            self.take_seat(node, seat, now);
        }
    }

    /// A node has gone, with its workers.
    pub(super) fn lose_places(&mut self, now: Time) {
        let (here, me) = (&self.here, self.me);
        let mut lost = Vec::new();
        for (queue, owned) in &mut self.owned {
            owned.workers.retain(|place, worker| {
                let stays = place.0 == me || here.contains(&place.0);
                if !stays {
                    let mut tasks: Vec<TaskId> = worker.tasks.keys().copied().collect();
                    tasks.sort_unstable();
                    let tasks = tasks.into_iter();
                    lost.extend(tasks.map(|id| (queue.clone(), id, *place)));
                }
                stays
            });
        }
        for (queue, id, place) in lost {
            self.give_back(&queue, id, Some(place));
            self.give(&queue, now);
        }
    }

    /// A task is for another worker, unless somebody else has it already.
    pub(super) fn give_back(&mut self, queue: &Bytes, id: TaskId, from: Option<Place>) {
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let Some(task) = owned.store.get(id) else {
            return;
        };
        match task.state {
            State::Given(who, _) if who == from || who.is_none() || from.is_none() => {}
            _ => return,
        }
        let attempt = task.attempt.saturating_add(1);
        let dead = attempt >= MAX_ATTEMPTS;
        owned.store.set_attempt(id, attempt);
        owned
            .store
            .set(id, if dead { State::Dead } else { State::Ready });
        owned.stats.dead += u64::from(dead);
        self.feed(queue, Change::Attempt { id, attempt, dead });
        if dead {
            self.bury(queue);
        }
    }

    /// Of those that nobody is given any more the newest stay.
    pub(super) fn bury(&mut self, queue: &Bytes) {
        let (most, most_bytes) = (self.limits.dead_tasks, self.limits.dead_bytes);
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let mut gone = Vec::new();
        while (owned.store.dead() > most || owned.store.dead_bytes() > most_bytes)
            && let Some(id) = owned.store.first_dead()
        {
            owned.store.remove(id);
            owned.stats.dead_dropped += 1;
            gone.push(id);
        }
        if !gone.is_empty() {
            self.feed(queue, Change::Gone(gone));
        }
    }

    /// A worker has done tasks.
    pub(super) fn take_done(&mut self, queue: &Bytes, place: Place, tasks: Vec<TaskId>, now: Time) {
        let fresh = now < self.ring_since + 2 * GRACE;
        let Some(owned) = self.owned_mut(queue, now) else {
            return;
        };
        if let Some(to) = owned.moving.as_ref().map(|moving| moving.to) {
            // It may have it already.
            let (queue, worker, tasks) = (queue.clone(), place.1, tasks.clone());
            let message = Message::Done {
                queue,
                worker,
                tasks,
            };
            self.send(to, message);
        }
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let mut gone = Vec::new();
        for id in tasks {
            if let Some(worker) = owned.workers.get_mut(&place) {
                worker.tasks.remove(&id);
            }
            match owned.store.get(id).map(|task| task.state) {
                None if fresh && owned.early.len() < MOST_EARLY => {
                    owned.early.insert(id);
                }
                // Somebody else may have it as well: it is done all the same.
                Some(state) if state != State::Untaken => {
                    if let State::Given(Some(other), _) = state
                        && let Some(worker) = owned.workers.get_mut(&other)
                    {
                        worker.tasks.remove(&id);
                    }
                    owned.store.remove(id);
                    owned.stats.done += 1;
                    if fresh && owned.early.len() < MOST_EARLY {
                        // An old owner may not know.
                        owned.early.insert(id);
                    }
                    gone.push(id);
                }
                _ => {}
            }
        }
        if !gone.is_empty() {
            self.feed(queue, Change::Gone(gone));
        }
        self.advance(queue, now);
    }

    /// A worker has not done tasks.
    pub(super) fn take_failed(
        &mut self,
        queue: &Bytes,
        place: Place,
        tasks: Vec<TaskId>,
        reason: Bytes,
        now: Time,
    ) {
        let moving = self.owned.get(queue).and_then(|it| it.moving.as_ref());
        if let Some(to) = moving.map(|moving| moving.to) {
            // It may have it already.
            let (queue, worker, tasks) = (queue.clone(), place.1, tasks.clone());
            let message = Message::Failed {
                queue,
                worker,
                tasks,
                reason,
            };
            self.send(to, message);
        }
        for id in tasks {
            if let Some(worker) = self
                .owned
                .get_mut(queue)
                .and_then(|owned| owned.workers.get_mut(&place))
            {
                worker.tasks.remove(&id);
            }
            self.give_back(queue, id, Some(place));
        }
        self.give(queue, now);
    }

    /// Tasks that were given too long ago.
    pub(super) fn end_late(&mut self, queue: &Bytes, now: Time) {
        while let Some(owned) = self.owned.get_mut(queue)
            && let Some((at, id)) = owned.timeouts.front().copied()
            && at <= now
        {
            owned.timeouts.pop_front();
            let late = owned.store.get(id).map(|task| task.state);
            if let Some(State::Given(who, until)) = late
                && until <= now
            {
                // It still has it: its credit is used until it says something.
                self.give_back(queue, id, who);
            }
        }
    }
}
