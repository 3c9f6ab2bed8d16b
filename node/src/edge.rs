//! The client side of a node: one address for ZMTP and HTTP.

mod listener;
mod session;

pub(crate) use listener::listen;
