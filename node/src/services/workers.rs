//! The worker's node: hands requests over, and sends the answers straight to the askers' nodes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use super::verbs::{Form, Reply, Wrong};
use super::{Code, Message, RequestId, Seat, Services};
use crate::forward::{ClientId, Instance, Time};

/// Services of one client; more are refused.
const MAX_SERVICES: usize = 1000;

/// A request that waits for its worker.
#[derive(Debug)]
struct Given {
    id: RequestId,
    patience: Time,
    body: Bytes,
}

/// What a worker does for a service.
#[derive(Debug)]
struct Duty {
    credit: u32,
    in_hand: u32,
    /// Requests over its credit: an owner that knows too little may send some.
    queue: VecDeque<Given>,
    /// The owner that knows of it.
    told: Instance,
}

#[derive(Debug, Default)]
struct Worker {
    duties: BTreeMap<Bytes, Duty>,
    /// The service of each request that it has and has not answered.
    in_hand: HashMap<RequestId, Bytes>,
}

/// Clients of this node that serve something.
#[derive(Debug, Default)]
pub(super) struct Workers {
    workers: BTreeMap<ClientId, Worker>,
}

impl Workers {
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn contains(&self, client: ClientId) -> bool {
        self.workers.contains_key(&client)
    }

    /// Whether an answer is awaited from a client.
    pub(super) fn is_busy(&self, client: ClientId) -> bool {
        self.workers
            .get(&client)
            .is_some_and(|it| !it.in_hand.is_empty())
    }

    /// Whether a client has this request.
    pub(super) fn has(&self, client: ClientId, id: RequestId) -> bool {
        let worker = self.workers.get(&client);
        worker.is_some_and(|it| it.in_hand.contains_key(&id))
    }

    /// Requests that workers here have.
    pub(super) fn in_hand(&self) -> usize {
        self.workers.values().map(|it| it.in_hand.len()).sum()
    }

    pub(super) fn are_idle(&self) -> bool {
        self.workers.values().all(|it| it.in_hand.is_empty())
    }

    /// One that serves nothing and has nothing is no worker any more.
    fn forget_idle(&mut self, client: ClientId) {
        let worker = self.workers.get(&client);
        if worker.is_some_and(|it| it.duties.is_empty() && it.in_hand.is_empty()) {
            self.workers.remove(&client);
        }
    }

    /// What an owner is to know.
    pub(super) fn seats_at(&self, owner: Instance) -> Vec<Seat> {
        let mut seats = Vec::new();
        for (id, worker) in &self.workers {
            let duties = worker.duties.iter().filter(|(_, duty)| duty.told == owner);
            seats.extend(duties.map(|(service, duty)| duty.seat(*id, service)));
        }
        seats
    }
}

impl Duty {
    fn seat(&self, worker: ClientId, service: &Bytes) -> Seat {
        Seat {
            service: service.clone(),
            worker,
            credit: self.credit,
            room: self
                .credit
                .saturating_sub(self.in_hand + self.queue.len() as u32),
        }
    }
}

fn gone(worker: ClientId, service: Bytes) -> Message {
    Message::Seat(Seat {
        service,
        worker,
        credit: 0,
        room: 0,
    })
}

impl Services {
    /// A client serves something, or with another credit.
    pub(super) fn serve(&mut self, client: ClientId, service: Bytes, credit: u32, now: Time) {
        let owner = self.owner_of(&service);
        let worker = self.workers.workers.entry(client).or_default();
        let is_new = !worker.duties.contains_key(&service);
        if is_new && worker.duties.len() >= MAX_SERVICES {
            let text = format!("a worker has at most {MAX_SERVICES} services");
            return self.refuse_worker(client, text);
        }
        // It may have some from before it gave the service up.
        let has = &worker.in_hand;
        let in_hand = || has.values().filter(|it| **it == service).count() as u32;
        let duty = worker
            .duties
            .entry(service.clone())
            .or_insert_with(|| Duty {
                credit,
                in_hand: in_hand(),
                queue: VecDeque::new(),
                told: owner,
            });
        let news = is_new || duty.credit != credit;
        duty.credit = credit;
        let (told, seat) = (duty.told, duty.seat(client, &service));
        if news && !self.leaving {
            self.rooms.remove(&(told, service.clone(), client));
            self.send(told, Message::Seat(seat));
        }
        self.hand_on(client, &service, now);
    }

    /// A client gives up to serve something. What it has of it it may still answer.
    pub(super) fn unserve(&mut self, client: ClientId, service: &Bytes) {
        let worker = self.workers.workers.get_mut(&client);
        match worker.and_then(|worker| worker.duties.remove(service)) {
            Some(duty) => {
                self.give_up(client, service.clone(), duty);
                self.workers.forget_idle(client);
            }
            None => self.refuse_worker(client, "it does not serve this".into()),
        }
    }

