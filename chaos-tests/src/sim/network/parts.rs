//! What the network is made of: directions between hosts, and connections with their two ends.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::sim::Time;
use crate::sim::process::ProcessId;

/// A machine with its own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u16);

/// What listens on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The gossip port.
    Gossip,
    /// The port for links.
    Link,
}

/// One end of a connection, as a process holds it: a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    pub(super) conn: u64,
    /// 0 dialed, 1 accepted.
    pub(super) side: u8,
}

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Connecting,
    /// It is open.
    Open,
    /// Nobody listens there.
    Refused,
    /// The other host has broken it off.
    Reset,
    /// The other process has closed it, and everything before was read.
    Ended,
}

/// What moves between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetEvent {
    /// The first packet of a connection, after so many attempts.
    Syn(u64, u32),
    /// The answer to it: whether somebody listens.
    SynAnswer(u64, bool),
    /// What is due for an end.
    Arrive(u64, u8),
    /// The same, after a pause for bytes that were not acknowledged.
    Retry(u64, u8),
    /// An end's host learns that bytes were read.
    Credit(u64, u8),
    /// An end's host is told that the other host knows no such connection.
    Rst(u64, u8),
    /// A datagram arrives.
    Datagram(u64),
}

/// One direction between two hosts.
#[derive(Clone, Debug)]
pub struct Path {
    /// Whether anything gets through.
    pub open: bool,
    /// How many of the packets are lost.
    pub loss: f64,
    /// Least time on the way.
    pub latency: Duration,
    /// Most that is added to it.
    pub jitter: Duration,
    /// Bytes a second.
    pub bandwidth: u64,
    /// When the bytes written so far have left the host.
    pub(super) busy_until: Time,
}

#[derive(Debug)]
pub(super) enum Item {
    Data(Bytes),
    Fin,
}

#[derive(Debug, Default)]
pub(super) struct EndState {
    pub(super) process: Option<ProcessId>,
    pub(super) connected: bool,
    pub(super) closed: Option<Status>,
    /// The other side said that nothing more comes.
    pub(super) finished: bool,
    pub(super) received: VecDeque<Bytes>,
    /// On their way from here.
    pub(super) in_flight: VecDeque<(Time, Item)>,
    pub(super) last_due: Time,
    /// Bytes written here that the other program has not read.
    pub(super) outstanding: usize,
    /// Of these, bytes of which the news that they were read is on its way.
    pub(super) credit: usize,
    pub(super) backoff: u32,
    pub(super) retrying: bool,
    pub(super) wants_room: bool,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) hosts: [HostId; 2],
    pub(super) service: Service,
    pub(super) ends: [EndState; 2],
}

impl Conn {
    /// The hosts of this end and of the other.
    pub(super) fn ways(&self, side: u8) -> (HostId, HostId) {
        let [dialer, acceptor] = self.hosts;
        if side == 0 {
            (dialer, acceptor)
        } else {
            (acceptor, dialer)
        }
    }
}

impl Path {
    /// An open path without loss: some tenths of a millisecond, as in one data centre.
    pub fn local() -> Self {
        Self {
            open: true,
            loss: 0.0,
            latency: Duration::from_micros(200),
            jitter: Duration::from_micros(300),
            bandwidth: 125_000_000,
            busy_until: Time::ZERO,
        }
    }
}
