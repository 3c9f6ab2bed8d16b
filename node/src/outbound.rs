//! What waits for a client with a REQ, DEALER or REP socket, as slices to write.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::zmtp::frames::put_header;

/// Shorter bodies are copied, so that a write has many messages in one slice.
const COPIED_BYTES: usize = 4 << 10;

/// A slice of copied messages is closed when it has grown to this.
const SLICE_BYTES: usize = 32 << 10;

/// The one frame of a body that has none.
const NO_FRAMES: &[u8] = &[0, 0];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    out: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in both.
    bytes: usize,
}

impl Outbound {
    /// Puts a message behind what waits: these frames and then a body. Returns whether nothing
    /// waited before.
    pub(crate) fn push(&mut self, frames: &[&[u8]], body: &Bytes) -> bool {
        let was_empty = self.bytes == 0;
        let body = match body.is_empty() {
            true => &Bytes::from_static(NO_FRAMES),
            false => body,
        };
        let mut head = Vec::with_capacity(64);
        for frame in frames {
            put_header(&mut head, true, frame.len());
            head.extend_from_slice(frame);
        }
        self.tail.extend_from_slice(&head);
        self.bytes += head.len() + body.len();
        if body.len() <= COPIED_BYTES {
            self.tail.extend_from_slice(body);
        } else {
            self.close_slice();
            self.out.push_back(body.clone());
        }
        if self.tail.len() >= SLICE_BYTES {
            self.close_slice();
        }
        was_empty
    }

    /// The next bytes to write: whole messages.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        if self.out.is_empty() {
            self.close_slice();
        }
        let slice = self.out.pop_front()?;
        self.bytes -= slice.len();
        Some(slice)
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn close_slice(&mut self) {
        if !self.tail.is_empty() {
            self.out.push_back(self.tail.split().freeze());
        }
    }
}
