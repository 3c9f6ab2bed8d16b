//! A mesh of processes that have membership only, and what can be done to it and read off it.

use std::collections::BTreeMap;
use std::time::Duration;

use zmesh_gossip::{Config, Gossip, State};
use zmesh_node::forward::Instance;

use crate::sim::Time;
use crate::sim::agenda::{Agenda, Event};
use crate::sim::dice::Dice;
use crate::sim::gossiper::Quiet;
use crate::sim::network::{HostId, Network, Path, Service};
use crate::sim::outside::{Outside, address};
use crate::sim::process::{Fate, Process, ProcessId, Start};
use crate::sim::tables::Tables;
use crate::sim::watch::Watch;

/// The wall clock at the beginning, in milliseconds since 1970.
const EPOCH: u64 = 1_700_000_000_000;
/// Hosts that every node is told of.
const SEEDS: u16 = 3;
/// Bytes of one direction of a connection that may wait to be read.
const WINDOW: usize = 256 << 10;

/// How a mesh is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Members.
    pub nodes: usize,
    /// Membership's settings.
    pub config: Config,
    /// Whether packets of up to 1400 bytes go as datagrams.
    pub datagrams: bool,
    /// Decides everything.
    pub seed: u64,
}

/// See the module.
pub struct Mesh {
    /// The time.
    pub now: Time,
    /// Chance.
    pub dice: Dice,
    /// Connections.
    pub net: Network,
    setup: Setup,
    agenda: Agenda,
    watch: Watch,
    tables: Tables,
    /// By process number; `None` when it has ended.
    processes: Vec<Option<Process>>,
    /// Where each process was started.
    born: Vec<HostId>,
    instances: BTreeMap<u64, HostId>,
    /// Bytes of packets sent by those that have ended.
    sent_before: u64,
    /// The process of each host.
    at_host: Vec<Option<ProcessId>>,
}

/// A death that somebody declared.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// When.
    pub at: Time,
    /// On which host.
    pub by: HostId,
    /// Of whom.
    pub of: HostId,
    /// The one that was declared dead runs.
    pub lives: bool,
}

impl Mesh {
    /// Hosts on which nothing runs.
    pub fn new(setup: Setup) -> Self {
        Self {
            now: Duration::from_secs(1000),
            dice: Dice::new(setup.seed),
            net: Network::new(setup.nodes, &Path::local(), WINDOW),
            agenda: Agenda::default(),
            watch: Watch::for_deaths(),
            tables: Tables::default(),
            processes: Vec::new(),
            born: Vec::new(),
            sent_before: 0,
            instances: BTreeMap::new(),
            at_host: vec![None; setup.nodes],
            setup,
        }
    }

    /// A mesh whose members, started within a second, are in one view.
    pub fn started(setup: Setup) -> Self {
        let mut mesh = Self::new(setup);
        mesh.start_all(Duration::from_secs(1));
        let one = mesh.run_until(Duration::from_secs(300), Self::is_one);
        assert!(
            one.is_some(),
            "a mesh without faults becomes one: {}",
            mesh.describe()
        );
        mesh
    }

    /// Starts every host's node at some time within this one.
    pub fn start_all(&mut self, within: Time) {
        let mut starts: Vec<(Time, HostId)> = self
            .hosts()
            .map(|host| (self.now + self.dice.time(Time::ZERO, within), host))
            .collect();
        starts.sort_unstable();
        for (at, host) in starts {
            self.run(at.saturating_sub(self.now));
            self.start(host);
        }
    }