    /// A request for a worker of this node.
    pub(super) fn hand_over(&mut self, message: Message, from: Instance, now: Time) {
        let Message::Work {
            id,
            worker: client,
            patience,
            service,
            body,
        } = message
        else {
            return;
        };
        let worker = self.workers.workers.get_mut(&client);
        let duty = worker.and_then(|worker| worker.duties.get_mut(&service));
        let Some(duty) = duty else {
            // It has gone, and its owner hears of that before this.
            let message = Message::Ask {
                id,
                passed_on: true,
                patience,
                service,
                body,
            };
            return self.send(from, message);
        };
        duty.queue.push_back(Given { id, patience, body });
        self.hand_on(client, &service, now);
    }

    /// Gives a worker what it takes now.
    fn hand_on(&mut self, client: ClientId, service: &Bytes, now: Time) {
        while let Some(worker) = self.workers.workers.get_mut(&client)
            && let Some(duty) = worker.duties.get_mut(service)
            && duty.in_hand < duty.credit
            && let Some(Given { id, body, .. }) = duty.queue.pop_front()
        {
            duty.in_hand += 1;
            worker.in_hand.insert(id, service.clone());
            self.hand(client, id, &body, now);
        }
    }

    /// What a worker has not been given goes to another.
    fn give_up(&mut self, client: ClientId, service: Bytes, duty: Duty) {
        self.send(duty.told, gone(client, service.clone()));
        for Given { id, patience, body } in duty.queue {
            let message = Message::Ask {
                id,
                passed_on: true,
                patience,
                service: service.clone(),
                body,
            };
            self.send(duty.told, message);
        }
    }

    /// A worker has done a request.
    pub(super) fn answer(&mut self, client: ClientId, id: &[u8], body: Bytes, now: Time) {
        if !self.finish(client, id, body, now) {
            let text = "an answer is [request id, body…], and no request of this id is with this \
                        worker";
            self.refuse_worker(client, text.into());
        }
    }

    /// A REP socket has done the one request that it had.
    pub(super) fn answer_of_rep(&mut self, client: ClientId, body: Bytes, now: Time) {
        let worker = self.workers.workers.get(&client);
        let id = worker.and_then(|worker| worker.in_hand.keys().next().copied());
        // A REP socket says nothing that was not asked.
        if let Some(id) = id {
            self.finish(client, id.to_string().as_bytes(), body, now);
        }
    }

    /// The same; whether the worker had the request.
    pub(super) fn finish(&mut self, client: ClientId, id: &[u8], body: Bytes, now: Time) -> bool {
        let worker = self.workers.workers.get_mut(&client);
        let known = worker.and_then(|worker| {
            let id = RequestId::parse(id)?;
            let service = worker.in_hand.remove(&id)?;
            let duty = worker.duties.get_mut(&service);
            let told = duty.map(|duty| {
                duty.in_hand = duty.in_hand.saturating_sub(1);
                duty.told
            });
            Some((id, service, told))
        });
        let Some((id, service, told)) = known else {
            return false;
        };
        let number = id.number;
        self.send(Instance(id.asker), Message::Answer { number, body });
        if let Some(owner) = told {
            self.hand_on(client, &service, now);
            self.send_room(owner, service, client);
        }
        self.workers.forget_idle(client);
        true
    }

    /// A client has gone: so has what it was to do.
    pub(super) fn lose_worker(&mut self, client: ClientId) {
        let Some(worker) = self.workers.workers.remove(&client) else {
            return;
        };
        self.rooms.retain(|(_, _, of), _| *of != client);
        for (service, duty) in worker.duties {
            self.give_up(client, service, duty);
        }
        let mut lost: Vec<RequestId> = worker.in_hand.into_keys().collect();
        lost.sort_unstable();
        for id in lost {
            let text = "its worker has gone: it may have been done".into();
            self.tell_failed(id, Code::WorkerLost, text);
        }
    }

    /// The ring has changed: other owners are to know of the workers here.
    pub(super) fn move_seats(&mut self) {
        let mut moved = Vec::new();
        for (id, worker) in &self.workers.workers {
            for (service, duty) in &worker.duties {
                let owner = self.owner_of(service);
                if owner != duty.told {
                    moved.push((*id, service.clone(), owner));
                }
            }
        }
        for (id, service, owner) in moved {
            let worker = self.workers.workers.get_mut(&id);
            let duty = worker.and_then(|worker| worker.duties.get_mut(&service));
            let Some(duty) = duty else { continue };
            let before = std::mem::replace(&mut duty.told, owner);
            let seat = duty.seat(id, &service);
            self.send(before, gone(id, service));
            if !self.leaving {
                self.send(owner, Message::Seat(seat));
            }
        }
    }

    /// No owner is to count on the workers here any more.
    pub(super) fn withdraw_seats(&mut self) {
        let mut seats = Vec::new();
        for (id, worker) in &self.workers.workers {
            let duties = worker.duties.iter();
            seats.extend(duties.map(|(service, duty)| (duty.told, gone(*id, service.clone()))));
        }
        for (owner, seat) in seats {
            self.send(owner, seat);
        }
    }

    fn refuse_worker(&mut self, client: ClientId, text: String) {
        let reply = Reply {
            delimiter: false,
            form: Form::Plain,
        };
        self.refuse(client, &Wrong { reply, text });
    }
}
