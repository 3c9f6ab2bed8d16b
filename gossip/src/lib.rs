//! Cluster membership as a pure state machine: SWIM with Lifeguard, spoken in packets.
//!
//! The machine has no clock, no socket and no entropy of its own. One contract drives it: feed
//! one input (`handle_*(…, now)`), drain [`Gossip::poll_output`] until it is empty, then wait
//! until [`Gossip::next_deadline`] or the next input. `now` is the time since an arbitrary start;
//! the seed of the random generator is an argument.
//!
//! What is known of a node is a [`Member`] record. Records form a lattice ([`Member::merge`]), so
//! it does not matter in which order, how often or on which way they arrive; everything else in
//! this crate only makes records and carries them about.

#![no_std]

extern crate alloc;

mod clock;
mod codec;
mod config;
mod gossip;
mod health;
mod id;
mod lateness;
mod member;
mod output;
mod packet;
mod rtt;
mod rumors;
mod stats;
mod table;

pub use codec::{DecodeError, MAX_PACKET_IN, MAX_PACKET_OUT, decode, encode};
pub use config::Config;
pub use gossip::{Gossip, Known, Me};
pub use id::NodeId;
pub use member::{InvalidMember, Member, State};
pub use output::{Event, Output};
pub use packet::{Body, Header, Kind, Outcome, PROTOCOL_VERSION, Packet, Refusal, Verdict};
pub use stats::{RTT_BOUNDS, Stats};
