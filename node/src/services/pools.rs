//! The owner of a service: knows its workers and picks one for each request.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use super::links::OVERHEAD_BYTES;
use super::majordomo;
use super::{Code, Message, RequestId, Seat, ServiceStats, Services, WorkerStats};
use crate::forward::{ClientId, Instance, Time, compact};

/// After a change of the ring a new owner waits so long for word of the workers before it says that
/// there are none.
const GRACE: Time = Time::from_secs(2);

/// What waits is looked through so often.
const TICK: Time = Time::from_millis(100);

/// A worker as the owner knows it.
#[derive(Debug)]
struct Place {
    credit: u32,
    room: u32,
    /// Rises with each request that any worker gets: the least has waited longest.
    picked: u64,
}

impl Place {
    fn outstanding(&self) -> u32 {
        self.credit.saturating_sub(self.room)
    }
}

/// A request without a worker.
#[derive(Debug)]
struct Wait {
    id: RequestId,
    until: Time,
    body: Bytes,
}

impl Wait {
    fn cost(&self) -> usize {
        OVERHEAD_BYTES + self.body.len()
    }
}

/// The workers of a service and what waits for them.
#[derive(Debug, Default)]
struct Pool {
    places: BTreeMap<(Instance, ClientId), Place>,
    waits: VecDeque<Wait>,
    picked: u64,
}

impl Pool {
    /// The worker with the least to do, at the asker's node before others, the one that has waited
    /// longest before others. `takes` says to which nodes requests can go.
    fn pick(
        &mut self,
        asker: Instance,
        takes: impl Fn(Instance) -> bool,
    ) -> Option<(Instance, ClientId)> {
        let free = self.places.iter_mut();
        let free = free.filter(|((node, _), place)| place.room > 0 && takes(*node));
        let best = free
            .min_by_key(|((node, _), place)| (place.outstanding(), *node != asker, place.picked));
        let (worker, place) = best?;
        place.room -= 1;
        self.picked += 1;
        place.picked = self.picked;
        Some(*worker)
    }

    fn in_flight(&self) -> usize {
        let outstanding = self.places.values().map(|it| it.outstanding() as usize);
        outstanding.sum::<usize>() + self.waits.len()
    }
}

/// All services that this node knows workers of, or has requests for.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pools: HashMap<Bytes, Pool>,
    /// Requests that wait, and the bytes that they take.
    waiting: usize,
    bytes: usize,
    /// Questions whether anybody serves this, that wait for word of the workers.
    questions: Vec<(RequestId, Bytes)>,
    /// When what waits is looked through, if anything does.
    next_tick: Option<Time>,
}

impl Pools {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.next_tick
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting + self.questions.len()
    }

    /// Whether there is a worker.
    pub(super) fn is_served(&self, service: &[u8]) -> bool {
        let pool = self.pools.get(service);
        pool.is_some_and(|pool| !pool.places.is_empty())
    }

    /// Every service with its workers, sorted by name; so many at most.
    pub(super) fn list(&self, most: usize) -> Vec<ServiceStats> {
        let mut names: Vec<&Bytes> = self.pools.keys().collect();
        names.sort_unstable();
        let pools = names.into_iter().take(most).map(|name| {
            let pool = &self.pools[name];
            let workers = pool
                .places
                .iter()
                .map(|((node, client), place)| WorkerStats {
                    node: *node,
                    client: *client,
                    credit: place.credit,
                    outstanding: place.outstanding(),
                });
            ServiceStats {
                name: name.clone(),
                waiting: pool.waits.len(),
                workers: workers.collect(),
            }
        });
        pools.collect()
    }

    /// A node's workers are told anew.
    pub(super) fn forget(&mut self, node: Instance) {
        for pool in self.pools.values_mut() {
            pool.places.retain(|(of, _), _| *of != node);
        }
    }

    fn release(&mut self, wait: &Wait) {
        self.waiting -= 1;
        self.bytes -= wait.cost();
    }
}

