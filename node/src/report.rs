//! The JSON shapes of the HTTP API. Fields are added, never renamed: scripts rely on them.

mod mesh;
mod queues;
mod services;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use mesh::{
    Event, Events, Explain, ExplainNode, Hop, LastDrop, Latency, Mesh, MeshNode, Overview, Reach,
    ReachAttempt, Topic, Topics, Trace,
};
pub use queues::{DeadTask, DeadTasks, Queue, Queues};
pub use services::{Service, Services, Worker};

/// `GET /api/v1/members`: everyone this node has heard of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Members {
    /// Sorted by name.
    pub members: Vec<Member>,
    /// The view hash of the answering node, as 16 hexadecimal digits.
    pub view_hash: String,
}

/// One member as the answering node knows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// The member's name.
    pub name: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: String,
    /// Whether it owns partitions in the answering node's view.
    pub in_view: bool,
    /// Whether it is the answering node itself.
    pub me: bool,
    /// NodeId in hexadecimal digits.
    pub id: String,
    /// Boot time in milliseconds since 1970.
    pub epoch: u64,
    /// How often the member refuted or changed its data since it started.
    pub incarnation: u64,
    /// `host:port` for clients and HTTP.
    pub client: String,
    /// `host:port` of its gossip socket.
    pub gossip: String,
    /// `host:port` for links.
    pub link: String,
    /// Its zone label.
    pub zone: String,
    /// Its weight on the ring.
    pub weight: u8,
    /// Smoothed round-trip time of probes in microseconds, once one was answered.
    pub rtt_us: Option<u64>,
    /// How far its data thread was behind when it last answered, in milliseconds.
    #[serde(default)]
    pub lag_ms: u64,
    /// Partitions it owns in the answering node's view.
    pub partitions: u32,
}

/// `GET /api/v1/ring`: who owns how much.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ring {
    /// Number of partitions, a constant of the protocol.
    pub partitions: u32,
    /// The view hash of the answering node.
    pub view_hash: String,
    /// Sorted by name.
    pub owners: Vec<RingShare>,
}

/// What one member owns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RingShare {
    /// The member's name.
    pub name: String,
    /// Partitions owned.
    pub partitions: u32,
    /// Owned part of all partitions, 0 to 1.
    pub share: f64,
    /// Its weight.
    pub weight: u8,
}

/// `GET /api/v1/owner?topic=T`: where a topic lives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Owner {
    /// The topic as given.
    pub topic: String,
    /// Its partition.
    pub partition: u16,
    /// Name of the owner.
    pub owner: String,
    /// Names of the members that follow it, nearest first.
    pub successors: Vec<String>,
}

/// `GET /api/v1/node`: the answering node at a glance (`zmesh status`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Program version.
    pub version: String,
    /// `joining`, `ready` or `leaving`.
    pub state: String,
    /// Seconds since start.
    pub uptime_seconds: f64,
    /// `host:port` for clients and HTTP.
    pub client: String,
    /// `host:port` of the gossip socket.
    pub gossip: String,
    /// `host:port` for links.
    pub link: String,
    /// The view hash.
    pub view_hash: String,
    /// Members in the view.
    pub view_size: u32,
    /// Partitions owned.
    pub partitions: u32,
    /// Clients connected by ZMTP.
    pub connections: u32,
    /// Distinct prefixes that its clients subscribe to.
    pub subscriptions: u32,
    /// Messages taken from clients since start.
    pub taken_messages: u64,
    /// Bytes taken from clients since start.
    pub taken_bytes: u64,
    /// Messages handed to links since start.
    pub forwarded_messages: u64,
    /// Messages handed to clients since start.
    pub delivered_messages: u64,
    /// Bytes handed to clients since start.
    pub delivered_bytes: u64,
    /// Dropped messages by reason since start.
    pub dropped_messages: BTreeMap<String, u64>,
    /// Connections closed by reason since start.
    pub closed_connections: BTreeMap<String, u64>,
    /// Bytes taken from clients and not yet done.
    pub undone_bytes: u64,
}

/// `GET /api/v1/connections`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connections {
    /// In the order in which they came.
    pub connections: Vec<Connection>,
}

