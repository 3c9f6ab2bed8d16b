//! Plain libzmq sockets inside the test, where a test wants speed or its own loop.

use super::client::READY;
use super::wait::PATIENCE;
use std::time::{Duration, Instant};

/// A message: its frames.
pub type Message = Vec<Vec<u8>>;

/// A socket of this type without limits on its queues, connected to these endpoints.
pub fn connect(context: &zmq::Context, kind: zmq::SocketType, endpoints: &[String]) -> zmq::Socket {
    let socket = context
        .socket(kind)
        .expect("a context has room for sockets");
    let set = || -> zmq::Result<()> {
        socket.set_ipv6(true)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.set_linger(0)?;
        socket.set_reconnect_ivl(50)?;
        endpoints
            .iter()
            .try_for_each(|endpoint| socket.connect(endpoint))
    };
    set().expect("options and endpoints are valid");
    socket
}

/// A SUB socket whose subscriptions are in force everywhere.
///
/// # Panics
/// If they are not in time.
pub fn subscriber(context: &zmq::Context, endpoint: String, prefixes: &[&str]) -> zmq::Socket {
    let socket = connect(context, zmq::SUB, &[endpoint]);
    for prefix in [READY].iter().chain(prefixes) {
        socket
            .set_subscribe(prefix.as_bytes())
            .expect("any prefix is valid");
    }
    let mut missing: Vec<&[u8]> = prefixes.iter().map(|prefix| prefix.as_bytes()).collect();
    while !missing.is_empty() {
        let message = receive(&socket, PATIENCE).expect("subscriptions become ready");
        assert_eq!(
            message[0],
            READY.as_bytes(),
            "nothing has been published yet"
        );
        missing.retain(|prefix| *prefix != message[1]);
    }
    socket
}

/// An XPUB socket whose node has asked for its messages: from now on nothing is lost.
///
/// # Panics
/// If the node does not ask in time.
pub fn publisher(context: &zmq::Context, endpoint: String) -> zmq::Socket {
    let socket = connect(context, zmq::XPUB, &[endpoint]);
    let asked = receive(&socket, PATIENCE).expect("the node asks for messages");
    assert_eq!(asked, [[1]], "for all of them");
    socket
}

/// The next message that is no word of readiness, if one comes in time.
pub fn receive_data(socket: &zmq::Socket, patience: Duration) -> Option<Message> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let message = receive(socket, left)?;
        if message[0] != READY.as_bytes() {
            return Some(message);
        }
    }
}

/// The next message, if one comes in time.
pub fn receive(socket: &zmq::Socket, patience: Duration) -> Option<Message> {
    let milliseconds = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let ready = socket
        .poll(zmq::POLLIN, milliseconds)
        .expect("the socket is open");
    (ready > 0).then(|| socket.recv_multipart(0).expect("a message is there"))
}
