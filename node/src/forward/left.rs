//! What a node has that others should have: a node that goes waits until that is nothing.

use std::collections::BTreeMap;

use super::router::{Router, SELF};
use super::{ClientId, Instance};

/// A number of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Taken from this node's clients and not yet known to be with all who want them, by the node
    /// that serves them.
    pub undone: BTreeMap<Instance, Amount>,
    /// Sent on as their owner and not yet acked, by the node that owes the ack: each message once
    /// for each node.
    pub unacked: BTreeMap<Instance, Amount>,
}

impl Amount {
    /// Adds so many messages.
    pub fn add(&mut self, messages: u64, bytes: usize) {
        self.messages += messages;
        self.bytes += bytes as u64;
    }

    /// The sum of some.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for amount in all {
            sum.messages += amount.messages;
            sum.bytes += amount.bytes;
        }
        sum
    }
}

impl Router {
    /// What is left to other nodes. It takes longer the more that is: not to be asked all the time.
    pub fn left(&self) -> Left {
        let mut left = Left::default();
        for (target, kept) in self.outbox.undone() {
            let amount = left.undone.entry(target).or_default();
            amount.add(kept.header.count.into(), kept.body.len());
        }
        for (slot, pending) in self.serving.unacked_by_all() {
            let peer = self.peers.get(slot).map(|peer| peer.instance);
            let Some(instance) = peer.or_else(|| (slot == SELF).then_some(self.me)) else {
                continue;
            };
            let amount = left.unacked.entry(instance).or_default();
            amount.add(pending.header.messages.into(), pending.body.len());
        }
        left
    }

    /// What waits in the queue of one client.
    pub fn client_waiting(&self, client: ClientId) -> Amount {
        let (messages, bytes) = self.clients.waiting(client);
        Amount {
            messages,
            bytes: bytes as u64,
        }
    }

    /// Whether nothing is left for other nodes to do with what this node took or serves.
    pub fn owes_nothing(&self) -> bool {
        self.outbox.is_empty() && self.serving.is_empty()
    }
}