impl Services {
    /// A request comes to the owner of its service.
    pub(super) fn place(&mut self, message: Message, now: Time) {
        let Message::Ask {
            id,
            passed_on,
            patience,
            service,
            body,
        } = message
        else {
            return;
        };
        let owner = self.owner_of(majordomo::subject(&service, &body));
        if owner != self.me && !passed_on {
            let message = Message::Ask {
                id,
                passed_on: true,
                patience,
                service,
                body,
            };
            return self.send(owner, message);
        }
        if majordomo::is_management(&service) {
            return self.answer_management(id, &service, &body, now);
        }
        let until = now + patience;
        let wait = Wait { id, until, body };
        let in_flight = self.rule(&service).in_flight;
        let Some(pool) = self.pools.pools.get_mut(&service) else {
            return self.wait_for_worker(service, wait, now);
        };
        if pool.in_flight() >= in_flight as usize {
            let text = format!("{in_flight} requests of this service are on their way: ask later");
            return self.tell_failed(id, Code::Busy, text);
        }
        let (links, most) = (&self.links, self.limits.bytes);
        let takes = |node| !links.is_full(node, most);
        match pool.pick(Instance(id.asker), takes) {
            Some(worker) => self.give(worker, service, wait, now),
            None => self.wait_for_worker(service, wait, now),
        }
    }

    /// Whether this node became the owner so lately that it may not have heard of the workers.
    pub(super) fn may_be_unknown(&self, now: Time) -> bool {
        now < self.ring_since + GRACE
    }

    /// Whether anybody serves this is answered when it is known.
    pub(super) fn wait_for_seats(&mut self, id: RequestId, service: Bytes, now: Time) {
        if self.pools.bytes >= self.limits.bytes {
            let text = "the owner holds too many requests that wait: ask later".into();
            return self.tell_failed(id, Code::Busy, text);
        }
        self.pools.bytes += OVERHEAD_BYTES + service.len();
        self.pools.next_tick.get_or_insert(now + TICK);
        self.pools.questions.push((id, service));
    }

    fn answer_questions(&mut self, now: Time) {
        let unknown = self.may_be_unknown(now);
        for (id, service) in std::mem::take(&mut self.pools.questions) {
            match self.pools.is_served(&service) {
                false if unknown => {
                    self.pools.questions.push((id, service));
                    continue;
                }
                served => self.answer_question(id, if served { "200" } else { "404" }),
            }
            self.pools.bytes -= OVERHEAD_BYTES + service.len();
        }
    }

    /// No worker is free now.
    fn wait_for_worker(&mut self, service: Bytes, wait: Wait, now: Time) {
        let grace = self.may_be_unknown(now);
        let known = self.pools.pools.get(&service);
        if !grace && known.is_none_or(|pool| pool.places.is_empty()) {
            return self.tell_no_worker(wait.id);
        }
        if self.pools.bytes >= self.limits.bytes {
            let text = "the owner holds too many requests that wait: ask later".into();
            return self.tell_failed(wait.id, Code::Busy, text);
        }
        self.pools.waiting += 1;
        self.pools.next_tick.get_or_insert(now + TICK);
        let body = compact(&wait.body);
        let wait = Wait { body, ..wait };
        self.pools.bytes += wait.cost();
        let pool = self.pools.pools.entry(service).or_default();
        pool.waits.push_back(wait);
    }

    fn give(
        &mut self,
        (node, worker): (Instance, ClientId),
        service: Bytes,
        wait: Wait,
        now: Time,
    ) {
        let Wait { id, until, body } = wait;
        let placed = Message::Placed {
            number: id.number,
            attempt: id.attempt,
            node: node.0,
        };
        self.send(Instance(id.asker), placed);
        let work = Message::Work {
            id,
            worker,
            patience: until.saturating_sub(now),
            service,
            body,
        };
        self.send(node, work);
    }

    /// Word of a worker.
    pub(super) fn seat(&mut self, node: Instance, seat: Seat, now: Time) {
        let Seat {
            service,
            worker,
            credit,
            room,
        } = seat;
        if credit == 0 {
            if let Some(pool) = self.pools.pools.get_mut(&service) {
                pool.places.remove(&(node, worker));
            }
            return self.tidy_pool(&service, now);
        }
        let pool = self.pools.pools.entry(service.clone()).or_default();
        let picked = pool.picked;
        let place = Place {
            credit,
            room,
            picked,
        };
        pool.places.insert((node, worker), place);
        self.serve_waiting(&service, now);
    }

