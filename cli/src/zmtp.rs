//! A publisher that knows what became of its messages: ZMTP 3.0 as a PUB socket on a plain stream.
//!
//! libzmq's own PUB throws messages away when its queue is full and says nothing when the
//! connection ends. For a program that reads a pipe neither will do: here a node that is slow slows
//! the pipe down, and a message that could not be handed over is an error.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
const SUBSCRIBE: u8 = 1;
/// READY, ERROR and subscriptions are far shorter; what is longer does not come from a node.
const MAX_INCOMING_BYTES: u64 = 64 * 1024;
/// READY of a PUB socket, with the flags and the length of its frame.
const READY: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB";

/// A connection that has been asked for all messages of its topic.
pub(crate) struct Publisher {
    out: BufWriter<TcpStream>,
}

impl Publisher {
    /// Shakes hands and waits until the other side has subscribed to the topic.
    pub(crate) fn open(stream: TcpStream, topic: &[u8], timeout: Duration) -> Result<Self> {
        stream.set_nodelay(true)?;
        let deadline = Instant::now() + timeout;
        let mut incoming = Incoming {
            from: BufReader::new(stream.try_clone()?),
            deadline,
        };
        let mut out = BufWriter::with_capacity(64 * 1024, stream);
        out.write_all(&greeting())?;
        out.flush()?;
        let theirs = incoming
            .exactly(64)
            .context("it does not greet as ZeroMQ does")?;
        ensure!(
            theirs[0] == 0xff && theirs[10] >= 3,
            "it does not speak ZMTP 3"
        );
        out.write_all(READY)?;
        out.flush()?;
        incoming.ready()?;
        incoming
            .subscription(topic)
            .context("it does not ask for messages (is it joining?)")?;
        out.get_ref().set_read_timeout(None)?;
        Ok(Self { out })
    }

    /// Queues one message; it is sent when enough has come together, or by [`Self::flush`].
    pub(crate) fn send(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        for (number, frame) in frames.iter().enumerate() {
            let more = if number + 1 < frames.len() { MORE } else { 0 };
            match u8::try_from(frame.len()) {
                Ok(length) => self.out.write_all(&[more, length])?,
                Err(_) => {
                    self.out.write_all(&[more | LONG])?;
                    self.out.write_all(&(frame.len() as u64).to_be_bytes())?;
                }
            }
            self.out.write_all(frame)?;
        }
        Ok(())
    }

    /// Hands what is queued to the operating system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Sends the rest and waits until the other side has read it all: it closes the connection
    /// when it comes to the end of what we sent. If it has ended its own side before, because it
    /// leaves, that says nothing of what was sent since.
    pub(crate) fn finish(mut self, timeout: Duration) -> io::Result<()> {
        self.out.flush()?;
        let stream = self.out.get_mut();
        let mut ignored = [0; 4096];
        stream.set_nonblocking(true)?;
        loop {
            match stream.read(&mut ignored) {
                Ok(0) => return Err(io::Error::other("it leaves and takes no more")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        stream.set_nonblocking(false)?;
        stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(slow());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut ignored) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Err(slow()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Signature, version 3.0, mechanism NULL.
fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// What the other side says during the handshake.
struct Incoming {
    from: BufReader<TcpStream>,
    deadline: Instant,
}

impl Incoming {
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let left = self.deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "no answer in time");
            self.from.get_ref().set_read_timeout(Some(left))?;
            match self.from.read(&mut bytes[filled..]) {
                Ok(0) => bail!("it closed the connection"),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => bail!("no answer in time"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes)
    }

    /// Flags and body of the next frame.
    fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let flags = self.exactly(1)?[0];
        let length = if flags & LONG == 0 {
            u64::from(self.exactly(1)?[0])
        } else {
            let bytes = self.exactly(8)?;
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte))
        };
        ensure!(
            length <= MAX_INCOMING_BYTES,
            "it sends a frame of {length} bytes: not a node"
        );
        Ok((flags, self.exactly(length as usize)?))
    }

    fn ready(&mut self) -> Result<()> {
        let (flags, body) = self.frame().context("it does not finish the handshake")?;
        if flags & COMMAND != 0 && body.starts_with(b"\x05READY") {
            return Ok(());
        }
        match body.strip_prefix(b"\x05ERROR") {
            Some(reason) => {
                let reason = String::from_utf8_lossy(reason.get(1..).unwrap_or_default());
                bail!("it refuses: {}", crate::output::printable(&reason))
            }
            None => bail!("it does not finish the handshake as ZeroMQ does"),
        }
    }

    /// Waits for a subscription that matches the topic, as a message or as a command.
    fn subscription(&mut self, topic: &[u8]) -> Result<()> {
        loop {
            let (flags, body) = self.frame()?;
            let prefix = match flags & COMMAND {
                0 => body.strip_prefix(&[SUBSCRIBE]),
                _ => body.strip_prefix(b"\x09SUBSCRIBE"),
            };
            if prefix.is_some_and(|prefix| topic.starts_with(prefix)) {
                return Ok(());
            }
        }
    }
}

fn slow() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "it is slow to take them, --timeout gives it longer",
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn subscriber(prefix: &[u8]) -> (zmq::Socket, TcpStream) {
        let socket = zmq::Context::new().socket(zmq::SUB).expect("a socket");
        socket.set_rcvtimeo(10_000).expect("an option");
        socket.set_subscribe(prefix).expect("an option");
        socket.bind("tcp://127.0.0.1:*").expect("a free port");
        let endpoint = socket.get_last_endpoint().expect("bound").expect("UTF-8");
        let address = endpoint.strip_prefix("tcp://").expect("tcp").to_string();
        (socket, TcpStream::connect(address).expect("it listens"))
    }

