//! What nodes tell each other of requests, and the names of what can go wrong.

use bytes::Bytes;

use super::links::OVERHEAD_BYTES;
use crate::forward::{ClientId, Time, compact};

/// A request, unique in the mesh: the asker's process, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The instance of the asker's node.
    pub asker: u64,
    /// Counted from 1 there.
    pub number: u64,
    /// Attempts before this one.
    pub attempt: u8,
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{}", self.asker, self.number)?;
        match self.attempt {
            0 => Ok(()),
            attempt => write!(f, ".{attempt}"),
        }
    }
}

impl RequestId {
    /// Reads what [`RequestId::to_string`] writes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (asker, rest) = std::str::from_utf8(text).ok()?.split_once('-')?;
        let (number, attempt) = match rest.split_once('.') {
            Some((number, attempt)) => (number, attempt.parse().ok()?),
            None => (rest, 0),
        };
        Some(Self {
            asker: u64::from_str_radix(asker, 16).ok()?,
            number: number.parse().ok()?,
            attempt,
        })
    }
}

/// Why a request is not answered by a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Nobody serves this.
    NoWorker,
    /// Its time was up.
    Timeout,
    /// Whoever had it has gone; it may have been done.
    WorkerLost,
    /// Too many requests are on their way.
    Busy,
    /// What was asked makes no sense.
    BadRequest,
}

impl Code {
    /// Every code with its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("no_worker", Self::NoWorker),
        ("timeout", Self::Timeout),
        ("worker_lost", Self::WorkerLost),
        ("busy", Self::Busy),
        ("bad_request", Self::BadRequest),
    ];

    /// Its name, as askers see it.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// One worker's place in the pool of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The service.
    pub service: Bytes,
    /// The worker, a client of the node that says this.
    pub worker: ClientId,
    /// Requests that it takes at a time; 0 if it takes none any more.
    pub credit: u32,
    /// How many of those it could take now.
    pub room: u32,
}

/// From node to node. A body is the frames of it as they came from a client, with their headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asker's node → owner of the service.
    Ask {
        /// The request.
        id: RequestId,
        /// Whether it was sent on by a node that did not find itself the owner.
        passed_on: bool,
        /// The asker waits for so long from when this is sent; whole milliseconds.
        patience: Time,
        /// What it asks.
        service: Bytes,
        /// See the enum.
        body: Bytes,
    },
    /// Owner → asker's node: it goes to a worker of this node.
    Placed {
        /// [`RequestId::number`].
        number: u64,
        /// [`RequestId::attempt`].
        attempt: u8,
        /// The instance of that node.
        node: u64,
    },
    /// Owner → worker's node.
    Work {
        /// The request.
        id: RequestId,
        /// Who is to do it.
        worker: ClientId,
        /// As in [`Message::Ask`].
        patience: Time,
        /// What it asks.
        service: Bytes,
        /// See the enum.
        body: Bytes,
    },
    /// Worker's node → asker's node.
    Answer {
        /// [`RequestId::number`].
        number: u64,
        /// See the enum.
        body: Bytes,
    },
    /// Worker's node → asker's node: a part of the answer, before it.
    Part {
        /// [`RequestId::number`].
        number: u64,
        /// See the enum.
        body: Bytes,
    },
    /// Owner or worker's node → asker's node.
    Fail {
        /// [`RequestId::number`].
        number: u64,
        /// [`RequestId::attempt`].
        attempt: u8,
        /// Why.
        code: Code,
        /// Why, for people.
        text: String,
    },
    /// Worker's node → owner: all that serve a service of that owner there, and nobody else.
    Seats(Vec<Seat>),
    /// Worker's node → owner: one has come, changed or gone.
    Seat(Seat),
    /// Worker's node → owner: a worker has done so many requests.
    Room {
        /// The service.
        service: Bytes,
        /// The worker.
        worker: ClientId,
        /// How many more it can take.
        count: u32,
    },
    /// Owner → worker's node: asks for [`Message::Seats`].
    TellSeats,
}

impl Message {
    /// The same in memory of its own.
    pub(super) fn compact(mut self) -> Self {
        if let Self::Ask { body, .. }
        | Self::Work { body, .. }
        | Self::Answer { body, .. }
        | Self::Part { body, .. } = &mut self
        {
            *body = compact(body);
        }
        self
    }

    /// Bytes of memory while it waits.
    pub(super) fn cost(&self) -> usize {
        let held = match self {
            Self::Ask { body, .. }
            | Self::Work { body, .. }
            | Self::Answer { body, .. }
            | Self::Part { body, .. } => body.len(),
            Self::Seats(seats) => seats.len() * OVERHEAD_BYTES,
            _ => 0,
        };
        OVERHEAD_BYTES + held
    }
}
