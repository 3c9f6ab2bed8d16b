//! Connections out of a gossip thread, as libzmq makes, keeps and loses them (see the node's
//! `gossip/peers.rs` and `gossip/socket.rs`).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use zmesh_node::zmtp::frames::put_header;
use zmesh_node::zmtp::heartbeat;

use super::{LIMITS, Quiet, Time};
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

/// Which of the destinations, as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(usize);

/// One destination.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) to: Arc<str>,
    pub(super) host: HostId,
    wire: Wire,
    pause: Time,
    waiting: VecDeque<(Time, Vec<u8>)>,
    pub(super) used_at: Time,
    /// Under which end and time it is found.
    entered: (Option<End>, Time),
}

/// Destinations, found by the address that members are known by, by connection, and by time.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    slots: Vec<Option<Outlet>>,
    free: Vec<Slot>,
    by_address: HashMap<Arc<str>, Slot, FixedState>,
    by_end: HashMap<End, Slot, FixedState>,
    by_time: BTreeSet<(Time, Slot)>,
}

impl Outlets {
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn at_address(&self, to: &str) -> Option<Slot> {
        self.by_address.get(to).copied()
    }

    pub(super) fn at_end(&self, end: End) -> Option<Slot> {
        self.by_end.get(&end).copied()
    }

    /// When the next of them has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Those that have something to do by then.
    pub(super) fn due(&self, then: Time) -> Vec<Slot> {
        let due = self.by_time.iter().take_while(|(at, _)| *at <= then);
        due.map(|(_, slot)| *slot).collect()
    }

    /// A destination to which a connection is being made.
    pub(super) fn add(&mut self, to: &str, host: HostId, end: End, now: Time) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(self.slots.len() - 1)
        });
        let to: Arc<str> = to.into();
        self.by_address.insert(Arc::clone(&to), slot);
        self.slots[slot.0] = Some(Outlet {
            to,
            host,
            wire: Wire::Connecting(end, now),
            pause: FIRST_PAUSE,
            waiting: VecDeque::new(),
            used_at: now,
            entered: (None, Time::MAX),
        });
        self.with(slot, |_| ());
        slot
    }

    /// Changes one of them; every change goes through here.
    pub(super) fn with<T>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Outlet) -> T,
    ) -> Option<T> {
        let outlet = self.slots[slot.0].as_mut()?;
        let result = change(outlet);
        let (before, now) = (outlet.entered, (outlet.end(), outlet.deadline()));
        outlet.entered = now;
        if before.0 != now.0 {
            self.leave_end(before.0);
            if let Some(end) = now.0 {
                self.by_end.insert(end, slot);
            }
        }
        if before.1 != now.1 {
            self.by_time.remove(&(before.1, slot));
            self.by_time.insert((now.1, slot));
        }
        Some(result)
    }

    /// Closes those for which this does not hold.
    pub(super) fn keep(&mut self, outside: &mut Outside<'_>, holds: impl Fn(&Outlet) -> bool) {
        let outlets = self.slots.iter().flatten();
        let closed = outlets.filter(|outlet| !holds(outlet));
        let mut closed: Vec<Arc<str>> = closed.map(|outlet| Arc::clone(&outlet.to)).collect();
        closed.sort_unstable();
        for to in closed {
            self.close(&to, outside);
        }
    }

    /// Closes the one that was used longest ago.
    pub(super) fn close_oldest(&mut self, outside: &mut Outside<'_>) {
        let outlets = self.slots.iter().flatten();
        let oldest = outlets.min_by_key(|outlet| (outlet.used_at, Arc::clone(&outlet.to)));
        if let Some(to) = oldest.map(|outlet| Arc::clone(&outlet.to)) {
            self.close(&to, outside);
        }
    }

    fn close(&mut self, to: &str, outside: &mut Outside<'_>) {
        let Some(slot) = self.by_address.remove(to) else {
            return;
        };
        let Some(outlet) = self.slots[slot.0].take() else {
            return;
        };
        self.free.push(slot);
        let (end, at) = outlet.entered;
        self.leave_end(end);
        self.by_time.remove(&(at, slot));
        if let Some(end) = outlet.end() {
            outside.close(end);
        }
    }

    fn leave_end(&mut self, end: Option<End>) {
        if let Some(end) = end {
            self.by_end.remove(&end);
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

    /// Its time has come, or that of another: then it may ask for a sign of life early.
    pub(super) fn run(&mut self, now: Time, quiet: Quiet, outside: &mut Outside<'_>) -> Due {
        if now < self.deadline() && !matches!(self.wire, Wire::Up { .. }) {
            return Due::Done;
        }
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
                stream,
                heard,
                next_ping,
            } => {
                let ping = heartbeat::ping(HEARTBEAT_TIMEOUT);
                let bytes = [ping.len() as u64, heartbeat::pong(&[]).len() as u64];
                if quiet != Quiet::Never
                    && stream.unwritten() == 0
                    && outside.exchange(stream.end, bytes, quiet == Quiet::Always)
                {
                    *heard = now;
                } else {
                    stream.queue(ping);
                    stream.flush(outside);
                }
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
