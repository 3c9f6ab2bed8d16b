//! The JSON shapes of the HTTP API. Fields are added, never renamed: scripts rely on them.

use serde::{Deserialize, Serialize};

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
    pub dropped_messages: std::collections::BTreeMap<String, u64>,
    /// Connections closed by reason since start.
    pub closed_connections: std::collections::BTreeMap<String, u64>,
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
    /// Messages that wait for it.
    pub queue_messages: u64,
    /// Bytes that wait for it.
    pub queue_bytes: u64,
    /// Its policy when the queue is full.
    pub queue_policy: String,
    /// Seconds since its queue became full, while it is.
    pub full_for_seconds: Option<f64>,
    /// Bytes taken from it and not yet done.
    pub undone_bytes: u64,
    /// Whether the node has stopped reading from it (back-pressure).
    pub paused: bool,
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
