//! A link after the handshake, on either side: messages of the core in, messages of the core out.

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::timing::{PING_EVERY, REPLY_DELAY, SILENCE};
use super::wire::{self, Carried, Head, Hello, MARGIN_BYTES, WireError};
use crate::close::CloseReason;
use crate::forward::{BadMessage, Instance, Message};
use crate::hub::{Handle, Hub, Side};
use crate::zmtp::frames::{FrameError, FrameLimits, WIDEST, command_parts};
use crate::zmtp::handshake::HandshakeError;
use crate::zmtp::heartbeat;
use crate::zmtp::intake::{Read, Scanned};
use crate::zmtp::pipe::Pipe;

/// With so many bytes taken since the last reply it goes at once.
const REPLY_BYTES: usize = 128 << 10;

/// Writes of one link before the others have their turn.
const WRITES_PER_TURN: usize = 16;

/// Reads of one link before the others have their turn.
const READS_PER_TURN: usize = 4;

/// Messages of requests that go before the records of a write.
const REQUESTS_AHEAD: usize = 16;

/// What a peer may send before it is known to belong to this mesh.
const HELLO_LIMITS: FrameLimits = FrameLimits {
    message_bytes: 4 << 10,
    frames: 2,
};

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the peer closed it")]
    Closed,
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    #[error("a newer one has replaced it")]
    Replaced,
    #[error("{0}")]
    Refused(String),
    #[error("it does not begin with who it is")]
    NoHello,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Message(#[from] BadMessage),
}

impl LinkError {
    /// In the words of all ports; none for a link that gave way to a newer one.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        Some(match self {
            Self::Closed => CloseReason::PeerClosed,
            Self::Silent => CloseReason::HeartbeatTimeout,
            Self::Replaced => return None,
            Self::Refused(_) => CloseReason::Mismatch,
            Self::NoHello | Self::Wire(_) | Self::Message(_) => CloseReason::BadMessage,
            Self::Handshake(error) => error.into(),
            Self::Io(error) => error.into(),
            Self::Frame(error) => (*error).into(),
        })
    }
}

/// A link between this node and a peer.
pub(super) struct Link<'a> {
    hub: &'a Hub,
    pipe: Pipe,
    limits: FrameLimits,
    scanned: Scanned,
    heard: Instant,
    /// Bytes taken since the last reply.
    unreplied: usize,
    /// When the ping went that has no answer yet.
    pinged: Option<Instant>,
    /// How long the last answer took.
    ponged: Option<Duration>,
}

impl<'a> Link<'a> {
    pub(super) fn new(hub: &'a Hub, stream: TcpStream) -> Self {
        Self {
            hub,
            pipe: Pipe::new(stream),
            limits: HELLO_LIMITS,
            scanned: Scanned::default(),
            heard: Instant::now(),
            unreplied: 0,
            pinged: None,
            ponged: None,
        }
    }

    /// Who this node says that it is.
    pub(super) fn hello(&self) -> Head {
        let me = &self.hub.me;
        Head::Hello(Hello {
            protocol: wire::PROTOCOL,
            partitions: zmesh_partition::PARTITIONS,
            cluster: me.cluster.clone(),
            name: me.name.clone(),
            id: me.id,
            instance: me.instance.0,
        })
    }

    /// Sends one of the messages that come before the core's.
    pub(super) async fn send_head(&mut self, head: &Head) -> Result<(), LinkError> {
        self.pipe.queue(wire::encode_head(head, false));
        while !self.pipe.write()? {
            self.pipe.ready(false).await?;
        }
        Ok(())
    }

    /// Waits for the first message.
    pub(super) async fn read_head(&mut self) -> Result<Head, LinkError> {
        loop {
            // A peer may ask for a sign of life before it says who it is.
            self.pipe.write()?;
            self.pipe.ready(true).await?;
            let read = self.pipe.read(&mut self.hub.arena.borrow_mut())?;
            match read {
                Read::Closed => return Err(LinkError::Closed),
                Read::Blocked | Read::More => {}
                Read::Data(data) => {
                    self.scan(data)?;
                    if !self.scanned.spans.is_empty() {
                        let span = self.scanned.spans.remove(0);
                        return Ok(wire::decode_head(&self.scanned.chunk, &span)?);
                    }
                }
            }
        }
    }

