//! The world of a run: hosts, processes, programs, and what happens to them in the order of time.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use foldhash::fast::FixedState;
use zmesh_node::forward::{ClientId, Instance};

use super::Time;
use super::agenda::{Agenda, Event};
use super::clients::{PREFIXES, Publisher, Subscriber};
use super::data::{Data, Phase};
use super::dice::Dice;
use super::faults::Undo;
use super::gossiper::{Quiet, name_of};
use super::network::{HostId, Network, Service};
use super::outside::{Outside, address};
use super::plan::Plan;
use super::process::{Fate, Process, ProcessId, Start};
use super::swarm::unreached;
use super::tables::Tables;
use super::watch::{Ended, Kind, Planted, Watch};

/// The wall clock at the beginning, in milliseconds since 1970.
const EPOCH: u64 = 1_700_000_000_000;

/// So often it is looked whether something holds.
const LOOK: Time = Duration::from_millis(50);

/// See the module.
pub struct World {
    /// How the run is to be.
    pub plan: Plan,
    /// Chance.
    pub dice: Dice,
    /// The time.
    pub now: Time,
    /// Connections.
    pub net: Network,
    /// What is to happen.
    pub agenda: Agenda,
    /// Running processes.
    pub processes: BTreeMap<ProcessId, Process>,
    /// Who looks on.
    pub watch: Watch,
    /// Tables made before.
    pub tables: Tables,
    /// What ends a fault, by when.
    pub undo: BTreeMap<(Time, u64), Undo>,
    /// When each kind of fault comes next.
    pub next_faults: Vec<Time>,
    /// Messages that nodes which have left had dropped because others could not be reached.
    pub unreached_before: u64,
    /// Programs publish nothing by themselves any more, and read at once.
    pub quiet: bool,
    started: u32,
    publishers: u32,
    counter: u64,
    trace: u64,
}

impl World {
    /// Hosts without processes.
    pub fn new(plan: Plan, mut tables: Tables) -> Self {
        tables.start_over();
        tables.spoiled = plan.planted == Some(Planted::WrongTable);
        let mut watch = Watch::new(plan.watched_config(), plan.planted);
        watch.follow = plan.follow;
        let net = Network::new(plan.hosts, &plan.path(), plan.window);
        Self {
            dice: Dice::new(plan.seed),
            now: Duration::from_secs(1000),
            net,
            agenda: Agenda::default(),
            processes: BTreeMap::new(),
            watch,
            tables,
            undo: BTreeMap::new(),
            next_faults: Vec::new(),
            unreached_before: 0,
            quiet: false,
            started: 0,
            publishers: 0,
            counter: 0,
            trace: 0,
            plan,
        }
    }

    /// A number that was never given before.
    pub fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// What two runs of one seed must have alike.
    pub fn trace_hash(&self) -> u64 {
        self.trace
    }

    /// The next event, unless it is later than `end`.
    pub fn step(&mut self, end: Time) -> bool {
        let Some((at, event)) = self.agenda.next(end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(at);
        self.watch.tick(self.now);
        self.note(&(self.now, event));
        match event {
            Event::Net(event) => {
                let Self {
                    net, agenda, dice, ..
                } = self;
                net.handle(event, self.now, agenda, dice);
            }
            Event::Wake(process) => self.wake(process),
            Event::Script => self.script(),
        }
        true
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Time) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until the condition holds; `false` if that is not before `limit`. It is
    /// looked at now and then.
    pub fn run_until(&mut self, limit: Time, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            let look = (self.now + LOOK).min(end);
            while self.step(look) {}
            self.check_bounds();
        }
        done(self)
    }

    /// Notes what happened for the trace.
    pub fn note(&mut self, what: &impl Hash) {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write_u64(self.trace);
        what.hash(&mut hasher);
        self.trace = hasher.finish();
    }

