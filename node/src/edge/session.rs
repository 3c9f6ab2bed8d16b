//! A client's ZMTP connection after the handshake: messages in, messages out, subscriptions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};

use super::request::Request;
use crate::close::CloseReason;
use crate::events::Kind;
use crate::forward::{Amount, ClientId, SubscribeError};
use crate::hub::{ClientInfo, Going, Handle, Hub, Role, frame_limits};
use crate::queues::is_about_queues;
use crate::zmtp::frames::{FrameError, FrameLimits, Span, put_command};
use crate::zmtp::handshake::Remote;
use crate::zmtp::heartbeat;
use crate::zmtp::intake::{Read, Scanned};
use crate::zmtp::pipe::Pipe;

/// A publisher is asked for a sign of life so often, if it speaks ZMTP 3.1. A subscriber is not:
/// one that is slow does not read the question behind what it has yet to read, and libzmq would
/// close the connection itself when the time to live in a PING runs out. TCP finds out whether its
/// host is gone.
const PING_EVERY: Duration = Duration::from_secs(10);

/// libzmq closes a connection on which it got a PING and then nothing for so long (a PING goes at
/// least every 150 s, [`heartbeat::Pulse`]), with all that
/// the kernel still holds of what was sent. A publisher whose node's host is gone leaves after this
/// time; TCP alone takes a quarter of an hour, and an idle one never finds out.
const PING_TTL: Duration = Duration::from_secs(300);

/// A publisher that goes on although the node has ended its side is closed when it could have been
/// read for so long: ZeroMQ closes at once.
const PARTING_PATIENCE: Duration = Duration::from_secs(2);

/// Writes of one connection before the others have their turn.
const WRITES_PER_TURN: usize = 16;

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 4;

struct Session<'a> {
    hub: &'a Hub,
    id: ClientId,
    handle: Rc<Handle>,
    pipe: Pipe,
    limits: FrameLimits,
    scanned: Scanned,
    role: Role,
    heartbeats: bool,
    pulse: heartbeat::Pulse,
    /// Whether the last read left nothing.
    drained: bool,
    /// Messages in the pipe: where they end in all that was ever queued, how many, their bytes.
    unwritten: VecDeque<(u64, u32, usize)>,
    /// The node goes. A publisher that has not closed by then is closed.
    parting: Option<Instant>,
}

/// Serves a client until it is closed; a REP socket serves a `service`.
pub(super) async fn run(
    hub: &Hub,
    stream: TcpStream,
    peer: SocketAddr,
    remote: Remote,
    service: Option<Bytes>,
) -> CloseReason {
    let id = hub.next_client();
    let handle = Rc::new(Handle::default());
    let role = Role::of(&remote.socket_type);
    tracing::debug!(%peer, socket_type = remote.socket_type, "client connected");
    hub.metrics.connection_opened(&remote.socket_type);
    let mut session = Session {
        hub,
        id,
        handle: Rc::clone(&handle),
        pipe: Pipe::new(stream),
        limits: frame_limits(&hub.limits),
        scanned: Scanned::default(),
        role,
        heartbeats: role != Role::Subscriber && remote.minor > 0,
        pulse: heartbeat::Pulse::default(),
        drained: true,
        unwritten: VecDeque::new(),
        parting: None,
    };
    let info = ClientInfo {
        handle,
        peer,
        socket_type: remote.socket_type,
        role,
        zmtp_minor: remote.minor,
        since: hub.now(),
    };
    hub.clients.borrow_mut().insert(id, info);
    hub.input(|router, _| router.handle_client_opened(id));
    match role {
        Role::Publisher => session.pipe.queue(subscribe_all(remote.minor)),
        Role::Requester => hub.input_services(|services, now| match service {
            Some(service) => services.handle_rep_opened(id, service, now),
            None => services.handle_client_opened(id),
        }),
        Role::Pusher => hub.input_queues(|queues, _| queues.handle_pusher_opened(id)),
        Role::Subscriber => {}
    }
    let reason = match session.serve().await {
        Ok(()) => CloseReason::SlowSubscriber,
        Err(CloseReason::PeerClosed) if session.parted() => CloseReason::Leaving,
        Err(reason) => reason,
    };
    session.give_up_unwritten();
    hub.clients.borrow_mut().remove(&id);
    hub.input(|router, now| router.handle_client_closed(id, now));
    match role {
        Role::Requester => {
            hub.input_services(|services, now| services.handle_client_closed(id, now));
            hub.input_queues(|queues, now| queues.handle_client_closed(id, now));
        }
        Role::Pusher => hub.input_queues(|queues, _| queues.handle_pusher_closed(id)),
        Role::Publisher | Role::Subscriber => {}
    }
    tell_disconnected(hub, peer, reason);
    reason
}