    /// Checks a peer's hello. The text of a refusal names both sides' values.
    pub(super) fn check(&self, hello: &Hello) -> Result<Instance, String> {
        let me = &self.hub.me;
        if hello.cluster != me.cluster {
            return Err(format!(
                "node {} is of cluster {:?}, node {} of cluster {:?}",
                hello.name, hello.cluster, me.name, me.cluster
            ));
        }
        if hello.protocol != wire::PROTOCOL {
            return Err(format!(
                "node {} speaks link protocol {}, node {} speaks {}",
                hello.name,
                hello.protocol,
                me.name,
                wire::PROTOCOL
            ));
        }
        if hello.partitions != zmesh_partition::PARTITIONS {
            return Err(format!(
                "node {} counts {} partitions, node {} counts {}",
                hello.name,
                hello.partitions,
                me.name,
                zmesh_partition::PARTITIONS
            ));
        }
        if hello.instance == me.instance.0 {
            return Err(format!("node {} is this process itself", me.name));
        }
        Ok(Instance(hello.instance))
    }

    /// From now on the peer may send whatever a member of the mesh sends.
    pub(super) fn trust(&mut self) {
        self.limits = FrameLimits {
            message_bytes: WIDEST.message_bytes + MARGIN_BYTES,
            frames: 2,
        };
    }

    /// Carries messages until the link ends.
    pub(super) async fn run(
        &mut self,
        peer: Instance,
        side: Side,
        handle: &Rc<Handle>,
    ) -> LinkError {
        match self.carry(peer, side, handle).await {
            Ok(never) => never,
            Err(error) => error,
        }
    }

