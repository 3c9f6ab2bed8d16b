//! A link after its hellos: messages of the core out, messages in, signs of life.

use bytes::Bytes;
use zmesh_node::forward::{Instance, Router};
use zmesh_node::link::timing::{PING_EVERY, SILENCE};
use zmesh_node::link::wire;
use zmesh_node::zmtp::frames::{Span, command_parts};
use zmesh_node::zmtp::heartbeat;

use crate::sim::Time;
use crate::sim::outside::Outside;
use crate::sim::stream::{Incoming, Stream};

/// A connection that carries messages.
#[derive(Debug)]
pub(super) struct Carrying {
    pub(super) stream: Stream,
    pub(super) heard: Time,
    /// When it last brought something.
    pub(super) brought: Time,
    pub(super) next_ping: Time,
    pub(super) unreplied: usize,
    pub(super) reply_at: Option<Time>,
    /// Whether pings that are sure to be answered take no events.
    quiet: bool,
}

impl Carrying {
    pub(super) fn new(stream: Stream, quiet: bool, now: Time) -> Self {
        Self {
            quiet,
            stream,
            heard: now,
            brought: now,
            next_ping: now,
            unreplied: 0,
            reply_at: None,
        }
    }

    pub(super) fn read(
        &mut self,
        now: Time,
        outside: &mut Outside<'_>,
    ) -> Option<Vec<(Bytes, Span)>> {
        let before = self.stream.taken;
        let items = messages(&mut self.stream, outside)?;
        let taken = self.stream.taken - before;
        if taken > 0 {
            (self.heard, self.brought) = (now, now);
            self.unreplied += taken;
        }
        Some(items)
    }

    pub(super) fn write(
        &mut self,
        peer: Instance,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        loop {
            let mut any = false;
            while self.stream.has_room()
                && let Some(message) = router.take_message(peer)
            {
                outside.watch.leaves(peer, &message);
                wire::encode(message, |bytes| self.stream.queue(bytes));
                any = true;
            }
            if self.stream.flush(outside) > 0 {
                router.handle_progress(peer, now);
            }
            if !any || self.stream.unwritten() > 0 {
                return;
            }
        }
    }

    pub(super) fn replies(
        &mut self,
        peer: Instance,
        router: &mut Router,
        outside: &mut Outside<'_>,
    ) {
        self.unreplied = 0;
        while self.stream.has_room()
            && let Some(message) = router.take_reply(peer)
        {
            wire::encode(message, |bytes| self.stream.queue(bytes));
        }
        self.stream.flush(outside);
    }

    pub(super) fn ping(&mut self, now: Time, held: bool, outside: &mut Outside<'_>) {
        self.next_ping = now + PING_EVERY;
        if held {
            self.heard = now;
        }
        let ping = heartbeat::ping(SILENCE);
        let bytes = [ping.len() as u64, heartbeat::pong(&[]).len() as u64];
        if self.quiet
            && self.stream.unwritten() == 0
            && outside.exchange(self.stream.end, bytes, false)
        {
            (self.heard, self.brought) = (now, now);
            return;
        }
        if self.stream.has_room() {
            self.stream.queue(ping);
        }
        self.stream.flush(outside);
    }
}

/// Messages that have come whole; pings are answered. `None` if what came is not ZMTP.
pub(super) fn messages(
    stream: &mut Stream,
    outside: &mut Outside<'_>,
) -> Option<Vec<(Bytes, Span)>> {
    let mut found = Vec::new();
    for item in stream.read(outside).ok()? {
        match item {
            Incoming::Message(chunk, span) => found.push((chunk, span)),
            Incoming::Command(body) => {
                if let Some((b"PING", data)) = command_parts(&body)
                    && stream.has_room()
                {
                    stream.queue(heartbeat::pong(data));
                }
            }
        }
    }
    stream.flush(outside);
    Some(found)
}
