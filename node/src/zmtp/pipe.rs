//! The two directions of an open connection: reading in large pieces without copying, writing
//! many slices at once.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::ControlFlow;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::frames::{FrameError, FrameLimits, Item, Span, item_at};

/// Buffer that connections read into, one after the other. A slice of it lives as long as the
/// messages in it; an idle connection holds nothing.
const ARENA_BYTES: usize = 256 << 10;

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

/// Slices of one write: `IOV_MAX` is 1024, and past some dozens nothing is gained.
const WRITE_SLICES: usize = 64;

/// Space that all connections of a thread read into.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    spare: BytesMut,
    /// Handles of buffers that messages still lie in, oldest first. Once they have gone the buffer
    /// is used again: a new one would cost a page fault every 4 KiB.
    used: VecDeque<BytesMut>,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    stream: TcpStream,
    /// The begin of a message that is not all there.
    partial: BytesMut,
    /// Bytes that `partial` must hold before it is worth a look.
    need: usize,
    /// The last read took all that had arrived: another one now would find nothing.
    drained: bool,
    /// The last read went to a buffer of this connection's own.
    own: bool,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Bytes written since the connection was opened.
    written: u64,
}

/// What one read brought.
#[derive(Debug)]
pub(crate) enum Read {
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
pub(crate) struct Scanned {
    /// Messages in the chunk.
    pub(crate) spans: Vec<Span>,
    /// The chunk that they lie in.
    pub(crate) chunk: Bytes,
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

impl Pipe {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (partial, out) = (BytesMut::new(), VecDeque::new());
        Self {
            stream,
            partial,
            need: 0,
            drained: false,
            own: false,
            written: 0,
            out,
            out_bytes: 0,
        }
    }

    /// Waits until one of the wanted directions may work.
    pub(crate) async fn ready(&self, read: bool) -> io::Result<Ready> {
        let interest = match (read, !self.out.is_empty()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, false) => return std::future::pending().await,
        };
        self.stream.ready(interest).await
    }

    /// Reads once.
    pub(crate) fn read(&mut self, arena: &mut Arena) -> io::Result<Read> {
        let large = self.partial.len() > SMALL_BYTES || self.need > READ_BYTES;
        self.own = large;
        let read = if large {
            self.read_large()
        } else {
            self.read_into(arena)
        };
        match read {
            Ok(None) => Ok(Read::More),
            Ok(Some(data)) if data.is_empty() => Ok(Read::Closed),
            Ok(Some(data)) => Ok(Read::Data(data)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Blocked),
            Err(error) => Err(error),
        }
    }

    /// Whether there is nothing to read until the socket says so: the last read left room in its
    /// buffer. Spares the system call that would only say the same. To be asked before anything is
    /// awaited after that read.
    pub(crate) fn is_drained(&self) -> bool {
        if self.drained {
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            // Forgets the readiness that the read has used up. What arrived since sets it anew.
            let _ = self.stream.try_io(Interest::READABLE, nothing);
        }
        self.drained
    }

    fn read_into(&mut self, arena: &mut Arena) -> io::Result<Option<BytesMut>> {
        let spare = arena.room_for(self.partial.len() + READ_BYTES);
        spare.extend_from_slice(&self.partial);
        let room = spare.capacity() - spare.len();
        let read = self.stream.try_read_buf(spare);
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

    fn read_large(&mut self) -> io::Result<Option<BytesMut>> {
        let missing = self.need.saturating_sub(self.partial.len());
        let ahead = GROWTH_BYTES.max(self.partial.len());
        if self.partial.capacity() == self.partial.len() {
            self.partial.reserve(missing.min(ahead).max(READ_BYTES));
        }
        let room = self.partial.capacity() - self.partial.len();
        let count = self.stream.try_read_buf(&mut self.partial)?;
        self.drained = count < room;
        if count == 0 {
            return Ok(Some(BytesMut::new()));
        }
        let enough = self.partial.len() >= self.need;
        Ok(enough.then(|| std::mem::take(&mut self.partial)))
    }

    /// Finds what came whole in `data`; the rest is kept for the next read. `command` gets each
    /// command's body, in its place among the messages before and after it, and may stop.
    pub(crate) fn scan<E: From<FrameError>>(
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
                    at = span.end as usize;
                    scanned.spans.push(span);
                }
                Item::Command { body, end } => {
                    if let ControlFlow::Break(error) = command(&data[body]) {
                        return Err(error);
                    }
                    at = end;
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

    /// Puts bytes behind what is to be written: whole messages or commands.
    pub(crate) fn queue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.out_bytes += bytes.len();
            self.out.push_back(bytes);
        }
    }

    /// Bytes that are queued and not written.
    pub(crate) fn unwritten(&self) -> usize {
        self.out_bytes
    }

    /// Bytes written since the connection was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Ends this side: the peer finds the end of the connection behind what was written.
    pub(crate) fn end(&self) {
        // A connection that is broken already is found out by reading.
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Whether a write has room for more slices.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < WRITE_SLICES && self.out_bytes < ARENA_BYTES
    }

    /// Writes once. Returns whether everything is out.
    pub(crate) fn write(&mut self) -> io::Result<bool> {
        if self.out.is_empty() {
            return Ok(true);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.out) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        let mut written = match self.stream.try_write_vectored(&slices[..count]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.out_bytes -= written;
        self.written += written as u64;
        while let Some(first) = self.out.front_mut() {
            if written < first.len() {
                first.advance(written);
                return Ok(false);
            }
            written -= first.len();
            self.out.pop_front();
        }
        Ok(true)
    }
}
