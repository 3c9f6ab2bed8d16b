//! The begin of a ZMTP connection, from either side. However it is cut on its way, it ends the
//! same, takes nothing of what follows it, and answers little.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zmesh_node::zmtp::frames::{command_parts, put_command};
use zmesh_node::zmtp::greeting::{
    GREETING_BYTES, MAX_READY_BYTES, error, error_reason, greeting, ready, socket_type,
};
use zmesh_node::zmtp::handshake::{HandshakeError, Remote, accept, connect};
use zmesh_node::zmtp::heartbeat;

use super::script::Script;

/// Greeting and an ERROR of the longest reason.
const MOST_ANSWERED: usize = GREETING_BYTES + 9 + 6 + 256;

/// How a handshake ended.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) result: Result<Remote, HandshakeError>,
    /// Bytes of the peer that were taken.
    taken: usize,
    answered: Vec<u8>,
}

/// Takes two bytes that say how the rest is cut on its way, and who speaks first.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let accepts = script.flag();
    let step = usize::from(script.byte()) + 1;
    let stream = script.rest();
    let whole = shake(accepts, stream, usize::MAX);
    let cut = shake(accepts, stream, step);
    assert_eq!((cut.taken, &cut.answered), (whole.taken, &whole.answered));
    match (&whole.result, &cut.result) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(whole), Err(cut)) => assert_eq!(whole.to_string(), cut.to_string()),
        _ => panic!("{whole:?} in one piece, {cut:?} in pieces of {step}"),
    }
    assert!(whole.answered.len() <= MOST_ANSWERED, "the answer is short");
    assert!(whole.taken <= GREETING_BYTES + 9 + MAX_READY_BYTES);
    if let Ok(remote) = whole.result {
        assert!(remote.minor <= 1);
        assert!(whole.answered.starts_with(&greeting()));
    }
    texts(stream);
}

/// The texts in it, read from bytes that nobody has checked.
fn texts(bytes: &[u8]) {
    let _ = socket_type(bytes);
    let _ = error_reason(bytes);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
    let told = error(&text);
    let header = if told[0] & 2 != 0 { 9 } else { 2 };
    let reason = error_reason(&told[header..]).expect("an ERROR has a reason");
    assert!(text.starts_with(&reason) && reason.len() + 3 >= text.len().min(255));
    let pong = heartbeat::pong(bytes);
    let (name, context) = command_parts(&pong[2..]).expect("a PONG is a command");
    assert!(name == b"PONG" && (context.is_empty() || bytes[2..].starts_with(context)));
}

/// Shakes hands with a peer that says all this and then closes.
pub(crate) fn shake(accepts: bool, stream: &[u8], step: usize) -> Shaken {
    let mut wire = Wire {
        input: stream,
        step,
        rested: false,
        output: Vec::new(),
    };
    let answer = |client: &str| match client {
        "PUB" | "XPUB" => Ok("XSUB"),
        "DEALER" => Ok("ROUTER"),
        other => Err(format!("no {other} sockets here")),
    };
    let result = if accepts {
        finish(accept(&mut wire, answer))
    } else {
        finish(connect(&mut wire, "DEALER"))
    };
    Shaken {
        result,
        taken: stream.len() - wire.input.len(),
        answered: wire.output,
    }
}

/// Drives a future that only ever waits for [`Wire`], which is soon ready again.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
    }
}

/// A connection in memory whose peer has said everything. Reads and writes are cut; every second
/// of them has to wait.
struct Wire<'a> {
    input: &'a [u8],
    step: usize,
    rested: bool,
    output: Vec<u8>,
}

impl Wire<'_> {
    fn has_to_wait(&mut self) -> bool {
        self.rested = !self.rested;
        self.step < usize::MAX && self.rested
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_to_wait() {
            return Poll::Pending;
        }
        let count = self.input.len().min(buffer.remaining()).min(self.step);
        let (taken, rest) = self.input.split_at(count);
        buffer.put_slice(taken);
        self.input = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_to_wait() {
            return Poll::Pending;
        }
        let count = bytes.len().min(self.step);
        self.output.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    let opening = |accepts: u8, greeting: &[u8], command: &[u8]| {
        [&[accepts, 10], greeting, command, b"\x00\x05topic"].concat()
    };
    let mut old = greeting();
    old[10] = 1;
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let mut later = greeting();
    (later[10], later[11]) = (4, 9);
    let mut long = Vec::new();
    put_command(
        &mut long,
        "READY",
        &[&[9][..], &[b'x'; 9], &[0, 0, 1, 44], &[b'y'; 300]].concat(),
    );
    vec![
        opening(1, &greeting(), &ready("PUB")),
        opening(1, &greeting(), &ready("DEALER")),
        opening(1, &greeting(), &ready("REQ")),
        opening(1, &later, &ready("XPUB")),
        opening(1, &greeting(), &long),
        opening(0, &greeting(), &ready("ROUTER")),
        opening(0, &greeting(), &error("another cluster")),
        opening(1, &old, b""),
        opening(0, &curve, b""),
        vec![1, 0, 1, 0],
    ]
}
