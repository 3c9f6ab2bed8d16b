//! A forwarding core with three other nodes and a few clients, in whatever order a script says:
//! links and clients that come and go, members that live and die, messages true and false. It never
//! panics, counts everything, and has nothing left when everybody has gone.

mod messages;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use zmesh_node::config::QueuePolicy;
use zmesh_node::forward::{
    Batch, ClientId, Header, Instance, Message, Named, Output, Peer, Router, Topology,
};
use zmesh_node::link::wire::{self, Carried};
use zmesh_partition::Partition;

pub(super) use self::messages::messages;
use self::messages::{acceptor_says, changes, spans, survives};
use super::link_message::{framed, message};
use super::router::{ME, START, conserves, drain, is_empty, ring, small};
use super::script::Script;
use super::topics::{PREFIXES, TOPICS, put_message};

/// Longer scripts only repeat themselves.
const STEPS: usize = 300;

/// The other nodes. The last is in nobody's ring.
const PEERS: [Instance; 4] = [Instance(2), Instance(3), Instance(4), Instance(5)];

/// Most clients at a time.
const CLIENTS: usize = 4;

/// Headers of records that were sent, to be acked.
const REMEMBERED: usize = 8;

/// Longer than anything is remembered.
const FOREVER: Duration = Duration::from_secs(700);

#[derive(Default)]
struct Connection {
    dialed: bool,
    accepted: bool,
    /// Origin and header of the records that it was sent last.
    sent: Vec<(Instance, Header)>,
}

struct Run {
    router: Router,
    now: Duration,
    peers: BTreeMap<Instance, Connection>,
    /// The clients that are connected. The number of one that has gone is not used again.
    clients: [Option<ClientId>; CLIENTS],
    connected: u32,
    /// The next number of each stream of each origin, as its node would count.
    next: BTreeMap<(Instance, u16), u64>,
}

/// Takes a script.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let policies = QueuePolicy::ALL.map(|(_, policy)| policy);
    let mut run = Run {
        router: small(script.pick(&policies)),
        now: START,
        peers: PEERS.map(|peer| (peer, Connection::default())).into(),
        clients: [None; CLIENTS],
        connected: 0,
        next: BTreeMap::new(),
    };
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        run.step(&mut script);
        run.check();
    }
    run.end();
}

impl Run {
    fn step(&mut self, script: &mut Script) {
        match script.byte() {
            0..=89 => self.link(script),
            90..=129 => self.message(script),
            130..=149 => self.reply(script),
            150..=159 => self.raw(script),
            160..=189 => self.client(script),
            190..=209 => self.publish(script),
            210..=219 => self.topology(script.byte(), script.byte(), script.byte()),
            220..=229 => self.pass(Duration::from_millis(250)),
            230..=233 => self.pass(Duration::from_secs(script.byte().into())),
            234..=244 => {
                let place = script.below(CLIENTS);
                self.take_segment(place, script.byte() == 255);
            }
            245..=255 => {
                let peer = script.pick(&PEERS);
                self.take_messages(peer, script.byte());
            }
        }
    }

    /// A link comes or goes, or is read or written.
    fn link(&mut self, script: &mut Script) {
        let (what, peer) = (script.below(8), script.pick(&PEERS));
        let (now, router) = (self.now, &mut self.router);
        let Some(link) = self.peers.get_mut(&peer) else {
            return;
        };
        match what {
            0 | 1 if !link.dialed => {
                link.dialed = true;
                router.handle_link_up(peer, now);
            }
            2 if link.dialed => {
                link.dialed = false;
                router.handle_link_down(peer, now);
            }
            3 | 4 if !link.accepted => {
                link.accepted = true;
                router.handle_accepted(peer, now);
            }
            5 if link.accepted => {
                link.accepted = false;
                router.handle_accepted_closed(peer);
            }
            6 => router.handle_progress(peer, now),
            _ => self.take_messages(peer, 255),
        }
    }

    /// What waits for a peer's links is sent.
    fn take_messages(&mut self, peer: Instance, most: u8) {
        let Some(link) = self.peers.get_mut(&peer) else {
            return;
        };
        for _ in 0..most {
            let message = self.router.take_message(peer).filter(|_| link.dialed);
            let Some(message) = message else { break };
            survives(&message, ME);
            if let Message::Publish(batch) | Message::Deliver(batch) = message {
                let sent = batch.headers.iter().map(|header| (batch.origin, *header));
                link.sent.extend(sent);
                let old = link.sent.len().saturating_sub(REMEMBERED);
                link.sent.drain(..old);
            }
        }
        for _ in 0..most {
            let Some(reply) = self.router.take_reply(peer) else {
                break;
            };
            survives(&reply, ME);
        }
    }

    /// A peer says something over the link that it dialed.
    fn message(&mut self, script: &mut Script) {
        let peer = script.pick(&PEERS);
        let message = self.dialer_says(peer, script);
        self.hear(peer, true, message);
    }

