//! Simulation of whole nodes: one virtual clock, one seed, and a network that fails.
//!
//! A process here is the real membership machine, the real table and the real forwarding core, with
//! the real formats on every hop; only sockets and clocks are models. The seed draws how a run is
//! to be ([`plan`]), the world lets it happen ([`world`]), the watch looks on ([`watch`]).

pub mod agenda;
pub mod clients;
pub mod data;
pub mod detect;
pub mod dice;
pub mod faults;
pub mod gossiper;
pub mod links;
pub mod network;
pub mod outside;
pub mod plan;
pub mod process;
pub mod search;
pub mod stream;
pub mod swarm;
pub mod tables;
pub mod watch;
pub mod world;

/// Time since the beginning of a run; a process's own clock may show another.
pub type Time = std::time::Duration;
