//! The libzmq sockets of the gossip thread and their options, each default of which is wrong here.

use std::net::{IpAddr, SocketAddr};

use zmesh_gossip::MAX_PACKET_IN;
use zmq::{Context, Error, Message, Socket};

/// Packets that wait in one direction of one connection. A packet that finds the queue full is
/// dropped: the next one replaces it.
const QUEUE: i32 = 64;
/// A connection attempt, and a handshake, that takes longer has failed, in milliseconds.
const CONNECT_MS: i32 = 1000;
const HANDSHAKE_MS: i32 = 2000;
/// Time between attempts to reconnect: first, and at most, in milliseconds.
const RECONNECT_MS: (i32, i32) = (100, 1000);
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

/// The ROUTER on which every packet comes in. Nothing is ever sent over it.
pub(super) struct Inbox {
    socket: Socket,
    port: u16,
}

impl Inbox {
    pub(super) fn bind(context: &Context, address: IpAddr, port: u16) -> Result<Self, Error> {
        let socket = context.socket(zmq::ROUTER)?;
        common(&socket, address)?;
        // A process that restarts with its old identity takes its connection over at once.
        socket.set_router_handover(true)?;
        // A packet to a peer that is not connected is an error and not silently dropped.
        socket.set_router_mandatory(true)?;
        // For port 0 a free one is taken, which the endpoint then tells.
        socket.bind(&format!("tcp://{}", SocketAddr::new(address, port)))?;
        let bound = socket.get_last_endpoint()?.map_err(|_| Error::EINVAL)?;
        let port = bound
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        Ok(Self {
            socket,
            port: port.ok_or(Error::EINVAL)?,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The next packet into `packet`; `false` if none waits. What is not one identity and one
    /// frame becomes an empty packet, which nobody takes for a good one.
    pub(super) fn receive(&self, packet: &mut Message) -> Result<bool, Error> {
        match self.socket.recv(packet, zmq::DONTWAIT) {
            Err(Error::EAGAIN) => return Ok(false),
            result => result?,
        }
        let mut frames = 1;
        while packet.get_more() {
            self.socket.recv(packet, zmq::DONTWAIT)?;
            frames += 1;
        }
        if frames != 2 {
            *packet = Message::new();
        }
        Ok(true)
    }
}

/// A DEALER to one destination, with a monitor for what the connection itself tells.
pub(super) struct Outlet {
    socket: Socket,
    monitor: Socket,
}

impl Outlet {
    /// Connects in the background. The address is numeric: libzmq would look a name up on the
    /// thread that serves all sockets.
    pub(super) fn open(context: &Context, to: SocketAddr, number: u64) -> Result<Self, Error> {
        let socket = context.socket(zmq::DEALER)?;
        common(&socket, to.ip())?;
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
        Ok(Self { socket, monitor })
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

fn common(socket: &Socket, address: IpAddr) -> Result<(), Error> {
    // Packets that wait at the end are of no use to anybody.
    socket.set_linger(0)?;
    socket.set_sndhwm(QUEUE)?;
    socket.set_rcvhwm(QUEUE)?;
    // Only for IPv6 addresses: with it, libzmq reports IPv4 ones as mapped.
    socket.set_ipv6(address.is_ipv6())?;
    // Whoever connects and says nothing is sent away.
    socket.set_handshake_ivl(HANDSHAKE_MS)?;
    socket.set_maxmsgsize(MAX_PACKET_IN as i64)?;
    socket.set_heartbeat_ivl(HEARTBEAT_MS)?;
    socket.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MS)
}
