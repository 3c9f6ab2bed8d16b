//! A zmesh node: it takes messages from its clients, carries them to the nodes that want them,
//! and hands them to the clients there.

pub mod config;
pub mod forward;
mod gossip;
pub mod report;
pub mod zmtp;
