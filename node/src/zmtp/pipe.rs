//! The two directions of an open connection: reading in large pieces without copying, writing
//! many slices at once.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::frames::{FrameError, FrameLimits};
use super::intake::{ARENA_BYTES, Arena, Intake, Read, Scanned};

/// Slices of one write: `IOV_MAX` is 1024, and past some dozens nothing is gained.
const WRITE_SLICES: usize = 64;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    stream: TcpStream,
    intake: Intake,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Bytes written since the connection was opened.
    written: u64,
}

impl Pipe {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            intake: Intake::default(),
            out: VecDeque::new(),
            out_bytes: 0,
            written: 0,
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

    /// Whether the peer has ended its side, as far as is known here: what it has sent may not have
    /// been read.
    pub(crate) fn peer_has_ended(&self) -> bool {
        let ready = pin!(self.stream.ready(Interest::READABLE));
        let mut context = Context::from_waker(Waker::noop());
        let ready = ready.poll(&mut context);
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Reads once.
    pub(crate) fn read(&mut self, arena: &mut Arena) -> io::Result<Read> {
        let Self { stream, intake, .. } = self;
        intake.read(arena, |buffer| stream.try_read_buf(buffer))
    }

    /// Whether there is nothing to read until the socket says so: the last read left room in its
    /// buffer. Spares the system call that would only say the same. To be asked before anything is
    /// awaited after that read.
    pub(crate) fn is_drained(&self) -> bool {
        let drained = self.intake.is_drained();
        if drained {
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            // Forgets the readiness that the read has used up. What arrived since sets it anew.
            let _ = self.stream.try_io(Interest::READABLE, nothing);
        }
        drained
    }

    /// See [`Intake::scan`].
    pub(crate) fn scan<E: From<FrameError>>(
        &mut self,
        data: BytesMut,
        limits: FrameLimits,
        scanned: &mut Scanned,
        command: impl FnMut(&[u8]) -> ControlFlow<E>,
    ) -> Result<(), E> {
        self.intake.scan(data, limits, scanned, command)
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