    /// A peer says something over the link that this node dialed.
    fn reply(&mut self, script: &mut Script) {
        let peer = script.pick(&PEERS);
        let sent = &self.peers[&peer].sent;
        let reply = acceptor_says(sent, script);
        self.hear(peer, false, reply);
    }

    /// A peer says what may be no message at all.
    fn raw(&mut self, script: &mut Script) {
        let (peer, dialer) = (script.pick(&PEERS), script.flag());
        let length = usize::from(script.byte());
        let chunk = framed(&mut Script::new(script.bytes(length)));
        let span = message(&chunk).expect("it was framed by the rules");
        match wire::decode(&chunk, &span, peer) {
            Ok(Carried::Core(message)) => self.hear(peer, dialer, message),
            Ok(Carried::Request(_) | Carried::Queue(_) | Carried::Nothing) => {}
            Err(_) => self.hang_up(peer, dialer),
        }
    }

    /// As a link's session does: whoever says what is wrong is hung up on.
    fn hear(&mut self, peer: Instance, dialer: bool, message: Message) {
        let link = &self.peers[&peer];
        let (now, router) = (self.now, &mut self.router);
        let heard = match dialer {
            true if link.accepted => router.handle_message(peer, message, now),
            false if link.dialed => router.handle_reply(peer, message, now),
            _ => Ok(()),
        };
        if heard.is_err() {
            self.hang_up(peer, dialer);
        }
    }

    fn hang_up(&mut self, peer: Instance, dialer: bool) {
        let Some(link) = self.peers.get_mut(&peer) else {
            return;
        };
        if dialer && std::mem::take(&mut link.accepted) {
            self.router.handle_accepted_closed(peer);
        }
        if !dialer && std::mem::take(&mut link.dialed) {
            self.router.handle_link_down(peer, self.now);
        }
    }

    fn dialer_says(&mut self, peer: Instance, script: &mut Script) -> Message {
        match script.below(8) {
            0 => Message::Interest {
                version: script.number(),
                snapshot: true,
                changes: changes(script),
            },
            1 => Message::Interest {
                version: script.number(),
                snapshot: false,
                changes: changes(script),
            },
            2 => {
                let count = usize::from(script.byte() & 3);
                let named = script.bytes(count);
                let members = named.iter().map(|byte| Named {
                    instance: Instance(u64::from(byte & 7)),
                    card: Bytes::from_static(b"card"),
                    interest: u64::from(byte >> 6),
                });
                Message::View {
                    members: members.collect(),
                }
            }
            3..=5 => Message::Publish(self.batch(peer, script)),
            _ => {
                let origin = script.pick(&[ME, PEERS[0], PEERS[1], PEERS[2], PEERS[3]]);
                Message::Deliver(self.batch(origin, script))
            }
        }
    }

    /// Records as their origin numbers them, or as it must not.
    fn batch(&mut self, origin: Instance, script: &mut Script) -> Batch {
        let (mut headers, mut body) = (Vec::new(), Vec::new());
        for _ in 0..=script.below(3) {
            let before = body.len();
            let topic = script.pick(&TOPICS);
            let traits = script.byte();
            let messages = u32::from(traits & 3);
            for _ in 0..messages {
                let another = if traits & 4 == 0 {
                    topic
                } else {
                    script.pick(&TOPICS)
                };
                put_message(&mut body, another, usize::from(traits >> 3 & 1), 30);
            }
            let partition = Partition::of_topic(topic).get();
            let next = self.next.entry((origin, partition)).or_insert(1);
            let mut header = Header {
                partition,
                first: *next,
                count: messages.max(1),
                messages,
                length: (body.len() - before) as u32,
            };
            *next += u64::from(header.count);
            match traits >> 4 {
                8..=10 => header.first = script.number(),
                11 => header.count = script.number() as u32,
                12 => header.messages = script.number() as u32,
                13 => header.length = script.number() as u32,
                14 => header.partition = script.number() as u16,
                15 => body.truncate(body.len() - usize::from(!body.is_empty())),
                _ => {}
            }
            headers.push(header);
        }
        Batch::received(origin, headers, body.into())
    }

    fn client(&mut self, script: &mut Script) {
        let (what, place) = (script.below(8), script.below(CLIENTS));
        let prefix = script.pick(&PREFIXES);
        let (now, router) = (self.now, &mut self.router);
        let Some(client) = self.clients[place] else {
            self.connected += 1;
            let client = ClientId(self.connected);
            self.clients[place] = Some(client);
            return router.handle_client_opened(client);
        };
        match what {
            0..=3 => {
                if router.handle_subscribe(client, prefix, now).is_err() {
                    self.close(client);
                }
            }
            4 | 5 => router.handle_unsubscribe(client, prefix),
            6 => self.close(client),
            _ => drop(router.may_read(client)),
        }
    }

    fn close(&mut self, client: ClientId) {
        let mut places = self.clients.iter_mut();
        if let Some(place) = places.find(|place| **place == Some(client)) {
            *place = None;
            self.router.handle_client_closed(client, self.now);
        }
    }