/// Whoever did not keep up and had to go for it is worth telling of.
fn tell_disconnected(hub: &Hub, peer: SocketAddr, reason: CloseReason) {
    if reason == CloseReason::SlowSubscriber {
        let peer = peer.to_string();
        let text = format!("subscriber {peer} was disconnected: its queue was full");
        hub.events.tell(Kind::SlowDisconnected, &peer, &text, &[]);
    }
}

/// The subscription to everything that makes a publisher send.
fn subscribe_all(minor: u8) -> Bytes {
    let mut bytes = Vec::new();
    if minor > 0 {
        put_command(&mut bytes, "SUBSCRIBE", b"");
    } else {
        bytes.extend_from_slice(&[0, 1, 1]);
    }
    Bytes::from(bytes)
}

impl Session<'_> {
    /// Ends with `Ok` when the core asks for it.
    async fn serve(&mut self) -> Result<(), CloseReason> {
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writes = 0;
        loop {
            let may_read = self.may_read();
            self.fill();
            if self.write()? && self.fill() {
                writes += 1;
                if writes % WRITES_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            self.part(may_read)?;
            let handle = Rc::clone(&self.handle);
            tokio::select! {
                ready = self.pipe.ready(may_read) => {
                    let ready = ready?;
                    if may_read && (ready.is_readable() || ready.is_read_closed()) {
                        self.read().await?;
                    }
                }
                () = handle.wake.notified() => {}
                _ = ping.tick() => self.keep_alive(may_read)?,
                () = until(self.parting) => {}
            }
            if self.handle.closing.get() {
                return Ok(());
            }
        }
    }

    /// A publisher is not read over its budget, an asker not over what it may ask at a time.
    fn may_read(&self) -> bool {
        match self.role {
            Role::Publisher => self.hub.input(|router, _| router.may_read(self.id)),
            Role::Requester => self.hub.look_services(|it| it.may_read(self.id)),
            Role::Pusher => self.hub.look_queues(|it| it.may_read(self.id)),
            Role::Subscriber => true,
        }
    }

    /// When the node goes it ends its side of the connection once it has nothing more to say to
    /// this client. ZeroMQ then closes the other side, behind all that it had sent: what a
    /// publisher had handed to its operating system is taken, and a subscriber has read everything.
    /// To be called when nothing more waits in the core, unless the pipe is full.
    fn part(&mut self, may_read: bool) -> Result<(), CloseReason> {
        let going = self.hub.going.get();
        let is_publisher = self.role.only_sends();
        let stays = going == Going::Not || !is_publisher && going == Going::Leaving;
        if stays || !self.is_idle() {
            return Ok(());
        }
        if self.pipe.unwritten() == 0 && !self.parted() {
            self.pipe.end();
            self.handle.parted.set(Some(self.hub.now()));
        }
        if !is_publisher {
            return Ok(());
        }
        let now = Instant::now();
        match self.parting {
            Some(until) if may_read && now >= until => Err(CloseReason::Leaving),
            Some(_) if may_read => Ok(()),
            // It cannot go on before it is read.
            _ => {
                self.parting = Some(now + PARTING_PATIENCE);
                Ok(())
            }
        }
    }

    /// Whether no answer is awaited, from here or from it.
    fn is_idle(&self) -> bool {
        let asks = self.hub.look_services(|it| it.is_idle(self.id));
        asks && self.hub.look_queues(|it| it.is_idle(self.id))
    }

    /// Whether this side of the connection has ended.
    fn parted(&self) -> bool {
        self.handle.parted.get().is_some()
    }

    /// Writes once. Returns whether everything is out.
    fn write(&mut self) -> Result<bool, CloseReason> {
        let all = self.pipe.write()?;
        let mut left = self.handle.unwritten.get();
        while let Some((end, messages, bytes)) = self.unwritten.front().copied()
            && end <= self.pipe.written()
        {
            self.unwritten.pop_front();
            left.messages -= u64::from(messages);
            left.bytes -= bytes as u64;
        }
        self.handle.unwritten.set(left);
        Ok(all)
    }

    /// The client has gone: what it did not get is no longer counted as delivered.
    fn give_up_unwritten(&mut self) {
        let Amount { messages, bytes } = self.handle.unwritten.take();
        self.hub
            .input(|router, _| router.handle_unwritten(messages, bytes as usize));
    }

    /// Moves what waits in the core to the socket's queue. Returns whether anything was there.
    fn fill(&mut self) -> bool {
        if self.role == Role::Requester {
            return self.fill_answers();
        }
        let mut any = false;
        while self.pipe.has_room() {
            let segment = self
                .hub
                .input(|router, now| router.take_segment(self.id, now));
            let Some(segment) = segment else { break };
            let (messages, bytes) = (segment.messages, segment.bytes.len());
            self.pipe.queue(segment.bytes);
            let end = self.pipe.written() + self.pipe.unwritten() as u64;
            self.unwritten.push_back((end, messages, bytes));
            let mut left = self.handle.unwritten.get();
            left.add(messages.into(), bytes);
            self.handle.unwritten.set(left);
            any = true;
        }
        any
    }

    fn fill_answers(&mut self) -> bool {
        let mut any = false;
        while self.pipe.has_room() {
            let segment = self
                .hub
                .input_services(|services, _| services.take_segment(self.id));
            let task = || {
                self.hub
                    .input_queues(|queues, _| queues.take_segment(self.id))
            };
            let Some(segment) = segment.or_else(task) else {
                break;
            };
            self.pipe.queue(segment);
            any = true;
        }
        any
    }

    async fn read(&mut self) -> Result<(), CloseReason> {
        for _ in 0..READS_PER_TURN {
            if !self.may_read() {
                return Ok(());
            }
            let read = self.pipe.read(&mut self.hub.arena.borrow_mut())?;
            self.drained = matches!(read, Read::Blocked);
            match read {
                Read::Blocked => return Ok(()),
                Read::Closed => return Err(CloseReason::PeerClosed),
                Read::More => self.pulse.heard(),
                Read::Data(data) => {
                    self.pulse.heard();
                    self.take(data)?;
                }
            }
            if self.pipe.is_drained() {
                self.drained = true;
                return Ok(());
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    fn take(&mut self, data: BytesMut) -> Result<(), CloseReason> {
        let mut requests = Vec::new();
        let Self {
            pipe,
            scanned,
            limits,
            ..
        } = self;
        pipe.scan::<FrameError>(data, *limits, scanned, |body| {
            requests.extend(Request::of_command(body));
            ControlFlow::Continue(())
        })?;
        for request in requests {
            self.obey(request)?;
        }
        let Scanned { spans, chunk } = std::mem::take(&mut self.scanned);
        match self.role {
            Role::Publisher if spans.is_empty() => {}
            Role::Publisher => self
                .hub
                .input(|router, now| router.handle_publish(self.id, &chunk, &spans, now)),
            Role::Requester => self.take_words(&chunk, &spans),
            Role::Pusher if spans.is_empty() => {}
            Role::Pusher => {
                let hub = self.hub;
                let wrong =
                    hub.input_queues(|it, now| it.handle_pushes(self.id, &chunk, &spans, now));
                if let Some(text) = wrong.filter(|_| hub.is_news("bad_task")) {
                    // A PUSH socket hears nothing.
                    tracing::warn!("a message of a PUSH socket was dropped: {text}");
                }
            }
            Role::Subscriber => {
                for span in &spans {
                    Request::of_message(&chunk, span).map_or(Ok(()), |it| self.obey(it))?;
                }
            }
        }
        // The list of places is used again; the bytes are not kept.
        self.scanned.spans = spans;
        Ok(())
    }

    /// What a REQ, DEALER or REP socket says.
    fn take_words(&self, chunk: &Bytes, spans: &[Span]) {
        for span in spans {
            if is_about_queues(chunk, span) {
                self.hub
                    .input_queues(|it, now| it.handle_client_message(self.id, chunk, span, now));
            } else {
                self.hub
                    .input_services(|it, now| it.handle_client_message(self.id, chunk, span, now));
            }
        }
    }

    fn obey(&mut self, request: Request) -> Result<(), CloseReason> {
        match request {
            Request::Subscribe(prefix) => self.subscribe(&prefix)?,
            Request::Cancel(prefix) => {
                self.hub
                    .input(|router, _| router.handle_unsubscribe(self.id, &prefix));
            }
            // A client that does not read its answers gets no more of them.
            Request::Ping(_) if !self.pipe.has_room() || self.parted() => {}
            Request::Ping(_) if self.pipe.peer_has_ended() => {}
            Request::Ping(data) => {
                self.pipe.queue(Bytes::from(heartbeat::pong(&data)));
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, prefix: &[u8]) -> Result<(), SubscribeError> {
        self.hub
            .input(|router, now| router.handle_subscribe(self.id, prefix, now))
    }

    fn keep_alive(&mut self, reading: bool) -> Result<(), CloseReason> {
        if !self.heartbeats || self.parted() {
            return Ok(());
        }
        // Who has requests, or waits for answers, may have more to read than its queue takes
        // (libzmq: 1000 messages), and then it does not come to the question.
        let is_asker = self.role == Role::Requester;
        let busy = is_asker && !self.is_idle();
        // A publisher that has ended leaves what it sent to its kernel, which drops all of it when
        // anything comes for it. Its end is seen behind what the kernel here has room for; what
        // waits beyond that is pinged as seldom as the patience of a living one allows.
        let seen = heartbeat::Seen {
            heard: reading,
            drained: self.drained,
            busy,
        };
        let due = self.pulse.tick(seen);
        if due.map_err(|_| CloseReason::HeartbeatTimeout)? {
            self.ping();
        }
        Ok(())
    }

    fn ping(&mut self) {
        if self.pipe.has_room() && !self.pipe.peer_has_ended() {
            self.pipe.queue(Bytes::from(heartbeat::ping(PING_TTL)));
            self.pulse.asked();
        }
    }
}

/// Waits until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
