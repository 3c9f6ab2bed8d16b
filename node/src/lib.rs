//! A zmesh node: it takes messages from its clients, carries them to the nodes that want them,
//! and hands them to the clients there.
//!
//! [`start`] is the way in. The threads of a node, and who may talk to whom, are drawn in
//! ARCHITECTURE.md; the heart is [`forward`].

mod close;
pub mod config;
mod control;
mod data;
pub mod drain;
pub mod edge;
mod events;
pub mod forward;
mod gossip;
mod hub;
pub mod link;
mod listen;
pub mod metrics;
mod node;
mod outbound;
pub mod queues;
mod reload;
pub mod report;
pub mod services;
pub mod view;
pub mod zmtp;

pub use config::Config;
pub use drain::StopHandle;
pub use node::{Fatal, Node, StartError, start};
pub use reload::{Reload, ReloadHandle};
