//! Programs at a node: publishers that say who they are in every message, and subscribers.

use bytes::Bytes;
use zmesh_node::forward::{ClientId, Router};
use zmesh_node::zmtp::frames::{FrameLimits, Item, Span, item_at, put_header};

use super::Time;
use super::outside::Outside;
use super::process::ProcessId;
use super::watch::Stamp;

/// Limits of a message.
pub const FRAMES: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 16,
};

/// Topics. Several share a partition: the key ends at the space.
pub const TOPICS: [&str; 10] = ["a", "a 1", "a 2", "ab", "b", "b.x", "c y", "d", "e.1", "f"];

/// Prefixes that subscribers ask for.
pub const PREFIXES: [&str; 11] = ["", "a", "a ", "a 1", "ab", "b", "b.", "c", "d", "x", "e."];

/// What tells a subscriber that a prefix is in force.
const READY: &[u8] = b"$zmesh.ready";

/// A program that publishes numbered messages.
pub struct Publisher {
    process: ProcessId,
    client: ClientId,
    /// Unique in the run.
    pub number: u32,
    /// The number of the next message on each topic.
    next: [u32; TOPICS.len()],
    next_at: Time,
    mean: Time,
    burst: usize,
    /// It is not read from now.
    paused: bool,
}

impl Publisher {
    /// Publishes bursts with this mean time between them.
    pub fn new(
        process: ProcessId,
        client: ClientId,
        number: u32,
        mean: Time,
        burst: usize,
        now: Time,
    ) -> Self {
        Self {
            process,
            client,
            number,
            next: [1; TOPICS.len()],
            next_at: now,
            mean,
            burst,
            paused: false,
        }
    }

    /// When it publishes next.
    pub fn deadline(&self) -> Option<Time> {
        (!self.paused && self.mean > Time::ZERO).then_some(self.next_at)
    }

    /// It may be read again.
    pub fn wake(&mut self, now: Time) {
        if std::mem::take(&mut self.paused) {
            self.next_at = self.next_at.max(now);
        }
    }

    /// It publishes nothing more by itself.
    pub fn stop(&mut self) {
        self.mean = Time::ZERO;
    }

    /// Publishes what is due.
    pub fn run(&mut self, router: &mut Router, now: Time, outside: &mut Outside<'_>) {
        while self.deadline().is_some_and(|at| at <= now) {
            let topics: Vec<usize> = (0..outside.dice.between(1, self.burst as u64))
                .map(|_| outside.dice.below(TOPICS.len()))
                .collect();
            if !self.publish(&topics, router, now, outside) {
                return;
            }
            // One that waited does not catch up with what it would have published.
            self.next_at = self.next_at.max(now) + outside.dice.wait(self.mean);
        }
    }

    /// Publishes a message on each of these topics. `false` if it is not read from now.
    pub fn publish(
        &mut self,
        topics: &[usize],
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) -> bool {
        if !router.may_read(self.client) {
            self.paused = true;
            return false;
        }
        let mut bytes = Vec::new();
        for &topic in topics {
            let stamp = Stamp {
                publisher: self.number,
                topic: topic as u16,
                number: self.next[topic],
            };
            self.next[topic] += 1;
            put(&stamp, outside.dice.below(40), &mut bytes);
            outside.watch.published(self.process, stamp, outside.now);
        }
        let chunk = Bytes::from(bytes);
        let spans = spans(&chunk);
        router.handle_publish(self.client, &chunk, &spans, now);
        true
    }
}

/// A program that subscribes, and reads at a pace of its own.
pub struct Subscriber {
    process: ProcessId,
    /// Its connection.
    pub client: ClientId,
    /// Time between two reads; zero reads at once.
    pace: Time,
    /// When it reads next, if there is something.
    read_at: Option<Time>,
    /// Messages that it got.
    pub handed: u64,
}

impl Subscriber {
    /// Reads with this time between two reads.
    pub fn new(process: ProcessId, client: ClientId, pace: Time) -> Self {
        Self {
            process,
            client,
            pace,
            read_at: None,
            handed: 0,
        }
    }

    /// When it reads next.
    pub fn deadline(&self) -> Option<Time> {
        self.read_at
    }

    /// There is something to read.
    pub fn wake(&mut self, now: Time) {
        self.read_at.get_or_insert(now + self.pace);
    }

    /// It reads without a pause from now on.
    pub fn hurry(&mut self, now: Time) {
        self.pace = Time::ZERO;
        self.read_at = Some(now);
    }

    /// Reads what is due.
    pub fn run(&mut self, router: &mut Router, now: Time, outside: &mut Outside<'_>) {
        while self.read_at.is_some_and(|at| at <= now) {
            let Some(segment) = router.take_segment(self.client, now) else {
                self.read_at = None;
                return;
            };
            self.handed += u64::from(segment.messages);
            self.take(&segment.bytes, outside);
            self.read_at = Some(now + self.pace);
        }
    }

    fn take(&self, bytes: &Bytes, outside: &mut Outside<'_>) {
        for span in spans(bytes) {
            let topic = span.topic(bytes);
            let body = &bytes[span.topic_end as usize + 2..span.end as usize];
            if topic == READY {
                outside.watch.told_ready(self.process, self.client, body);
                continue;
            }
            match stamp(topic, body) {
                Some(stamp) => outside.watch.received(self.process, self.client, stamp),
                None => outside.watch.damaged(self.process, &bytes[span.range()]),
            }
        }
    }

    /// Whether something waits for it.
    pub fn unrest(&self, router: &Router) -> Option<String> {
        let stats = router.client_stats(self.client)?;
        let waiting = stats.queue_messages;
        (waiting > 0).then(|| format!("{waiting} messages wait for {:?}", self.client))
    }
}

fn put(stamp: &Stamp, padding: usize, out: &mut Vec<u8>) {
    let topic = TOPICS[usize::from(stamp.topic)];
    put_header(out, true, topic.len());
    out.extend_from_slice(topic.as_bytes());
    put_header(out, false, 12 + padding);
    out.extend_from_slice(&stamp.publisher.to_be_bytes());
    out.extend_from_slice(&stamp.number.to_be_bytes());
    // What must not change on the way.
    let sum = stamp.publisher ^ stamp.number.rotate_left(16) ^ u32::from(stamp.topic);
    out.extend_from_slice(&sum.to_be_bytes());
    out.resize(out.len() + padding, stamp.number as u8);
}

/// Reads a message's stamp; `None` if it is not as it was sent.
pub fn stamp(topic: &[u8], body: &[u8]) -> Option<Stamp> {
    let topic = TOPICS.iter().position(|it| it.as_bytes() == topic)? as u16;
    let word = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let (publisher, number, sum) = (word(0)?, word(4)?, word(8)?);
    let intact = sum == publisher ^ number.rotate_left(16) ^ u32::from(topic)
        && body[12..].iter().all(|byte| *byte == number as u8);
    intact.then_some(Stamp {
        publisher,
        topic,
        number,
    })
}

/// Where the messages of a buffer lie.
pub fn spans(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Ok(Item::Message(span)) = item_at(bytes, at, FRAMES) else {
            break;
        };
        at = span.end as usize;
        spans.push(span);
    }
    spans
}
