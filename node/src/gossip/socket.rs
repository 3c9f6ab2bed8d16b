//! The libzmq sockets that gossip goes out through, and their options, each default of which is
//! wrong here.

use std::net::SocketAddr;

use zmq::{Context, Error, Socket};

/// Packets that wait for one connection. A packet that finds the queue full is
/// dropped: the next one replaces it.
const QUEUE: i32 = 64;
/// A connection attempt, and a handshake, that takes longer has failed, in milliseconds.
const CONNECT_MS: i32 = 1000;
const HANDSHAKE_MS: i32 = 2000;
/// Time between attempts to reconnect: first, and at most, in milliseconds.
const RECONNECT_MS: (i32, i32) = (100, 1000);
/// Nobody sends anything back but commands.
const MAX_MESSAGE_IN: i64 = 1 << 10;
/// libzmq's own heartbeats reap connections whose other end has vanished without a word. They are
/// no evidence of life: libzmq answers them while the program hangs.
const HEARTBEAT_MS: i32 = 2000;
const HEARTBEAT_TIMEOUT_MS: i32 = 6000;

const WAKE: &str = "inproc://wake";

/// What the monitor of a connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noticed {
    /// An established connection is gone.
    Lost,
    /// An attempt to connect has begun.
    Trying,
    /// An attempt to connect has failed.
    Failed,
}

/// A DEALER to one destination, with a monitor for what the connection itself tells.
pub(super) struct Outlet {
    socket: Socket,
    monitor: Socket,
    number: u64,
}

impl Outlet {
    /// Connects in the background. The address is numeric: libzmq would look a name up on the
    /// thread that serves all sockets.
    pub(super) fn open(context: &Context, to: SocketAddr, number: u64) -> Result<Self, Error> {
        let socket = context.socket(zmq::DEALER)?;
        // Packets that wait at the end are of no use to anybody.
        socket.set_linger(0)?;
        socket.set_sndhwm(QUEUE)?;
        // Only for IPv6 addresses: with it, libzmq reports IPv4 ones as mapped.
        socket.set_ipv6(to.is_ipv6())?;
        socket.set_handshake_ivl(HANDSHAKE_MS)?;
        // Nothing comes this way but commands.
        socket.set_rcvhwm(QUEUE)?;
        socket.set_maxmsgsize(MAX_MESSAGE_IN)?;
        socket.set_heartbeat_ivl(HEARTBEAT_MS)?;
        socket.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MS)?;
        // Nothing is queued for a connection that is not there: old packets are worth nothing.
        socket.set_immediate(true)?;
        socket.set_connect_timeout(CONNECT_MS)?;
        socket.set_reconnect_ivl(RECONNECT_MS.0)?;
        socket.set_reconnect_ivl_max(RECONNECT_MS.1)?;
        let events = zmq::SocketEvent::DISCONNECTED as i32
            | zmq::SocketEvent::CONNECT_DELAYED as i32
            | zmq::SocketEvent::CLOSED as i32;
        let endpoint = format!("inproc://monitor-{number}");
        socket.monitor(&endpoint, events)?;
        let monitor = context.socket(zmq::PAIR)?;
        monitor.set_linger(0)?;
        monitor.connect(&endpoint)?;
        socket.connect(&format!("tcp://{to}"))?;
        Ok(Self {
            socket,
            monitor,
            number,
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn monitor(&self) -> &Socket {
        &self.monitor
    }

    /// Whether the packet is on its way; `false` if there is no connection or no room.
    pub(super) fn send(&self, packet: &[u8]) -> Result<bool, Error> {
        match self.socket.send(packet, zmq::DONTWAIT) {
            Ok(()) => Ok(true),
            Err(Error::EAGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next thing the connection tells, if any.
    pub(super) fn noticed(&self) -> Option<Noticed> {
        loop {
            let event = self.monitor.recv_multipart(zmq::DONTWAIT).ok()?;
            let number = event
                .first()?
                .first_chunk::<2>()
                .map(|raw| u16::from_ne_bytes(*raw))?;
            if number == zmq::SocketEvent::DISCONNECTED.to_raw() {
                return Some(Noticed::Lost);
            }
            if number == zmq::SocketEvent::CONNECT_DELAYED.to_raw() {
                return Some(Noticed::Trying);
            }
            if number == zmq::SocketEvent::CLOSED.to_raw() {
                return Some(Noticed::Failed);
            }
        }
    }
}

impl Drop for Outlet {
    /// libzmq closes a socket later, on the thread that serves all sockets of the context, and
    /// tells the monitor of an attempt to connect that this ends. If nobody listens there any more
    /// it waits for ever, and nothing is sent to anybody again. So the monitor is told to want
    /// nothing first.
    fn drop(&mut self) {
        let nowhere = format!("inproc://unmonitored-{}", self.number);
        if let Err(error) = self.socket.monitor(&nowhere, 0) {
            tracing::debug!(%error, "cannot end the monitor of a gossip connection");
        }
    }
}

/// The two ends by which other threads wake the gossip thread. Each message is a wake-up.
pub(super) fn wake_pair(context: &Context) -> Result<(Socket, Socket), Error> {
    let (into, out) = (context.socket(zmq::PAIR)?, context.socket(zmq::PAIR)?);
    for end in [&into, &out] {
        end.set_linger(0)?;
    }
    out.bind(WAKE)?;
    into.connect(WAKE)?;
    Ok((into, out))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use socket2::{Domain, Socket as Tcp, Type};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A port where connections are neither taken nor refused, as at a host that is cut off, and
    /// what keeps it so.
    fn silent() -> (SocketAddr, Tcp, Vec<TcpStream>) {
        let listener = Tcp::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
        }
        (address, listener, waiting)
    }

    /// Many at once, so that libzmq is not through with one when the next is closed.
    fn close_while_trying(context: &Context, to: SocketAddr, numbers: std::ops::Range<u64>) {
        let tried: Vec<_> = numbers
            .map(|number| Outlet::open(context, to, number).unwrap())
            .collect();
        let start = Instant::now();
        for outlet in &tried {
            while outlet.noticed() != Some(Noticed::Trying) {
                assert!(start.elapsed() < PATIENCE, "nothing is tried any more");
                zmq::poll(&mut [outlet.monitor().as_poll_item(zmq::POLLIN)], 1000).unwrap();
            }
        }
        // Until they have been quiet for longer than libzmq goes without looking.
        let mut items: Vec<_> = tried
            .iter()
            .map(|outlet| outlet.monitor().as_poll_item(zmq::POLLIN))
            .collect();
        zmq::poll(&mut items, 20).unwrap();
    }

    #[test]
    fn closing_connections_that_are_being_tried_leaves_the_others_alone() {
        let context = Context::new();
        let inbox = context.socket(zmq::ROUTER).unwrap();
        inbox.set_linger(0).unwrap();
        inbox.bind("tcp://127.0.0.1:*").unwrap();
        let bound = inbox.get_last_endpoint().unwrap().unwrap();
        let works = bound.strip_prefix("tcp://").unwrap().parse().unwrap();
        let (silent, _listener, _waiting) = silent();
        for round in 0..5 {
            close_while_trying(&context, silent, 100 * round..100 * (round + 1));
        }
        let other = Outlet::open(&context, works, 500).unwrap();
        let start = Instant::now();
        while !other.send(b"packet").unwrap() {
            assert!(start.elapsed() < PATIENCE, "nothing is sent any more");
            zmq::poll(&mut [other.socket().as_poll_item(zmq::POLLOUT)], 100).unwrap();
        }
    }
}
