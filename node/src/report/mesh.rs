//! Shapes of what is asked of the whole mesh: the node that is asked asks the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Connection, Member, Node};

/// `GET /api/v1/mesh`: every node of the mesh, as each says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mesh {
    /// Name of the node that answers.
    pub node: String,
    /// Its cluster.
    pub cluster: String,
    /// When the answer was put together, in milliseconds since 1970.
    pub at_ms: u64,
    /// Everyone whom the answering node has heard of, sorted by name.
    pub members: Vec<Member>,
    /// The living ones, sorted by name.
    pub nodes: Vec<MeshNode>,
    /// The latest events of all nodes, oldest first; at most 200.
    pub events: Vec<Event>,
}

/// What one node says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MeshNode {
    /// Its name.
    pub name: String,
    /// Why it did not answer. The rest is empty then.
    pub error: Option<String>,
    /// What it said.
    pub overview: Option<Overview>,
}

/// `GET /api/v1/overview`: one node, in as little as the whole mesh can be asked for every second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overview {
    /// The node at a glance.
    pub node: Node,
    /// Links that are up.
    pub links_up: u32,
    /// Names of the living members to which this node's link is down.
    pub links_down: Vec<String>,
    /// Bytes that wait for links.
    pub link_pending_bytes: u64,
    /// Bytes that wait in subscribers' queues.
    pub queued_bytes: u64,
    /// Publishers that are not read from now (back-pressure).
    pub publishers_throttled: u32,
    /// Subscribers whose queue is full now, or dropped something within the last minute; those
    /// with the most bytes first, at most 10.
    pub slow: Vec<Connection>,
    /// Topics that this node owns, the busiest first; at most 20.
    pub topics: Vec<Topic>,
    /// From taking a message to knowing it with everybody who wants it, since start.
    pub done: Latency,
    /// The latest events of this node, oldest first; at most 50.
    pub events: Vec<Event>,
}

/// A histogram of times, since start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Upper bounds of the buckets, in microseconds; the last bucket has none.
    pub bounds_us: Vec<u64>,
    /// Messages by bucket, one more than bounds.
    pub counts: Vec<u64>,
}

impl Latency {
    /// The upper bound, in microseconds, of the bucket with this part (0 to 1) of what was counted
    /// since `earlier`. `None` if that was nothing. Beyond the last bound it is the last bound.
    pub fn quantile_us(&self, earlier: &Self, part: f64) -> Option<u64> {
        let before = |index: usize| earlier.counts.get(index).copied().unwrap_or(0);
        let counts = self.counts.iter().enumerate();
        let counts: Vec<u64> = counts
            .map(|(index, count)| count.saturating_sub(before(index)))
            .collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return None;
        }
        let mut left = (all as f64 * part).ceil().max(1.0) as u64;
        for (index, count) in counts.iter().enumerate() {
            if left <= *count {
                let last = self.bounds_us.len().checked_sub(1)?;
                return self.bounds_us.get(index.min(last)).copied();
            }
            left -= count;
        }
        None
    }
}

/// `GET /api/v1/topics`: the busiest topics that the answering node owns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Topics {
    /// The busiest first.
    pub topics: Vec<Topic>,
}

/// The traffic of one topic, as its owner sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Topic {
    /// The topic's key (its part before the first space), at most 64 bytes of it; bytes that are
    /// not UTF-8 are shown as U+FFFD.
    pub topic: String,
    /// Its partition.
    pub partition: u16,
    /// Messages a second, lately. Above some thousand messages a second in all it is an estimate.
    pub messages_per_second: f64,
    /// Bytes a second, lately.
    pub bytes_per_second: f64,
}

/// `GET /api/v1/events`: what happened, as the answering node saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
}

/// One event: also the second frame of the messages on the topics `$zmesh.event.…`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened, such as `member.dead`; the message's topic is `$zmesh.event.` and this.
    pub event: String,
    /// The node that saw it.
    pub node: String,
    /// Number of the event at that node, rising by one since its start.
    pub seq: u64,
    /// When, by that node's clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whom it is about: the name of a member, the address of a client.
    pub subject: String,
    /// A sentence for people.
    pub text: String,
    /// What else there is to say, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// `GET /api/v1/explain?topic=T`: what becomes of a message on a topic, and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Explain {
    /// The topic as given.
    pub topic: String,
    /// The part of it that chooses the partition.
    pub key: String,
    /// Its partition.
    pub partition: u16,
    /// Name of the owner.
    pub owner: String,
    /// Why this member is the owner, in words.
    pub why: String,
    /// Names of the members that follow it, nearest first.
    pub successors: Vec<String>,
    /// View hash of the answering node.
    pub view_hash: String,
    /// What each living node knows of the topic, sorted by name.
    pub nodes: Vec<ExplainNode>,
}

/// What one node knows of a topic.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExplainNode {
    /// Its name.
    pub name: String,
    /// Why it did not answer. The rest is empty then.
    pub error: Option<String>,
    /// Name of the owner, as this node sees it.
    pub owner: String,
    /// Prefixes of its clients that the topic begins with; at most 20.
    pub prefixes: Vec<String>,
    /// Its clients that want the topic.
    pub subscribers: u32,
    /// Their addresses, at most 20.
    pub clients: Vec<String>,
    /// The policy of their queues for this topic.
    pub queue_policy: String,
    /// Whether messages of the partition that were taken here wait for its old owner.
    pub moving: bool,
    /// Messages of the partition that were taken here and are not done.
    pub undone_messages: u64,
    /// The last message of the partition that was dropped here, if one was.
    pub last_drop: Option<LastDrop>,
}

/// A message that was dropped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LastDrop {
    /// The reason, as in the metrics.
    pub reason: String,
    /// Seconds since then.
    pub seconds_ago: f64,
}

/// `POST /api/v1/trace?topic=T`: the way of one marked message, which no client gets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trace {
    /// The topic as given.
    pub topic: String,
    /// Its partition.
    pub partition: u16,
    /// The mark, in hexadecimal digits.
    pub id: String,
    /// Whether everybody who wants the topic has said that it has the message.
    pub done: bool,
    /// From taking it to knowing that, in microseconds, by the origin's clock.
    pub done_us: Option<u64>,
    /// What happened to it, in the order of the times, which are of each node's own clock.
    pub hops: Vec<Hop>,
    /// Nodes that could not be asked, with the reason.
    pub errors: BTreeMap<String, String>,
}

/// One thing that happened to a marked message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hop {
    /// The node.
    pub node: String,
    /// `taken`, `served`, `delivered` or `done`.
    pub what: String,
    /// Microseconds since 1970 by the node's clock.
    pub at_us: u64,
    /// With `taken` the owner, with `served` the nodes that it was sent to.
    pub to: Vec<String>,
    /// With `delivered`: how many clients want it.
    pub clients: u32,
}

/// `POST /api/v1/reach`: whether the answering node can reach the others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reach {
    /// The answering node.
    pub node: String,
    /// Each address of each other living member.
    pub attempts: Vec<ReachAttempt>,
}

/// One attempt to reach an address of a member.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReachAttempt {
    /// Name of the member.
    pub peer: String,
    /// `client`, `gossip` or `link`.
    pub port: String,
    /// `host:port`, as the member tells it.
    pub address: String,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}
