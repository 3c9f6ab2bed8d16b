//! The data thread's middle: the forwarding core, and who must be woken by what it puts out.
//!
//! Everything here stays on one thread. A task borrows the core for one input at a time and never
//! across an `await`.

mod cores;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use zmesh_gossip::Member;

use crate::config::{Config, Limits};
use crate::events::{Events, Kind};
use crate::forward::{
    self, Amount, ClientId, Hop, Instance, LAST_CLIENT, Output, Router, Slow, Stats, Time,
};
use crate::gossip::GossipCommands;
use crate::metrics::{Metrics, SUBSCRIPTION_READY};
use crate::queues::{self, Queues};
use crate::services::{self, Services};
use crate::zmtp::frames::{FrameLimits, WIDEST};
use crate::zmtp::intake::Arena;

/// Places that marked messages passed, as many as are remembered.
const HOPS: usize = 1024;

/// The log tells of the same reason for a closed connection once in this time.
const TELL_AGAIN: Time = Time::from_secs(10);

/// Which of the two connections between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// This node dialed it: records go out.
    Dialed,
    /// The peer dialed it: records come in.
    Accepted,
}

/// How the core reaches the task of a connection.
#[derive(Debug, Default)]
pub(crate) struct Handle {
    pub(crate) wake: Notify,
    /// When a link last brought something.
    pub(crate) heard: Cell<Time>,
    /// How long the answer to a link's last ping took.
    pub(crate) rtt: Cell<Option<Time>>,
    /// Set when the connection has to go.
    pub(crate) closing: Cell<bool>,
    /// What a client's session took from the core and has not written.
    pub(crate) unwritten: Cell<Amount>,
    /// When the session ended its side of the connection, because the node goes.
    pub(crate) parted: Cell<Option<Time>>,
}

/// What a client does here, by the type of its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// PUB, XPUB.
    Publisher,
    /// SUB, XSUB.
    Subscriber,
    /// PUSH.
    Pusher,
    /// REQ, DEALER, REP: it asks, or it serves.
    Requester,
}

impl Role {
    /// Whether what such a client sends is taken, and nothing is sent to it.
    pub(crate) fn only_sends(self) -> bool {
        matches!(self, Self::Publisher | Self::Pusher)
    }

    /// Of a client with a socket of this type.
    pub(crate) fn of(socket_type: &str) -> Self {
        match socket_type {
            "PUB" | "XPUB" => Self::Publisher,
            "PUSH" => Self::Pusher,
            "REQ" | "DEALER" | "REP" => Self::Requester,
            _ => Self::Subscriber,
        }
    }
}

/// A client connection, for the HTTP API.
#[derive(Debug)]
pub(crate) struct ClientInfo {
    pub(crate) handle: Rc<Handle>,
    pub(crate) peer: SocketAddr,
    pub(crate) socket_type: String,
    pub(crate) role: Role,
    pub(crate) zmtp_minor: u8,
    pub(crate) since: Time,
}

/// How far the node is with its end, as its clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Going {
    /// It stays.
    Not,
    /// It sends publishers away.
    Leaving,
    /// Nothing more comes for its subscribers: they get what waits, then they are sent away.
    Withdrawn,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It learns who is there and what they want.
    Joining,
    /// It takes messages.
    Ready,
    /// It hands on what it has, and takes no more clients.
    Leaving,
}

impl Phase {
    /// Its name in the HTTP API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Leaving => "leaving",
        }
    }
}

/// A connection that speaks HTTP, with its place among the connections of the client address.
pub(crate) type HttpConnection = (std::net::TcpStream, OwnedSemaphorePermit);

/// This process.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) instance: Instance,
    pub(crate) id: [u8; 16],
    pub(crate) name: String,
    pub(crate) cluster: String,
}

/// See the module.
pub(crate) struct Hub {
    pub(crate) me: Me,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) events: Events,
    pub(crate) gossip: GossipCommands,
    /// HTTP connections, found by their first bytes on the client address.
    pub(crate) http: mpsc::Sender<HttpConnection>,
    /// Clients are let in while the node is ready.
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) arena: RefCell<Arena>,
    pub(crate) clients: RefCell<BTreeMap<ClientId, ClientInfo>>,
    /// Places for connections on the client address, whatever they speak.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) going: Cell<Going>,
    router: RefCell<Router>,
    services: RefCell<Services>,
    queues: RefCell<Queues>,
    /// The next deadline of the queues has changed.
    pub(crate) queues_due: Notify,
    /// Requests have another deadline now.
    pub(crate) services_due: Notify,
    /// When each reason for a closed connection was last told.
    told: RefCell<HashMap<&'static str, Time>>,
    /// What the last marked messages passed here, and when.
    hops: RefCell<VecDeque<(u64, Hop, SystemTime)>>,
    links: RefCell<HashMap<(Instance, Side), Rc<Handle>>>,
    start: Instant,
    next_client: Cell<u32>,
}

