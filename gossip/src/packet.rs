//! What nodes say to one another.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::id::NodeId;
use crate::member::Member;

/// Version of the packets, the first byte of each. Nodes of different versions refuse each other.
pub const PROTOCOL_VERSION: u8 = 1;

/// One datagram between two gossip sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The first byte. Of packets of another version only [`Body::Join`] and [`Body::JoinAck`]
    /// can be read, and their records are left out.
    pub version: u8,
    /// Who sends it, and what it knows.
    pub header: Header,
    /// What it is for.
    pub body: Body,
    /// Records that ride along.
    pub records: Vec<Member>,
}

/// In front of every packet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// Hash of the cluster's name.
    pub cluster: u64,
    /// The sender.
    pub from: NodeId,
    /// The sender's epoch.
    pub epoch: u64,
    /// The sender's instance.
    pub nonce: u64,
    /// The sender's incarnation.
    pub incarnation: u64,
    /// Where the sender is answered, `host:port`.
    pub address: String,
    /// Hash of everything the sender knows; equal tables have equal digests.
    pub digest: u64,
    /// The sender's view hash.
    pub view: u64,
}

/// The purpose of a packet. The first two variants and the header keep their layout in every
/// version, so that nodes of different versions can refuse each other with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// "Let me in."
    Join {
        /// The address as the joiner was told it, echoed in the answer.
        via: String,
        /// The joiner's name.
        name: String,
        /// The joiner's cluster.
        cluster: String,
        /// The joiner's number of partitions.
        partitions: u32,
    },
    /// The answer to a join.
    JoinAck {
        /// Echo of [`Body::Join::via`].
        via: String,
        /// Yes or no.
        verdict: Verdict,
    },
    /// "Do you live?"
    Ping {
        /// Echoed in the answer.
        seq: u32,
        /// Who is meant; another process at this address answers [`Body::WrongTarget`].
        target: NodeId,
        /// Which instance of it is meant.
        nonce: u64,
    },
    /// "I live."
    Ack {
        /// Of the ping.
        seq: u32,
        /// How far the sender's data thread is behind, in milliseconds.
        lag_ms: u32,
    },
    /// "Ask this one for me."
    PingReq {
        /// Echoed in the answer.
        seq: u32,
        /// Whom to ask.
        target: NodeId,
        /// Which instance of it.
        nonce: u64,
        /// Where it is.
        address: String,
    },
    /// What a helper found.
    PingRes {
        /// Of the request.
        seq: u32,
        /// The finding.
        outcome: Outcome,
    },
    /// "The one you asked for does not live here."
    WrongTarget {
        /// Of the ping.
        seq: u32,
    },
    /// Only carries records.
    Gossip,
    /// "Our tables differ; these are the digests of my buckets."
    SyncReq {
        /// One digest per bucket of the id space.
        buckets: Vec<u64>,
    },
    /// The records of the buckets that differ ride along.
    SyncRes {
        /// Buckets whose records are all in this packet.
        buckets: Vec<u8>,
    },
    /// "You are held suspect or dead": the record rides along.
    Accuse,
    /// "I go": the record rides along.
    Leave,
    /// "I have told the others."
    LeaveAck,
    /// "We bear the same name."
    Twin {
        /// How long the sender has been running, in milliseconds.
        uptime_ms: u64,
        /// Whether the sender has announced itself to the cluster.
        established: bool,
        /// Where the clients of the sender connect.
        client: String,
    },
    /// "Of us two with the same name you are the younger: stop."
    Stop {
        /// Which instance is to stop.
        nonce: u64,
        /// Where the clients of the sender connect.
        client: String,
    },
}

/// Answer to a join.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// Come in; the seed's table rides along in this many packets.
    Accept {
        /// Number of this packet, from 0.
        part: u16,
        /// How many there are.
        parts: u16,
    },
    /// Stay out.
    Refuse(Refusal),
}

/// Why a node is not let in, with the values of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// The cluster names differ.
    Cluster {
        /// Cluster of the joining node.
        joiner: String,
        /// Cluster of the seed.
        seed: String,
    },
    /// The protocol versions differ.
    Version {
        /// Version of the joining node.
        joiner: u8,
        /// Version of the seed.
        seed: u8,
    },
    /// The numbers of partitions differ.
    Partitions {
        /// Partitions of the joining node.
        joiner: u32,
        /// Partitions of the seed.
        seed: u32,
    },
}

/// What a helper found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It answered.
    Ack,
    /// No answer within the helper's patience.
    Nack {
        /// Whether the helper trusts itself: only then is its word a confirmation.
        healthy: bool,
    },
    /// Its address refuses connections.
    Refused,
    /// Somebody else answered.
    WrongTarget,
}

/// The kind of a packet, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "each is the variant of Body with the same name"
)]
pub enum Kind {
    Join,
    JoinAck,
    Ping,
    Ack,
    PingReq,
    PingRes,
    WrongTarget,
    Gossip,
    SyncReq,
    SyncRes,
    Accuse,
    Leave,
    LeaveAck,
    Twin,
    Stop,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 15;

    /// Every kind with the name it has in metrics, in the order of [`Kind`] as a number.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Join, "join"),
        (Self::JoinAck, "join_ack"),
        (Self::Ping, "ping"),
        (Self::Ack, "ack"),
        (Self::PingReq, "ping_req"),
        (Self::PingRes, "ping_res"),
        (Self::WrongTarget, "wrong_target"),
        (Self::Gossip, "gossip"),
        (Self::SyncReq, "sync_req"),
        (Self::SyncRes, "sync_res"),
        (Self::Accuse, "accuse"),
        (Self::Leave, "leave"),
        (Self::LeaveAck, "leave_ack"),
        (Self::Twin, "twin"),
        (Self::Stop, "stop"),
    ];
}

impl Body {
    /// What kind of packet this body makes.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Join { .. } => Kind::Join,
            Self::JoinAck { .. } => Kind::JoinAck,
            Self::Ping { .. } => Kind::Ping,
            Self::Ack { .. } => Kind::Ack,
            Self::PingReq { .. } => Kind::PingReq,
            Self::PingRes { .. } => Kind::PingRes,
            Self::WrongTarget { .. } => Kind::WrongTarget,
            Self::Gossip => Kind::Gossip,
            Self::SyncReq { .. } => Kind::SyncReq,
            Self::SyncRes { .. } => Kind::SyncRes,
            Self::Accuse => Kind::Accuse,
            Self::Leave => Kind::Leave,
            Self::LeaveAck => Kind::LeaveAck,
            Self::Twin { .. } => Kind::Twin,
            Self::Stop { .. } => Kind::Stop,
        }
    }
}
