//! The data connections between nodes: ZMTP, from a DEALER that dials to a ROUTER that accepts.

mod accept;
mod dial;
mod session;
pub mod timing;
pub mod wire;

pub(crate) use accept::listen;
pub(crate) use dial::{Target, dial};
