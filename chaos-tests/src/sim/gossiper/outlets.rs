//! Connections out of a gossip thread, as libzmq makes, keeps and loses them (see the node's
//! `gossip/peers.rs` and `gossip/socket.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use zmesh_node::zmtp::frames::put_header;
use zmesh_node::zmtp::heartbeat;

use super::{LIMITS, Time};
use crate::sim::network::{End, HostId};
use crate::sim::outside::Outside;
use crate::sim::stream::Stream;

/// As in the node: packets that wait for a connection, and how long they are worth sending.
const MAX_WAITING: usize = 64;
const WORTH_SENDING: Time = Time::from_secs(1);
/// What libzmq holds for one connection, in bytes instead of packets.
const QUEUE_BYTES: usize = 64 << 10;
/// libzmq's options as the node sets them.
const CONNECT_TIMEOUT: Time = Time::from_secs(1);
const FIRST_PAUSE: Time = Time::from_millis(100);
const LAST_PAUSE: Time = Time::from_secs(1);
const HEARTBEAT: Time = Time::from_secs(2);
const HEARTBEAT_TIMEOUT: Time = Time::from_secs(6);

#[derive(Debug)]
enum Wire {
    Connecting(End, Time),
    Up {
        stream: Stream,
        heard: Time,
        next_ping: Time,
    },
    Pause(Time),
}

/// What is due of an outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A new attempt to connect.
    Connect,
    /// Nothing: an attempt has failed, or a sign of life was asked for.
    Done,
    /// The connection is given up.
    Lost,
}

/// One destination.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) host: HostId,
    wire: Wire,
    pause: Time,
    waiting: VecDeque<(Time, Vec<u8>)>,
    pub(super) used_at: Time,
    /// Under which end and time the others find it.
    entered: (Option<End>, Time),
}

/// Destinations by the address that members are known by.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    outlets: BTreeMap<Arc<str>, Outlet>,
    by_end: BTreeMap<End, Arc<str>>,
    by_time: BTreeSet<(Time, Arc<str>)>,
}

impl Outlets {
    pub(super) fn len(&self) -> usize {
        self.outlets.len()
    }

    pub(super) fn contains(&self, to: &str) -> bool {
        self.outlets.contains_key(to)
    }

    /// When the next of them has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Those that have something to do, by address.
    pub(super) fn due(&self, now: Time) -> Vec<Arc<str>> {
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<Arc<str>> = due.map(|(_, to)| Arc::clone(to)).collect();
        due.sort_unstable();
        due
    }

    pub(super) fn at_end(&self, end: End) -> Option<Arc<str>> {
        self.by_end.get(&end).cloned()
    }

    /// A destination to which a connection is being made.
    pub(super) fn add(&mut self, to: &str, host: HostId, end: End, now: Time) {
        let outlet = Outlet {
            host,
            wire: Wire::Connecting(end, now),
            pause: FIRST_PAUSE,
            waiting: VecDeque::new(),
            used_at: now,
            entered: (None, Time::MAX),
        };
        self.outlets.insert(to.into(), outlet);
        self.with(to, |_| ());
    }

    /// Changes one of them; every change goes through here.
    pub(super) fn with<T>(&mut self, to: &str, change: impl FnOnce(&mut Outlet) -> T) -> Option<T> {
        let outlet = self.outlets.get_mut(to)?;
        let result = change(outlet);
        let (before, now) = (outlet.entered, (outlet.end(), outlet.deadline()));
        if before != now {
            outlet.entered = now;
            self.enter(to, before, Some(now));
        }
        Some(result)
    }

    /// Closes those for which this does not hold.
    pub(super) fn keep(
        &mut self,
        outside: &mut Outside<'_>,
        holds: impl Fn(&str, &Outlet) -> bool,
    ) {
        let closed = self
            .outlets
            .iter()
            .filter(|(to, outlet)| !holds(to, outlet));
        let closed: Vec<Arc<str>> = closed.map(|(to, _)| Arc::clone(to)).collect();
        for to in closed {
            self.close(&to, outside);
        }
    }

    /// Closes the one that was used longest ago.
    pub(super) fn close_oldest(&mut self, outside: &mut Outside<'_>) {
        let oldest = self.outlets.iter().min_by_key(|(_, outlet)| outlet.used_at);
        if let Some(to) = oldest.map(|(to, _)| Arc::clone(to)) {
            self.close(&to, outside);
        }
    }

