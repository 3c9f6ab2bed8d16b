//! Several cores of requests against each other in memory, with faults that a seed decides: every
//! request has one answer or one error, in time, and no worker gets more than it takes.

mod alone;
mod majordomo;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use zmesh_node::config::ServiceRule;
use zmesh_node::forward::{ClientId, Instance, Time};
use zmesh_node::services::{Limits, Message, Output, Services};
use zmesh_node::zmtp::frames::{Item, item_at};

use words::{FRAMES, message, messages, ring};

const SERVICES: [&str; 3] = ["prices", "orders", "risk"];
/// What each has, in their order.
fn rules() -> [ServiceRule; 3] {
    let rule = |name, seconds, idempotent, breaker| ServiceRule {
        deadline: Duration::from_secs(seconds),
        idempotent,
        breaker,
        ..ServiceRule::named(name)
    };
    [
        rule("prices", 2, true, 0),
        rule("orders", 5, false, 0),
        rule("risk", 3, false, 3),
    ]
}

/// Majordomo workers give signs of life so often.
const BEAT: Time = Duration::from_millis(2500);

/// How late a timer may be seen here: the step of the simulated clock.
const STEP: Time = Duration::from_millis(20);

/// A client as its program sees it.
#[derive(Default)]
struct Client {
    node: u64,
    /// When each of its requests went out, by its tag, and for which service.
    open: BTreeMap<u64, (Time, usize)>,
    /// Services with the credit that it gave, if it is a worker.
    serves: BTreeMap<String, u32>,
    /// Requests that it has: id, and service and tag as they stand in the body.
    in_hand: Vec<(Vec<u8>, String)>,
    /// Bodies of those, the asker's tag in each.
    bodies: Vec<Vec<u8>>,
    /// It is a Majordomo worker, which gave its last sign of life then.
    majordomo: Option<Time>,
    /// Its program stands still.
    frozen: bool,
}

struct World {
    rng: Xoshiro256PlusPlus,
    now: Time,
    nodes: BTreeMap<u64, Services>,
    clients: BTreeMap<u32, Client>,
    /// What is on its way from one node to another.
    links: BTreeMap<(u64, u64), VecDeque<Message>>,
    next_client: u32,
    next_tag: u64,
    /// Majordomo workers that were sent away.
    out: Vec<u32>,
    /// Tag and id of what any worker got.
    given: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// Outcomes by name.
    outcomes: BTreeMap<String, u64>,
    /// No fault has happened lately: credits hold to the letter.
    calm: bool,
}

