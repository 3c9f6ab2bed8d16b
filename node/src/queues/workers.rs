//! The worker's node: hands tasks over, and tells the owner what became of them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::message::{Carried, Seat, TaskId};
use super::{Message, Output, Queues};
use crate::forward::{ClientId, Instance, Time};
use crate::outbound::Outbound;

/// Queues that one client works for; more are refused.
const MAX_QUEUES: usize = 1000;

/// A client with a DEALER socket that has said something of queues.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// Credit by queue.
    credits: BTreeMap<Bytes, u32>,
    /// The queue of each task that it has, and how often it was given that.
    in_hand: HashMap<TaskId, (Bytes, u32)>,
    /// By queue, who gave it tasks last, and the number of that.
    heard: BTreeMap<Bytes, (Instance, u64)>,
    pub(super) out: Outbound,
}

/// Clients of this node that work.
#[derive(Debug, Default)]
pub(super) struct Workers {
    pub(super) workers: BTreeMap<ClientId, Worker>,
}

impl Workers {
    /// Those with a credit.
    pub(super) fn len(&self) -> usize {
        let workers = self.workers.values();
        workers.filter(|it| !it.credits.is_empty()).count()
    }

    pub(super) fn is_busy(&self, client: ClientId) -> bool {
        let worker = self.workers.get(&client);
        worker.is_some_and(|it| !it.in_hand.is_empty())
    }

    pub(super) fn are_idle(&self) -> bool {
        self.workers.values().all(|it| it.in_hand.is_empty())
    }
}

impl Queues {
    /// A client works for a queue, or with another credit.
    pub(super) fn work(&mut self, client: ClientId, queue: Bytes, credit: u32) {
        let worker = self.workers.workers.entry(client).or_default();
        if !worker.credits.contains_key(&queue) && worker.credits.len() >= MAX_QUEUES {
            let text = format!("a worker has at most {MAX_QUEUES} queues");
            return self.refuse(client, &text);
        }
        if worker.credits.insert(queue.clone(), credit) != Some(credit) {
            self.tell_seat(client, queue);
        }
    }

    /// A client gives up to work for a queue. What it has of it it may still do.
    pub(super) fn unwork(&mut self, client: ClientId, queue: Bytes) {
        let worker = self.workers.workers.get_mut(&client);
        match worker.and_then(|worker| worker.credits.remove(&queue)) {
            Some(_) => self.tell_seat(client, queue),
            None => self.refuse(client, "it does not work for this queue"),
        }
    }

    /// All that an owner is to know of a worker.
    pub(super) fn tell_seats_of(&mut self, client: ClientId) {
        let worker = self.workers.workers.get(&client);
        let queues: Vec<Bytes> = worker
            .map(|it| it.credits.keys().cloned().collect())
            .unwrap_or_default();
        queues
            .into_iter()
            .for_each(|queue| self.tell_seat(client, queue));
    }

    fn tell_seat(&mut self, client: ClientId, queue: Bytes) {
        let owner = self.owner_of(&queue);
        self.due.seats.insert((owner, queue, client));
        self.wake_due(owner);
    }

    /// What an owner is to know of a worker now.
    pub(super) fn seat(&self, owner: Instance, client: ClientId, queue: Bytes) -> Seat {
        let worker = self.workers.workers.get(&client);
        let credit = worker.and_then(|it| it.credits.get(&queue)).copied();
        let tasks = worker.map(|it| &it.in_hand).into_iter().flatten();
        let mut holding: Vec<TaskId> = tasks
            .filter(|(_, (of, _))| *of == queue)
            .map(|(id, _)| *id)
            .collect();
        holding.sort_unstable();
        let heard = worker.and_then(|it| it.heard.get(&queue));
        let heard = heard
            .filter(|(of, _)| *of == owner)
            .map_or(0, |(_, seq)| *seq);
        Seat {
            heard,
            queue,
            worker: client,
            credit: match self.leaving {
                true => 0,
                false => credit.unwrap_or(0),
            },
            holding,
        }
    }

    /// All workers here for the queues of an owner.
    pub(super) fn seats_for(&self, owner: Instance) -> Vec<Seat> {
        let mut seats = Vec::new();
        for (client, worker) in &self.workers.workers {
            let queues = worker.credits.keys();
            let queues = queues.filter(|queue| self.owner_of(queue) == owner);
            seats.extend(queues.map(|queue| self.seat(owner, *client, queue.clone())));
        }
        seats
    }

