//! What nodes tell each other of work queues.

use bytes::Bytes;

use crate::forward::{ClientId, Instance};

/// A task, unique in the mesh: the process that took it from its pusher, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The instance of the pusher's node.
    pub origin: u64,
    /// Rising from 1 there.
    pub number: u64,
}

impl TaskId {
    /// The id as a worker sees it: a suffix says how often the task may have been given before.
    pub fn shown(self, attempt: u8) -> String {
        match attempt {
            0 => format!("{:016x}-{}", self.origin, self.number),
            again => format!("{:016x}-{}.{again}", self.origin, self.number),
        }
    }

    /// Reads what [`TaskId::shown`] writes, with or without its suffix.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (origin, rest) = std::str::from_utf8(text).ok()?.split_once('-')?;
        let number = rest.split('.').next()?;
        Some(Self {
            origin: u64::from_str_radix(origin, 16).ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a worker.
    Ready,
    /// A worker has it.
    Given,
    /// It was given too often, and nobody is given it any more.
    Dead,
}

/// A task on its way between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Which.
    pub id: TaskId,
    /// How often it may have been given.
    pub attempt: u8,
    /// How it stands.
    pub standing: Standing,
    /// Its frames with their headers.
    pub body: Bytes,
}

/// A task on its way from its pusher's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// [`TaskId::number`].
    pub number: u64,
    /// Another owner may have it, and may have given it to a worker.
    pub again: bool,
    /// Its frames with their headers.
    pub body: Bytes,
}

/// A worker of a queue, as its node tells the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The queue.
    pub queue: Bytes,
    /// The worker, a client of the node that says this.
    pub worker: ClientId,
    /// Tasks that it takes at a time; 0 if it takes none any more.
    pub credit: u32,
    /// Tasks of the queue that it has.
    pub holding: Vec<TaskId>,
    /// The last [`Message::Give`] of this owner for it that had come: what is behind that is on its
    /// way.
    pub heard: u64,
}

/// What has changed at an owner, for the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What the copy has of this queue is old: everything follows.
    Reset,
    /// The last number that was taken in of each pusher's node.
    Seen(Vec<(u64, u64)>),
    /// Tasks have come.
    Add(Vec<Carried>),
    /// Tasks are done, or have moved away.
    Gone(Vec<TaskId>),
    /// A task may have been given so often, and whether it is dead.
    Attempt {
        /// Which.
        id: TaskId,
        /// How often.
        attempt: u8,
        /// Whether nobody is given it any more.
        dead: bool,
    },
    /// The copy is no longer one.
    Forget,
}

/// From node to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Pusher's node → owner: tasks in order.
    Push {
        /// The queue.
        queue: Bytes,
        /// The number of the one before them; 0 if they begin with the first that is not safe.
        after: u64,
        /// The tasks.
        tasks: Vec<Pushed>,
    },
    /// Owner → pusher's node: something between is missing, so all that is not safe once more.
    PushAgain {
        /// The queue.
        queue: Bytes,
    },
    /// Owner → pusher's node: what it pushed up to this number is safe.
    Taken {
        /// The queue.
        queue: Bytes,
        /// The number.
        number: u64,
    },
    /// Owner → copy.
    Copy {
        /// The queue.
        queue: Bytes,
        /// The change before it; 0 if it is the first, a [`Change::Reset`].
        after: u64,
        /// Rises with every change of any queue, so that no two are taken for each other.
        seq: u64,
        /// What has changed.
        change: Change,
    },
    /// Copy → owner: it has everything up to this change.
    Copied {
        /// The queue.
        queue: Bytes,
        /// The change.
        seq: u64,
    },
    /// Worker's node → owner: all workers of queues of that owner there, and nobody else.
    Seats(Vec<Seat>),
    /// Worker's node → owner: one has come, changed or gone.
    Seat(Seat),
    /// Owner → worker's node: asks for [`Message::Seats`].
    TellSeats,
    /// Owner → worker's node: tasks for a worker.
    Give {
        /// The queue.
        queue: Bytes,
        /// Who is to do them.
        worker: ClientId,
        /// Counts these, for a worker of a queue.
        seq: u64,
        /// The tasks.
        tasks: Vec<Carried>,
    },
    /// Worker's node → owner: a worker has done these.
    Done {
        /// The queue.
        queue: Bytes,
        /// The worker.
        worker: ClientId,
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// Worker's node → owner: a worker has not done these, and has them no more.
    Failed {
        /// The queue.
        queue: Bytes,
        /// The worker.
        worker: ClientId,
        /// The tasks.
        tasks: Vec<TaskId>,
        /// Why, in the worker's words; empty if it has gone.
        reason: Bytes,
    },
    /// Old owner → new owner: what is left of a queue, in order.
    Move {
        /// The queue.
        queue: Bytes,
        /// Rises with every part of any queue.
        seq: u64,
        /// Whether it is the last part.
        last: bool,
        /// The last number that was taken of each pusher's node.
        seen: Vec<(u64, u64)>,
        /// The tasks.
        tasks: Vec<Carried>,
    },
    /// New owner → old owner: a part is safe.
    Moved {
        /// The queue.
        queue: Bytes,
        /// The part.
        seq: u64,
    },
}

/// Where a worker sits.
pub(super) type Place = (Instance, ClientId);
