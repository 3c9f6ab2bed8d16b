//! Takes in what arrives on a connection: into large buffers without copying, and cut up in place.
//! No socket is named here: the caller reads.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::frames::{FrameError, FrameLimits, Item, Span, item_at};

/// Buffer that connections read into, one after the other. A slice of it lives as long as the
/// messages in it; an idle connection holds nothing.
pub(super) const ARENA_BYTES: usize = 256 << 10;

/// Buffers of a thread that wait to be used again: 4 MiB. What they still hold is not counted.
const BUFFERS_KEPT: usize = 16;

/// So many of them, the oldest, are looked at before a new buffer is made.
const BUFFERS_TRIED: usize = 4;

/// There is always room for this much more; a read of less would waste the system call.
const READ_BYTES: usize = 64 << 10;

/// The begin of a message longer than this is not moved back into the arena.
const SMALL_BYTES: usize = 16 << 10;

/// The buffer of a large message grows by at most this much ahead of what has arrived, so that a
/// message that is announced but never comes takes no memory.
const GROWTH_BYTES: usize = 1 << 20;

/// Space that all connections of a thread read into.
#[derive(Debug, Default)]
pub struct Arena {
    spare: BytesMut,
    /// Handles of buffers that messages still lie in, oldest first. Once they have gone the buffer
    /// is used again: a new one would cost a page fault every 4 KiB.
    used: VecDeque<BytesMut>,
}

/// Commands between the frames of one message. Each moves what came of the message before it: of 64
/// MiB that is some milliseconds. A client answers a PING every 10 s.
pub const MOST_INNER: usize = 16;

/// What one read brought.
#[derive(Debug)]
pub enum Read {
    /// Bytes, beginning with a message or command.
    Data(BytesMut),
    /// Something arrived, but not enough.
    More,
    /// Nothing now.
    Blocked,
    /// The peer has closed the connection.
    Closed,
}

/// What a buffer holds: the commands go to a callback, the messages' places into a list.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Messages in the chunk.
    pub spans: Vec<Span>,
    /// The chunk that they lie in.
    pub chunk: Bytes,
}

/// The reading half of a connection, without its socket.
#[derive(Debug, Default)]
pub struct Intake {
    /// The begin of a message that is not all there.
    partial: BytesMut,
    /// Bytes that `partial` must hold before it is worth a look.
    need: usize,
    /// The last read took all that had arrived: another one now would find nothing.
    drained: bool,
    /// The last read went to a buffer of this connection's own.
    own: bool,
    /// Commands that stood between the frames of the message that is not all there.
    inner: usize,
}

impl Arena {
    fn room_for(&mut self, bytes: usize) -> &mut BytesMut {
        if self.spare.capacity() < bytes {
            let free = self.used.iter_mut().take(BUFFERS_TRIED);
            let free = free
                .map(|used| used.try_reclaim(ARENA_BYTES))
                .position(|free| free);
            let next = match free.and_then(|index| self.used.remove(index)) {
                Some(buffer) => buffer,
                None => BytesMut::with_capacity(ARENA_BYTES),
            };
            self.used
                .push_back(std::mem::replace(&mut self.spare, next));
            if self.used.len() > BUFFERS_KEPT {
                self.used.pop_front();
            }
        }
        &mut self.spare
    }
}

impl Intake {
    /// Reads once. `read` puts what has arrived behind what a buffer holds, into its spare
    /// capacity, and says how much it was: 0 at the end of the stream.
    pub fn read(
        &mut self,
        arena: &mut Arena,
        read: impl FnOnce(&mut BytesMut) -> io::Result<usize>,
    ) -> io::Result<Read> {
        self.own = self.partial.len() > SMALL_BYTES || self.need > READ_BYTES;
        let read = if self.own {
            self.read_large(read)
        } else {
            self.read_into(arena, read)
        };
        match read {
            Ok(None) => Ok(Read::More),
            Ok(Some(data)) if data.is_empty() => Ok(Read::Closed),
            Ok(Some(data)) => Ok(Read::Data(data)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Blocked),
            Err(error) => Err(error),
        }
    }

    /// Whether the last read left room in its buffer: there was nothing more to read then.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Bytes that are kept until the rest of their message comes.
    pub fn kept(&self) -> usize {
        self.partial.len()
    }

    fn read_into(
        &mut self,
        arena: &mut Arena,
        read: impl FnOnce(&mut BytesMut) -> io::Result<usize>,
    ) -> io::Result<Option<BytesMut>> {
        let spare = arena.room_for(self.partial.len() + READ_BYTES);
        spare.extend_from_slice(&self.partial);
        let room = spare.capacity() - spare.len();
        let read = read(spare);
        self.drained = matches!(read, Ok(count) if count < room);
        match read {
            Ok(0) | Err(_) => {
                spare.clear();
                read.map(|_| Some(BytesMut::new()))
            }
            Ok(_) => {
                self.partial = BytesMut::new();
                Ok(Some(spare.split()))
            }
        }
    }

    fn read_large(
        &mut self,
        read: impl FnOnce(&mut BytesMut) -> io::Result<usize>,
    ) -> io::Result<Option<BytesMut>> {
        let missing = self.need.saturating_sub(self.partial.len());
        let ahead = GROWTH_BYTES.max(self.partial.len());
        if self.partial.capacity() == self.partial.len() {
            self.partial.reserve(missing.min(ahead).max(READ_BYTES));
        }
        let room = self.partial.capacity() - self.partial.len();
        let count = read(&mut self.partial)?;
        self.drained = count < room;
        if count == 0 {
            return Ok(Some(BytesMut::new()));
        }
        let enough = self.partial.len() >= self.need;
        Ok(enough.then(|| std::mem::take(&mut self.partial)))
    }