    fn close(&mut self, to: &str, outside: &mut Outside<'_>) {
        let Some(outlet) = self.outlets.remove(to) else {
            return;
        };
        self.enter(to, outlet.entered, None);
        if let Some(end) = outlet.end() {
            outside.close(end);
        }
    }

    fn enter(
        &mut self,
        to: &str,
        (end, at): (Option<End>, Time),
        now: Option<(Option<End>, Time)>,
    ) {
        let to: Arc<str> = to.into();
        if let Some(end) = end {
            self.by_end.remove(&end);
        }
        self.by_time.remove(&(at, Arc::clone(&to)));
        if let Some((end, at)) = now {
            if let Some(end) = end {
                self.by_end.insert(end, Arc::clone(&to));
            }
            self.by_time.insert((at, to));
        }
    }
}

impl Outlet {
    pub(super) fn end(&self) -> Option<End> {
        match &self.wire {
            Wire::Connecting(end, _) => Some(*end),
            Wire::Up { stream, .. } => Some(stream.end),
            Wire::Pause(_) => None,
        }
    }

    fn deadline(&self) -> Time {
        match &self.wire {
            Wire::Connecting(_, since) => *since + CONNECT_TIMEOUT,
            Wire::Up {
                heard, next_ping, ..
            } => (*heard + HEARTBEAT_TIMEOUT).min(*next_ping),
            Wire::Pause(until) => *until,
        }
    }

    /// Its time has come.
    pub(super) fn run(&mut self, now: Time, outside: &mut Outside<'_>) -> Due {
        match &mut self.wire {
            Wire::Pause(_) => return Due::Connect,
            Wire::Connecting(end, _) => {
                outside.close(*end);
                self.fail(now);
            }
            Wire::Up { stream, heard, .. } if now - *heard >= HEARTBEAT_TIMEOUT => {
                outside.close(stream.end);
                self.lose(now);
                return Due::Lost;
            }
            Wire::Up {
                stream, next_ping, ..
            } => {
                stream.queue(heartbeat::ping(HEARTBEAT_TIMEOUT));
                stream.flush(outside);
                *next_ping = now + HEARTBEAT;
            }
        }
        Due::Done
    }

    /// A new attempt has begun.
    pub(super) fn connecting(&mut self, end: End, now: Time) {
        self.wire = Wire::Connecting(end, now);
    }

    pub(super) fn open(&mut self, end: End, now: Time, outside: &mut Outside<'_>) {
        if matches!(self.wire, Wire::Connecting(..)) {
            self.pause = FIRST_PAUSE;
            self.wire = Wire::Up {
                stream: Stream::new(end, LIMITS),
                heard: now,
                next_ping: now + HEARTBEAT,
            };
        }
        if let Wire::Up { stream, heard, .. } = &mut self.wire
            && stream.read(outside).is_ok_and(|items| !items.is_empty())
        {
            *heard = now;
        }
    }

    /// An attempt has come to nothing: the next comes later and later.
    pub(super) fn fail(&mut self, now: Time) {
        self.wire = Wire::Pause(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    pub(super) fn lose(&mut self, now: Time) {
        self.pause = FIRST_PAUSE;
        self.fail(now);
    }

    /// Sends now, or as soon as the connection is there, or never.
    pub(super) fn send(&mut self, packet: Vec<u8>, now: Time, outside: &mut Outside<'_>) {
        self.used_at = now;
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now + WORTH_SENDING, packet));
        self.flush(now, outside);
    }

    pub(super) fn flush(&mut self, now: Time, outside: &mut Outside<'_>) {
        let Wire::Up { stream, .. } = &mut self.wire else {
            self.waiting.retain(|(until, _)| *until > now);
            return;
        };
        stream.flush(outside);
        while stream.unwritten() < QUEUE_BYTES
            && let Some((until, packet)) = self.waiting.pop_front()
        {
            if until > now {
                let mut frame = Vec::with_capacity(packet.len() + 9);
                put_header(&mut frame, false, packet.len());
                frame.extend_from_slice(&packet);
                stream.queue(frame);
                stream.flush(outside);
            }
        }
    }
}
