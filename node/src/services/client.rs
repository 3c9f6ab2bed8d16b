//! A client with a REQ, DEALER or REP socket.

use crate::outbound::Outbound;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Its requests without an answer.
    pub(super) in_flight: usize,
    /// It is a REP socket: it serves one thing, and says nothing but answers.
    pub(super) is_rep: bool,
    /// What waits for it.
    pub(super) out: Outbound,
}

impl Client {
    /// A REP socket.
    pub(super) fn rep() -> Self {
        Self {
            is_rep: true,
            ..Self::default()
        }
    }
}
