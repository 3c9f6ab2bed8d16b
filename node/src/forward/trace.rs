//! The way of one marked message: each place that it passes tells of it.
//!
//! It goes the way of every message of its topic, numbered, matched and acked like them, up to the
//! queues of the clients, which do not get it.

use super::outbox::{Kept, New};
use super::own::{self, traced};
use super::prefixes::SetId;
use super::queue::Segment;
use super::router::{Output, Router, SELF};
use super::{ClientId, Instance, Time};
use crate::zmtp::frames::{Item, item_at};

/// Nobody: a number that no client has.
const NOBODY: ClientId = ClientId(0);

/// What a place did with a marked message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The origin numbered it, and gave it to this owner; to nobody yet while the stream moves.
    Taken(Option<Instance>),
    /// The owner sent it to these nodes, itself included where its clients want it.
    Served(Vec<Instance>),
    /// So many clients of the node want it.
    Delivered(u32),
    /// The origin knows that it is with everybody who wants it.
    Done,
}

impl Router {
    /// Sends a marked message the way of a topic.
    pub fn handle_trace(&mut self, id: u64, topic: &[u8], now: Time) {
        let Segment { bytes, .. } = own::trace(id, topic);
        let partition = self.partition_of(zmesh_partition::key(topic));
        self.stats.taken_messages += 1;
        self.stats.taken_bytes += bytes.len() as u64;
        self.clients.charge(NOBODY, 1, bytes.len());
        let new = New {
            count: 1,
            body: bytes.clone(),
            client: NOBODY,
            taken_at: now,
        };
        let placed = self.place(partition, new, now);
        self.outputs
            .push_back(Output::Hop(id, Hop::Taken(placed.to)));
        if let Some(target) = placed.to {
            let range = 0..bytes.len();
            self.give(target, placed.header, &bytes, range, now);
        }
        self.close_buffer(&bytes, now);
        self.settle(now);
    }

    /// The owner has matched a marked message.
    pub(super) fn tell_served(&mut self, id: u64, set: SetId) {
        let instance = |slot: &u32| match *slot {
            SELF => Some(self.me),
            slot => self.peers.get(slot).map(|peer| peer.instance),
        };
        let to = self.nodes.ids(set).iter().filter_map(instance).collect();
        self.outputs.push_back(Output::Hop(id, Hop::Served(to)));
    }

    /// A marked message has come to a node whose clients want it.
    pub(super) fn tell_delivered(&mut self, id: u64, set: SetId) {
        let (clients, _) = self.clients.wanted_by(set);
        let hop = Hop::Delivered(clients.len() as u32);
        self.outputs.push_back(Output::Hop(id, hop));
    }

    /// The owner is through with a record.
    pub(super) fn tell_done(&mut self, kept: &Kept) {
        if kept.client != NOBODY {
            return;
        }
        if let Some(id) = self.mark_of(&kept.body) {
            self.outputs.push_back(Output::Hop(id, Hop::Done));
        }
    }

    fn mark_of(&self, message: &[u8]) -> Option<u64> {
        match item_at(message, 0, self.limits.frames) {
            Ok(Item::Message(span)) => traced(span.topic(message)).map(|(id, _)| id),
            _ => None,
        }
    }
}
