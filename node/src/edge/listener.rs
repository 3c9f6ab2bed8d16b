//! Takes connections on the client address and finds out what they speak.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::spawn_local;

use super::session;
use super::sniff::{SNIFF_BYTES, Spoken, sniff};
use crate::close::CloseReason;
use crate::hub::{Hub, Phase};
use crate::zmtp::handshake::{self, HandshakeError, Remote};

/// TCP asks a client that is silent so often whether its host is there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Pause after an accept that failed for want of descriptors: there is no use in trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that is open.
enum Opened {
    Zmtp(TcpStream, Remote),
    Http(std::net::TcpStream),
}

/// Accepts connections of clients for ever.
pub(crate) async fn listen(hub: Rc<Hub>, listener: TcpListener) {
    accept(hub, listener, None).await;
}

/// Accepts connections of REP sockets for ever: they serve this.
pub(crate) async fn listen_for_reps(hub: Rc<Hub>, listener: TcpListener, service: String) {
    accept(hub, listener, Some(Bytes::from(service))).await;
}

async fn accept(hub: Rc<Hub>, listener: TcpListener, service: Option<Bytes>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match Arc::clone(&hub.places).try_acquire_owned() {
                Ok(place) => {
                    let served = serve(Rc::clone(&hub), stream, peer, place, service.clone());
                    drop(spawn_local(served));
                }
                Err(_) => closed(&hub, peer, CloseReason::TooManyConnections),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client; is `ulimit -n` too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    hub: Rc<Hub>,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    service: Option<Bytes>,
) {
    match open(&hub, stream, service.is_some()).await {
        Ok(Opened::Zmtp(stream, remote)) => {
            let reason = session::run(&hub, stream, peer, remote, service).await;
            closed(&hub, peer, reason);
        }
        Ok(Opened::Http(stream)) => match hub.http.try_send((stream, place)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => closed(&hub, peer, CloseReason::TooManyConnections),
            Err(TrySendError::Closed(_)) => closed(&hub, peer, CloseReason::Leaving),
        },
        Err(reason) => closed(&hub, peer, reason),
    }
}

fn closed(hub: &Hub, peer: SocketAddr, reason: CloseReason) {
    hub.metrics.connection_closed(reason);
    let (name, remedy) = (reason.name(), reason.remedy());
    if reason.is_ordinary() || !hub.is_news(name) {
        tracing::debug!(%peer, reason = name, remedy, "connection closed");
    } else {
        tracing::info!(%peer, reason = name, remedy, "connection closed");
    }
}

/// `reps`: nothing but REP sockets is spoken with.
async fn open(hub: &Hub, stream: TcpStream, reps: bool) -> Result<Opened, CloseReason> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let timeout = hub.limits.handshake_timeout;
    let spoken = tokio::time::timeout(timeout, peek(&stream))
        .await
        .map_err(|_| CloseReason::HandshakeTimeout)??;
    if spoken == Spoken::Http && !reps {
        return Ok(Opened::Http(stream.into_std()?));
    }
    let mut phase = hub.phase.clone();
    match phase.wait_for(|phase| *phase != Phase::Joining).await {
        Ok(phase) if *phase == Phase::Ready => {}
        // Without a word: libzmq does not come back to an address that answered with an error.
        Ok(_) => return Err(CloseReason::Leaving),
        Err(_) => return Err(CloseReason::Io),
    }
    tokio::time::timeout(timeout, shake_hands(hub, stream, reps))
        .await
        .map_err(|_| CloseReason::HandshakeTimeout)?
}

async fn peek(stream: &TcpStream) -> Result<Spoken, CloseReason> {
    let mut first = [0; SNIFF_BYTES];
    let count = stream.peek(&mut first).await?;
    Ok(sniff(&first[..count])?)
}

async fn shake_hands(hub: &Hub, mut stream: TcpStream, reps: bool) -> Result<Opened, CloseReason> {
    let answer = if reps { answer_rep } else { answer };
    let remote = match handshake::accept(&mut stream, answer).await {
        Ok(remote) => remote,
        Err(error) => {
            tell_refused(hub, &error);
            return Err(error.into());
        }
    };
    Ok(Opened::Zmtp(stream, remote))
}

/// Of each type of socket that cannot connect the log tells, and not only of the first.
fn tell_refused(hub: &Hub, error: &HandshakeError) {
    let socket_type = match error {
        HandshakeError::SocketType(socket_type) => match socket_type.as_str() {
            "PULL" => "PULL",
            "REP" => "REP",
            "ROUTER" => "ROUTER",
            "PAIR" => "PAIR",
            _ => "another",
        },
        _ => "",
    };
    if !socket_type.is_empty() && hub.is_news(socket_type) {
        tracing::warn!(%error, "client refused");
    } else {
        tracing::debug!(%error, "client refused");
    }
}

/// The socket type that a client's finds here.
fn answer(client: &str) -> Result<&'static str, String> {
    match client {
        "PUB" | "XPUB" => Ok("XSUB"),
        "SUB" | "XSUB" => Ok("XPUB"),
        "REQ" | "DEALER" => Ok("ROUTER"),
        "PUSH" => Ok("PULL"),
        "REP" => Err("REP sockets connect to the rep-port of a service, not here".into()),
        _ => Err("zmesh takes PUB, XPUB, SUB, XSUB, REQ, DEALER and PUSH sockets".into()),
    }
}

/// The same on a port for workers.
fn answer_rep(worker: &str) -> Result<&'static str, String> {
    match worker {
        "REP" => Ok("DEALER"),
        _ => Err("this port takes REP sockets, which serve something; clients have another".into()),
    }
}
