//! What the machine wants done or known.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;
use crate::packet::Refusal;

/// One output of the machine; see [`crate::Gossip::poll_output`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this packet, or drop it if it cannot be sent soon.
    Send {
        /// `host:port` of a gossip socket.
        to: String,
        /// The bytes.
        packet: Vec<u8>,
    },
    /// Look this seed's name up and hand the result to `handle_resolved`.
    Resolve {
        /// The seed as it was given, `name:port`.
        seed: String,
    },
    /// Something in `members()` has changed since it was read last.
    MembersChanged,
    /// The set of members that share the partitions has settled.
    View {
        /// Equal sets of instances have equal hashes.
        hash: u64,
        /// Sorted.
        ids: Vec<NodeId>,
    },
    /// A seed's table has been taken in, or the node has found itself alone. Comes once.
    Joined {
        /// No seed answered (or there are none).
        alone: bool,
    },
    /// A seed does not let this node in.
    Refused {
        /// Address of the seed.
        by: String,
        /// The values of both sides.
        reason: Refusal,
    },
    /// This node does not let another one in.
    RefusedOther {
        /// The other's name.
        name: String,
        /// The other's gossip address.
        address: String,
        /// The values of both sides.
        reason: Refusal,
    },
    /// An older process bears this node's name: this one must stop.
    NameConflict {
        /// The other's gossip address.
        gossip: String,
        /// The other's client address.
        client: String,
    },
    /// The goodbye has been heard, or has been said often enough.
    Departed,
    /// Something worth a line in the log.
    Event(Event),
}

/// A change of state that is worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member was heard of for the first time.
    Discovered {
        /// Its name.
        name: String,
        /// Its gossip address.
        address: String,
    },
    /// A new process took the place of an older one with the same name.
    Restarted {
        /// Its name.
        name: String,
        /// Its gossip address.
        address: String,
    },
    /// A member does not answer somebody.
    Suspected {
        /// Its name.
        name: String,
    },
    /// A member that was suspect or dead is alive.
    Recovered {
        /// Its name.
        name: String,
    },
    /// A member is dead.
    Died {
        /// Its name.
        name: String,
    },
    /// A member has said goodbye.
    Left {
        /// Its name.
        name: String,
    },
    /// This node was held suspect or dead and has said that it lives.
    Refuted {
        /// Its new incarnation.
        incarnation: u64,
    },
    /// Another process with this node's name is known; this node stands its ground.
    NameContested {
        /// The other's gossip address.
        address: String,
    },
    /// This process stood still; all deadlines have moved.
    Stalled {
        /// For how long.
        gap: Duration,
    },
    /// The data thread of a member is far behind.
    Lagging {
        /// Its name.
        name: String,
        /// How far.
        lag: Duration,
    },
    /// A record found no room in the table.
    TableFull,
}
