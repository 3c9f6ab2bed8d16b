//! The client side of a node: one address for ZMTP and HTTP.

mod close;
mod listener;
mod session;

pub(crate) use close::{BAD_HTTP, CloseReason};
pub(crate) use listener::listen;