    /// Finds what came whole in `data`; the rest is kept for the next read. `command` gets each
    /// command's body, in its place among the messages before and after it, and may stop.
    pub fn scan<E: From<FrameError>>(
        &mut self,
        mut data: BytesMut,
        limits: FrameLimits,
        scanned: &mut Scanned,
        mut command: impl FnMut(&[u8]) -> ControlFlow<E>,
    ) -> Result<(), E> {
        scanned.spans.clear();
        let mut at = 0;
        let need = loop {
            match item_at(&data, at, limits)? {
                Item::Message(span) => {
                    self.inner = 0;
                    at = span.end as usize;
                    scanned.spans.push(span);
                }
                Item::Command { body, end } => {
                    if let ControlFlow::Break(error) = command(&data[body]) {
                        return Err(error);
                    }
                    at = end;
                }
                Item::Inner { .. } if self.inner >= MOST_INNER => {
                    return Err(FrameError::BadFlags.into());
                }
                Item::Inner { frame, body } => {
                    self.inner += 1;
                    if let ControlFlow::Break(error) = command(&data[body]) {
                        return Err(error);
                    }
                    // The message's begin moves up to its rest, over the command.
                    data.copy_within(at..frame.start, at + frame.len());
                    at += frame.len();
                }
                Item::Incomplete { need } => break need,
            }
        };
        self.need = need;
        if at == 0 && self.own {
            // A large message that is still not whole: it stays where it is.
            scanned.chunk = Bytes::new();
            self.partial = data;
            return Ok(());
        }
        scanned.chunk = data.split_to(at).freeze();
        if !data.is_empty() {
            self.partial = BytesMut::with_capacity(data.len().max(need.min(READ_BYTES)));
            self.partial.extend_from_slice(&data);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::frames::{put_command, put_header};
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits {
        message_bytes: 1 << 20,
        frames: 64,
    };

    /// A frame of a message with its header; some are long.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let lengths = prop_oneof![0usize..40, 250usize..300, 60_000usize..70_000];
        (lengths, any::<u8>()).prop_map(|(length, byte)| vec![byte; length])
    }

    /// Messages of frames, each frame with whether a command goes before it.
    fn messages() -> impl Strategy<Value = Vec<Vec<(bool, Vec<u8>)>>> {
        let frames = prop::collection::vec((prop::bool::weighted(0.3), frame()), 1..5);
        prop::collection::vec(frames, 1..8)
    }

    #[test]
    fn commands_without_end_between_frames_are_refused() {
        let mut stream = vec![1, 1, b'a'];
        for _ in 0..=MOST_INNER {
            put_command(&mut stream, "PONG", b"");
        }
        let (mut intake, mut arena) = (Intake::default(), Arena::default());
        // Also where each comes with a read of its own.
        let mut refused = false;
        for piece in stream.chunks(7) {
            let read = intake.read(&mut arena, |buffer| {
                buffer.extend_from_slice(piece);
                Ok(piece.len())
            });
            let Ok(Read::Data(data)) = read else { continue };
            let scanned = intake.scan::<FrameError>(data, LIMITS, &mut Scanned::default(), |_| {
                ControlFlow::Continue(())
            });
            refused |= scanned == Err(FrameError::BadFlags);
        }
        assert!(refused);
    }

    proptest! {
        #[test]
        fn commands_between_frames_leave_every_message_as_it_was(
            messages in messages(),
            reads in prop::collection::vec(1usize..80_000, 1..200),
        ) {
            let (mut stream, mut expected, mut commands) = (Vec::new(), Vec::new(), 0u8);
            for message in &messages {
                let mut whole = Vec::new();
                for (index, (command, body)) in message.iter().enumerate() {
                    if *command {
                        put_command(&mut stream, "PONG", &[commands]);
                        commands += 1;
                    }
                    let mut frame = Vec::new();
                    put_header(&mut frame, index + 1 < message.len(), body.len());
                    frame.extend_from_slice(body);
                    stream.extend_from_slice(&frame);
                    whole.extend_from_slice(&frame);
                }
                expected.push(whole);
            }
            let (mut intake, mut arena) = (Intake::default(), Arena::default());
            let (mut scanned, mut rest) = (Scanned::default(), &stream[..]);
            let (mut got, mut heard) = (Vec::new(), Vec::new());
            let mut reads = reads.into_iter().cycle();
            while !rest.is_empty() {
                let read = intake.read(&mut arena, |buffer| {
                    let room = buffer.capacity() - buffer.len();
                    let count = reads.next().unwrap_or(1).min(room).min(rest.len());
                    buffer.extend_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    Ok(count)
                });
                let Read::Data(data) = read.unwrap() else { continue };
                intake.scan::<FrameError>(data, LIMITS, &mut scanned, |body| {
                    heard.extend_from_slice(&body[5..]);
                    ControlFlow::Continue(())
                }).unwrap();
                got.extend(scanned.spans.iter().map(|it| scanned.chunk[it.range()].to_vec()));
            }
            prop_assert_eq!(got, expected);
            prop_assert_eq!(heard, (0..commands).collect::<Vec<_>>());
        }
    }
}