    async fn carry(
        &mut self,
        peer: Instance,
        side: Side,
        handle: &Rc<Handle>,
    ) -> Result<LinkError, LinkError> {
        // What came right behind the hello.
        self.hand_over(peer, side)?;
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut reply = pin!(tokio::time::sleep(REPLY_DELAY));
        let mut reply_waits = side == Side::Accepted;
        let mut writes = 0;
        loop {
            let held = self
                .hub
                .look(|router| side == Side::Accepted && router.is_held(peer));
            let fill = side == Side::Dialed || self.unreplied >= REPLY_BYTES;
            if fill {
                self.fill(peer, side);
            }
            if self.write(peer, side)? && fill && self.fill(peer, side) {
                writes += 1;
                if writes % WRITES_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            tokio::select! {
                ready = self.pipe.ready(!held) => {
                    let ready = ready?;
                    // A link that was replaced has nothing more to say: what it still brings is
                    // older than what the new one has begun with.
                    let replaced = handle.closing.get();
                    if !held && !replaced && (ready.is_readable() || ready.is_read_closed()) {
                        self.read(peer, side, handle).await?;
                    }
                }
                () = handle.wake.notified() => {
                    if side == Side::Accepted && !reply_waits {
                        reply.as_mut().reset(Instant::now() + REPLY_DELAY);
                        reply_waits = true;
                    }
                }
                () = &mut reply, if reply_waits => {
                    self.fill(peer, side);
                    // What found no room goes the next time.
                    reply_waits = !self.pipe.has_room();
                    reply.as_mut().reset(Instant::now() + REPLY_DELAY);
                }
                _ = ping.tick() => self.keep_alive(peer, side, held)?,
            }
            if handle.closing.get() {
                return Ok(LinkError::Replaced);
            }
        }
    }

    /// Writes once. Returns whether everything is out.
    fn write(&mut self, peer: Instance, side: Side) -> Result<bool, LinkError> {
        let before = self.pipe.written();
        let all = self.pipe.write()?;
        if side == Side::Dialed && self.pipe.written() > before {
            self.hub
                .input(|router, now| router.handle_progress(peer, now));
        }
        Ok(all)
    }

    fn fill(&mut self, peer: Instance, side: Side) -> bool {
        let mut any = false;
        self.unreplied = 0;
        // Requests first, a few: records may fill every write, and a request has a deadline.
        any |= side == Side::Dialed && self.fill_requests(peer, REQUESTS_AHEAD);
        any |= side == Side::Dialed && self.fill_queues(peer, REQUESTS_AHEAD);
        any |= self.fill_core(peer, side);
        any |= side == Side::Dialed && self.fill_queues(peer, usize::MAX);
        any |= side == Side::Dialed && self.fill_requests(peer, usize::MAX);
        any
    }

    /// Moves requests to the socket's queue, so many at most. Returns whether there were any.
    fn fill_requests(&mut self, peer: Instance, most: usize) -> bool {
        let mut any = false;
        for _ in 0..most {
            if !self.pipe.has_room() {
                break;
            }
            let message = self
                .hub
                .input_services(|services, _| services.take_message(peer));
            let Some(message) = message else { break };
            wire::encode_request(message, |bytes| self.pipe.queue(bytes));
            any = true;
        }
        any
    }

    /// The same of work queues.
    fn fill_queues(&mut self, peer: Instance, most: usize) -> bool {
        let mut any = false;
        for _ in 0..most {
            if !self.pipe.has_room() {
                break;
            }
            let message = self.hub.input_queues(|queues, _| queues.take_message(peer));
            let Some(message) = message else { break };
            wire::encode_queue(message, |bytes| self.pipe.queue(bytes));
            any = true;
        }
        any
    }

    fn fill_core(&mut self, peer: Instance, side: Side) -> bool {
        let mut any = false;
        while self.pipe.has_room() {
            let message = self.hub.input(|router, _| match side {
                Side::Dialed => router.take_message(peer),
                Side::Accepted => router.take_reply(peer),
            });
            let Some(message) = message else { break };
            wire::encode(message, |bytes| self.pipe.queue(bytes));
            any = true;
        }
        any
    }

    async fn read(&mut self, peer: Instance, side: Side, handle: &Handle) -> Result<(), LinkError> {
        for _ in 0..READS_PER_TURN {
            let read = self.pipe.read(&mut self.hub.arena.borrow_mut())?;
            match read {
                Read::Blocked => return Ok(()),
                Read::Closed => return Err(LinkError::Closed),
                Read::More => self.hear(handle),
                Read::Data(data) => {
                    self.hear(handle);
                    self.unreplied += data.len();
                    self.scan(data)?;
                    handle.rtt.set(self.ponged);
                    self.hand_over(peer, side)?;
                }
            }
            if self.pipe.is_drained() {
                return Ok(());
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    fn hear(&mut self, handle: &Handle) {
        self.heard = Instant::now();
        handle.heard.set(self.hub.now());
    }

    fn scan(&mut self, data: BytesMut) -> Result<(), LinkError> {
        let mut pongs = Vec::new();
        let Self {
            pipe,
            scanned,
            limits,
            pinged,
            ponged,
            ..
        } = self;
        pipe.scan::<FrameError>(data, *limits, scanned, |body| {
            match command_parts(body) {
                Some((b"PING", data)) => pongs.extend_from_slice(&heartbeat::pong(data)),
                Some((b"PONG", _)) => *ponged = pinged.take().map(|at| at.elapsed()).or(*ponged),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        if self.pipe.has_room() {
            self.pipe.queue(Bytes::from(pongs));
        }
        Ok(())
    }

    fn hand_over(&mut self, peer: Instance, side: Side) -> Result<(), LinkError> {
        let Scanned { spans, chunk } = std::mem::take(&mut self.scanned);
        for span in &spans {
            match (wire::decode(&chunk, span, peer)?, side) {
                (Carried::Core(message), side) => self.give(peer, side, message)?,
                (Carried::Request(message), Side::Accepted) => self
                    .hub
                    .input_services(|services, now| services.handle_message(peer, message, now)),
                (Carried::Queue(message), Side::Accepted) => self
                    .hub
                    .input_queues(|queues, now| queues.handle_message(peer, message, now)),
                (Carried::Request(_) | Carried::Queue(_), Side::Dialed) => {
                    return Err(BadMessage::Direction.into());
                }
                (Carried::Nothing, _) => {}
            }
        }
        self.scanned.spans = spans;
        self.scanned.spans.clear();
        Ok(())
    }

    fn give(&self, peer: Instance, side: Side, message: Message) -> Result<(), BadMessage> {
        self.hub.input(|router, now| match side {
            Side::Dialed => router.handle_reply(peer, message, now),
            Side::Accepted => router.handle_message(peer, message, now),
        })
    }

    fn keep_alive(&mut self, peer: Instance, side: Side, held: bool) -> Result<(), LinkError> {
        let silence = self.heard.elapsed();
        if held {
            self.heard = Instant::now();
        } else if silence >= SILENCE {
            return Err(LinkError::Silent);
        }
        if side == Side::Dialed && silence <= PING_EVERY {
            self.hub
                .input(|router, now| router.handle_sign_of_life(peer, now));
        }
        if self.pipe.has_room() {
            self.pipe.queue(Bytes::from(heartbeat::ping(SILENCE)));
            self.pinged.get_or_insert_with(Instant::now);
        }
        Ok(())
    }
}
