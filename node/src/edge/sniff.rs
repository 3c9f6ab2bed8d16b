//! What a connection on the client address speaks, by its first bytes.

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// ZeroMQ's protocol, of whatever version: the handshake finds out.
    Zmtp,
    /// HTTP.
    Http,
}

/// Why a connection is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SniffError {
    /// It was closed before it said anything.
    #[error("nothing was said")]
    Silence,
    /// ZMTP 1, the protocol of libzmq 2.
    #[error("ZMTP older than 3.0 (libzmq before 4.0): upgrade the client's ZeroMQ library")]
    OldZmtp,
    /// Something else.
    #[error("neither ZMTP nor HTTP")]
    Neither,
}

/// Bytes that are enough to tell.
pub const SNIFF_BYTES: usize = 2;

/// ZMTP begins with 0xFF, HTTP with a method in capital letters. `first` are the bytes that have
/// arrived, none if the connection was closed without any.
pub fn sniff(first: &[u8]) -> Result<Spoken, SniffError> {
    match first {
        [] => Err(SniffError::Silence),
        [0xFF, ..] => Ok(Spoken::Zmtp),
        [b'A'..=b'Z', ..] => Ok(Spoken::Http),
        // An anonymous identity: a frame of one byte, the flags.
        [1, 0, ..] => Err(SniffError::OldZmtp),
        _ => Err(SniffError::Neither),
    }
}
