//! Everything a node reads from others, taken from one string of bytes: what the fuzzer drives
//! (`make fuzz`), and what `tests/fuzz.rs` drives with the committed corpus and with mutated
//! examples.
//!
//! An entry point returns, or panics because a property does not hold. It does the same for the
//! same bytes.

pub mod client_session;
pub mod gossip_machine;
pub mod gossip_packet;
pub mod http_sniff;
pub mod link_message;
pub mod link_session;
pub mod requests;
pub mod settings_file;
pub mod zmtp_frames;
pub mod zmtp_handshake;

mod member;
mod router;
mod script;
mod topics;

/// An entry point.
#[derive(Clone, Copy)]
pub struct Target {
    /// Of its fuzz target, and of the folder of its corpus.
    pub name: &'static str,
    /// Tries bytes.
    pub run: fn(&[u8]),
    /// Bytes that reach far: what a fuzzer would take long to find.
    pub examples: fn() -> Vec<Vec<u8>>,
}

/// Every entry point.
pub const TARGETS: [Target; 10] = [
    Target {
        name: "zmtp_frames",
        run: zmtp_frames::run,
        examples: zmtp_frames::examples,
    },
    Target {
        name: "zmtp_handshake",
        run: zmtp_handshake::run,
        examples: zmtp_handshake::examples,
    },
    Target {
        name: "http_sniff",
        run: http_sniff::run,
        examples: http_sniff::examples,
    },
    Target {
        name: "gossip_packet",
        run: gossip_packet::run,
        examples: gossip_packet::examples,
    },
    Target {
        name: "gossip_machine",
        run: gossip_machine::run,
        examples: gossip_machine::examples,
    },
    Target {
        name: "link_message",
        run: link_message::run,
        examples: link_message::examples,
    },
    Target {
        name: "link_session",
        run: link_session::run,
        examples: link_session::examples,
    },
    Target {
        name: "client_session",
        run: client_session::run,
        examples: client_session::examples,
    },
    Target {
        name: "requests",
        run: requests::run,
        examples: requests::examples,
    },
    Target {
        name: "settings_file",
        run: settings_file::run,
        examples: settings_file::examples,
    },
];
