//! Where gossip comes in: a ZMTP ROUTER on its own thread, so that nothing delays it.
//!
//! It is no libzmq socket because libzmq keeps an unfinished message of any number of frames, and
//! does not tell why it closed a connection.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until, timeout};
use zmesh_gossip::MAX_PACKET_IN;

use super::commands::GossipCommands;
use crate::close::CloseReason;
use crate::metrics::Metrics;
use crate::zmtp::frames::{FrameError, FrameLimits, command_parts};
use crate::zmtp::intake::{Arena, Read, Scanned};
use crate::zmtp::pipe::Pipe;
use crate::zmtp::{handshake, heartbeat};

/// Packets that wait for the gossip thread. While there is no room, connections wait in turn to
/// put one more in and are not read meanwhile: a flood on one cannot push out what others say.
const PACKETS: usize = 128;

/// Most connections at a time: a member has one, and one more while it reconnects.
const MAX_CONNECTIONS: usize = 4096;

/// Most of these that have not finished their handshake.
const MAX_HANDSHAKES: usize = 1024;

/// A handshake that takes longer has failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Members connect when they have something to say. Whoever has not sent one readable packet by
/// then is none.
pub(super) const FIRST_PACKET: Duration = Duration::from_secs(60);

/// A peer whose host has vanished without a word is found by TCP's own probes: first after this
/// time without traffic, then so often. It is no evidence of life for membership.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A DEALER sends a packet as one frame. The second lets a message of two be told from a flood.
const LIMITS: FrameLimits = FrameLimits {
    message_bytes: MAX_PACKET_IN + 64,
    frames: 2,
};

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 4;

/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running thread. Dropping it closes the port and all connections.
pub(super) struct Inbox {
    packets: mpsc::Receiver<Bytes>,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Inbox {
    /// Starts to accept. Each packet wakes the gossip thread. A connection is closed that has
    /// not brought its first readable packet in time.
    pub(super) fn start(
        listener: StdListener,
        gossip: GossipCommands,
        metrics: Metrics,
        first_packet: Duration,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _within = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (sender, packets) = mpsc::channel(PACKETS);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("gossip-in".into())
            .spawn(move || {
                let hall = Hall {
                    packets: sender,
                    gossip,
                    metrics,
                    first_packet,
                    arena: RefCell::default(),
                };
                LocalSet::new().block_on(&runtime, async {
                    spawn_local(accept(Rc::new(hall), listener));
                    // Nothing is ever sent: it ends when the other end is dropped.
                    let _ = stopped.await;
                });
            })?;
        Ok(Self {
            packets,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The next packet, if one waits.
    pub(super) fn receive(&mut self) -> Option<Bytes> {
        self.packets.try_recv().ok()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that takes gossip in panicked");
        }
    }
}

/// What all connections share.
struct Hall {
    packets: mpsc::Sender<Bytes>,
    gossip: GossipCommands,
    metrics: Metrics,
    first_packet: Duration,
    arena: RefCell<Arena>,
}

impl Hall {
    /// Logs and counts the end of a connection.
    fn closed(&self, peer: SocketAddr, reason: CloseReason) {
        self.metrics.gossip_connection_closed(reason);
        let reason_name = reason.name();
        if reason.is_ordinary() {
            tracing::debug!(%peer, reason = reason_name, "gossip connection closed");
        } else {
            tracing::info!(%peer, reason = reason_name, "gossip connection closed");
        }
    }
}

/// Accepts connections for ever.
async fn accept(hall: Rc<Hall>, listener: TcpListener) {
    let (open, shaking) = (Rc::new(()), Rc::new(()));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept gossip; is `ulimit -n` too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // The accepting end counts as one.
        if Rc::strong_count(&open) > MAX_CONNECTIONS || Rc::strong_count(&shaking) > MAX_HANDSHAKES
        {
            hall.closed(peer, CloseReason::TooManyConnections);
            continue;
        }
        let (hall, open, shaking) = (Rc::clone(&hall), Rc::clone(&open), Rc::clone(&shaking));
        spawn_local(async move {
            let reason = match shake_hands(stream).await {
                Ok(stream) => {
                    drop(shaking);
                    Connection::new(&hall, stream).take_in().await
                }
                Err(reason) => reason,
            };
            hall.closed(peer, reason);
            drop(open);
        });
    }
}

async fn shake_hands(mut stream: TcpStream) -> Result<TcpStream, CloseReason> {
    let (first, then) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(first).with_interval(then);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let shaken = handshake::accept(&mut stream, |socket_type| match socket_type {
        "DEALER" => Ok("ROUTER"),
        _ => Err("this is the port for gossip between zmesh nodes".into()),
    });
    match timeout(HANDSHAKE_TIMEOUT, shaken).await {
        Ok(shaken) => shaken?,
        Err(_) => return Err(CloseReason::HandshakeTimeout),
    };
    Ok(stream)
}

/// A connection after its handshake.
struct Connection<'a> {
    hall: &'a Hall,
    pipe: Pipe,
    scanned: Scanned,
    /// It has sent a packet that can be read: it may be silent from now on.
    proven: bool,
}

impl<'a> Connection<'a> {
    fn new(hall: &'a Hall, stream: TcpStream) -> Self {
        Self {
            hall,
            pipe: Pipe::new(stream),
            scanned: Scanned::default(),
            proven: false,
        }
    }