    fn publish(&mut self, script: &mut Script) {
        let Some(client) = self.clients[script.below(CLIENTS)] else {
            return;
        };
        if !self.router.may_read(client) {
            return;
        }
        let mut chunk = Vec::new();
        for _ in 0..=script.below(4) {
            let topic = script.pick(&TOPICS);
            put_message(&mut chunk, topic, script.below(3), script.below(256));
        }
        let spans = spans(&chunk);
        let chunk = Bytes::from(chunk);
        self.router.handle_publish(client, &chunk, &spans, self.now);
    }

    fn take_segment(&mut self, place: usize, breaks: bool) {
        let Some(client) = self.clients[place] else {
            return;
        };
        let Some(segment) = self.router.take_segment(client, self.now) else {
            return;
        };
        let spans = spans(&segment.bytes);
        assert_eq!(spans.len(), segment.messages as usize, "as many as it says");
        if breaks {
            let messages = segment.messages.into();
            self.router.handle_unwritten(messages, segment.bytes.len());
            self.close(client);
        }
    }

    fn topology(&mut self, here: u8, gone: u8, owning: u8) {
        let among = |mask: u8| {
            let bits = PEERS
                .iter()
                .enumerate()
                .filter(move |(bit, _)| mask >> bit & 1 == 1);
            bits.map(|(_, peer)| *peer)
        };
        let peers = among(here).map(|instance| Peer {
            instance,
            card: Bytes::from_static(b"card"),
        });
        let topology = Topology {
            peers: peers.collect(),
            gone: among(gone & !here).collect(),
            lately_dead: among(gone & !here & 1)
                .map(|it| (it, Duration::ZERO))
                .collect(),
            ring: ring(owning.into()),
        };
        self.router.handle_topology(topology, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now = (self.now + time).max(self.router.next_deadline());
        self.router.handle_timeout(self.now);
        assert!(
            self.router.next_deadline() > self.now,
            "it wants to be called for ever"
        );
    }

    fn check(&mut self) {
        let mut closing = Vec::new();
        drain(&mut self.router, |output| {
            if let Output::CloseClient(client) = output {
                closing.push(client);
            }
        });
        closing.into_iter().for_each(|client| self.close(client));
        assert_eq!(self.router.stats().unaccounted(), [0; 3]);
        drain(&mut self.router, drop);
        conserves(&self.router, self.clients.iter().flatten());
    }

    /// Everybody goes.
    fn end(&mut self) {
        for peer in PEERS {
            self.hang_up(peer, true);
            self.hang_up(peer, false);
        }
        for client in self.clients.into_iter().flatten() {
            self.close(client);
        }
        self.topology(0, 0xFF, 1);
        self.check();
        for _ in 0..3 {
            self.pass(FOREVER);
            self.check();
        }
        is_empty(&self.router);
    }
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    let subscribe = |client| [160, 0, client, 0, 160, 0, client, 1];
    let publish = |client| [190, client, 1, 0, 1, 30, 2, 0, 0];
    let members: &[u8] = &[
        210, 7, 0, 15, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 3, 1, 0, 0, 2, 0, 3, 2,
    ];
    let interest: &[u8] = &[90, 0, 0, 1, 1, 0, 1, 90, 1, 0, 1, 1, 0, 0, 90, 2, 0, 1, 0];
    let records: &[u8] = &[90, 0, 3, 1, 0, 10, 1, 5, 3, 90, 1, 6, 1, 0, 0, 2];
    let sent: &[u8] = &[
        245, 0, 9, 245, 1, 9, 245, 2, 9, 130, 0, 0, 0, 130, 1, 3, 0, 130, 2, 3, 1,
    ];
    let reset: &[u8] = &[
        0, 2, 0, 0, 0, 0, 0, 5, 1, 0, 3, 1, 210, 5, 2, 13, 220, 230, 6, 220,
    ];
    let named: &[u8] = &[90, 0, 2, 2, 4, 5, 90, 0, 3, 0, 1, 17, 220, 230, 5];
    let wrong: &[u8] = &[90, 0, 3, 0, 0, 209, 9, 150, 0, 1, 6, 4, 0, 0, 0, 0, 7];
    let policy = |policy: u8, parts: &[&[u8]]| [&[policy], &parts.concat()[..]].concat();
    let whole = [members, interest, &subscribe(0), &publish(1), records, sent];
    vec![
        policy(0, &[&subscribe(0), &publish(1), &[234, 0, 0, 234, 0, 255]]),
        policy(0, &whole),
        policy(1, &[&whole.concat(), reset, &publish(1), sent]),
        policy(2, &[&whole.concat(), named, records, reset]),
        policy(
            3,
            &[
                &subscribe(1),
                &[publish(0); 9].concat(),
                &whole.concat(),
                &[234, 1, 0],
            ],
        ),
        policy(3, &[&whole.concat(), wrong, members, records]),
    ]
}
