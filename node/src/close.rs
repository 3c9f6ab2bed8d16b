//! Why a connection was closed: a closed list, in the same words on every port, for people and for
//! metrics.

use crate::edge::sniff::SniffError;
use crate::forward::SubscribeError;
use crate::zmtp::frames::FrameError;
use crate::zmtp::greeting::GreetingError;
use crate::zmtp::handshake::HandshakeError;

/// Why a connection was closed.
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
    TooManyConnections,
    TooManySubscriptions,
    PrefixTooLong,
    SlowSubscriber,
    HeartbeatTimeout,
    BadHttp,
    Mismatch,
    BadMessage,
    NoPacket,
    Leaving,
}

/// What can happen on every port.
const EVERYWHERE: [CloseReason; 12] = [
    CloseReason::PeerClosed,
    CloseReason::Io,
    CloseReason::NotZmtp,
    CloseReason::OldZmtp,
    CloseReason::Mechanism,
    CloseReason::BadHandshake,
    CloseReason::HandshakeTimeout,
    CloseReason::UnsupportedSocketType,
    CloseReason::BadFrame,
    CloseReason::MessageTooLarge,
    CloseReason::TooManyFrames,
    CloseReason::TooManyConnections,
];

impl CloseReason {
    /// What an operator can do about it; empty where there is nothing to say.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::OldZmtp => "upgrade the client's ZeroMQ library to 4.0 or later",
            Self::Mechanism => "turn the client's security mechanism off: none is spoken here",
            Self::HandshakeTimeout => "if the client is only slow, raise --handshake-timeout",
            Self::UnsupportedSocketType => "connect a PUB, XPUB, SUB, XSUB, REQ or DEALER socket",
            Self::MessageTooLarge => "raise --max-message, or send less at once",
            Self::TooManyFrames => "raise --max-frames, or send fewer frames",
            Self::TooManyConnections => "raise --max-connections",
            Self::TooManySubscriptions => "raise --max-subscriptions, or subscribe to less",
            Self::PrefixTooLong => "subscribe to a shorter prefix",
            Self::SlowSubscriber => "choose another --queue-policy, or read faster",
            _ => "",
        }
    }

    /// Every reason on the client address.
    pub(crate) fn of_clients() -> impl Iterator<Item = Self> {
        let own = [
            Self::TooManySubscriptions,
            Self::PrefixTooLong,
            Self::SlowSubscriber,
            Self::HeartbeatTimeout,
            Self::BadHttp,
            Self::Leaving,
        ];
        EVERYWHERE.into_iter().chain(own)
    }

    /// Every reason on the link port.
    pub(crate) fn of_links() -> impl Iterator<Item = Self> {
        let own = [Self::HeartbeatTimeout, Self::Mismatch, Self::BadMessage];
        EVERYWHERE.into_iter().chain(own)
    }

    /// Every reason on the gossip port.
    pub(crate) fn of_gossip() -> impl Iterator<Item = Self> {
        EVERYWHERE.into_iter().chain([Self::NoPacket])
    }

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::Io => "io",
            Self::NotZmtp => "not_zmtp",
            Self::OldZmtp => "old_zmtp",
            Self::Mechanism => "mechanism",
            Self::BadHandshake => "bad_handshake",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::UnsupportedSocketType => "unsupported_socket_type",
            Self::BadFrame => "bad_frame",
            Self::MessageTooLarge => "message_too_large",
            Self::TooManyFrames => "too_many_frames",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::PrefixTooLong => "prefix_too_long",
            Self::SlowSubscriber => "slow_subscriber",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::BadHttp => "bad_http",
            Self::Mismatch => "mismatch",
            Self::BadMessage => "bad_message",
            Self::NoPacket => "no_packet",
            Self::Leaving => "leaving",
        }
    }

    /// Whether it is the ordinary end of a connection.
    pub(crate) fn is_ordinary(self) -> bool {
        matches!(self, Self::PeerClosed | Self::Io | Self::Leaving)
    }
}

impl From<SniffError> for CloseReason {
    fn from(error: SniffError) -> Self {
        match error {
            SniffError::Silence => Self::PeerClosed,
            SniffError::OldZmtp => Self::OldZmtp,
            SniffError::Neither => Self::NotZmtp,
        }
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

impl From<&std::io::Error> for CloseReason {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Self::PeerClosed,
            _ => Self::Io,
        }
    }
}

impl From<std::io::Error> for CloseReason {
    fn from(error: std::io::Error) -> Self {
        (&error).into()
    }
}

impl From<&HandshakeError> for CloseReason {
    fn from(error: &HandshakeError) -> Self {
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

impl From<HandshakeError> for CloseReason {
    fn from(error: HandshakeError) -> Self {
        (&error).into()
    }
}
