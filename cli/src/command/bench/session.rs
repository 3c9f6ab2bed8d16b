//! The sockets of a run, connected, and known to hear each other.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A run that cannot receive for so long has lost what is missing.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// How long a receive waits before it looks around.
const RECEIVE_TIMEOUT_MS: i32 = 500;
/// Pause between two rounds of probes.
const ROUND_MS: i64 = 50;

/// What is between publishers and subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// A TCP connection over loopback.
    Direct,
    /// Nodes.
    Mesh { from: SocketAddr, to: SocketAddr },
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Mesh { .. } => "mesh",
        })
    }
}

/// What a run consists of.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) path: Path,
    /// Bytes of a payload.
    pub(super) size: usize,
    pub(super) publishers: usize,
    pub(super) subscribers: usize,
    /// All begin with the first.
    pub(super) topics: Vec<String>,
    /// How long to wait until every subscriber hears every publisher.
    pub(super) timeout: Duration,
}

/// The topics of a plan: the first as given, the others numbered.
pub(super) fn topics(first: &str, count: usize) -> Vec<String> {
    let others = (1..count).map(|number| format!("{first}.{number}"));
    std::iter::once(first.to_string()).chain(others).collect()
}

/// The sockets. Each has a context, and so an I/O thread, of its own, as separate programs would.
pub(super) struct Session {
    pub(super) publishers: Vec<zmq::Socket>,
    pub(super) subscribers: Vec<zmq::Socket>,
}

impl Session {
    /// Connects everything and waits until each subscriber has heard each publisher on each topic.
    pub(super) fn open(plan: &Plan) -> Result<Self> {
        let mut session = Self::connect(plan).context("cannot connect the sockets")?;
        session.wait_for_paths(plan)?;
        Ok(session)
    }

    fn connect(plan: &Plan) -> Result<Self> {
        let mut publishers = Vec::with_capacity(plan.publishers);
        let mut to = Vec::new();
        for _ in 0..plan.publishers {
            let socket = socket(zmq::PUB)?;
            match plan.path {
                Path::Direct => {
                    socket.bind("tcp://127.0.0.1:*")?;
                    let endpoint = socket.get_last_endpoint()?;
                    to.push(endpoint.map_err(|_| anyhow::anyhow!("an endpoint without a name"))?);
                }
                Path::Mesh { from, .. } => {
                    socket.set_ipv6(from.is_ipv6())?;
                    socket.connect(&format!("tcp://{from}"))?;
                }
            }
            publishers.push(socket);
        }
        if let Path::Mesh { to: node, .. } = plan.path {
            to.push(format!("tcp://{node}"));
        }
        let mut subscribers = Vec::with_capacity(plan.subscribers);
        for _ in 0..plan.subscribers {
            let socket = socket(zmq::SUB)?;
            socket.set_ipv6(matches!(plan.path, Path::Mesh { to, .. } if to.is_ipv6()))?;
            socket.set_subscribe(plan.topics[0].as_bytes())?;
            for endpoint in &to {
                socket.connect(endpoint)?;
            }
            subscribers.push(socket);
        }
        Ok(Self {
            publishers,
            subscribers,
        })
    }

    /// Sends probes until every path has carried one.
    fn wait_for_paths(&mut self, plan: &Plan) -> Result<()> {
        let paths = plan.publishers * plan.topics.len();
        let mut heard = vec![vec![false; paths]; plan.subscribers];
        let deadline = Instant::now() + plan.timeout;
        loop {
            let silent: Vec<usize> = (0..paths)
                .filter(|path| heard.iter().any(|heard| !heard[*path]))
                .collect();
            if silent.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (silent, waited) = (silent.len(), plan.timeout.as_secs_f64());
                bail!(
                    "{silent} of {paths} paths from publishers to subscribers are silent after \
                     {waited} s: do `zmesh members --node HOST:PORT` of both ends agree?"
                );
            }
            for path in silent {
                let (publisher, topic) = (path / plan.topics.len(), path % plan.topics.len());
                let number = (path as u64).to_le_bytes();
                let probe: [&[u8]; 3] = [plan.topics[topic].as_bytes(), b"", &number];
                self.publishers[publisher].send_multipart(probe, 0)?;
            }
            self.listen(&mut heard)?;
        }
    }

    /// Takes in probes until none comes for a while.
    fn listen(&self, heard: &mut [Vec<bool>]) -> Result<()> {
        let mut items: Vec<_> = self
            .subscribers
            .iter()
            .map(|socket| socket.as_poll_item(zmq::POLLIN))
            .collect();
        while zmq::poll(&mut items, ROUND_MS)? > 0 {
            for (socket, heard) in self.subscribers.iter().zip(heard.iter_mut()) {
                while let Ok(frames) = socket.recv_multipart(zmq::DONTWAIT) {
                    let number = frames
                        .get(2)
                        .and_then(|frame| frame.as_slice().try_into().ok());
                    let path = number.map(|number| u64::from_le_bytes(number) as usize);
                    if let Some(heard) = path.and_then(|path| heard.get_mut(path)) {
                        *heard = true;
                    }
                }
            }
        }
        Ok(())
    }
}

fn socket(kind: zmq::SocketType) -> Result<zmq::Socket> {
    let socket = zmq::Context::new().socket(kind)?;
    // The bench itself drops nothing: what is missing in the end was lost on the way.
    socket.set_sndhwm(0)?;
    socket.set_rcvhwm(0)?;
    socket.set_linger(0)?;
    socket.set_rcvtimeo(RECEIVE_TIMEOUT_MS)?;
    Ok(socket)
}

/// Sends one measured message.
pub(super) fn send(socket: &zmq::Socket, topic: &[u8], payload: &[u8]) -> Result<()> {
    socket.send(topic, zmq::SNDMORE)?;
    socket.send(payload, 0)?;
    Ok(())
}

/// What a receive came to.
pub(super) enum Received {
    /// A measured message; its payload is in the buffer.
    Message,
    /// A late probe, which has a third frame.
    Probe,
    /// Nothing for now.
    Nothing,
}

/// Receives one message, its payload into the buffer.
pub(super) fn receive(socket: &zmq::Socket, payload: &mut zmq::Message) -> Result<Received> {
    match socket.recv(payload, 0) {
        Ok(()) => {}
        Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(Received::Nothing),
        Err(error) => return Err(error.into()),
    }
    // The frames of a message arrive together: the others are there.
    socket.recv(payload, 0)?;
    if !payload.get_more() {
        return Ok(Received::Message);
    }
    socket.recv(payload, 0)?;
    Ok(Received::Probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_begins_with_the_first_and_differs() {
        assert_eq!(topics("a", 1), ["a"]);
        assert_eq!(topics("a", 3), ["a", "a.1", "a.2"]);
    }

    #[test]
    fn a_path_that_carries_nothing_is_told() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = nobody.local_addr().expect("bound");
        let plan = Plan {
            path: Path::Mesh {
                from: address,
                to: address,
            },
            size: 1,
            publishers: 1,
            subscribers: 1,
            topics: topics("t", 2),
            timeout: Duration::from_millis(200),
        };
        let error = Session::open(&plan)
            .err()
            .expect("nobody answers")
            .to_string();
        assert!(error.starts_with("2 of 2 paths"), "{error}");
    }
}
