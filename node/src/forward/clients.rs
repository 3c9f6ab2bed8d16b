//! The node's own clients: what each may send, what waits for each, who wants what.

use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::FixedState;

use super::lane::{Lane, LaneId, Pushed, Waiting};
use super::own::{self, DROPPED_TOPIC, EVENT_TOPIC, OWN, READY_TOPIC};
use super::prefixes::{PrefixIndex, SetId};
use super::queue::{Circumstances, Popped, Queue, Segment};
use super::rules::Rules;
use super::slow::Episode;
use super::{ClientId, ClientStats, DropReason, LaneStats, Stats, Time};
use crate::config::{QueueConfig, QueuePolicy, QueueRule};

/// With so many bytes in all queues together, every queue counts as full: many slow subscribers
/// must not take what the node needs for the others.
const QUEUED_BYTES: usize = 1 << 30;

/// What a record costs beside its bytes, at its origin and its owner, while it is on its way. Tiny
/// messages of changing topics would take a multiple of their budget without it.
const RECORD_BYTES: usize = 256;

/// Clients have numbers up to this; those above are of rules.
pub const LAST_CLIENT: u32 = i32::MAX as u32;

/// All clients of the node.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: HashMap<ClientId, Client, FixedState>,
    /// Who wants a topic. The rules of queues are in it as well, each with a number above those of
    /// clients: so the memo of a topic knows its rule, and messages of two rules are never one run.
    pub(crate) index: PrefixIndex,
    rules: Rules,
    /// Those that do not keep up.
    pub(super) slow: BTreeSet<ClientId>,
    withdrawn: bool,
    undone: usize,
    /// Bytes in all queues.
    queued: usize,
    budgets: Budgets,
}

/// How many bytes of publishers may be on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    pub(crate) connection: usize,
    pub(crate) node: usize,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) queue: Queue,
    /// Prefixes, each as often as it was subscribed to.
    pub(crate) subscriptions: HashMap<Vec<u8>, u32>,
    pub(crate) prefix_bytes: usize,
    /// Subscriptions that [`READY_TOPIC`] begins with.
    ready_prefixes: u32,
    /// Subscriptions that [`DROPPED_TOPIC`] begins with.
    dropped_prefixes: u32,
    /// Subscriptions to topics of events.
    event_prefixes: BTreeSet<Vec<u8>>,
    /// While it does not keep up.
    pub(super) slow: Option<Episode>,
    /// Dropped messages that it was told of, or that were dropped before it asked to be told.
    told: u64,
    undone: usize,
    paused: bool,
    closing: bool,
    taken: u64,
    delivered: u64,
}

/// What a push asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Nothing,
    /// The queue was empty: the connection must be woken.
    Wake,
    /// The queue is full and the policy is to hold publishers back.
    Hold,
    /// The connection has to go.
    Close,
}

impl Clients {
    pub(crate) fn new(budgets: Budgets, queue: QueueConfig) -> Self {
        Self {
            clients: HashMap::default(),
            index: PrefixIndex::default(),
            rules: Rules::new(queue),
            slow: BTreeSet::new(),
            withdrawn: false,
            undone: 0,
            queued: 0,
            budgets,
        }
    }

    /// Replaces what holds for queues. What waits stays where it is in the order.
    pub(crate) fn set_rules(&mut self, queue: QueueConfig, rules: &[QueueRule]) {
        self.rules.replace(queue, rules, &mut self.index);
        let mut used = HashSet::new();
        for client in self.clients.values_mut() {
            let queue = &mut client.queue;
            queue.set_configs(|lane| self.rules.config_in_force(lane));
            used.extend(queue.lanes().iter().map(|lane| lane.id()));
            used.extend(client.slow.as_ref().map(Episode::lane));
        }
        self.rules.free_unused(&used);
    }

    /// Whether this part of a queue holds publishers back: that of a rule that has gone does not.
    pub(crate) fn is_blocking(&self, id: ClientId, lane: LaneId) -> bool {
        let config = self.rules.config_in_force(lane);
        let lanes = self.clients.get(&id).map(|client| client.queue.lanes());
        let lane = lanes.and_then(|lanes| lanes.iter().find(|it| it.id() == lane));
        config.is_some_and(|it| it.policy == QueuePolicy::Block) && lane.is_some_and(Lane::is_full)
    }

