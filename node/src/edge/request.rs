//! What a client asks of its node, in the words of ZMTP 3.1 (commands) and 3.0 (messages).

use crate::zmtp::frames::{Span, command_parts};

/// Something that a client wants of the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Messages whose topic begins so.
    Subscribe(Vec<u8>),
    /// No longer messages whose topic begins so.
    Cancel(Vec<u8>),
    /// A sign of life, in answer to these data.
    Ping(Vec<u8>),
}

impl Request {
    /// What a command with this body asks for; nothing if it is none that a node knows.
    pub fn of_command(body: &[u8]) -> Option<Self> {
        let (name, data) = command_parts(body)?;
        match name {
            b"SUBSCRIBE" => Some(Self::Subscribe(data.to_vec())),
            b"CANCEL" => Some(Self::Cancel(data.to_vec())),
            b"PING" => Some(Self::Ping(data.to_vec())),
            _ => None,
        }
    }

    /// What a subscriber's message asks for: 1 or 0, then the prefix. What an XSUB sends upstream
    /// besides is for no one here.
    pub fn of_message(chunk: &[u8], span: &Span) -> Option<Self> {
        match span.topic(chunk) {
            [1, prefix @ ..] if span.frames == 1 => Some(Self::Subscribe(prefix.to_vec())),
            [0, prefix @ ..] if span.frames == 1 => Some(Self::Cancel(prefix.to_vec())),
            _ => None,
        }
    }
}