    /// A worker can take more.
    pub(super) fn make_room(
        &mut self,
        node: Instance,
        service: Bytes,
        worker: ClientId,
        count: u32,
        now: Time,
    ) {
        let pool = self.pools.pools.get_mut(&service);
        let place = pool.and_then(|pool| pool.places.get_mut(&(node, worker)));
        let Some(place) = place else { return };
        place.room = place.room.saturating_add(count).min(place.credit);
        self.serve_waiting(&service, now);
    }

    fn serve_waiting(&mut self, service: &Bytes, now: Time) {
        let most = self.limits.bytes;
        while let Some(pool) = self.pools.pools.get_mut(service)
            && let Some(first) = pool.waits.front()
            && let Some(worker) = pool.pick(Instance(first.id.asker), |node| {
                !self.links.is_full(node, most)
            })
            && let Some(wait) = pool.waits.pop_front()
        {
            self.pools.release(&wait);
            self.give(worker, service.clone(), wait, now);
        }
    }

    /// What waits here for workers that another node knows now.
    pub(super) fn pass_on_waits(&mut self, now: Time) {
        let owned = |service: &Bytes| self.owner_of(service) == self.me;
        let pools = self.pools.pools.iter();
        let others = pools.filter(|(service, pool)| !pool.waits.is_empty() && !owned(service));
        let mut others: Vec<Bytes> = others.map(|(service, _)| service.clone()).collect();
        others.sort_unstable();
        for service in others {
            let owner = self.owner_of(&service);
            let pool = self.pools.pools.get_mut(&service);
            let waits = pool.map(|pool| std::mem::take(&mut pool.waits));
            for wait in waits.unwrap_or_default() {
                self.pools.release(&wait);
                let message = Message::Ask {
                    id: wait.id,
                    passed_on: true,
                    patience: wait.until.saturating_sub(now),
                    service: service.clone(),
                    body: wait.body,
                };
                self.send(owner, message);
            }
        }
    }

    /// Workers of nodes that have gone.
    pub(super) fn forget_seats_of_gone(&mut self) {
        let (here, me) = (&self.here, self.me);
        for pool in self.pools.pools.values_mut() {
            let gone = |node: Instance| node != me && !here.contains(&node);
            pool.places.retain(|(node, _), _| !gone(*node));
            let before = pool.waits.len();
            let lost = |wait: &Wait| gone(Instance(wait.id.asker));
            let bytes: usize = pool
                .waits
                .iter()
                .filter(|it| lost(it))
                .map(Wait::cost)
                .sum();
            pool.waits.retain(|wait| !lost(wait));
            self.pools.waiting -= before - pool.waits.len();
            self.pools.bytes -= bytes;
        }
        self.pools
            .pools
            .retain(|_, pool| !pool.places.is_empty() || !pool.waits.is_empty());
    }

    /// Looks through what waits: its asker has given it up, or nobody is left to do it.
    pub(super) fn end_late_waits(&mut self, now: Time) {
        if self.pools.next_tick.is_none_or(|at| now < at) {
            return;
        }
        let mut services: Vec<Bytes> = self.pools.pools.keys().cloned().collect();
        services.sort_unstable();
        for service in services {
            self.tidy_pool(&service, now);
        }
        self.answer_questions(now);
        self.pools.next_tick = (self.pools.waiting() > 0).then(|| now + TICK);
    }

    fn tidy_pool(&mut self, service: &Bytes, now: Time) {
        let grace = self.may_be_unknown(now);
        while let Some(pool) = self.pools.pools.get_mut(service)
            && let Some(first) = pool.waits.front()
            && (first.until <= now || !grace && pool.places.is_empty())
            && let Some(wait) = pool.waits.pop_front()
        {
            self.pools.release(&wait);
            if wait.until > now {
                self.tell_no_worker(wait.id);
            }
        }
        let pool = self.pools.pools.get(service);
        if pool.is_some_and(|pool| pool.places.is_empty() && pool.waits.is_empty()) {
            self.pools.pools.remove(service);
        }
    }

    fn tell_no_worker(&mut self, id: RequestId) {
        let text = "nobody serves this: a worker comes with [$zmesh.serve, service, credit]";
        self.tell_failed(id, Code::NoWorker, text.into());
    }

    pub(super) fn tell_failed(&mut self, id: RequestId, code: Code, text: String) {
        let message = Message::Fail {
            number: id.number,
            attempt: id.attempt,
            code,
            text,
        };
        self.send(Instance(id.asker), message);
    }
}
