//! Nodes, links, pushers and workers, and what may happen to them.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use zmesh_node::forward::{ClientId, Instance, Time};
use zmesh_node::queues::{Limits, Message, Output, Queues, TASK_TIME};
use zmesh_node::zmtp::frames::{Item, item_at};

use crate::words::{FRAMES, message, messages, ring};

pub(crate) const QUEUES: [&str; 3] = ["orders", "mails", "thumbs"];

/// The step of the simulated clock.
pub(crate) const STEP: Time = Duration::from_millis(50);

/// A client as its program sees it.
pub(crate) struct Client {
    node: u64,
    /// Its queues with the credit that it gave, if it is a worker.
    works: BTreeMap<String, u32>,
    /// Tasks that it has: id and tag.
    in_hand: Vec<(Vec<u8>, u64)>,
}

/// What may happen beside work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing.
    Work,
    /// Nodes join and leave.
    Moves,
    /// They also die, and links are reset.
    Faults,
}

/// What is known of a task.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) given: u32,
    pub(crate) unmarked: u32,
    pub(crate) done: u32,
    /// It may be lost: its pusher's node died before it was safe.
    pub(crate) excused: bool,
}

pub(crate) struct World {
    rng: Xoshiro256PlusPlus,
    now: Time,
    pub(crate) nodes: BTreeMap<u64, Queues>,
    /// Those that are about to leave.
    leaving: BTreeSet<u64>,
    clients: BTreeMap<u32, Client>,
    links: BTreeMap<(u64, u64), VecDeque<Message>>,
    next_client: u32,
    next_node: u64,
    pub(crate) tasks: BTreeMap<u64, Told>,
    /// Tags by the node that took them in, in the order of their coming.
    pushed: BTreeMap<u64, Vec<u64>>,
    limits: Limits,
    pub(crate) deaths: u32,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: u64, limits: Limits) -> Self {
        let mut world = Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            now: Duration::from_secs(10),
            nodes: BTreeMap::new(),
            leaving: BTreeSet::new(),
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            next_client: 1,
            next_node: 1,
            tasks: BTreeMap::new(),
            pushed: BTreeMap::new(),
            limits,
            deaths: 0,
        };
        for _ in 0..nodes {
            world.join();
        }
        world
    }

    fn join(&mut self) {
        let node = self.next_node;
        self.next_node += 1;
        let queues = Queues::new(Instance(node), self.limits);
        self.nodes.insert(node, queues);
        self.tell_view();
        for other in self
            .nodes
            .keys()
            .copied()
            .filter(|it| *it != node)
            .collect::<Vec<_>>()
        {
            self.input(node, |it, now| it.handle_link_up(Instance(other), now));
            self.input(other, |it, now| it.handle_link_up(Instance(node), now));
        }
    }

    /// All nodes hear who is there, one after the other, with whatever happens between.
    fn tell_view(&mut self) {
        let all: BTreeSet<u64> = self.nodes.keys().copied().collect();
        let members: BTreeSet<u64> = all.difference(&self.leaving).copied().collect();
        let ring = ring(&members);
        for node in all.clone() {
            let here: HashSet<Instance> = all
                .iter()
                .filter(|it| **it != node)
                .map(|it| Instance(*it))
                .collect();
            let ring = Arc::clone(&ring);
            self.input(node, |it, now| it.handle_topology(here, ring, now));
            for _ in 0..self.rng.random_range(0..4) {
                self.deliver();
            }
        }
    }

    fn input<T>(&mut self, node: u64, input: impl FnOnce(&mut Queues, Time) -> T) -> Option<T> {
        let queues = self.nodes.get_mut(&node)?;
        let result = input(queues, self.now);
        let mut written = Vec::new();
        while let Some(output) = queues.poll_output() {
            match output {
                Output::Link(to) => {
                    let link = self.links.entry((node, to.0)).or_default();
                    while let Some(message) = queues.take_message(to) {
                        link.push_back(message);
                    }
                }
                Output::Client(client) => {
                    while let Some(bytes) = queues.take_segment(client) {
                        written.push((client.0, bytes));
                    }
                }
                Output::CloseClient(client) => panic!("{client:?} reads everything"),
            }
        }
        for (client, bytes) in written {
            for message in messages(&bytes) {
                self.hear(client, &message);
            }
        }
        Some(result)
    }

    fn say(&mut self, client: u32, parts: &[&[u8]]) {
        let chunk = message(parts);
        let Ok(Item::Message(span)) = item_at(&chunk, 0, FRAMES) else {
            panic!("it was just written")
        };
        let Some(node) = self.clients.get(&client).map(|it| it.node) else {
            return;
        };
        self.input(node, |it, now| {
            it.handle_client_message(ClientId(client), &chunk, &span, now);
        });
    }

    fn some_node(&mut self) -> u64 {
        let stay = self.nodes.keys().filter(|it| !self.leaving.contains(it));
        let nodes: Vec<u64> = stay.copied().collect();
        nodes[self.rng.random_range(0..nodes.len())]
    }

    /// A pusher connects, pushes some, and goes.
    fn push(&mut self) {
        let node = self.some_node();
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.input(node, |it, _| it.handle_pusher_opened(client));
        for _ in 0..self.rng.random_range(1..6) {
            if !self.nodes[&node].may_read(client) {
                break;
            }
            let tag = self.tasks.len() as u64;
            self.tasks.insert(tag, Told::default());
            self.pushed.entry(node).or_default().push(tag);
            let queue = QUEUES[self.rng.random_range(0..QUEUES.len())];
            let chunk = message(&[queue.as_bytes(), tag.to_string().as_bytes()]);
            let Ok(Item::Message(span)) = item_at(&chunk, 0, FRAMES) else {
                panic!("it was just written")
            };
            let wrong = self.input(node, |it, now| {
                it.handle_pushes(client, &chunk, &[span], now)
            });
            assert_eq!(wrong, Some(None));
        }
        self.input(node, |it, _| it.handle_pusher_closed(client));
    }

    fn hire(&mut self) -> u32 {
        let node = self.some_node();
        let client = self.next_client;
        self.next_client += 1;
        let state = Client {
            node,
            works: BTreeMap::new(),
            in_hand: Vec::new(),
        };
        self.clients.insert(client, state);
        let queue = QUEUES[self.rng.random_range(0..QUEUES.len())];
        let credit = self.rng.random_range(1..5_u32);
        self.work(client, queue, credit);
        client
    }

    fn work(&mut self, client: u32, queue: &str, credit: u32) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.works.insert(queue.into(), credit);
        }
        let credit = credit.to_string();
        self.say(
            client,
            &[b"$zmesh.work", queue.as_bytes(), credit.as_bytes()],
        );
    }

    /// A worker gets a task.
    fn hear(&mut self, id: u32, parts: &[Vec<u8>]) {
        assert_ne!(parts[0], b"$zmesh.error", "{parts:?}");
        let tag: u64 = String::from_utf8_lossy(&parts[1]).parse().expect("a tag");
        let told = self.tasks.get_mut(&tag).expect("it was pushed");
        told.given += 1;
        told.unmarked += u32::from(!parts[0].contains(&b'.'));
        assert!(
            told.unmarked <= 1,
            "task {tag} was given twice as if for the first time"
        );
        if let Some(client) = self.clients.get_mut(&id) {
            client.in_hand.push((parts[0].clone(), tag));
        }
    }

    fn finish(&mut self, client: u32, fails: bool) {
        let Some(state) = self.clients.get_mut(&client) else {
            return;
        };
        if state.in_hand.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..state.in_hand.len());
        let (id, tag) = state.in_hand.remove(index);
        if fails {
            return self.say(client, &[b"$zmesh.failed", &id, b"no"]);
        }
        self.tasks.get_mut(&tag).expect("it is there").done += 1;
        self.say(client, &[b"$zmesh.done", &id]);
    }

    fn dismiss(&mut self, client: u32) {
        let Some(state) = self.clients.remove(&client) else {
            return;
        };
        self.input(state.node, |it, now| {
            it.handle_client_closed(ClientId(client), now);
        });
    }

    /// Whether every task that is safe is in two places.
    fn is_copied(&self) -> bool {
        let mut nodes = self.nodes.values();
        nodes.all(|it| it.stats().uncopied == 0)
    }

    /// The process of a node dies, with its clients' connections.
    fn kill(&mut self, node: u64) {
        self.deaths += 1;
        let queues = self.nodes.remove(&node).expect("it is there");
        let untaken = queues.untaken();
        for (index, tag) in self
            .pushed
            .remove(&node)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let told = self.tasks.get_mut(tag).expect("it is there");
            told.excused |= untaken.contains(&(index as u64 + 1));
        }
        self.leaving.remove(&node);
        self.clients.retain(|_, client| client.node != node);
        self.links
            .retain(|(from, to), _| *from != node && *to != node);
        self.tell_view();
    }

    /// A node goes in order: when it owes nothing.
    fn see_off(&mut self) {
        for node in self.leaving.clone() {
            if self.nodes[&node].owes_nothing() {
                assert!(self.nodes[&node].untaken().is_empty());
                self.leaving.remove(&node);
                self.nodes.remove(&node);
                self.pushed.remove(&node);
                self.clients.retain(|_, client| client.node != node);
                self.links
                    .retain(|(from, to), _| *from != node && *to != node);
                self.tell_view();
            }
        }
    }

    fn leave(&mut self) {
        if self.nodes.len() - self.leaving.len() < 3 {
            return;
        }
        let node = self.some_node();
        self.leaving.insert(node);
        self.input(node, |it, now| it.handle_leaving(now));
        self.tell_view();
    }

    /// What is on a link is lost, and it is made anew.
    fn reset(&mut self, from: u64, to: u64) {
        self.links.remove(&(from, to));
        self.input(from, |it, now| it.handle_link_up(Instance(to), now));
    }

    /// Something arrives.
    fn deliver(&mut self) -> bool {
        let links = self.links.iter().filter(|(_, link)| !link.is_empty());
        let busy: Vec<(u64, u64)> = links.map(|(pair, _)| *pair).collect();
        if busy.is_empty() {
            return false;
        }
        let (from, to) = busy[self.rng.random_range(0..busy.len())];
        let link = self.links.get_mut(&(from, to)).expect("it was there");
        let message = link.pop_front().expect("it was not empty");
        self.input(to, |it, now| {
            it.handle_message(Instance(from), message, now)
        });
        true
    }

    fn pass(&mut self, time: Time) {
        self.now += time;
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            let due = self.nodes[&node].next_deadline();
            if due.is_some_and(|due| due <= self.now) {
                self.input(node, |it, now| it.handle_timeout(now));
            }
        }
        self.see_off();
    }

    fn quieten(&mut self) {
        while self.deliver() {}
    }

    fn some_worker(&mut self) -> Option<u32> {
        let ids: Vec<u32> = self.clients.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[self.rng.random_range(0..ids.len())])
    }

    pub(crate) fn step(&mut self, what: What) {
        let faults = what == What::Faults;
        match self.rng.random_range(0..100) {
            0..15 => self.push(),
            15..45 => {
                if let Some(worker) = self.some_worker() {
                    self.finish(worker, false);
                }
            }
            45..80 => drop(self.deliver()),
            80..90 => self.pass(STEP),
            90..92 => drop(self.hire()),
            92 => {
                if let Some(worker) = self.some_worker() {
                    let queue = QUEUES[self.rng.random_range(0..QUEUES.len())];
                    let credit = self.rng.random_range(1..5);
                    self.work(worker, queue, credit);
                }
            }
            93 => {
                if let Some(worker) = self.some_worker() {
                    self.finish(worker, true);
                }
            }
            94 => {
                if let Some(worker) = self.some_worker() {
                    self.dismiss(worker);
                }
            }
            95 if what != What::Work && self.nodes.len() < 6 && self.rng.random_bool(0.3) => {
                self.join();
            }
            96 if faults && self.nodes.len() > 2 => {
                for _ in 0..2000 {
                    if self.is_copied() || !self.deliver() {
                        break;
                    }
                }
                if !self.is_copied() {
                    return;
                }
                let nodes: Vec<u64> = self.nodes.keys().copied().collect();
                let node = nodes[self.rng.random_range(0..nodes.len())];
                self.kill(node);
            }
            97 if what != What::Work && self.rng.random_bool(0.3) => self.leave(),
            _ if faults => {
                let pairs: Vec<(u64, u64)> = self.links.keys().copied().collect();
                if !pairs.is_empty() {
                    let (from, to) = pairs[self.rng.random_range(0..pairs.len())];
                    self.reset(from, to);
                }
            }
            _ => {}
        }
    }

    /// Everybody works until nothing is left.
    pub(crate) fn work_off(&mut self, seed: u64) {
        for queue in QUEUES {
            let worker = self.hire();
            self.work(worker, queue, 5);
        }
        let end = self.now + 8 * TASK_TIME;
        loop {
            self.quieten();
            for worker in self.clients.keys().copied().collect::<Vec<_>>() {
                while self
                    .clients
                    .get(&worker)
                    .is_some_and(|it| !it.in_hand.is_empty())
                {
                    self.finish(worker, false);
                }
            }
            self.quieten();
            let left = |it: &Queues| it.stats().ready + it.stats().given + it.stats().untaken;
            if self.nodes.values().all(|it| left(it) == 0) {
                return;
            }
            let stats: Vec<_> = self.nodes.values().map(Queues::stats).collect();
            assert!(self.now < end, "seed {seed}: {stats:#?}");
            self.pass(STEP);
        }
    }
}
