//! Request/reply: from an asker at any node to a worker at any node, and straight back.
//!
//! [`Services`] is a pure state machine like the forwarding core: one input (`handle_*`), then
//! drain [`Services::poll_output`], then wait for the next input or [`Services::next_deadline`].
//!
//! A request passes three places, each with its file: `asks` (the asker's node keeps it until it
//! is answered or its time is up: so nobody waits for ever, whatever dies), `pools` (the owner of
//! the service picks a worker) and `workers` (the worker's node hands it over, and sends the
//! answer straight to the asker's node).

mod asks;
mod breaker;
mod client;
mod links;
mod majordomo;
mod message;
mod pools;
mod retries;
mod verbs;
mod workers;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use zmesh_partition::{Partition, Table};

use self::asks::Asks;
use self::breaker::Breakers;
use self::client::Client;
use self::links::Links;
use self::majordomo::Majordomo;
pub use self::message::{Code, Message, RequestId, Seat};
use self::pools::Pools;
use self::retries::Retries;
use self::verbs::Verb;
use self::workers::Workers;
use crate::config::ServiceRule;
use crate::forward::{ClientId, Instance, Ring, Time, Times};
use crate::zmtp::frames::Span;

/// A service has a name of at most so many bytes.
pub const MAX_SERVICE_BYTES: usize = 255;

/// A worker takes at most so many requests at a time of one service.
pub const MAX_CREDIT: u32 = 10_000;

/// What the core may hold. Of each service see [`ServiceRule`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests of one client that have no answer yet; it is not read over that.
    pub client_in_flight: usize,
    /// Requests of all clients of a node that have no answer yet.
    pub node_in_flight: usize,
    /// Bytes that wait for workers, for one link, or for one client.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            client_in_flight: 1000,
            node_in_flight: 1_000_000,
            bytes: 64 << 20,
        }
    }
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A client has something to write, or may be read again.
    Client(ClientId),
    /// A client must be disconnected: it does not read its answers.
    CloseClient(ClientId),
    /// There is something for the link to this node.
    Link(Instance),
    /// A request has ended with an error, which its asker is told.
    Failed {
        /// The request.
        id: RequestId,
        /// What it asked.
        service: Bytes,
        /// Why.
        code: Code,
        /// Why, for people.
        text: String,
    },
}

/// What has become of requests at this node since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests of this node's clients that were answered by a worker: how long that took.
    pub answered: Times,
    /// Those that were answered with an error, by [`Code`].
    pub failed: [u64; Code::ALL.len()],
    /// Those that have no answer yet.
    pub in_flight: usize,
    /// Requests that were asked again.
    pub retries: u64,
    /// Services that are not asked for a while.
    pub breakers_open: usize,
    /// Requests that wait here, at the owner of their service, for a worker.
    pub waiting: usize,
    /// Clients of this node that serve something.
    pub workers: usize,
}

/// A service, as its owner knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStats {
    /// Its name.
    pub name: Bytes,
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Who serves it.
    pub workers: Vec<WorkerStats>,
}

/// A worker, as the owner of a service knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerStats {
    /// Its node.
    pub node: Instance,
    /// The client of that node.
    pub client: ClientId,
    /// Requests that it takes at a time.
    pub credit: u32,
    /// Requests that it has.
    pub outstanding: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Services {
    me: Instance,
    limits: Limits,
    rules: HashMap<Bytes, ServiceRule>,
    /// What holds without one.
    no_rule: ServiceRule,
    ring: Arc<Ring>,
    /// Other nodes that are held alive.
    here: HashSet<Instance>,
    /// When the ring last changed.
    ring_since: Time,
    asks: Asks,
    breakers: Breakers,
    retries: Retries,
    pools: Pools,
    workers: Workers,
    majordomo: Majordomo,
    clients: HashMap<ClientId, Client>,
    links: Links,
    /// Requests that workers here have done and their owners have not been told of: told together,
    /// behind what waits for the link.
    rooms: BTreeMap<(Instance, Bytes, ClientId), u32>,
    /// From this node to itself.
    inbox: VecDeque<Message>,
    outputs: VecDeque<Output>,
    leaving: bool,
}

