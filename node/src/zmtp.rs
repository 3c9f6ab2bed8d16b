//! ZMTP 3.x, the wire protocol of ZeroMQ (RFC 23 and 37), as far as a node speaks it itself.

pub mod frames;
pub mod greeting;
pub mod handshake;
pub mod heartbeat;
pub mod intake;
pub(crate) mod pipe;