    /// Who wants the messages of a set, and the rule that they fall under.
    pub(crate) fn wanted_by(&self, set: SetId) -> (&[u32], LaneId) {
        let ids = self.index.ids(set);
        if ids.last().is_none_or(|last| *last <= LAST_CLIENT) {
            return (ids, LaneId::default());
        }
        let (clients, rules) = ids.split_at(ids.partition_point(|id| *id <= LAST_CLIENT));
        (clients, self.rules.longest(rules))
    }

    /// Whether queues of those who want the messages of a set hold publishers back.
    pub(crate) fn may_block(&self, set: SetId) -> bool {
        let (_, lane) = self.wanted_by(set);
        self.policy(lane) == QueuePolicy::Block
    }

    pub(crate) fn open(&mut self, id: ClientId) {
        assert!(id.0 <= LAST_CLIENT, "numbers above it are of rules");
        let client = Client {
            queue: Queue::new(self.rules.config(LaneId::default())),
            subscriptions: HashMap::new(),
            prefix_bytes: 0,
            ready_prefixes: 0,
            dropped_prefixes: 0,
            event_prefixes: BTreeSet::new(),
            slow: None,
            told: 0,
            undone: 0,
            paused: false,
            closing: false,
            taken: 0,
            delivered: 0,
        };
        self.clients.insert(id, client);
    }

