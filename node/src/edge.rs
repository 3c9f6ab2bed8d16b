//! The client side of a node: one address for ZMTP and HTTP.

mod listener;
pub mod request;
mod session;
pub mod sniff;

pub(crate) use listener::{listen, listen_for_reps};