impl Services {
    /// A node that knows of nobody else.
    pub fn new(me: Instance, limits: Limits) -> Self {
        Self {
            me,
            limits,
            rules: HashMap::new(),
            no_rule: ServiceRule::named(""),
            ring: Arc::new(Ring::new(Table::empty(), HashMap::new())),
            here: HashSet::new(),
            ring_since: Time::ZERO,
            asks: Asks::default(),
            breakers: Breakers::default(),
            retries: Retries::default(),
            pools: Pools::default(),
            workers: Workers::default(),
            majordomo: Majordomo::default(),
            clients: HashMap::new(),
            links: Links::default(),
            rooms: BTreeMap::new(),
            inbox: VecDeque::new(),
            outputs: VecDeque::new(),
            leaving: false,
        }
    }

    /// From now on these hold, also for what waits.
    pub fn handle_rules(&mut self, rules: &[ServiceRule]) {
        let rules = rules.iter();
        let named = rules.map(|rule| (Bytes::from(rule.name.clone()), rule.clone()));
        self.rules = named.collect();
    }

    fn rule(&self, service: &[u8]) -> &ServiceRule {
        self.rules.get(service).unwrap_or(&self.no_rule)
    }

    /// What is to be done, oldest first; to be drained after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Services::handle_timeout`] is to be called, if ever.
    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = [
            self.asks.next_deadline(),
            self.retries.next_deadline(),
            self.pools.next_deadline(),
            self.majordomo.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The time of something is up.
    pub fn handle_timeout(&mut self, now: Time) {
        self.end_late_asks(now);
        self.ask_again(now);
        self.beat(now);
        self.end_late_waits(now);
        self.settle(now);
    }

    /// The members or the ring have changed.
    pub fn handle_topology(&mut self, here: HashSet<Instance>, ring: Arc<Ring>, now: Time) {
        let same = Arc::ptr_eq(&self.ring, &ring);
        if same && self.here == here {
            return;
        }
        if !same {
            self.ring = ring;
            self.ring_since = now;
        }
        let before = std::mem::replace(&mut self.here, here);
        let gone: Vec<Instance> = self
            .links
            .peers()
            .filter(|peer| !self.here.contains(peer))
            .collect();
        let unsent: Vec<Message> = gone
            .iter()
            .flat_map(|peer| self.links.forget(*peer))
            .collect();
        let here = &self.here;
        self.rooms.retain(|(owner, _, _), _| here.contains(owner));
        self.forget_seats_of_gone();
        // First what never left: it is not lost.
        for message in unsent {
            self.take_back(message);
        }
        self.lose_asks_of_gone(&before, now);
        self.move_seats();
        self.pass_on_waits(now);
        self.settle(now);
    }

    /// What did not get to a node that has gone: a request finds another way.
    fn take_back(&mut self, message: Message) {
        match message {
            Message::Ask { ref service, .. } => {
                let owner = self.owner_of(service);
                self.send(owner, message);
            }
            Message::Work {
                id,
                patience,
                service,
                body,
                ..
            } => {
                if id.asker == self.me.0 {
                    self.asks.taken_back(id);
                }
                let message = Message::Ask {
                    id,
                    passed_on: true,
                    patience,
                    service,
                    body,
                };
                self.send(self.me, message);
            }
            _ => {}
        }
    }

    fn take_room(&mut self, owner: Instance) -> Option<Message> {
        let first = (owner, Bytes::new(), ClientId(0));
        let (key, _) = self.rooms.range(first..).next()?;
        if key.0 != owner {
            return None;
        }
        let key = key.clone();
        let count = self.rooms.remove(&key)?;
        let (_, service, worker) = key;
        Some(Message::Room {
            service,
            worker,
            count,
        })
    }

    /// A message came over the link from a node.
    pub fn handle_message(&mut self, from: Instance, message: Message, now: Time) {
        self.take(from, message, now);
        self.settle(now);
    }

    /// A client with a REQ or DEALER socket has connected.
    pub fn handle_client_opened(&mut self, client: ClientId) {
        self.clients.insert(client, Client::default());
    }

    /// A REP socket has connected, which serves this.
    pub fn handle_rep_opened(&mut self, client: ClientId, service: Bytes, now: Time) {
        self.clients.insert(client, Client::rep());
        self.serve(client, service, 1, now);
        self.settle(now);
    }

    /// A client has gone.
    pub fn handle_client_closed(&mut self, client: ClientId, now: Time) {
        self.clients.remove(&client);
        self.asks.forget(client);
        self.majordomo.forget(client);
        self.lose_worker(client);
        self.settle(now);
    }

    /// A client says something.
    pub fn handle_client_message(
        &mut self,
        client: ClientId,
        chunk: &Bytes,
        span: &Span,
        now: Time,
    ) {
        if self.clients.get(&client).is_some_and(|it| it.is_rep) {
            self.answer_of_rep(client, verbs::behind_envelope(chunk, span), now);
            return self.settle(now);
        }
        let is_worker = self.workers.contains(client);
        match verbs::parse(chunk, span, is_worker) {
            Ok(Verb::Request {
                reply,
                service,
                body,
            }) => self.ask(client, reply, service, body, now),
            Ok(Verb::Serve { service, credit }) => self.serve(client, service, credit, now),
            Ok(Verb::Unserve { service }) => self.unserve(client, &service),
            Ok(Verb::Answer { id, body }) => self.answer(client, &id, body, now),
            Ok(Verb::Majordomo(manner, says)) => self.hear_worker(client, manner, says, now),
            Err(wrong) => self.refuse(client, &wrong),
        }
        self.settle(now);
    }

    /// The next bytes to write to a client: whole messages.
    pub fn take_segment(&mut self, client: ClientId) -> Option<Bytes> {
        self.clients.get_mut(&client)?.out.pop()
    }

    /// Whether more may be read from a client. If not, [`Output::Client`] says when.
    pub fn may_read(&self, client: ClientId) -> bool {
        let client = self.clients.get(&client);
        client.is_some_and(|it| it.in_flight < self.limits.client_in_flight)
    }

    /// Whether a client waits for nothing and nothing is awaited from it.
    pub fn is_idle(&self, client: ClientId) -> bool {
        let asks = self.clients.get(&client).is_some_and(|it| it.in_flight > 0);
        !asks && !self.workers.is_busy(client)
    }

    /// Whether nothing is left that this node has to do for anyone.
    pub fn owes_nothing(&self) -> bool {
        let idle = self.asks.len() == 0 && self.pools.waiting() == 0;
        idle && self.workers.are_idle() && self.links.are_empty()
    }

    /// Requests that wait here for a worker, or for an answer of one.
    pub fn unfinished(&self) -> usize {
        let answers = self.workers.in_hand();
        self.asks.len().max(answers) + self.pools.waiting()
    }

    /// The node is about to go: its workers get nothing new.
    pub fn handle_leaving(&mut self, now: Time) {
        self.leaving = true;
        self.withdraw_seats();
        self.dismiss_idle();
        self.settle(now);
    }

    /// The services that this node is the owner of, sorted by name; so many at most.
    pub fn list(&self, most: usize) -> Vec<ServiceStats> {
        self.pools.list(most)
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        Stats {
            answered: self.asks.times.clone(),
            failed: self.asks.failed,
            in_flight: self.asks.len(),
            retries: self.retries.count,
            breakers_open: self.breakers.open(),
            waiting: self.pools.waiting(),
            workers: self.workers.len(),
        }
    }

    fn take(&mut self, from: Instance, message: Message, now: Time) {
        match message {
            Message::Ask { .. } => self.place(message, now),
            Message::Work { .. } => self.hand_over(message, from, now),
            Message::Placed {
                number,
                attempt,
                node,
            } => self.asks.placed(number, attempt, Instance(node)),
            Message::Answer { number, body } => self.end_ask(number, Ok(body), now),
            Message::Part { number, body } => self.hear_part(number, &body),
            Message::Fail {
                number,
                attempt,
                code,
                text,
            } => self.fail_attempt(number, attempt, code, text, now),
            Message::Seats(seats) => {
                self.pools.forget(from);
                seats.into_iter().for_each(|it| self.seat(from, it, now));
            }
            Message::Seat(seat) => self.seat(from, seat, now),
            Message::Room {
                service,
                worker,
                count,
            } => self.make_room(from, service, worker, count, now),
            Message::TellSeats => self.tell_seats(from),
        }
    }

    /// Handles what this node has sent to itself.
    fn settle(&mut self, now: Time) {
        while let Some(message) = self.inbox.pop_front() {
            self.take(self.me, message, now);
        }
    }

    /// Tells an owner that a worker has done a request.
    fn send_room(&mut self, owner: Instance, service: Bytes, worker: ClientId) {
        if owner == self.me {
            let count = 1;
            self.inbox.push_back(Message::Room {
                service,
                worker,
                count,
            });
        } else if self.here.contains(&owner) {
            *self.rooms.entry((owner, service, worker)).or_default() += 1;
            if self.links.is_empty(owner) {
                self.outputs.push_back(Output::Link(owner));
            }
        }
    }

    /// The node where the workers of a service are known.
    fn owner_of(&self, service: &[u8]) -> Instance {
        let mut owners = self.ring.owners(Partition::of_topic(service));
        owners.next().unwrap_or(self.me)
    }
}
