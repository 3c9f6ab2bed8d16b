//! The forwarding core: from the node that took a message to the nodes that want it, in order,
//! once, and without loss.
//!
//! [`Router`] is a pure state machine: one input (`handle_*` with the time), then drain
//! [`Router::poll_output`], then wait for the next input or [`Router::next_deadline`]. It knows no
//! socket and no clock, so that thousands of seeded runs can try to break it.
//!
//! A message passes three places, and each has its file: `origin` (cut into records, numbered,
//! kept until done), `owner` (matched against every node's interest, kept until acked) and
//! `receiver` (de-duplicated, put into the clients' queues).

mod batch;
mod clients;
mod dedup;
mod departed;
mod events;
mod explain;
mod interest;
mod lane;
mod left;
mod links;
mod memory;
mod origin;
mod outbox;
mod own;
mod owner;
mod peers;
mod prefixes;
mod queue;
mod receiver;
mod router;
mod rules;
mod serving;
mod slow;
mod stats;
mod subscriptions;
mod timeouts;
mod times;
mod topics;
mod topology;
mod trace;

pub use batch::{Batch, Header};
pub use clients::LAST_CLIENT;
pub use explain::Explained;
pub use interest::MAX_PREFIX_BYTES;
pub use left::{Amount, Left};
pub use links::BadMessage;
pub(crate) use memory::compact;
pub use peers::{Message, Named};
pub use queue::Segment;
pub use router::{Limits, Output, Router};
pub use slow::Slow;
pub use stats::{ClientStats, DropPlace, DropReason, LaneStats, PeerStats, Stats};
pub use subscriptions::{DEATH_PATIENCE, SubscribeError};
pub use times::Times;
pub use topics::TopicStats;
pub use topology::{Peer, Ring, Topology};
pub use trace::Hop;

use std::time::Duration;

/// One process of a node: its random `nonce`. A restarted node is another instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub u64);

/// A client connection, unique for the life of the process: 1 to [`LAST_CLIENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// Time since an arbitrary start.
pub type Time = Duration;
