//! A network of machines in memory: seeded, in virtual time, with faults that a test names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use zmesh_gossip::{Body, Config, Event, Gossip, Me, Member, NodeId, Output, State, decode};

pub(crate) const CLUSTER: &str = "test";

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// One process: the machine, and what it has said.
pub(crate) struct Node {
    pub(crate) machine: Gossip,
    pub(crate) view: Vec<NodeId>,
    pub(crate) events: Vec<Event>,
    pub(crate) notices: Vec<Output>,
    pub(crate) joined: Option<bool>,
    pub(crate) departed: bool,
    pub(crate) conflict: Option<String>,
    /// Until then the process stands still; its packets wait.
    frozen_until: Duration,
}

impl Node {
    pub(crate) fn state_of(&self, name: &str) -> Option<State> {
        self.record_of(name).map(|member| member.state)
    }

    pub(crate) fn record_of(&self, name: &str) -> Option<Member> {
        let mut members = self.machine.members();
        members
            .find(|known| known.member.name == name)
            .map(|known| known.member.clone())
    }

    pub(crate) fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

type Filter = Box<dyn Fn(&str, &str, &Body) -> bool>;

/// Processes by address. An address is a name and a port: `a:1`.
pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) nodes: BTreeMap<String, Node>,
    /// Addresses whose host still answers for a process that is gone.
    refusing: BTreeSet<String>,
    on_the_way: BTreeMap<(Duration, u64), (String, Vec<u8>)>,
    sent: u64,
    pub(crate) rng: Xoshiro256PlusPlus,
    loss_percent: u32,
    damage_percent: u32,
    drops: Option<Filter>,
    pub(crate) config: Config,
    pub(crate) names: BTreeMap<String, Vec<String>>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: secs(1000),
            nodes: BTreeMap::new(),
            refusing: BTreeSet::new(),
            on_the_way: BTreeMap::new(),
            sent: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            loss_percent: 0,
            damage_percent: 0,
            drops: None,
            config: Config::local(),
            names: BTreeMap::new(),
        }
    }

    /// Nodes `n0`, `n1`, … where each knows the first as its seed; run until all are in one view.
    pub(crate) fn started(seed: u64, count: usize) -> Self {
        let mut net = Self::new(seed);
        for i in 0..count {
            let seeds: &[&str] = if i == 0 { &[] } else { &["10.0.0.0:1"] };
            net.start(i, seeds);
        }
        net.run_until(secs(20), |net| net.agree(count));
        net
    }

    /// Starts the node `n{i}` at `10.0.0.{i}:1`.
    pub(crate) fn start(&mut self, i: usize, seeds: &[&str]) {
        let epoch = 1_700_000_000_000 + self.now.as_millis() as u64;
        self.start_as(&format!("n{i}"), &host(i), epoch, seeds);
    }

    pub(crate) fn start_as(&mut self, name: &str, address: &str, epoch: u64, seeds: &[&str]) {
        let me = self.me(name, address, epoch);
        self.start_me(me, seeds);
    }

    pub(crate) fn me(&mut self, name: &str, address: &str, epoch: u64) -> Me {
        let (host, _) = address.rsplit_once(':').unwrap();
        Me {
            cluster: CLUSTER.into(),
            name: name.into(),
            epoch,
            nonce: self.rng.random(),
            client: format!("{host}:5555"),
            gossip: address.into(),
            link: format!("{host}:5557"),
            zone: String::new(),
            weight: 1,
        }
    }

    pub(crate) fn start_me(&mut self, me: Me, seeds: &[&str]) {
        let address = me.gossip.clone();
        let seeds = seeds.iter().map(|s| (*s).to_string()).collect();
        let seed = self.rng.random();
        let machine = Gossip::new(self.config.clone(), me, seeds, seed, self.now).unwrap();
        let node = Node {
            machine,
            view: Vec::new(),
            events: Vec::new(),
            notices: Vec::new(),
            joined: None,
            departed: false,
            conflict: None,
            frozen_until: Duration::ZERO,
        };
        self.refusing.remove(&address);
        self.nodes.insert(address.clone(), node);
        self.drain(&address);
    }

    pub(crate) fn node(&self, i: usize) -> &Node {
        &self.nodes[&host(i)]
    }

    /// Gives the machine of one node an input and takes its outputs.
    pub(crate) fn with<T>(
        &mut self,
        i: usize,
        input: impl FnOnce(&mut Gossip, Duration) -> T,
    ) -> T {
        let address = host(i);
        let now = self.now;
        let result = input(&mut self.nodes.get_mut(&address).unwrap().machine, now);
        self.drain(&address);
        result
    }

    /// The host is gone: no packet is answered, no connection refused.
    pub(crate) fn vanish(&mut self, i: usize) {
        self.nodes.remove(&host(i));
    }

    /// The process is gone and its host refuses connections; everybody connected notices.
    pub(crate) fn kill(&mut self, i: usize) {
        let address = host(i);
        self.nodes.remove(&address);
        self.refusing.insert(address.clone());
        let others: Vec<String> = self.nodes.keys().cloned().collect();
        for other in others {
            let now = self.now;
            self.nodes
                .get_mut(&other)
                .unwrap()
                .machine
                .handle_reset(&address, now);
            self.drain(&other);
        }
    }

    pub(crate) fn freeze(&mut self, i: usize, gap: Duration) {
        self.nodes.get_mut(&host(i)).unwrap().frozen_until = self.now + gap;
    }

    /// This share of all packets is lost.
    pub(crate) fn drop_percent(&mut self, percent: u32) {
        self.loss_percent = percent;
    }

    /// This share of all packets arrives with a few bytes changed.
    pub(crate) fn damage_percent(&mut self, percent: u32) {
        self.damage_percent = percent;
    }

    /// Packets (from, to, body) for which this holds are lost.
    pub(crate) fn cut(&mut self, drops: impl Fn(&str, &str, &Body) -> bool + 'static) {
        self.drops = Some(Box::new(drops));
    }

    pub(crate) fn heal(&mut self) {
        self.drops = None;
        self.loss_percent = 0;
        self.damage_percent = 0;
    }

    /// Whether `count` nodes run and all have published the same view of all of them.
    pub(crate) fn agree(&self, count: usize) -> bool {
        let mut hashes = self.nodes.values().map(|node| node.machine.view_hash());
        let first = hashes.next();
        self.nodes.len() == count
            && self.nodes.values().all(|node| node.view.len() == count)
            && hashes.all(|hash| Some(hash) == first)
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until the condition holds; panics with the state of all nodes if it never does.
    /// Returns how long it took.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Duration {
        let start = self.now;
        let end = start + limit;
        while !done(self) {
            assert!(self.step(end), "not within {limit:?}: {}", self.describe());
        }
        self.now - start
    }

    pub(crate) fn describe(&self) -> String {
        let line = |(address, node): (&String, &Node)| {
            let states = node
                .machine
                .members()
                .map(|known| format!("{}:{:?}", known.member.name, known.member.state));
            let states: Vec<String> = states.collect();
            format!(
                "\n{address} view {} of {}",
                node.view.len(),
                states.join(" ")
            )
        };
        self.nodes.iter().map(line).collect()
    }

    /// The next thing that happens, unless it is after `end`.
    fn step(&mut self, end: Duration) -> bool {
        let packet = self.on_the_way.keys().next().copied();
        let timer = self.nodes.iter().map(|(address, node)| {
            (
                node.machine
                    .next_deadline()
                    .max(node.frozen_until)
                    .max(self.now),
                address.clone(),
            )
        });
        let timer = timer.min();
        match (packet, timer) {
            (Some(key), timer) if timer.as_ref().is_none_or(|(at, _)| key.0 <= *at) => {
                if key.0 > end {
                    return false;
                }
                self.now = key.0;
                let (to, bytes) = self.on_the_way.remove(&key).unwrap();
                self.deliver(to, bytes);
            }
            (_, Some((at, address))) => {
                if at > end {
                    return false;
                }
                self.now = at;
                self.nodes
                    .get_mut(&address)
                    .unwrap()
                    .machine
                    .handle_timeout(at);
                self.drain(&address);
            }
            (_, None) => return false,
        }
        true
    }

    fn deliver(&mut self, to: String, bytes: Vec<u8>) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        if node.frozen_until > now {
            self.sent += 1;
            let at = node.frozen_until;
            self.on_the_way.insert((at, self.sent), (to, bytes));
            return;
        }
        node.machine.handle_packet(&bytes, now);
        self.drain(&to);
    }

    fn drain(&mut self, address: &str) {
        let mut outputs = VecDeque::new();
        let node = self.nodes.get_mut(address).unwrap();
        while let Some(output) = node.machine.poll_output() {
            outputs.push_back(output);
        }
        for output in outputs {
            self.handle(address, output);
        }
    }

    fn handle(&mut self, address: &str, output: Output) {
        let now = self.now;
        let node = self.nodes.get_mut(address).unwrap();
        match output {
            Output::Send { to, packet } => self.send(address, to, packet),
            Output::Resolve { seed } => {
                let found = self.names.get(&seed).cloned().unwrap_or_default();
                let found: Vec<_> = found.iter().map(|a| a.parse().unwrap()).collect();
                node.machine.handle_resolved(&seed, &found, now);
                self.drain(address);
            }
            Output::View { ids, .. } => node.view = ids,
            Output::Joined { alone } => {
                assert!(node.joined.replace(alone).is_none(), "a node joins once");
                node.machine.set_ready(now);
                self.drain(address);
            }
            Output::Departed => node.departed = true,
            Output::NameConflict { gossip, .. } => node.conflict = Some(gossip),
            Output::Event(event) => node.events.push(event),
            Output::MembersChanged => {}
            other => node.notices.push(other),
        }
    }

    fn send(&mut self, from: &str, to: String, mut packet: Vec<u8>) {
        let decoded = decode(&packet).expect("machines send what they can read");
        assert!(packet.len() <= zmesh_gossip::MAX_PACKET_OUT);
        if self.refusing.contains(&to) {
            let now = self.now;
            // Told at the next step, as a socket would.
            let node = self.nodes.get_mut(from).unwrap();
            node.machine.handle_refused(&to, now);
            self.drain(from);
            return;
        }
        let cut = self
            .drops
            .as_ref()
            .is_some_and(|drops| drops(from, &to, &decoded.body));
        if cut || self.rng.random_range(0..100) < self.loss_percent {
            return;
        }
        if self.rng.random_range(0..100) < self.damage_percent {
            for _ in 0..self.rng.random_range(1..4) {
                let at = self.rng.random_range(0..packet.len());
                packet[at] = self.rng.random();
            }
        }
        self.sent += 1;
        let delay = Duration::from_micros(self.rng.random_range(200..2000));
        self.on_the_way
            .insert((self.now + delay, self.sent), (to, packet));
    }
}

pub(crate) fn host(i: usize) -> String {
    format!("10.0.0.{i}:1")
}