    /// Starts the node of a host.
    pub fn start(&mut self, host: HostId) {
        let id = ProcessId(self.processes.len() as u32);
        let others = (0..SEEDS.min(self.setup.nodes as u16)).map(HostId);
        let start = Start {
            id,
            name: format!("node-{}", host.0),
            host,
            epoch: EPOCH + self.now.as_millis() as u64,
            nonce: self.dice.number(),
            seed: self.dice.number(),
            seeds: others
                .filter(|seed| *seed != host)
                .map(|seed| address(seed, Service::Gossip))
                .collect(),
            config: self.setup.config.clone(),
            limits: None,
        };
        self.instances.insert(start.nonce, host);
        self.born.push(host);
        let datagrams = self.setup.datagrams;
        let quiet = if self.setup.nodes < 500 {
            Quiet::Lossless
        } else {
            Quiet::Always
        };
        let (mut outside, processes) = self.parts();
        let mut process = Process::new(start, &mut outside);
        process.gossiper.datagrams = datagrams;
        process.gossiper.quiet = quiet;
        processes.push(Some(process));
        self.at_host[usize::from(host.0)] = Some(id);
        self.agenda.add(self.now, Event::Wake(id));
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Time) {
        let end = self.now + time;
        self.watch.tick(self.now);
        while let Some((at, event)) = self.agenda.next(end) {
            if at > self.now {
                self.now = at;
                self.watch.tick(at);
            }
            match event {
                Event::Net(event) => {
                    let (net, now) = (&mut self.net, self.now);
                    net.handle(event, now, &mut self.agenda, &mut self.dice);
                }
                Event::Wake(process) => self.wake(process),
                Event::Script => {}
            }
        }
        self.now = end;
    }

    /// Lets time pass until the condition holds, and tells how long that took; `None` if it does
    /// not hold within the limit. It is looked at every ten milliseconds.
    pub fn run_until(
        &mut self,
        limit: Time,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Option<Time> {
        let begin = self.now;
        while self.now < begin + limit {
            if done(self) {
                return Some(self.now - begin);
            }
            self.run(Duration::from_millis(10));
        }
        done(self).then(|| self.now - begin)
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.setup.nodes as u16).map(HostId)
    }

    /// The process that runs on a host.
    pub fn process(&self, host: HostId) -> Option<&Process> {
        let id = self.at_host[usize::from(host.0)]?;
        self.processes[id.0 as usize].as_ref()
    }

    /// Gives a host's process an input, and lets it do what follows.
    pub fn with<T>(
        &mut self,
        host: HostId,
        input: impl FnOnce(&mut Process, Time) -> T,
    ) -> Option<T> {
        let id = self.at_host[usize::from(host.0)]?;
        let now = self.now;
        let process = self.processes[id.0 as usize].as_mut()?;
        let clock = process.clock(now);
        let result = input(process, clock);
        self.agenda.add(now, Event::Wake(id));
        Some(result)
    }

    /// The host is gone without a word.
    pub fn lose_host(&mut self, host: HostId) {
        if let Some(id) = self.at_host[usize::from(host.0)].take() {
            self.net.host_lost(host, id);
            self.bury(id);
        }
    }

    /// The process is killed; its host lives on and says so.
    pub fn kill(&mut self, host: HostId) {
        if let Some(id) = self.at_host[usize::from(host.0)].take() {
            let (net, now) = (&mut self.net, self.now);
            net.process_ended(id, now, &mut self.agenda, &mut self.dice);
            self.bury(id);
        }
    }

    fn bury(&mut self, id: ProcessId) {
        if let Some(process) = self.processes[id.0 as usize].take() {
            self.sent_before += process.gossiper.machine.stats().sent_bytes;
        }
    }

    /// This share of all packets is lost from now on, everywhere.
    pub fn lose_packets(&mut self, share: f64) {
        self.each_path(|_, _, path| path.loss = share);
    }

    /// The hosts below this number and the others cannot reach each other.
    pub fn cut(&mut self, below: u16) {
        self.each_path(|from, to, path| path.open = (from.0 < below) == (to.0 < below));
    }

    /// Every path carries again.
    pub fn heal(&mut self) {
        self.each_path(|_, _, path| path.open = true);
    }

    fn each_path(&mut self, mut change: impl FnMut(HostId, HostId, &mut Path)) {
        for from in self.hosts() {
            for to in self.hosts() {
                change(from, to, self.net.path(from, to));
            }
        }
    }

