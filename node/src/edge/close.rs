//! Why a client connection was closed: a closed list, for people and for metrics.

use crate::forward::SubscribeError;
use crate::zmtp::frames::FrameError;
use crate::zmtp::greeting::GreetingError;
use crate::zmtp::handshake::HandshakeError;

/// Counted by the HTTP server, in whose hands such a connection ends.
pub(crate) const BAD_HTTP: &str = "bad_http";

/// Why a connection on the client address was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    PeerClosed,
    Io,
    NotZmtp,
    OldZmtp,
    Mechanism,
    BadHandshake,
    HandshakeTimeout,
    UnsupportedSocketType,
    BadFrame,
    MessageTooLarge,
    TooManyFrames,
    TooManySubscriptions,
    PrefixTooLong,
    SlowSubscriber,
    HeartbeatTimeout,
    TooManyConnections,
    BadHttp,
}

impl CloseReason {
    /// Every reason with its name in metrics.
    pub(crate) const ALL: [(&'static str, Self); 17] = [
        ("peer_closed", Self::PeerClosed),
        ("io", Self::Io),
        ("not_zmtp", Self::NotZmtp),
        ("old_zmtp", Self::OldZmtp),
        ("mechanism", Self::Mechanism),
        ("bad_handshake", Self::BadHandshake),
        ("handshake_timeout", Self::HandshakeTimeout),
        ("unsupported_socket_type", Self::UnsupportedSocketType),
        ("bad_frame", Self::BadFrame),
        ("message_too_large", Self::MessageTooLarge),
        ("too_many_frames", Self::TooManyFrames),
        ("too_many_subscriptions", Self::TooManySubscriptions),
        ("prefix_too_long", Self::PrefixTooLong),
        ("slow_subscriber", Self::SlowSubscriber),
        ("heartbeat_timeout", Self::HeartbeatTimeout),
        ("too_many_connections", Self::TooManyConnections),
        (BAD_HTTP, Self::BadHttp),
    ];

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// Whether it is the ordinary end of a connection.
    pub(crate) fn is_ordinary(self) -> bool {
        matches!(self, Self::PeerClosed | Self::Io)
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::BadFlags => Self::BadFrame,
            FrameError::TooLarge => Self::MessageTooLarge,
            FrameError::TooManyFrames => Self::TooManyFrames,
        }
    }
}

impl From<SubscribeError> for CloseReason {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::TooLong => Self::PrefixTooLong,
            SubscribeError::TooMany => Self::TooManySubscriptions,
        }
    }
}

impl From<std::io::Error> for CloseReason {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Self::PeerClosed,
            _ => Self::Io,
        }
    }
}

impl From<HandshakeError> for CloseReason {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Greeting(GreetingError::NotZmtp) => Self::NotZmtp,
            HandshakeError::Greeting(GreetingError::OldVersion) => Self::OldZmtp,
            HandshakeError::Greeting(GreetingError::Mechanism) => Self::Mechanism,
            HandshakeError::Malformed | HandshakeError::Refused(_) => Self::BadHandshake,
            HandshakeError::SocketType(_) => Self::UnsupportedSocketType,
            HandshakeError::Io(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_place() {
        for (index, (_, reason)) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
