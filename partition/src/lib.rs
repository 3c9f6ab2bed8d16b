//! Topics to partitions to owners: a pure function of the members, the same on every machine.
//!
//! The topic space is cut into [`PARTITIONS`] shares ([`Partition::of_topic`]). A [`Table`] says
//! which member owns each share and which two members follow it. A table is computed once for a
//! set of members and then only read, by index. [`moves`] says what a change of members costs.
//!
//! Nothing here knows a clock, a socket or a node: members are 16-byte ids with a weight.

mod hash;
mod moves;
mod ring;
mod table;
mod topic;

pub use moves::{Moves, moves};
pub use ring::{Member, MemberId};
pub use table::{MAX_MEMBERS, Owners, Table, candidates};
pub use topic::{MAX_KEY_BYTES, PARTITIONS, Partition, key};
