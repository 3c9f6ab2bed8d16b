//! The client side of a node: one address for ZMTP and HTTP.

mod close;
mod listener;
mod session;

pub(crate) use close::CloseReason;
pub(crate) use listener::listen;