    /// Takes packets in until there is a reason not to.
    async fn take_in(mut self) -> CloseReason {
        let deadline = Instant::now() + self.hall.first_packet;
        loop {
            let ready = tokio::select! {
                ready = self.pipe.ready(true) => ready,
                () = sleep_until(deadline), if !self.proven => return CloseReason::NoPacket,
            };
            let read = match ready {
                Ok(ready) if ready.is_readable() || ready.is_read_closed() => self.read().await,
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            };
            // Only answers to heartbeats are ever written.
            let written = self.pipe.write().map_err(CloseReason::from);
            if let Err(reason) = read.and(written.map(drop)) {
                return reason;
            }
        }
    }

    async fn read(&mut self) -> Result<(), CloseReason> {
        for _ in 0..READS_PER_TURN {
            let read = self.pipe.read(&mut self.hall.arena.borrow_mut())?;
            // Asked before anything is awaited: what arrives meanwhile is not to be forgotten.
            let drained = self.pipe.is_drained();
            match read {
                Read::Blocked => return Ok(()),
                Read::Closed => return Err(CloseReason::PeerClosed),
                Read::More => {}
                Read::Data(data) => {
                    self.scan(data)?;
                    self.hand_on().await?;
                }
            }
            if drained {
                return Ok(());
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    fn scan(&mut self, data: BytesMut) -> Result<(), FrameError> {
        let Self { pipe, scanned, .. } = self;
        let mut pong = Vec::new();
        pipe.scan::<FrameError>(data, LIMITS, scanned, |body| {
            // One is as good as many.
            if let Some((b"PING", data)) = command_parts(body) {
                pong = heartbeat::pong(data);
            }
            ControlFlow::Continue(())
        })?;
        // A peer that does not read its answers gets no more of them.
        if self.pipe.has_room() {
            self.pipe.queue(Bytes::from(pong));
        }
        Ok(())
    }

    async fn hand_on(&mut self) -> Result<(), CloseReason> {
        let Scanned { spans, chunk } = std::mem::take(&mut self.scanned);
        for span in &spans {
            // A packet has one frame. An empty one is counted as malformed.
            let bytes = match span.frames {
                1 => span.topic(&chunk),
                _ => &[],
            };
            self.proven = self.proven || zmesh_gossip::decode(bytes).is_ok();
            // A copy: a slice would keep the whole buffer while it waits.
            let packet = Bytes::copy_from_slice(bytes);
            if self.hall.packets.send(packet).await.is_err() {
                // The gossip thread has ended.
                return Err(CloseReason::Io);
            }
            self.hall.gossip.wake();
        }
        self.scanned.spans = spans;
        Ok(())
    }
}
