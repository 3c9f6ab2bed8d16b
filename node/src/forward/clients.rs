//! The node's own clients: what each may send, what waits for each, who wants what.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::prefixes::PrefixIndex;
use super::queue::{Pushed, Queue, Segment};
use super::{ClientId, ClientStats, DropReason, Stats, Time};
use crate::config::QueueConfig;

/// Topic of the messages that tell a client that a subscription of its is in force everywhere.
pub(crate) const READY_TOPIC: &[u8] = b"$zmesh.ready";

/// Topics that begin like this are spoken by nodes only, each to its own clients.
pub(crate) const RESERVED: &[u8] = b"$zmesh.";

/// With so many bytes in all queues together, every queue counts as full: many slow subscribers
/// must not take what the node needs for the others.
const QUEUED_BYTES: usize = 1 << 30;

/// What a record costs beside its bytes, at its origin and its owner, while it is on its way. Tiny
/// messages of changing topics would take a multiple of their budget without it.
const RECORD_BYTES: usize = 256;

/// All clients of the node.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: HashMap<ClientId, Client, FixedState>,
    pub(crate) index: PrefixIndex,
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
    undone: usize,
    paused: bool,
    closing: bool,
    taken: u64,
    delivered: u64,
    dropped: u64,
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
    pub(crate) fn new(budgets: Budgets) -> Self {
        Self {
            clients: HashMap::default(),
            index: PrefixIndex::default(),
            undone: 0,
            queued: 0,
            budgets,
        }
    }

    pub(crate) fn open(&mut self, id: ClientId, queue: QueueConfig) {
        let client = Client {
            queue: Queue::new(queue),
            subscriptions: HashMap::new(),
            prefix_bytes: 0,
            ready_prefixes: 0,
            undone: 0,
            paused: false,
            closing: false,
            taken: 0,
            delivered: 0,
            dropped: 0,
        };
        self.clients.insert(id, client);
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
        let was_empty = client.queue.is_empty();
        let before = client.queue.bytes();
        let pushed = client.queue.push(segment, self.queued >= QUEUED_BYTES, now);
        self.queued = self.queued - before + client.queue.bytes();
        match pushed {
            Pushed::Queued { dropped } => {
                client.dropped += dropped.messages;
                stats.drop(DropReason::QueueOldest, dropped.messages, dropped.bytes);
                if was_empty {
                    Asked::Wake
                } else {
                    Asked::Nothing
                }
            }
            Pushed::Blocked => Asked::Hold,
            Pushed::Refused => {
                client.dropped += messages;
                stats.drop(DropReason::QueueFull, messages, bytes);
                Asked::Nothing
            }
            Pushed::Disconnect => {
                client.closing = true;
                stats.drop(DropReason::SubscriberGone, messages, bytes);
                Asked::Close
            }
        }
    }

    /// Takes messages out of a client's queue, to be written to it. The flag says that the queue
    /// was full and no longer is.
    pub(crate) fn pop(&mut self, id: ClientId, stats: &mut Stats) -> Option<(Segment, bool)> {
        let client = self.clients.get_mut(&id)?;
        let was_full = client.queue.is_full();
        let before = client.queue.bytes();
        let segment = client.queue.pop()?;
        self.queued = self.queued - before + client.queue.bytes();
        client.delivered += u64::from(segment.messages);
        stats.delivered_messages += u64::from(segment.messages);
        stats.delivered_bytes += segment.bytes.len() as u64;
        Some((segment, was_full && !client.queue.is_full()))
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

    /// Bytes taken from clients and not done.
    pub(crate) fn undone(&self) -> usize {
        self.undone
    }

    /// Bytes that wait in queues.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn stats(&self, id: ClientId) -> Option<ClientStats> {
        let client = self.clients.get(&id)?;
        Some(ClientStats {
            subscriptions: client.subscriptions.len(),
            taken_messages: client.taken,
            delivered_messages: client.delivered,
            dropped_messages: client.dropped,
            queue_messages: client.queue.messages(),
            queue_bytes: client.queue.bytes(),
            policy: client.queue.policy(),
            full_since: client.queue.full_since(),
            undone_bytes: client.undone,
            paused: client.paused,
        })
    }
}

impl Client {
    /// Whether the client asked to be told of its subscriptions. A prefix of the name will do, as
    /// with any topic, but not one so short that it was meant for something else.
    pub(crate) fn wants_ready(&self) -> bool {
        self.ready_prefixes > 0
    }

    /// Notes a subscription. `true` if the client did not hold it.
    pub(crate) fn subscribe(&mut self, prefix: &[u8]) -> bool {
        let times = self.subscriptions.entry(prefix.to_vec()).or_insert(0);
        *times = times.saturating_add(1);
        if *times > 1 {
            return false;
        }
        self.prefix_bytes += prefix.len();
        self.ready_prefixes += u32::from(asks_for_ready(prefix));
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
        self.ready_prefixes -= u32::from(asks_for_ready(prefix));
        true
    }
}

fn asks_for_ready(prefix: &[u8]) -> bool {
    prefix.starts_with(RESERVED) && READY_TOPIC.starts_with(prefix)
}
