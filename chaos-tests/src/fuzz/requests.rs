//! Request/reply at one node: whatever its clients and the nodes around it say, in whatever order,
//! every message out is whole, and nothing is left of a request whose time is up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zmesh_node::config::ServiceRule;
use zmesh_node::forward::{ClientId, Instance, Ring, Time};
use zmesh_node::link::wire::{Carried, decode};
use zmesh_node::services::{Limits, Output, Services};
use zmesh_node::zmtp::frames::{FrameLimits, Item, item_at, put_header};
use zmesh_partition::{Member, Table};

use super::link_message::{framed, message};
use super::script::Script;

const ME: Instance = Instance(1);
const PEERS: [Instance; 2] = [Instance(2), Instance(3)];
const CLIENTS: u32 = 3;
/// So that there is an end to what one run tries.
const STEPS: usize = 300;
const FRAMES: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 64,
};

/// What clients like to say, frame by frame.
const WORDS: [&[u8]; 20] = [
    b"",
    b"$zmesh.serve",
    b"$zmesh.unserve",
    b"$zmesh.request",
    b"$zmesh.error",
    b"risk",
    b"prices",
    b"0",
    b"1",
    b"10000",
    b"0000000000000001-1",
    b"0000000000000002-1",
    b"MDPC01",
    b"MDPC02",
    b"MDPW01",
    b"MDPW02",
    &[1],
    &[3],
    &[4],
    b"mmi.service",
];

struct Trial<'a> {
    script: Script<'a>,
    services: Services,
    open: HashSet<u32>,
    here: HashSet<Instance>,
    now: Time,
}

/// Takes what happens, step by step.
pub fn run(bytes: &[u8]) {
    let mut trial = Trial {
        script: Script::new(bytes),
        services: Services::new(ME, Limits::default()),
        open: HashSet::new(),
        here: HashSet::new(),
        now: Duration::from_secs(60),
    };
    let rule = ServiceRule {
        idempotent: true,
        breaker: 2,
        ..ServiceRule::named("risk")
    };
    trial.services.handle_rules(&[rule]);
    trial.tell_topology();
    for _ in 0..STEPS {
        if trial.script.is_over() {
            break;
        }
        trial.step();
        trial.drain();
    }
    trial.end();
}

impl Trial<'_> {
    fn step(&mut self) {
        match self.script.below(8) {
            0..=2 => self.client_speaks(),
            3 => self.peer_speaks(),
            4 => {
                let client = 1 + self.script.below(CLIENTS as usize) as u32;
                if self.open.remove(&client) {
                    self.services
                        .handle_client_closed(ClientId(client), self.now);
                } else {
                    self.open.insert(client);
                    self.services.handle_client_opened(ClientId(client));
                }
            }
            5 => {
                let peer = self.script.pick(&PEERS);
                if !self.here.remove(&peer) {
                    self.here.insert(peer);
                }
                self.tell_topology();
            }
            6 => {
                let peer = self.script.pick(&PEERS);
                self.services.handle_link_up(peer, self.now);
            }
            _ => {
                let time = self.script.number() % 3000;
                self.pass(Duration::from_millis(time));
            }
        }
    }

    fn tell_topology(&mut self) {
        let id = |node: Instance| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&node.0.to_le_bytes());
            id
        };
        let mut nodes: Vec<Instance> = self.here.iter().copied().chain([ME]).collect();
        nodes.sort_unstable();
        let members: Vec<Member> = nodes
            .iter()
            .map(|node| Member {
                id: id(*node),
                weight: 1,
            })
            .collect();
        let ids: HashMap<_, _> = nodes.iter().map(|node| (id(*node), *node)).collect();
        let ring = Arc::new(Ring::new(Table::new(&members), ids));
        self.services
            .handle_topology(self.here.clone(), ring, self.now);
    }

    fn client_speaks(&mut self) {
        let client = ClientId(1 + self.script.below(CLIENTS as usize) as u32);
        let frames = 1 + self.script.below(6);
        let mut bytes = Vec::new();
        for index in 0..frames {
            let word = match self.script.below(24) {
                own @ 22..=23 => self.script.bytes((own - 8) * 20),
                word => WORDS[word % WORDS.len()],
            };
            put_header(&mut bytes, index + 1 < frames, word.len());
            bytes.extend_from_slice(word);
        }
        let chunk = Bytes::from(bytes);
        let Ok(Item::Message(span)) = item_at(&chunk, 0, FRAMES) else {
            panic!("it was framed by the rules")
        };
        if self.open.contains(&client.0) {
            self.services
                .handle_client_message(client, &chunk, &span, self.now);
        }
    }

    fn peer_speaks(&mut self) {
        let peer = self.script.pick(&PEERS);
        let length = usize::from(self.script.byte());
        let chunk = framed(&mut Script::new(self.script.bytes(length)));
        let span = message(&chunk).expect("it was framed by the rules");
        if let Ok(Carried::Request(message)) = decode(&chunk, &span, peer) {
            self.services.handle_message(peer, message, self.now);
        }
    }

    fn pass(&mut self, time: Time) {
        self.now += time;
        if self
            .services
            .next_deadline()
            .is_some_and(|at| at <= self.now)
        {
            self.services.handle_timeout(self.now);
            let next = self.services.next_deadline();
            assert!(
                next.is_none_or(|at| at > self.now),
                "a timer that never ends"
            );
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.services.poll_output() {
            match output {
                Output::Link(peer) => while self.services.take_message(peer).is_some() {},
                Output::Client(client) => {
                    while let Some(bytes) = self.services.take_segment(client) {
                        whole(&bytes);
                    }
                }
                Output::CloseClient(client) => panic!("{client:?} reads everything"),
                Output::Failed { .. } => {}
            }
        }
        let stats = self.services.stats();
        assert!(stats.workers <= self.open.len());
    }

    fn end(&mut self) {
        self.pass(Duration::from_secs(5));
        self.drain();
        let stats = self.services.stats();
        assert_eq!(stats.in_flight, 0, "its time is up");
        for client in std::mem::take(&mut self.open) {
            self.services
                .handle_client_closed(ClientId(client), self.now);
        }
        self.drain();
        assert_eq!(self.services.stats().workers, 0);
    }
}

/// Bytes for a client are whole messages.
fn whole(bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        match item_at(bytes, at, FRAMES) {
            Ok(Item::Message(span)) => at = span.end as usize,
            other => panic!("{other:?} at {at} of {bytes:?}"),
        }
    }
}

/// A worker and an asker at this node; a worker that goes; peers that come and speak.
pub fn examples() -> Vec<Vec<u8>> {
    let serve = [0, 0, 2, 1, 5, 8];
    let ask = [0, 1, 1, 5, 6];
    let answer = [0, 0, 1, 10, 8];
    let open = [4, 0, 4, 1];
    let mut served = open.to_vec();
    served.extend(serve);
    served.extend(ask);
    served.extend(answer);
    let mut lost = open.to_vec();
    lost.extend(serve);
    lost.extend(ask);
    lost.extend([4, 0, 7, 200]);
    let mut mesh = vec![5, 0, 6, 0, 5, 1, 6, 1];
    mesh.extend(open);
    mesh.extend(serve);
    // A Seat: head of variant 10, message 6, a service of four bytes, worker 7, credit 1, room 1.
    let mut seat = vec![36];
    seat.extend([10, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    seat.extend(b"risk");
    seat.extend([7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    mesh.extend([3, 0, seat.len() as u8]);
    mesh.extend(seat);
    mesh.extend(ask);
    mesh.extend([5, 0, 7, 247]);
    vec![served, lost, mesh]
}