    /// Starts a process of the node that belongs to a host.
    pub fn start(&mut self, host: HostId, lost_clock: bool) -> ProcessId {
        self.started += 1;
        let id = ProcessId(self.started);
        let since = self.now.as_millis() as u64;
        let epoch = EPOCH + since;
        let nonce = self.dice.number();
        let start = Start {
            id,
            name: format!("n{}", host.0),
            host,
            epoch: if lost_clock {
                epoch - 86_400_000
            } else {
                epoch
            },
            nonce,
            seed: self.dice.number(),
            seeds: self.seeds_for(host),
            config: self.plan.config(),
            limits: Some(self.plan.limits()),
        };
        self.note(&("start", id, host));
        // Among so many, signs of life are most of what happens.
        let large = self.plan.nodes > 20;
        let (mut outside, processes) = self.outside();
        let mut process = Process::new(start, &mut outside);
        if large && let Some(data) = &mut process.data {
            process.gossiper.quiet = Quiet::Lossless;
            data.links.quiet = true;
        }
        let node = process.node;
        processes.insert(id, process);
        self.watch.began(id, Instance(nonce), node);
        self.agenda.add(self.now, Event::Wake(id));
        id
    }

    fn seeds_for(&mut self, host: HostId) -> Vec<String> {
        let named = self.plan.named_seeds;
        let hosts = (0..self.plan.seeds.min(self.plan.nodes) as u16).map(HostId);
        let others = hosts.filter(|seed| *seed != host);
        let text = |seed| {
            if named {
                name_of(seed)
            } else {
                address(seed, Service::Gossip)
            }
        };
        others.map(text).collect()
    }

    /// What processes reach, and the processes.
    pub fn outside(&mut self) -> (Outside<'_>, &mut BTreeMap<ProcessId, Process>) {
        let Self {
            now,
            net,
            agenda,
            dice,
            watch,
            tables,
            processes,
            ..
        } = self;
        let outside = Outside {
            now: *now,
            net,
            agenda,
            dice,
            watch,
            tables,
        };
        (outside, processes)
    }

    fn wake(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let may = process.may_run_at();
        if self.now < may {
            self.agenda.add(may, Event::Wake(id));
            return;
        }
        let (mut outside, processes) = self.outside();
        let Some(process) = processes.get_mut(&id) else {
            return;
        };
        let fate = process.run(&mut outside);
        let next = process.next_wake();
        let ready = process
            .data
            .as_ref()
            .is_some_and(|data| data.phase == Phase::Ready);
        let opens = ready && std::mem::take(&mut process.programs_wait);
        if fate != Fate::Lives {
            self.check_overdue(id);
        }
        match (fate, next) {
            (Fate::Lives, Some(at)) => self.agenda.add(at, Event::Wake(id)),
            (Fate::Lives, None) => {}
            (Fate::Departed, _) => self.end(id, Ended::Departed),
            (Fate::Failed, _) => self.end(id, Ended::Crashed),
        }
        if opens {
            self.open_programs(id);
        }
    }

    /// A node may only be late on its way out if something hindered it.
    fn check_overdue(&mut self, id: ProcessId) {
        let data = self.processes.get(&id).and_then(|it| it.data.as_ref());
        let Some(data) = data.filter(|data| data.overdue) else {
            return;
        };
        if !self.plan.hinders() {
            let text = format!(
                "{id:?} waited for {}: {:?}",
                data.waits_for(),
                data.unrest()
            );
            self.watch.report(Kind::Undrained, text);
        }
    }