/// What the hub is made of.
pub(crate) struct Parts {
    pub(crate) me: Me,
    pub(crate) metrics: Metrics,
    pub(crate) events: Events,
    pub(crate) gossip: GossipCommands,
    pub(crate) http: mpsc::Sender<HttpConnection>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Hub {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        let limits = config.limits.clone();
        let router_limits = forward::Limits {
            frames: WIDEST,
            connection_budget: limits.connection_budget_bytes,
            node_budget: limits.node_budget_bytes,
            subscriptions: limits.max_subscriptions,
            queue: config.queue,
        };
        let mut router = Router::new(parts.me.instance, router_limits, Time::ZERO);
        router.handle_queue_rules(config.queue, &config.queue_rules, Time::ZERO);
        let mut services = Services::new(parts.me.instance, services::Limits::default());
        services.handle_rules(&config.service_rules);
        Self {
            router: RefCell::new(router),
            services: RefCell::new(services),
            services_due: Notify::new(),
            queues: RefCell::new(Queues::new(parts.me.instance, queues::Limits::default())),
            queues_due: Notify::new(),
            me: parts.me,
            limits,
            metrics: parts.metrics,
            events: parts.events,
            hops: RefCell::default(),
            gossip: parts.gossip,
            http: parts.http,
            phase: parts.phase,
            arena: RefCell::default(),
            clients: RefCell::default(),
            places: Arc::new(Semaphore::new(config.limits.max_connections)),
            going: Cell::new(Going::Not),
            links: RefCell::default(),
            told: RefCell::default(),
            start: Instant::now(),
            next_client: Cell::new(1),
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.start.elapsed()
    }

    /// One input to the core; afterwards whoever is concerned by its outputs is woken.
    pub(crate) fn input<T>(&self, input: impl FnOnce(&mut Router, Time) -> T) -> T {
        let mut router = self.router.borrow_mut();
        let result = input(&mut router, self.now());
        while let Some(output) = router.poll_output() {
            self.act_on(output);
        }
        result
    }

    /// A look at the core.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Router) -> T) -> T {
        look(&self.router.borrow())
    }