impl World {
    fn new(seed: u64, nodes: u64) -> Self {
        let mut world = Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            now: Duration::from_secs(10),
            nodes: BTreeMap::new(),
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            next_client: 1,
            next_tag: 1,
            out: Vec::new(),
            given: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            calm: true,
        };
        for node in 1..=nodes {
            let mut services = Services::new(Instance(node), Limits::default());
            services.handle_rules(&rules());
            world.nodes.insert(node, services);
        }
        world.tell_view();
        for from in 1..=nodes {
            for to in (1..=nodes).filter(|to| *to != from) {
                world.input(from, |it, now| it.handle_link_up(Instance(to), now));
            }
        }
        world
    }

    /// All nodes hear who is there. (Nodes that differ for a moment are those of the live tests.)
    fn tell_view(&mut self) {
        let all: BTreeSet<u64> = self.nodes.keys().copied().collect();
        let ring = ring(&all);
        for node in all.clone() {
            let here: HashSet<Instance> = all
                .iter()
                .filter(|it| **it != node)
                .map(|it| Instance(*it))
                .collect();
            let ring = Arc::clone(&ring);
            self.input(node, |it, now| it.handle_topology(here, ring, now));
        }
    }

    fn input<T>(&mut self, node: u64, input: impl FnOnce(&mut Services, Time) -> T) -> Option<T> {
        let services = self.nodes.get_mut(&node)?;
        let result = input(services, self.now);
        let mut written = Vec::new();
        while let Some(output) = services.poll_output() {
            match output {
                Output::Link(to) => {
                    let link = self.links.entry((node, to.0)).or_default();
                    while let Some(message) = services.take_message(to) {
                        link.push_back(message);
                    }
                }
                Output::Client(client) => {
                    while let Some(bytes) = services.take_segment(client) {
                        written.push((client.0, bytes));
                    }
                }
                Output::CloseClient(client) => panic!("{client:?} reads everything"),
                Output::Failed { .. } => {}
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
        let node = self.clients[&client].node;
        self.input(node, |it, now| {
            it.handle_client_message(ClientId(client), &chunk, &span, now);
        });
    }

    fn connect(&mut self) -> u32 {
        let client = self.next_client;
        self.next_client += 1;
        let nodes: Vec<u64> = self.nodes.keys().copied().collect();
        let node = nodes[self.rng.random_range(0..nodes.len())];
        let state = Client {
            node,
            ..Client::default()
        };
        self.clients.insert(client, state);
        self.input(node, |it, _| it.handle_client_opened(ClientId(client)));
        client
    }

    /// What a client hears.
    fn hear(&mut self, id_of: u32, parts: &[Vec<u8>]) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id_of) else {
            return;
        };
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let (tag, outcome) = match &parts[0][..] {
            b"$zmesh.reply" => {
                assert_eq!(parts[2], b"done", "the answer of its worker");
                assert_eq!(parts[3], parts[1], "the answer to this request");
                (text(&parts[1]), "answered".into())
            }
            b"$zmesh.error" => (text(&parts[3]), text(&parts[1])),
            b"MDPW02" => {
                if let [_, request, id, _, body @ ..] = parts
                    && *request == [2]
                {
                    let parts = [std::slice::from_ref(id), body].concat();
                    self.hear(id_of, &parts);
                } else if parts[1] == [6] {
                    // It has been out for long, and comes again.
                    self.out.push(id_of);
                }
                return;
            }
            _ => {
                let (service, tag) = (text(&parts[1]), parts[2].clone());
                // An attempt goes to one worker, and a request has others only where it may.
                let attempt = (tag.clone(), parts[0].clone());
                assert!(self.given.insert(attempt), "given twice");
                let again = parts[0].contains(&b'.');
                assert!(!again || service == "prices", "{service} was asked again");
                client.in_hand.push((parts[0].clone(), service.clone()));
                client.bodies.push(tag);
                let has = client
                    .in_hand
                    .iter()
                    .filter(|(_, it)| *it == service)
                    .count();
                let credit = client.serves.get(&service).copied().unwrap_or(0);
                assert!(!self.calm || has <= credit as usize, "{has} of {credit}");
                return;
            }
        };
        let tag: u64 = tag.parse().expect("a tag");
        let (asked, service) = client
            .open
            .remove(&tag)
            .expect("one outcome for each request");
        let waited = now - asked;
        let deadline = rules()[service].deadline;
        assert!(waited <= deadline + STEP, "{outcome} after {waited:?}");
        let outcome = format!("{} {outcome}", SERVICES[service]);
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    fn ask(&mut self, client: u32) {
        let tag = self.next_tag;
        self.next_tag += 1;
        let index = self.rng.random_range(0..SERVICES.len());
        let service = SERVICES[index];
        let open = &mut self.clients.get_mut(&client).expect("it is there").open;
        open.insert(tag, (self.now, index));
        let tag = tag.to_string();
        let tag = tag.as_bytes();
        let body = [service.as_bytes(), tag];
        self.say(
            client,
            &[b"$zmesh.request", tag, service.as_bytes(), body[0], body[1]],
        );
    }

    fn serve(&mut self, client: u32) {
        let service = SERVICES[self.rng.random_range(0..SERVICES.len())];
        let credit = self.rng.random_range(1..5u32);
        let serves = &mut self.clients.get_mut(&client).expect("it is there").serves;
        let credit = *serves.entry(service.into()).or_insert(credit);
        let text = credit.to_string();
        self.say(
            client,
            &[b"$zmesh.serve", service.as_bytes(), text.as_bytes()],
        );
    }

    /// As a Majordomo worker.
    fn be_ready(&mut self, client: u32) {
        let service = SERVICES[self.rng.random_range(0..SERVICES.len())];
        let now = self.now;
        let state = self.clients.get_mut(&client).expect("it is there");
        state.serves.insert(service.into(), 1);
        state.majordomo = Some(now);
        self.say(client, &[b"MDPW02", &[1], service.as_bytes()]);
    }

    /// Signs of life of those who do not stand still, and the end of those who were sent away.
    fn beat(&mut self) {
        let now = self.now;
        let due = |client: &Client| client.majordomo.is_some_and(|at| now >= at + BEAT);
        let clients = self.clients.iter();
        let due = clients.filter(|(_, it)| !it.frozen && due(it));
        for client in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            let state = self.clients.get_mut(&client).expect("it is there");
            state.majordomo = Some(now);
            self.say(client, &[b"MDPW02", &[5]]);
        }
        for client in std::mem::take(&mut self.out) {
            self.disconnect(client);
        }
    }

    fn answer(&mut self, client: u32) {
        let state = self.clients.get_mut(&client).expect("it is there");
        if state.in_hand.is_empty() || state.frozen {
            return;
        }
        let index = self.rng.random_range(0..state.in_hand.len());
        let (id, _) = state.in_hand.remove(index);
        let tag = state.bodies.remove(index);
        match state.majordomo {
            None => self.say(client, &[&id, b"done", &tag]),
            Some(_) => self.say(client, &[b"MDPW02", &[4], &id, b"", b"done", &tag]),
        }
    }

    fn disconnect(&mut self, client: u32) {
        let Some(state) = self.clients.remove(&client) else {
            return;
        };
        self.input(state.node, |it, now| {
            it.handle_client_closed(ClientId(client), now);
        });
    }

    /// The process of a node dies, with its clients' connections.
    fn kill(&mut self, node: u64) {
        self.calm = false;
        self.nodes.remove(&node);
        self.clients.retain(|_, client| client.node != node);
        self.links
            .retain(|(from, to), _| *from != node && *to != node);
        self.tell_view();
    }

    /// What is on a link is lost, and it is made anew.
    fn reset(&mut self, from: u64, to: u64) {
        self.calm = false;
        self.links.remove(&(from, to));
        self.input(from, |it, now| it.handle_link_up(Instance(to), now));
    }

    /// Something arrives.
    fn deliver(&mut self) -> bool {
        let busy: Vec<(u64, u64)> = self
            .links
            .iter()
            .filter(|(_, link)| !link.is_empty())
            .map(|(pair, _)| *pair)
            .collect();
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
        self.beat();
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            let due = self.nodes[&node].next_deadline();
            if due.is_some_and(|due| due <= self.now) {
                self.input(node, |it, now| it.handle_timeout(now));
            }
        }
    }

    /// Until nothing is on its way.
    fn quieten(&mut self) {
        while self.deliver() {}
    }

    fn one_of(&mut self, workers: bool) -> Option<u32> {
        let those = self.clients.iter();
        let those = those.filter(|(_, it)| workers != it.serves.is_empty());
        let ids: Vec<u32> = those.map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| ids[self.rng.random_range(0..ids.len())])
    }

    fn step(&mut self, faults: bool) {
        match self.rng.random_range(0..100) {
            0..25 => {
                if let Some(client) = self.one_of(false) {
                    self.ask(client);
                }
            }
            25..50 => {
                if let Some(worker) = self.one_of(true) {
                    self.answer(worker);
                }
            }
            50..80 => drop(self.deliver()),
            80..90 => self.pass(STEP),
            90..93 => drop(self.connect()),
            93..95 => {
                if let Some(worker) = self.one_of(true)
                    && self.clients[&worker].majordomo.is_none()
                {
                    self.serve(worker);
                }
            }
            95 => {
                let client = self.connect();
                self.serve(client);
            }
            96 => {
                let client = self.connect();
                self.be_ready(client);
            }
            97 => {
                let worker = self.one_of(true);
                let stops = faults && self.rng.random_bool(0.3);
                let state = worker.and_then(|id| self.clients.get_mut(&id));
                match (worker, state) {
                    // Unlike the others its node finds that out.
                    (_, Some(state)) if stops && state.majordomo.is_some() => state.frozen = true,
                    (Some(client), _) => self.disconnect(client),
                    _ => {}
                }
            }
            98 if faults && self.nodes.len() > 1 && self.rng.random_bool(0.2) => {
                let nodes: Vec<u64> = self.nodes.keys().copied().collect();
                let node = nodes[self.rng.random_range(0..nodes.len())];
                self.kill(node);
            }
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
}

fn run(seed: u64, faults: bool) -> BTreeMap<String, u64> {
    let mut world = World::new(seed, 2 + seed % 4);
    for _ in 0..2000 {
        world.step(faults);
    }
    // Everything that was asked has an end, answered or not.
    world.quieten();
    while world.clients.values().any(|it| !it.open.is_empty()) {
        world.pass(STEP);
        world.quieten();
    }
    // And the mesh is as good as new.
    let workers: Vec<u32> = world.clients.keys().copied().collect();
    for client in workers {
        world.disconnect(client);
    }
    world.quieten();
    for services in world.nodes.values() {
        assert!(
            services.owes_nothing(),
            "seed {seed}: {:?}",
            services.stats()
        );
    }
    world.outcomes
}

fn many(faults: bool) -> BTreeMap<String, u64> {
    let mut outcomes = BTreeMap::new();
    for seed in 0..300 {
        for (outcome, count) in run(seed, faults) {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    outcomes
}

#[test]
fn every_request_has_one_outcome_in_time_whatever_dies() {
    let outcomes = many(true);
    for outcome in ["answered", "no_worker", "timeout", "worker_lost"] {
        let outcome = format!("orders {outcome}");
        assert!(outcomes.contains_key(&outcome), "{outcomes:?}");
    }
    // What may be done twice is lost less often, and what keeps failing is not asked.
    let lost = |service| outcomes.get(&format!("{service} worker_lost")).copied();
    let lost = |service| lost(service).unwrap_or(0);
    assert!(lost("prices") * 5 < lost("orders"), "{outcomes:?}");
    assert!(outcomes.contains_key("risk busy"), "{outcomes:?}");
    assert!(!outcomes.contains_key("orders busy"), "{outcomes:?}");
}

#[test]
fn without_faults_no_worker_gets_more_than_it_takes() {
    let outcomes = many(false);
    assert!(outcomes["orders answered"] > 3000, "{outcomes:?}");
}