    #[test]
    fn a_socket_of_libzmq_receives_every_frame_as_it_was() {
        let (socket, stream) = subscriber(b"");
        let long = vec![7; 100_000];
        let messages: [&[&[u8]]; 4] = [
            &[b"topic"],
            &[b"topic", b""],
            &[b"topic", b"\x00\xff", b"c"],
            &[b"topic", &long],
        ];
        std::thread::scope(|scope| {
            // libzmq subscribes only while its socket is being asked for messages.
            let publishing = scope.spawn(|| {
                let mut publisher = Publisher::open(stream, b"topic", PATIENCE)?;
                messages
                    .iter()
                    .try_for_each(|frames| publisher.send(frames))?;
                anyhow::Ok(publisher.finish(PATIENCE)?)
            });
            for frames in messages {
                assert_eq!(socket.recv_multipart(0).expect("received"), frames);
            }
            let published = publishing.join().expect("no panic");
            published.expect("libzmq closes when it has read everything");
        });
    }

    #[test]
    fn nothing_is_sent_before_somebody_has_asked_for_it() {
        let (socket, stream) = subscriber(b"other");
        socket.set_rcvtimeo(500).expect("an option");
        let error = std::thread::scope(|scope| {
            let wait = Duration::from_millis(500);
            let publishing = scope.spawn(move || Publisher::open(stream, b"topic", wait));
            socket.recv_bytes(0).expect_err("nothing may come");
            publishing
                .join()
                .expect("no panic")
                .err()
                .expect("nobody asks for it")
        });
        assert!(
            format!("{error:#}").contains("does not ask for messages"),
            "{error:#}"
        );
    }

    #[test]
    fn a_node_that_does_not_take_the_rest_is_waited_for_only_so_long() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).expect("it listens");
        let (mut server, _) = listener.accept().expect("a client");
        server.write_all(&greeting()).expect("written");
        server.write_all(READY).expect("written");
        server.write_all(&[0, 1, SUBSCRIBE]).expect("written");
        let mut publisher = Publisher::open(stream, b"t", PATIENCE).expect("a handshake");
        publisher.send(&[b"t"]).expect("sent");
        let finished = publisher.finish(Duration::from_millis(50));
        let error = finished.expect_err("the other side has not closed");
        assert!(error.to_string().contains("--timeout"), "{error}");
    }

    #[test]
    fn what_is_not_zeromq_is_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(&[b'x'; 64]).expect("written");
            let _ = stream.read(&mut [0; 64]);
        });
        let stream = TcpStream::connect(address).expect("it listens");
        let error = Publisher::open(stream, b"t", PATIENCE)
            .err()
            .expect("no ZMTP");
        assert!(error.to_string().contains("ZMTP 3"), "{error}");
        server.join().expect("the server ended");
    }
}