    /// The ring has changed: other owners are to know of the workers here.
    pub(super) fn move_seats(&mut self, before: &crate::forward::Ring) {
        let mut moved = Vec::new();
        for (client, worker) in &self.workers.workers {
            for queue in worker.credits.keys() {
                let owner = self.owner_of(queue);
                let old = super::owner_in(before, queue).unwrap_or(self.me);
                if owner != old {
                    moved.push((owner, old, queue.clone(), *client));
                }
            }
        }
        for (owner, old, queue, client) in moved {
            self.due.seats.insert((owner, queue.clone(), client));
            self.wake_due(owner);
            // The old one gives it nothing more, and keeps no count of what it has.
            let seat = self.seat(old, client, queue);
            self.send(old, Message::Seat(Seat { credit: 0, ..seat }));
        }
    }

    /// Tasks for a worker of this node.
    pub(super) fn hand_over(
        &mut self,
        from: Instance,
        queue: Bytes,
        client: ClientId,
        seq: u64,
        tasks: Vec<Carried>,
    ) {
        let limit = self.limits.client_bytes;
        let Some(worker) = self.workers.workers.get_mut(&client) else {
            let tasks = tasks.into_iter().map(|task| task.id).collect();
            let message = Message::Failed {
                queue,
                worker: client,
                tasks,
                reason: Bytes::new(),
            };
            return self.send(from, message);
        };
        let mut wakes = false;
        worker.heard.insert(queue.clone(), (from, seq));
        for task in tasks {
            let times = worker.in_hand.entry(task.id);
            times.or_insert_with(|| (queue.clone(), 0)).1 += 1;
            let id = task.id.shown(task.attempt);
            wakes |= worker.out.push(&[id.as_bytes()], &task.body);
        }
        if worker.out.bytes() >= limit {
            self.outputs.push_back(Output::CloseClient(client));
        } else if wakes {
            self.outputs.push_back(Output::Client(client));
        }
    }

    /// A worker has done a task.
    pub(super) fn done(&mut self, client: ClientId, id: &[u8]) {
        let Some((id, queue)) = self.take_from(client, id) else {
            return self.refuse_unknown(client);
        };
        let owner = self.owner_of(&queue);
        let due = self.due.done.entry((owner, queue, client)).or_default();
        due.push(id);
        self.wake_due(owner);
    }

    /// A worker has not done a task, and says why.
    pub(super) fn failed(&mut self, client: ClientId, id: &[u8], reason: Bytes) {
        let Some((id, queue)) = self.take_from(client, id) else {
            return self.refuse_unknown(client);
        };
        let owner = self.owner_of(&queue);
        let message = Message::Failed {
            queue,
            worker: client,
            tasks: vec![id],
            reason,
        };
        self.send(owner, message);
    }

    fn take_from(&mut self, client: ClientId, id: &[u8]) -> Option<(TaskId, Bytes)> {
        let id = TaskId::parse(id)?;
        let worker = self.workers.workers.get_mut(&client)?;
        let (queue, times) = worker.in_hand.get_mut(&id)?;
        let queue = queue.clone();
        *times -= 1;
        if *times == 0 {
            worker.in_hand.remove(&id);
        }
        Some((id, queue))
    }

    fn refuse_unknown(&mut self, client: ClientId) {
        let text = "[$zmesh.done, task id] and [$zmesh.failed, task id, reason] name a task that \
                    this worker has; it has none of this id";
        self.refuse(client, text);
    }

    /// A worker has gone: what it had is for others.
    pub(super) fn lose_worker(&mut self, client: ClientId, _now: Time) {
        let Some(worker) = self.workers.workers.remove(&client) else {
            return;
        };
        let mut lost: BTreeMap<Bytes, Vec<TaskId>> = BTreeMap::new();
        for queue in worker.credits.into_keys() {
            lost.entry(queue).or_default();
        }
        for (id, (queue, _)) in worker.in_hand {
            lost.entry(queue).or_default().push(id);
        }
        let heard = worker.heard;
        for (queue, mut tasks) in lost {
            tasks.sort_unstable();
            let owner = self.owner_of(&queue);
            self.due.seats.remove(&(owner, queue.clone(), client));
            let last = heard.get(&queue).filter(|(of, _)| *of == owner);
            let seat = Seat {
                queue: queue.clone(),
                worker: client,
                credit: 0,
                holding: tasks.clone(),
                heard: last.map_or(0, |(_, seq)| *seq),
            };
            self.send(owner, Message::Seat(seat));
            if !tasks.is_empty() {
                let message = Message::Failed {
                    queue,
                    worker: client,
                    tasks,
                    reason: Bytes::new(),
                };
                self.send(owner, message);
            }
        }
    }
}
