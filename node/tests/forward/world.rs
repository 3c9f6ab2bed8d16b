//! The world: processes, the links between them, their clients, and what each holds of the
//! others. One thread, virtual time, everything in an order that the seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use zmesh_node::forward::{ClientId, Instance, Output, Router, Time};

use crate::clients::{Publisher, Subscriber};
use crate::dice::Dice;
use crate::links::Session;
use crate::membership::{Membership, Record, Standing};
use crate::oracle::{Kind, Oracle};
use crate::plan::{Plan, Planted};

/// Nodes that there ever are.
pub(crate) const MOST_IDS: u8 = 8;

/// A living process.
pub(crate) struct Process {
    pub(crate) record: Record,
    pub(crate) router: Router,
    pub(crate) membership: Membership,
    /// It has a seed's table.
    pub(crate) joined: bool,
    /// When it had the interest of everybody.
    pub(crate) ready_at: Option<Time>,
    /// Since when it has held each peer alive.
    pub(crate) since: BTreeMap<Instance, Time>,
    /// Peers for whose link messages, or replies, wait.
    pub(crate) messages_wait: BTreeSet<Instance>,
    pub(crate) replies_wait: BTreeSet<Instance>,
    pub(crate) dialed: BTreeMap<Instance, u64>,
    pub(crate) accepted: BTreeMap<Instance, u64>,
    pub(crate) next_dial: BTreeMap<Instance, Time>,
    /// Messages handed to its clients.
    pub(crate) handed: u64,
}