    /// From now on the clients want nothing, and nothing that they still subscribe to counts. What
    /// waits for them stays. Returns the prefixes that each held, sorted.
    pub(crate) fn withdraw(&mut self) -> Vec<(ClientId, Vec<u8>)> {
        self.withdrawn = true;
        let mut held = Vec::new();
        for (id, client) in &mut self.clients {
            // What the node itself says goes on.
            let all = client
                .subscriptions
                .extract_if(|prefix, _| !prefix.starts_with(OWN));
            held.extend(all.map(|(prefix, _)| (*id, prefix)));
        }
        held.sort_unstable();
        for (id, prefix) in &held {
            self.index.remove(prefix, id.0);
        }
        held
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// Forgets a client; what waited for it is dropped. Its prefixes are returned,
    /// sorted.
    pub(crate) fn close(&mut self, id: ClientId, stats: &mut Stats) -> Vec<Vec<u8>> {
        let Some(client) = self.clients.remove(&id) else {
            return Vec::new();
        };
        self.queued -= client.queue.bytes();
        let waited = (client.queue.messages(), client.queue.payload_bytes());
        stats.drop(DropReason::SubscriberGone, waited.0, waited.1);
        for prefix in client.subscriptions.keys() {
            self.index.remove(prefix, id.0);
        }
        let mut prefixes: Vec<_> = client.subscriptions.into_keys().collect();
        prefixes.sort_unstable();
        prefixes
    }

    pub(crate) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    /// Puts messages into a client's queue.
    pub(crate) fn push(
        &mut self,
        id: ClientId,
        segment: Segment,
        lane: LaneId,
        stats: &mut Stats,
        now: Time,
    ) -> Asked {
        let Some(client) = self.clients.get_mut(&id) else {
            return Asked::Nothing;
        };
        let (messages, bytes) = (u64::from(segment.messages), segment.bytes.len());
        stats.matched_messages += messages;
        if client.closing {
            stats.drop(DropReason::SubscriberGone, messages, bytes);
            return Asked::Nothing;
        }
        let config = self.rules.config(lane);
        let circumstances = Circumstances {
            crowded: self.queued >= QUEUED_BYTES,
            told: client.wants_dropped(),
            now,
        };
        let queue = &mut client.queue;
        let (was_empty, before) = (queue.is_empty(), queue.bytes());
        let pushed = queue.push(segment, lane, config, circumstances);
        self.queued = self.queued - before + queue.bytes();
        let asked = if was_empty && !queue.is_empty() {
            Asked::Wake
        } else {
            Asked::Nothing
        };
        self.watch(id, lane, (pushed, messages), stats, now);
        match pushed {
            Pushed::Queued { dropped } => {
                stats.drop(DropReason::QueueOldest, dropped.messages, dropped.bytes);
                asked
            }
            Pushed::Blocked => Asked::Hold,
            Pushed::Refused => {
                stats.drop(DropReason::QueueFull, messages, bytes);
                asked
            }
            Pushed::Disconnect => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.closing = true;
                }
                stats.drop(DropReason::SubscriberGone, messages, bytes);
                Asked::Close
            }
        }
    }

    /// Takes messages out of a client's queue, to be written to it. Where some were dropped it
    /// is a message that says so. The lane is one that was full and no longer is.
    pub(crate) fn pop(
        &mut self,
        id: ClientId,
        stats: &mut Stats,
    ) -> Option<(Segment, Option<LaneId>)> {
        let client = self.clients.get_mut(&id)?;
        let before = client.queue.bytes();
        let popped = loop {
            match client.queue.pop() {
                // It has given up to be told since.
                Some(Popped {
                    what: Waiting::Gap(messages),
                    ..
                }) if !client.wants_dropped() => client.told += messages,
                popped => break popped,
            }
        };
        self.queued = self.queued - before + client.queue.bytes();
        let Popped { what, lane, freed } = popped?;
        let segment = match what {
            Waiting::Messages(segment) => segment,
            Waiting::Gap(messages) => {
                stats.matched_messages += 1;
                client.told += messages;
                let reason = DropReason::of_policy(self.rules.config(lane).policy);
                own::dropped(messages, reason, client.told, self.rules.prefix(lane))
            }
        };
        client.delivered += u64::from(segment.messages);
        stats.delivered_messages += u64::from(segment.messages);
        stats.delivered_bytes += segment.bytes.len() as u64;
        Some((segment, freed.then_some(lane)))
    }

    /// A record of a client is on its way.
    pub(crate) fn charge(&mut self, id: ClientId, messages: u64, bytes: usize) {
        let bytes = bytes + RECORD_BYTES;
        self.undone += bytes;
        if let Some(client) = self.clients.get_mut(&id) {
            client.taken += messages;
            client.undone += bytes;
        }
    }

    /// A record of a client is done. Whoever may be read again is put into `resumed`.
    pub(crate) fn discharge(&mut self, id: ClientId, bytes: usize, resumed: &mut Vec<ClientId>) {
        let bytes = bytes + RECORD_BYTES;
        let was_over = self.undone >= self.budgets.node;
        self.undone -= bytes;
        if let Some(client) = self.clients.get_mut(&id) {
            client.undone -= bytes;
            if client.paused && self.undone < self.budgets.node {
                Self::resume(id, client, self.budgets.connection, resumed);
            }
        }
        if was_over && self.undone < self.budgets.node {
            for (id, client) in self.clients.iter_mut().filter(|(_, client)| client.paused) {
                Self::resume(*id, client, self.budgets.connection, resumed);
            }
        }
    }

    fn resume(id: ClientId, client: &mut Client, budget: usize, resumed: &mut Vec<ClientId>) {
        if client.undone < budget {
            client.paused = false;
            resumed.push(id);
        }
    }

    /// Whether more may be read from a client now; if not it is remembered as paused.
    pub(crate) fn may_read(&mut self, id: ClientId) -> bool {
        let node_full = self.undone >= self.budgets.node;
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        client.paused = node_full || client.undone >= self.budgets.connection;
        !client.paused
    }

    /// What happens when the part of a queue for this rule is full.
    pub(crate) fn policy(&self, lane: LaneId) -> QueuePolicy {
        self.rules.config(lane).policy
    }

    /// What topics under this rule begin with.
    pub(crate) fn prefix(&self, lane: LaneId) -> Vec<u8> {
        self.rules.prefix(lane).to_vec()
    }

    /// Clients that asked for the events of a topic, sorted.
    pub(crate) fn watchers_of(&self, topic: &[u8]) -> Vec<ClientId> {
        let asks = |client: &Client| {
            // As many looks as the topic is long, however many prefixes there are.
            let mut prefixes = (OWN.len()..=topic.len()).map(|end| &topic[..end]);
            !client.event_prefixes.is_empty()
                && prefixes.any(|prefix| client.event_prefixes.contains(prefix))
        };
        let watching = self.clients.iter().filter(|(_, client)| asks(client));
        let mut ids: Vec<ClientId> = watching.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Publishers that must not be read from now.
    pub(crate) fn throttled(&self) -> usize {
        let paused = self.clients.values().filter(|client| client.paused);
        paused.count()
    }

    /// Subscribers whose queue is full, under one rule at least.
    pub(crate) fn full_queues(&self) -> usize {
        let full = |client: &&Client| {
            let mut lanes = client.queue.lanes().iter();
            lanes.any(|lane| lane.full_since().is_some())
        };
        self.clients.values().filter(full).count()
    }

    /// Messages that wait in queues.
    pub(crate) fn queued_messages(&self) -> u64 {
        let queues = self.clients.values().map(|client| client.queue.messages());
        queues.sum()
    }

    /// Bytes taken from clients and not done.
    pub(crate) fn undone(&self) -> usize {
        self.undone
    }

    /// Bytes that wait in queues.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Messages that wait for a client, and their bytes.
    pub(crate) fn waiting(&self, id: ClientId) -> (u64, usize) {
        let queue = self.clients.get(&id).map(|client| &client.queue);
        queue.map_or((0, 0), |it| (it.messages(), it.payload_bytes()))
    }

    pub(crate) fn stats(&self, id: ClientId) -> Option<ClientStats> {
        let client = self.clients.get(&id)?;
        let lanes = client.queue.lanes().iter().map(|lane| {
            let prefix = self.prefix(lane.id());
            LaneStats {
                prefix,
                policy: lane.config().policy,
                limit_bytes: lane.config().bytes,
                messages: lane.messages(),
                bytes: lane.bytes(),
                dropped_messages: lane.dropped().messages,
                dropped_bytes: lane.dropped().bytes as u64,
                reason: lane.reason(),
                dropped_at: lane.dropped_at(),
                full_since: lane.full_since(),
            }
        });
        let lanes: Vec<LaneStats> = lanes.collect();
        Some(ClientStats {
            subscriptions: client.subscriptions.len(),
            taken_messages: client.taken,
            delivered_messages: client.delivered,
            dropped_messages: client.queue.dropped(),
            queue_messages: client.queue.messages(),
            queue_bytes: client.queue.bytes(),
            full_since: lanes.iter().filter_map(|lane| lane.full_since).min(),
            undone_bytes: client.undone,
            paused: client.paused,
            lanes,
        })
    }
}

