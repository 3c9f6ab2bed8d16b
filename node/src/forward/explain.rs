//! What the core knows of one topic, for whoever wonders where a message went.

use super::lane::LaneId;
use super::own::subject;
use super::queue::Segment;
use super::router::Router;
use super::{ClientId, DropReason, Time};
use crate::config::QueuePolicy;
use crate::zmtp::frames::{Item, item_at};

/// Prefixes and clients that are named; there may be more.
const NAMED: usize = 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Prefixes of this node's clients that the topic begins with, shortest first; at most 20.
    pub prefixes: Vec<Vec<u8>>,
    /// This node's clients that want it.
    pub subscribers: usize,
    /// Some of them, at most 20.
    pub clients: Vec<ClientId>,
    /// What their queues do when they are full, for this topic.
    pub policy: QueuePolicy,
    /// Whether messages of the partition that were taken here wait for its old owner.
    pub moving: bool,
    /// Messages of the partition that were taken here and are not done.
    pub undone_messages: u64,
    /// Why a message of the partition was last dropped here, and when.
    pub last_drop: Option<(DropReason, Time)>,
}

impl Router {
    /// What is known here of a topic. Looks at every prefix: not to be asked all the time.
    pub fn explain(&mut self, topic: &[u8]) -> Explained {
        let partition = self.partition_of(zmesh_partition::key(topic));
        let set = self.clients.index.find(topic);
        let (ids, lane) = self.clients.wanted_by(set);
        let all = self.interest.prefixes().map(|(prefix, _)| prefix);
        let mut prefixes: Vec<Vec<u8>> = all
            .filter(|prefix| topic.starts_with(prefix))
            .map(<[u8]>::to_vec)
            .collect();
        prefixes.sort_unstable();
        prefixes.truncate(NAMED);
        let (undone_messages, moving) = self.outbox.standing(partition);
        Explained {
            prefixes,
            subscribers: ids.len(),
            clients: ids.iter().take(NAMED).copied().map(ClientId).collect(),
            policy: self.clients.policy(lane),
            moving,
            undone_messages,
            last_drop: self.drops.get(&partition).copied(),
        }
    }

    /// A message of a partition was dropped.
    pub(super) fn note_drop(&mut self, partition: u16, reason: DropReason, now: Time) {
        self.drops.insert(partition, (reason, now));
    }

    /// A queue dropped these messages, or older ones to make room for them.
    pub(super) fn note_drop_of(&mut self, segment: &Segment, lane: LaneId, now: Time) {
        if let Ok(Item::Message(span)) = item_at(&segment.bytes, 0, self.limits.frames) {
            let key = zmesh_partition::key(subject(span.topic(&segment.bytes)));
            let partition = self.partition_of(key);
            let reason = DropReason::of_policy(self.clients.policy(lane));
            self.note_drop(partition, reason, now);
        }
    }
}