    /// Every running process is in one view with all of the others and nobody else.
    pub fn is_one(&mut self) -> bool {
        let running = || self.processes.iter().flatten();
        let count = running().count();
        let mut hashes = running().map(|process| process.gossiper.machine.view_hash());
        let first = hashes.next();
        hashes.all(|hash| Some(hash) == first)
            && running().all(|process| process.gossiper.view().len() == count)
    }

    /// How many deaths were declared since [`Mesh::deaths`] was called.
    pub fn declared(&self) -> usize {
        self.watch.deaths.as_ref().map_or(0, Vec::len)
    }

    /// Deaths declared since the last call.
    pub fn deaths(&mut self) -> Vec<Death> {
        let deaths = self.watch.deaths.replace(Vec::new()).unwrap_or_default();
        let death = |(at, by, Instance(nonce)): (Time, ProcessId, Instance)| Death {
            at,
            by: self.born[by.0 as usize],
            of: self.instances[&nonce],
            lives: self.lives(nonce),
        };
        deaths.into_iter().map(death).collect()
    }

    fn lives(&self, nonce: u64) -> bool {
        let process = self.process(self.instances[&nonce]);
        process.is_some_and(|process| process.gossiper.machine.me().nonce == nonce)
    }

    /// What a process reaches, and the processes.
    fn parts(&mut self) -> (Outside<'_>, &mut Vec<Option<Process>>) {
        let outside = Outside {
            now: self.now,
            net: &mut self.net,
            agenda: &mut self.agenda,
            dice: &mut self.dice,
            watch: &mut self.watch,
            tables: &mut self.tables,
        };
        (outside, &mut self.processes)
    }

    /// Hosts of this mesh.
    pub fn size(&self) -> usize {
        self.setup.nodes
    }

    /// Hosts on which the node runs.
    pub fn running(&self) -> Vec<HostId> {
        let hosts = self.hosts();
        hosts.filter(|host| self.process(*host).is_some()).collect()
    }

    /// What every running process knows.
    pub fn machines(&self) -> impl Iterator<Item = &Gossip> {
        let running = self.processes.iter().flatten();
        running.map(|process| &process.gossiper.machine)
    }

    /// Bytes of all packets that were sent, by processes that have ended too.
    pub fn sent_bytes(&self) -> u64 {
        let running = self.machines().map(|machine| machine.stats().sent_bytes);
        self.sent_before + running.sum::<u64>()
    }

    /// How often a running process began to hold another suspect.
    pub fn suspicions(&self) -> u64 {
        let counts = self.machines().map(|machine| machine.stats().suspicions);
        counts.sum()
    }

    /// The process of a host stands still.
    pub fn freeze(&mut self, host: HostId, until: Time) {
        self.with(host, |process, _| process.freeze(until));
        if let Some(id) = self.at_host[usize::from(host.0)] {
            self.net.stands_still(id, until);
        }
    }

    /// For a person: who holds whom how.
    pub fn describe(&self) -> String {
        let line = |process: &Process| {
            let machine = &process.gossiper.machine;
            let count = |state| {
                let members = machine.members();
                members.filter(|it| it.member.state == state).count()
            };
            let states = [State::Alive, State::Suspect, State::Dead, State::Left].map(count);
            format!(
                "\n{}: {states:?}, view {}",
                process.name,
                process.gossiper.view().len()
            )
        };
        self.processes.iter().flatten().take(20).map(line).collect()
    }

    fn wake(&mut self, id: ProcessId) {
        let now = self.now;
        let (mut outside, processes) = self.parts();
        let Some(process) = processes[id.0 as usize].as_mut() else {
            return;
        };
        let may = process.may_run_at();
        if now < may {
            self.agenda.add(may, Event::Wake(id));
            return;
        }
        let fate = process.run(&mut outside);
        let (next, host) = (process.next_wake(), process.host);
        match (fate, next) {
            (Fate::Lives, Some(at)) => self.agenda.add(at, Event::Wake(id)),
            (Fate::Lives, None) => {}
            (Fate::Departed | Fate::Failed, _) => self.kill(host),
        }
    }
}
