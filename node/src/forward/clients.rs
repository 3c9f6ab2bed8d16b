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

/// All clients of the node.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: HashMap<ClientId, Client, FixedState>,
    pub(crate) index: PrefixIndex,
    undone: usize,
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
    /// The queue is full and the policy is to hold publishers back. Wakes as well.
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
            budgets,
        }
    }

    pub(crate) fn open(&mut self, id: ClientId, queue: QueueConfig) {
        let client = Client {
            queue: Queue::new(queue),
            subscriptions: HashMap::new(),
            prefix_bytes: 0,
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
        stats.drop(DropReason::SubscriberGone, client.queue.messages());
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
        let messages = u64::from(segment.messages);
        stats.matched_messages += messages;
        if client.closing {
            stats.drop(DropReason::SubscriberGone, messages);
            return Asked::Nothing;
        }
        let was_empty = client.queue.is_empty();
        match client.queue.push(segment, now) {
            Pushed::Queued { dropped } => {
                client.dropped += dropped;
                stats.drop(DropReason::QueueOldest, dropped);
                if was_empty {
                    Asked::Wake
                } else {
                    Asked::Nothing
                }
            }
            Pushed::Blocked => Asked::Hold,
            Pushed::Refused => {
                client.dropped += messages;
                stats.drop(DropReason::QueueFull, messages);
                Asked::Nothing
            }
            Pushed::Disconnect => {
                client.closing = true;
                stats.drop(DropReason::SubscriberGone, messages);
                Asked::Close
            }
        }
    }

    /// Takes messages out of a client's queue, to be written to it. The flag says that the queue
    /// was full and no longer is.
    pub(crate) fn pop(&mut self, id: ClientId, stats: &mut Stats) -> Option<(Segment, bool)> {
        let client = self.clients.get_mut(&id)?;
        let was_full = client.queue.is_full();
        let segment = client.queue.pop()?;
        client.delivered += u64::from(segment.messages);
        stats.delivered_messages += u64::from(segment.messages);
        stats.delivered_bytes += segment.bytes.len() as u64;
        Some((segment, was_full && !client.queue.is_full()))
    }

    /// Bytes of a client are on their way.
    pub(crate) fn charge(&mut self, id: ClientId, messages: u64, bytes: usize) {
        self.undone += bytes;
        if let Some(client) = self.clients.get_mut(&id) {
            client.taken += messages;
            client.undone += bytes;
        }
    }

    /// Bytes of a client are done. Whoever may be read again is put into `resumed`.
    pub(crate) fn discharge(&mut self, id: ClientId, bytes: usize, resumed: &mut Vec<ClientId>) {
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
        let mut prefixes = self.subscriptions.keys();
        prefixes.any(|prefix| prefix.starts_with(RESERVED) && READY_TOPIC.starts_with(prefix))
    }
}