/// One client connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connection {
    /// Number of the connection, unique for the life of the process.
    pub id: u64,
    /// The client's `host:port`.
    pub peer: String,
    /// ZeroMQ socket type of the client, such as `PUB`.
    pub socket_type: String,
    /// ZMTP version of the client, such as `3.1`.
    pub zmtp: String,
    /// Seconds since it connected.
    pub age_seconds: f64,
    /// Subscriptions it holds.
    pub subscriptions: u32,
    /// Messages taken from it.
    pub taken_messages: u64,
    /// Messages handed to it.
    pub delivered_messages: u64,
    /// Messages dropped because its queue was full.
    pub dropped_messages: u64,
    /// Bytes of those.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// Those messages by reason.
    #[serde(default)]
    pub dropped_by_reason: BTreeMap<String, u64>,
    /// Seconds since the last of them.
    #[serde(default)]
    pub seconds_since_drop: Option<f64>,
    /// Messages that wait for it.
    pub queue_messages: u64,
    /// Bytes that wait for it.
    pub queue_bytes: u64,
    /// The policy when its queue is full, for topics without a rule.
    pub queue_policy: String,
    /// Seconds since its queue became full, under one rule at least, while it is.
    pub full_for_seconds: Option<f64>,
    /// The parts of its queue: the first that of topics without a rule, then one for each rule
    /// that a message for it fell under.
    #[serde(default)]
    pub queue: Vec<QueuePart>,
    /// Messages handed to its socket and not yet to the operating system.
    #[serde(default)]
    pub unwritten_messages: u64,
    /// Bytes of those.
    #[serde(default)]
    pub unwritten_bytes: u64,
    /// Bytes taken from it and not yet done.
    pub undone_bytes: u64,
    /// Whether the node has stopped reading from it (back-pressure).
    pub paused: bool,
}

/// The part of a subscriber's queue that belongs to one rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct QueuePart {
    /// Prefix of the rule; empty for topics without one.
    pub prefix: String,
    /// What happens when it is full.
    pub policy: String,
    /// When it is full, in bytes.
    pub limit_bytes: u64,
    /// Messages that wait.
    pub messages: u64,
    /// Bytes that wait.
    pub bytes: u64,
    /// Messages dropped because it was full.
    pub dropped_messages: u64,
    /// Bytes of those.
    pub dropped_bytes: u64,
    /// Seconds since the last of them.
    pub seconds_since_drop: Option<f64>,
    /// Seconds since it became full, while it is.
    pub full_for_seconds: Option<f64>,
}

/// `GET /api/v1/drain`, and the answer to `POST /api/v1/drain`: how far a node is with its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Drain {
    /// Name of the node.
    pub node: String,
    /// `joining`, `ready`, `leaving`; at the end `drained`, or `cut_short` if something was left
    /// when the time was over.
    pub state: String,
    /// What it waits for while it is leaving, in words.
    pub waits_for: String,
    /// Seconds since the drain began.
    pub seconds: f64,
    /// Seconds that it may take (`drain-timeout`).
    pub timeout_seconds: f64,
    /// Messages dropped since the drain began, by reason.
    pub dropped_messages: BTreeMap<String, u64>,
    /// What is left to be done by other nodes: taken from this node's clients and not known to be
    /// with all who want it.
    pub undone: Amount,
    /// What other nodes have yet to acknowledge, each message once for each of them.
    pub unacked: Amount,
    /// What waits for this node's own subscribers.
    pub queued: Amount,
    /// Requests that wait here for a worker or for an answer.
    #[serde(default)]
    pub requests: u64,
    /// Tasks of work queues that are here and not yet at another node.
    #[serde(default)]
    pub tasks: u64,
    /// The nodes that it waits for.
    pub nodes: Vec<DrainNode>,
    /// The clients that it waits for; at most 100, those with the most bytes.
    pub clients: Vec<DrainClient>,
}

/// A number of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Another node, or the draining one itself, that a draining node waits for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DrainNode {
    /// Its name.
    pub name: String,
    /// Messages that it serves as their owner and has not said `done` for.
    pub undone: Amount,
    /// Messages that its clients want and that it has not acknowledged.
    pub unacked: Amount,
}

/// A client that a draining node waits for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DrainClient {
    /// Its `host:port`.
    pub peer: String,
    /// Its ZeroMQ socket type.
    pub socket_type: String,
    /// What waits for it.
    pub queued: Amount,
}

/// `GET /api/v1/links`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Links {
    /// Sorted by peer name.
    pub links: Vec<Link>,
}

/// The link from the answering node to one peer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Link {
    /// Name of the peer.
    pub peer: String,
    /// `up` or `down`.
    pub state: String,
    /// Messages sent over it since start.
    pub messages: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Bytes that wait to be sent.
    pub pending_bytes: u64,
    /// Prefixes that the peer's clients subscribe to.
    pub prefixes: u32,
    /// How often the link came up.
    pub sessions: u64,
    /// Round-trip time of the last ping over the link, in microseconds.
    #[serde(default)]
    pub rtt_us: Option<u64>,
}

/// `GET /api/v1/subscriptions`: what this node's own clients subscribe to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Subscriptions {
    /// Sorted by prefix; at most 10,000.
    pub subscriptions: Vec<Subscription>,
}

/// One prefix.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Subscription {
    /// The prefix; bytes that are not UTF-8 are shown as U+FFFD.
    pub prefix: String,
    /// Connections that hold it.
    pub connections: u32,
    /// Whether every member has acknowledged it.
    pub ready: bool,
}
