//! Real `zmesh` processes and real ZeroMQ programs, started, watched and ended by a test.
//!
//! Everything here waits for a condition with a deadline, takes free ports, and ends what it
//! started, also when the test fails. A failing test shows the logs of its nodes.

pub mod alertmanager;
pub mod browser;
pub mod client;
pub mod history;
pub mod http;
pub mod language;
pub mod load;
pub mod mesh;
pub mod namespace;
pub mod network;
pub mod options;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod running;
pub mod server;
pub mod service;
pub mod site;
pub mod socket;
pub mod sooner;
#[cfg(target_os = "linux")]
pub mod terminal;
pub mod token;
pub mod wait;

pub use client::Client;
pub use language::Language;
pub use mesh::Mesh;
pub use options::Options;
pub use process::Node;