impl Client {
    /// Whether the client asked to be told of its subscriptions.
    pub(crate) fn wants_ready(&self) -> bool {
        self.ready_prefixes > 0
    }

    /// Whether the client asked to be told of messages that its queue had no room for.
    pub(crate) fn wants_dropped(&self) -> bool {
        self.dropped_prefixes > 0
    }

    /// Notes a subscription. `true` if the client did not hold it.
    pub(crate) fn subscribe(&mut self, prefix: &[u8]) -> bool {
        let times = self.subscriptions.entry(prefix.to_vec()).or_insert(0);
        *times = times.saturating_add(1);
        if *times > 1 {
            return false;
        }
        self.prefix_bytes += prefix.len();
        if own::asks_for(EVENT_TOPIC, prefix) || prefix.starts_with(EVENT_TOPIC) {
            self.event_prefixes.insert(prefix.to_vec());
        }
        self.ready_prefixes += u32::from(own::asks_for(READY_TOPIC, prefix));
        if own::asks_for(DROPPED_TOPIC, prefix) {
            self.dropped_prefixes += 1;
            // Of what was dropped before it asked there is nothing to tell but the sum.
            self.told = self.queue.dropped() - self.queue.untold();
        }
        true
    }

    /// Takes a subscription back. `true` if the client no longer holds it.
    pub(crate) fn unsubscribe(&mut self, prefix: &[u8]) -> bool {
        let Some(times) = self.subscriptions.get_mut(prefix) else {
            return false;
        };
        *times -= 1;
        if *times > 0 {
            return false;
        }
        self.subscriptions.remove(prefix);
        self.prefix_bytes -= prefix.len();
        self.event_prefixes.remove(prefix);
        self.ready_prefixes -= u32::from(own::asks_for(READY_TOPIC, prefix));
        self.dropped_prefixes -= u32::from(own::asks_for(DROPPED_TOPIC, prefix));
        true
    }
}