    /// The core's numbers. What it gave to sessions counts as waiting until it is written, and as
    /// delivered from then on: so that number never falls.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.look(|router| router.stats());
        for client in self.clients.borrow().values() {
            let Amount { messages, bytes } = client.handle.unwritten.get();
            stats.delivered_messages -= messages;
            stats.delivered_bytes -= bytes;
            stats.queued_messages += messages;
            stats.queued_bytes += bytes as usize;
        }
        stats
    }

    /// The node begins to go: publishers are sent away.
    pub(crate) fn leave(&self) {
        self.input_services(|services, now| services.handle_leaving(now));
        self.input_queues(|queues, now| queues.handle_leaving(now));
        self.go(Going::Leaving);
    }

    /// Its clients want nothing more: they get what waits for them, then they are sent away.
    pub(crate) fn withdraw(&self) {
        self.input(|router, _| router.handle_withdrawal());
        self.go(Going::Withdrawn);
    }

    fn go(&self, going: Going) {
        self.going.set(going.max(self.going.get()));
        for client in self.clients.borrow().values() {
            client.handle.wake.notify_one();
        }
    }

    /// Whether the log has not told of this for a while. A client that is refused comes back ten
    /// times a second; the counters have them all.
    pub(crate) fn is_news(&self, reason: &'static str) -> bool {
        let now = self.now();
        let mut told = self.told.borrow_mut();
        let last = told.get(reason).copied();
        let news = last.is_none_or(|last| now.saturating_sub(last) >= TELL_AGAIN);
        if news {
            told.insert(reason, now);
        }
        news
    }

    fn act_on(&self, output: Output) {
        match output {
            Output::Client(id) => self.wake_client(id, false),
            Output::CloseClient(id) => self.wake_client(id, true),
            Output::Link(peer) => self.wake_link(peer, Side::Dialed),
            Output::Accepted(peer) => self.wake_link(peer, Side::Accepted),
            Output::Learned(card) => match Member::decode(&card) {
                Ok(member) => self.gossip.card(member),
                Err(error) => tracing::warn!(%error, "a link carried a malformed member record"),
            },
            Output::SubscriptionReady(waited) => {
                self.metrics.observe(&SUBSCRIPTION_READY, waited);
            }
            Output::Slow(client, word) => self.tell_slow(client, &word),
            Output::Hop(id, hop) => self.note_hop(id, hop),
            Output::PassedOver(peer) => {
                tracing::warn!(
                    instance = %format_args!("{:016x}", peer.0),
                    "a node acks nothing: its messages are dropped until it does"
                );
            }
            Output::GivenUp(peer) => {
                tracing::warn!(
                    instance = %format_args!("{:016x}", peer.0),
                    "a node cannot tell what its clients want: no link from it. What they want of \
                     the topics served here is dropped until there is one"
                );
            }
        }
    }

    /// A subscriber does not keep up, or does again.
    fn tell_slow(&self, id: ClientId, word: &Slow) {
        let clients = self.clients.borrow();
        let Some(peer) = clients.get(&id).map(|client| client.peer.to_string()) else {
            return;
        };
        match word {
            Slow::Full {
                policy,
                prefix,
                queue_bytes,
            } => {
                let (policy, prefix) = (policy.name(), String::from_utf8_lossy(prefix));
                let text = format!(
                    "the queue of subscriber {peer} is full ({queue_bytes} bytes): {policy}"
                );
                let fields = [
                    ("policy", policy.to_string()),
                    ("prefix", prefix.into_owned()),
                    ("queue_bytes", queue_bytes.to_string()),
                ];
                self.events.tell(Kind::SlowFull, &peer, &text, &fields);
            }
            Slow::Relieved { dropped, after } => {
                let seconds = format!("{:.1}", after.as_secs_f64());
                let text = format!(
                    "subscriber {peer} keeps up again after {seconds} s: {dropped} messages dropped"
                );
                let fields = [("dropped", dropped.to_string()), ("seconds", seconds)];
                self.events.tell(Kind::SlowRelieved, &peer, &text, &fields);
            }
        }
    }

    fn note_hop(&self, id: u64, hop: Hop) {
        let mut hops = self.hops.borrow_mut();
        if hops.len() >= HOPS {
            hops.pop_front();
        }
        hops.push_back((id, hop, SystemTime::now()));
    }

    /// What a marked message passed here, in order.
    pub(crate) fn hops(&self, id: u64) -> Vec<(Hop, SystemTime)> {
        let hops = self.hops.borrow();
        let those = hops.iter().filter(|(of, _, _)| *of == id);
        those.map(|(_, hop, at)| (hop.clone(), *at)).collect()
    }

    /// How long the answer to the last ping took, by peer, on links that this node dialed.
    pub(crate) fn link_rtts(&self) -> BTreeMap<Instance, Time> {
        let links = self.links.borrow();
        let dialed = links.iter().filter(|((_, side), _)| *side == Side::Dialed);
        dialed
            .filter_map(|((peer, _), handle)| Some((*peer, handle.rtt.get()?)))
            .collect()
    }

    fn wake_client(&self, id: ClientId, close: bool) {
        if let Some(client) = self.clients.borrow().get(&id) {
            client
                .handle
                .closing
                .set(client.handle.closing.get() || close);
            client.handle.wake.notify_one();
        }
    }

    fn wake_link(&self, peer: Instance, side: Side) {
        if let Some(handle) = self.links.borrow().get(&(peer, side)) {
            handle.wake.notify_one();
        }
    }

    /// How long ago the open links last brought something, by peer.
    pub(crate) fn signs_of_life(&self) -> BTreeMap<u64, Time> {
        let now = self.now();
        let mut signs = BTreeMap::new();
        for ((peer, _), handle) in self.links.borrow().iter() {
            let ago = now.saturating_sub(handle.heard.get());
            signs
                .entry(peer.0)
                .and_modify(|least: &mut Time| *least = ago.min(*least))
                .or_insert(ago);
        }
        signs
    }

    /// A number for a new client.
    pub(crate) fn next_client(&self) -> ClientId {
        let id = self.next_client.get();
        self.next_client.set(id % LAST_CLIENT + 1);
        ClientId(id)
    }

    /// Makes a link known. The one that it replaces is told to go.
    pub(crate) fn add_link(&self, peer: Instance, side: Side) -> Rc<Handle> {
        let handle = Rc::new(Handle::default());
        handle.heard.set(self.now());
        if let Some(old) = self
            .links
            .borrow_mut()
            .insert((peer, side), Rc::clone(&handle))
        {
            old.closing.set(true);
            old.wake.notify_one();
        }
        handle
    }

    /// Forgets a link that cannot have been replaced.
    pub(crate) fn forget_link(&self, peer: Instance, side: Side) {
        self.links.borrow_mut().remove(&(peer, side));
    }

    /// Forgets a link. `false` if another one has replaced it.
    pub(crate) fn remove_link(&self, peer: Instance, side: Side, handle: &Rc<Handle>) -> bool {
        let mut links = self.links.borrow_mut();
        let current = links
            .get(&(peer, side))
            .is_some_and(|known| Rc::ptr_eq(known, handle));
        if current {
            links.remove(&(peer, side));
        }
        current
    }
}

/// Limits of one message on a client connection.
pub(crate) fn frame_limits(limits: &Limits) -> FrameLimits {
    FrameLimits {
        message_bytes: limits.max_message_bytes,
        frames: limits.max_frames,
    }
}