    /// Gives a process's data thread an input, and lets it do what follows.
    pub fn with_data<T>(
        &mut self,
        id: ProcessId,
        input: impl FnOnce(&mut Data, Time, &mut Outside<'_>) -> T,
    ) -> Option<T> {
        let (mut outside, processes) = self.outside();
        let process = processes.get_mut(&id)?;
        let now = process.clock(outside.now);
        let data = process.data.as_mut()?;
        let result = input(data, now, &mut outside);
        data.settle(now, &mut process.gossiper, &mut outside);
        self.agenda.add(self.now, Event::Wake(id));
        Some(result)
    }

    /// A process is no more; its host is.
    pub fn end(&mut self, id: ProcessId, how: Ended) {
        let Self {
            net, agenda, dice, ..
        } = self;
        net.process_ended(id, self.now, agenda, dice);
        self.bury(id, how);
    }

    /// A host is gone with its process.
    pub fn lose_host(&mut self, id: ProcessId) {
        if let Some(process) = self.processes.get(&id) {
            self.net.host_lost(process.host, id);
            self.bury(id, Ended::Crashed);
        }
    }

    fn bury(&mut self, id: ProcessId, how: Ended) {
        self.note(&("end", id, how));
        let Some(process) = self.processes.remove(&id) else {
            return;
        };
        if let Some(data) = process.data.filter(|_| how == Ended::Departed) {
            let stats = data.router.stats();
            self.unreached_before += unreached(&stats);
            self.watch.check_counts(id, &stats, data.handed());
        }
        self.watch.ended(id, how);
    }

    /// Processes that there have been.
    pub fn started_processes(&self) -> usize {
        self.started as usize
    }

    /// Running processes.
    pub fn ids(&self) -> Vec<ProcessId> {
        self.processes.keys().copied().collect()
    }

    /// Running processes that take messages.
    pub fn ready(&self) -> Vec<ProcessId> {
        self.in_phase(Phase::Ready)
    }

    /// Running processes in a phase.
    pub fn in_phase(&self, phase: Phase) -> Vec<ProcessId> {
        let is = |process: &Process| process.data.as_ref().is_some_and(|it| it.phase == phase);
        let found = self.processes.iter().filter(|(_, process)| is(process));
        found.map(|(id, _)| *id).collect()
    }

    /// Hosts on which nothing runs.
    pub fn free_hosts(&self) -> Vec<HostId> {
        let taken = |host: &HostId| self.processes.values().any(|it| it.host == *host);
        (0..self.plan.hosts as u16)
            .map(HostId)
            .filter(|host| !taken(host))
            .collect()
    }

    /// A program begins to publish at a node.
    pub fn open_publisher(&mut self, at: ProcessId) {
        self.publishers += 1;
        let (number, plan, quiet) = (self.publishers, self.plan.clone(), self.quiet);
        let mean = self
            .dice
            .time(plan.publish_every / 2, plan.publish_every * 2);
        self.with_data(at, |data, now, _| {
            let client = data.open_client();
            let mut publisher = Publisher::new(at, client, number, mean, plan.burst, now);
            if quiet {
                publisher.stop();
            }
            data.publishers.insert(client, publisher);
        });
    }

    /// A program begins to subscribe at a node.
    pub fn open_subscriber(&mut self, at: ProcessId) {
        let slow = !self.quiet && self.dice.chance(self.plan.slow_subscribers);
        let pace = if slow {
            self.dice
                .time(Duration::from_millis(20), Duration::from_millis(1500))
        } else {
            Time::ZERO
        };
        let client = self.with_data(at, |data, now, outside| {
            let client = data.open_client();
            let subscriber = Subscriber::new(at, client, pace);
            data.subscribers.insert(client, subscriber);
            let taken = data.router.handle_subscribe(client, b"$zmesh.ready", now);
            debug_assert!(taken.is_ok(), "the first subscription is within limits");
            let _ = outside;
            client
        });
        let Some(client) = client else { return };
        for _ in 0..self.dice.between(1, 3) {
            self.subscribe(at, client);
        }
    }

    /// A program wants one more prefix.
    pub fn subscribe(&mut self, at: ProcessId, client: ClientId) {
        let Some(prefix) = self.dice.pick(&PREFIXES) else {
            return;
        };
        self.with_data(at, |data, now, outside| {
            if data.subscribers.contains_key(&client)
                && outside.watch.subscribed(at, client, prefix)
            {
                let taken = data.router.handle_subscribe(client, prefix.as_bytes(), now);
                debug_assert!(taken.is_ok(), "subscriptions are within limits");
            }
        });
    }

    /// A program gives a prefix up.
    pub fn unsubscribe(&mut self, at: ProcessId, client: ClientId) {
        let Some(prefix) = self.dice.pick(&PREFIXES) else {
            return;
        };
        self.with_data(at, |data, _, outside| {
            if outside.watch.unsubscribed(at, client, prefix) {
                data.router.handle_unsubscribe(client, prefix.as_bytes());
            }
        });
    }
}
