//! One end of a connection that carries ZMTP frames, cut and joined by the node's own code.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use zmesh_node::zmtp::frames::{FrameError, FrameLimits, Item, Span, item_at};

use super::network::End;
use super::outside::Outside;

/// Bytes that may wait here before more are asked for, as in the node's own pipe.
const ROOM_BYTES: usize = 256 << 10;

/// What came whole.
#[derive(Debug)]
pub enum Incoming {
    /// A message, and where it lies.
    Message(Bytes, Span),
    /// A command's body.
    Command(Bytes),
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    /// The connection.
    pub end: End,
    limits: FrameLimits,
    partial: BytesMut,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Bytes that came in.
    pub taken: usize,
}

impl Stream {
    /// A connection on which messages have these limits.
    pub fn new(end: End, limits: FrameLimits) -> Self {
        Self {
            end,
            limits,
            partial: BytesMut::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            taken: 0,
        }
    }

    /// Everything that has come whole since the last call.
    pub fn read(&mut self, outside: &mut Outside<'_>) -> Result<Vec<Incoming>, FrameError> {
        let mut found = Vec::new();
        while let Some(bytes) = outside.read(self.end) {
            self.taken += bytes.len();
            let chunk = if self.partial.is_empty() {
                bytes
            } else {
                self.partial.extend_from_slice(&bytes);
                std::mem::take(&mut self.partial).freeze()
            };
            let rest = scan(&chunk, self.limits, &mut found)?;
            self.partial.extend_from_slice(&chunk[rest..]);
        }
        Ok(found)
    }

    /// Puts bytes behind what is to be written.
    pub fn queue(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.out_bytes += bytes.len();
        self.out.push_back(bytes);
    }

    /// Whether more may be queued.
    pub fn has_room(&self) -> bool {
        self.out_bytes < ROOM_BYTES
    }

    /// Bytes that wait to be written.
    pub fn unwritten(&self) -> usize {
        self.out_bytes
    }

    /// Writes what there is room for; returns how many bytes that was.
    pub fn flush(&mut self, outside: &mut Outside<'_>) -> usize {
        let before = self.out_bytes;
        while let Some(first) = self.out.front_mut() {
            let written = outside.write(self.end, first);
            self.out_bytes -= written;
            first.advance(written);
            if !first.is_empty() {
                break;
            }
            self.out.pop_front();
        }
        before - self.out_bytes
    }
}

/// Finds what is whole in a buffer; returns where the rest begins.
fn scan(
    chunk: &Bytes,
    limits: FrameLimits,
    found: &mut Vec<Incoming>,
) -> Result<usize, FrameError> {
    let mut at = 0;
    while at < chunk.len() {
        match item_at(chunk, at, limits)? {
            Item::Message(span) => {
                found.push(Incoming::Message(chunk.clone(), span));
                at = span.end as usize;
            }
            Item::Command { body, end } => {
                found.push(Incoming::Command(chunk.slice(body)));
                at = end;
            }
            // Nobody here answers in the middle of a message.
            Item::Inner { .. } => return Err(FrameError::BadFlags),
            Item::Incomplete { .. } => break,
        }
    }
    Ok(at)
}