/// What a node is about to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    Of(Record),
    /// The whole table of a seed: the node has joined.
    TableOf(Instance),
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) now: Time,
    pub(crate) processes: BTreeMap<Instance, Process>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    /// Ordered pairs of nodes that cannot make a link, and until when.
    pub(crate) cuts: BTreeMap<(u8, u8), Time>,
    /// Ordered pairs of nodes whose link is slow.
    pub(crate) slow: BTreeSet<(u8, u8)>,
    news: BTreeMap<(Time, u64), (Instance, News)>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) generations: BTreeMap<u8, u8>,
    /// The last that each node said, or that is true of it.
    truth: BTreeMap<u8, Record>,
    pub(crate) oracle: Oracle,
    /// Faults have stopped.
    pub(crate) calm: bool,
    counter: u64,
    hasher: DefaultHasher,
    tracing: bool,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut world = Self {
            dice: Dice::new(plan.seed),
            now: Duration::from_secs(100),
            processes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            cuts: BTreeMap::new(),
            slow: BTreeSet::new(),
            news: BTreeMap::new(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            generations: BTreeMap::new(),
            truth: BTreeMap::new(),
            oracle: Oracle::default(),
            calm: false,
            counter: 0,
            hasher: DefaultHasher::new(),
            tracing: std::env::var_os("ZMESH_TRACE").is_some(),
            plan,
        };
        for pair in (0..MOST_IDS).flat_map(|from| (0..MOST_IDS).map(move |to| (from, to))) {
            if world.dice.chance(world.plan.slow_links) {
                world.slow.insert(pair);
            }
        }
        let records: Vec<Record> = (0..world.plan.nodes as u8)
            .map(|id| world.start(id))
            .collect();
        for record in &records {
            let process = world.process(record.instance());
            for other in &records {
                process.membership.learn(*other);
            }
            process.joined = true;
        }
        for record in records {
            world.refresh(record.instance());
        }
        world
    }

    /// Starts the next process of a node, that knows nobody.
    pub(crate) fn start(&mut self, id: u8) -> Record {
        let generation = self.generations.entry(id).or_insert(0);
        *generation += 1;
        let record = Record {
            id,
            generation: *generation,
            standing: Standing::Joining,
        };
        let mut router = Router::new(record.instance(), self.plan.limits(), self.now);
        router.handle_queue_rules(self.plan.queue, &self.plan.rules, Time::ZERO);
        let process = Process {
            record,
            router,
            membership: Membership::new(record),
            joined: false,
            ready_at: None,
            since: BTreeMap::new(),
            messages_wait: BTreeSet::new(),
            replies_wait: BTreeSet::new(),
            dialed: BTreeMap::new(),
            accepted: BTreeMap::new(),
            next_dial: BTreeMap::new(),
            handed: 0,
        };
        self.processes.insert(record.instance(), process);
        self.trace("start", &record);
        record
    }

    pub(crate) fn process(&mut self, instance: Instance) -> &mut Process {
        let process = self.processes.get_mut(&instance);
        process.expect("only living processes are spoken of")
    }

    pub(crate) fn instances(&self) -> Vec<Instance> {
        self.processes.keys().copied().collect()
    }

    pub(crate) fn with_standing(&self, standing: Standing) -> Vec<Instance> {
        let all = self.processes.iter();
        let found = all.filter(|(_, process)| process.record.standing == standing);
        found.map(|(instance, _)| *instance).collect()
    }

    /// A number that was never given before.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A time between now and so many milliseconds later.
    pub(crate) fn soon(&mut self, most_ms: u64) -> Time {
        self.now + Duration::from_millis(self.dice.between(0, most_ms))
    }

    /// Notes what happened: two runs of one seed must note the same.
    pub(crate) fn trace(&mut self, what: &str, detail: &dyn std::fmt::Debug) {
        let line = format!("{:?} {what} {detail:?}", self.now);
        if self.tracing {
            eprintln!("{line}");
        }
        line.hash(&mut self.hasher);
    }

    pub(crate) fn trace_hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// Gives a core an input and does what it then asks for.
    pub(crate) fn input<T>(
        &mut self,
        at: Instance,
        input: impl FnOnce(&mut Router, Time) -> T,
    ) -> T {
        let now = self.now;
        let result = input(&mut self.process(at).router, now);
        while let Some(output) = self.process(at).router.poll_output() {
            self.trace("output", &(at, &output));
            self.act_on(at, output);
        }
        result
    }

    fn act_on(&mut self, at: Instance, output: Output) {
        match output {
            Output::Link(peer) => {
                self.process(at).messages_wait.insert(peer);
            }
            Output::Accepted(peer) => {
                self.process(at).replies_wait.insert(peer);
            }
            Output::Client(client) => self.wake(client),
            Output::CloseClient(client) => self.told_to_close(client),
            Output::Learned(card) => {
                let due = self.soon(self.plan.spread_ms / 4);
                self.tell(at, due, News::Of(Record::of_card(&card)));
            }
            Output::SubscriptionReady(_)
            | Output::GivenUp(_)
            | Output::Slow(..)
            | Output::Hop(..) => {}
            Output::PassedOver(peer) => {
                self.oracle.passed_over += 1;
                if self.calm || self.plan.is_faultless() {
                    let text = format!("{at:?} passed over {peer:?} although all is well");
                    self.oracle.report(Kind::PassedOver, text);
                }
            }
        }
    }

    fn wake(&mut self, client: ClientId) {
        if self.plan.planted != Some(Planted::LostWake) {
            let publishers = self.publishers.iter_mut();
            for publisher in publishers.filter(|publisher| publisher.client == client) {
                publisher.waiting = false;
            }
        }
        if let Some(subscriber) = self.subscribers.iter_mut().find(|s| s.client == client) {
            subscriber.awake = true;
        }
    }

    fn told_to_close(&mut self, client: ClientId) {
        if let Some(subscriber) = self.subscribers.iter_mut().find(|s| s.client == client) {
            subscriber.closing = true;
        }
    }

    /// Lets a node hear something later.
    pub(crate) fn tell(&mut self, node: Instance, due: Time, news: News) {
        let order = self.fresh();
        self.news.insert((due, order), (node, news));
    }

    /// Lets everybody else hear of a process, each at a time of its own.
    pub(crate) fn announce(&mut self, record: Record, least_ms: u64) {
        self.truth.insert(record.id, record);
        for instance in self.instances() {
            if instance != record.instance() {
                let due = self.soon(self.plan.spread_ms) + Duration::from_millis(least_ms);
                self.tell(instance, due, News::Of(record));
            }
        }
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    pub(crate) fn hear_news(&mut self) {
        while let Some(entry) = self.news.first_entry()
            && entry.key().0 <= self.now
        {
            let (to, news) = entry.remove();
            if !self.processes.contains_key(&to) {
                continue;
            }
            let changed = match news {
                News::Of(record) => self.process(to).membership.learn(record),
                News::TableOf(seed) => self.join_by(to, seed),
            };
            if changed {
                self.refresh(to);
            }
        }
        for instance in self.instances() {
            let now = self.now;
            let refuted = self.process(instance).membership.refuted(now);
            if !refuted.is_empty() {
                self.trace("takes back", &(instance, &refuted));
                self.refresh(instance);
            }
            self.become_ready(instance);
        }
    }

    fn join_by(&mut self, joining: Instance, seed: Instance) -> bool {
        let ready = self.with_standing(Standing::Ready);
        let living = ready.contains(&seed).then_some(seed);
        let Some(seed) = living.or_else(|| self.dice.pick(&ready)) else {
            let later = self.soon(self.plan.spread_ms);
            self.tell(joining, later, News::TableOf(seed));
            return false;
        };
        let records: Vec<Record> = self.process(seed).membership.records().collect();
        let process = self.process(joining);
        for record in records {
            process.membership.learn(record);
        }
        process.joined = true;
        // Gossip goes on: what the seed did not know comes later.
        let truth: Vec<Record> = self.truth.values().copied().collect();
        for record in truth {
            let due = self.soon(2 * self.plan.spread_ms);
            self.tell(joining, due, News::Of(record));
        }
        true
    }

    fn become_ready(&mut self, instance: Instance) {
        let process = self.process(instance);
        let joining = process.record.standing == Standing::Joining && process.joined;
        if joining && process.router.knows_interest_of_all() {
            self.process(instance).ready_at = Some(self.now);
            self.stand(instance, Standing::Ready);
        }
    }

    /// A process says of itself how far it is.
    pub(crate) fn stand(&mut self, instance: Instance, standing: Standing) {
        let process = self.process(instance);
        process.record.standing = standing;
        let record = process.record;
        process.membership.learn(record);
        self.trace("stands", &record);
        self.refresh(instance);
        self.announce(record, 10);
    }

    /// Tells a core what its node now holds of the others.
    pub(crate) fn refresh(&mut self, instance: Instance) {
        let now = self.now;
        let process = self.process(instance);
        let topology = process.membership.topology();
        let here: BTreeSet<Instance> = topology.peers.iter().map(|peer| peer.instance).collect();
        process.since.retain(|peer, _| here.contains(peer));
        for peer in &here {
            process.since.entry(*peer).or_insert(now);
        }
        self.trace("view", &(instance, &here));
        self.input(instance, |router, now| {
            router.handle_topology(topology, now)
        });
        let sessions = self.sessions.values_mut();
        for session in sessions.filter(|session| session.dialer == instance) {
            session.doomed |= !here.contains(&session.acceptor);
        }
    }

    /// Lets time pass, and cores look at it.
    pub(crate) fn pass_time(&mut self, most_ms: u64) {
        self.now = self.soon(most_ms);
        for instance in self.instances() {
            if self.process(instance).router.next_deadline() <= self.now {
                self.input(instance, Router::handle_timeout);
            }
        }
    }
}
