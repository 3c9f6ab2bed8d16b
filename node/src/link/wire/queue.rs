//! Messages of work queues as bytes: a head of its own kind, and the tasks' bytes as the second
//! frame, one behind the other.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::{Head, WireError, encode_head, put_header};
use crate::forward::ClientId;
use crate::queues::Message;
use crate::queues::message::{Carried, Change, Pushed, Seat, Standing, TaskId};

/// A task without its bytes: origin, number, attempt, [`Standing`] (0 ready, 1 given, 2 dead) and
/// how many bytes it has.
pub type TaskHead = (u64, u64, u8, u8, u32);

/// A worker: queue, worker, credit, origin and number of what it has, and what it has heard.
pub type SeatHead = (Vec<u8>, u32, u32, Vec<(u64, u64)>, u64);

/// See [`Message`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[allow(missing_docs, reason = "the fields are those of the messages")]
pub enum QueueHead {
    /// Number, whether it comes again, and bytes of each task.
    Push {
        queue: Vec<u8>,
        after: u64,
        tasks: Vec<(u64, bool, u32)>,
    },
    PushAgain {
        queue: Vec<u8>,
    },
    Taken {
        queue: Vec<u8>,
        number: u64,
    },
    Copy {
        queue: Vec<u8>,
        after: u64,
        seq: u64,
        change: ChangeHead,
    },
    Copied {
        queue: Vec<u8>,
        seq: u64,
    },
    Seats {
        seats: Vec<SeatHead>,
    },
    Seat {
        seat: SeatHead,
    },
    TellSeats,
    Give {
        queue: Vec<u8>,
        worker: u32,
        seq: u64,
        tasks: Vec<TaskHead>,
    },
    Done {
        queue: Vec<u8>,
        worker: u32,
        tasks: Vec<(u64, u64)>,
    },
    Failed {
        queue: Vec<u8>,
        worker: u32,
        tasks: Vec<(u64, u64)>,
        reason: Vec<u8>,
    },
    Move {
        queue: Vec<u8>,
        seq: u64,
        last: bool,
        seen: Vec<(u64, u64)>,
        tasks: Vec<TaskHead>,
    },
    Moved {
        queue: Vec<u8>,
        seq: u64,
    },
}

/// See [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[allow(missing_docs, reason = "the fields are those of the changes")]
pub enum ChangeHead {
    Reset,
    Seen {
        seen: Vec<(u64, u64)>,
    },
    Add {
        tasks: Vec<TaskHead>,
    },
    Gone {
        tasks: Vec<(u64, u64)>,
    },
    Attempt {
        origin: u64,
        number: u64,
        attempt: u8,
        dead: bool,
    },
    Forget,
}

/// Encodes a message; its slices are to be written one behind the other.
pub fn encode_queue(message: Message, mut put: impl FnMut(Bytes)) {
    let mut bodies = None;
    let head = head(message, &mut bodies);
    let start = encode_head(&Head::Queue(head), bodies.is_some());
    put(start);
    if let Some(bodies) = bodies {
        let bytes: usize = bodies.iter().map(Bytes::len).sum();
        let mut frame = Vec::with_capacity(9 + bytes);
        put_header(&mut frame, false, bytes);
        bodies.iter().for_each(|body| frame.extend_from_slice(body));
        put(frame.into());
    }
}

fn ids(tasks: Vec<TaskId>) -> Vec<(u64, u64)> {
    let tasks = tasks.into_iter();
    tasks.map(|id| (id.origin, id.number)).collect()
}

fn task_ids(ids: Vec<(u64, u64)>) -> Vec<TaskId> {
    let ids = ids.into_iter();
    ids.map(|(origin, number)| TaskId { origin, number })
        .collect()
}

fn heads(tasks: Vec<Carried>, bodies: &mut Option<Vec<Bytes>>) -> Vec<TaskHead> {
    let bodies = bodies.get_or_insert_default();
    let tasks = tasks.into_iter().map(|task| {
        let Carried {
            id,
            attempt,
            standing,
            body,
        } = task;
        let length = body.len() as u32;
        bodies.push(body);
        (id.origin, id.number, attempt, standing as u8, length)
    });
    tasks.collect()
}

fn seat_head(seat: Seat) -> SeatHead {
    let queue = seat.queue.to_vec();
    let holding = ids(seat.holding);
    (queue, seat.worker.0, seat.credit, holding, seat.heard)
}

fn seat((queue, worker, credit, holding, heard): SeatHead) -> Seat {
    Seat {
        queue: queue.into(),
        worker: ClientId(worker),
        credit,
        holding: task_ids(holding),
        heard,
    }
}

fn change_head(change: Change, bodies: &mut Option<Vec<Bytes>>) -> ChangeHead {
    match change {
        Change::Reset => ChangeHead::Reset,
        Change::Seen(seen) => ChangeHead::Seen { seen },
        Change::Add(tasks) => ChangeHead::Add {
            tasks: heads(tasks, bodies),
        },
        Change::Gone(tasks) => ChangeHead::Gone { tasks: ids(tasks) },
        Change::Attempt { id, attempt, dead } => ChangeHead::Attempt {
            origin: id.origin,
            number: id.number,
            attempt,
            dead,
        },
        Change::Forget => ChangeHead::Forget,
    }
}

fn head(message: Message, bodies: &mut Option<Vec<Bytes>>) -> QueueHead {
    match message {
        Message::Push {
            queue,
            after,
            tasks,
        } => {
            let pushed = tasks.iter();
            let tasks_head = pushed.map(|it| (it.number, it.again, it.body.len() as u32));
            let tasks_head = tasks_head.collect();
            *bodies = Some(tasks.into_iter().map(|it| it.body).collect());
            QueueHead::Push {
                queue: queue.to_vec(),
                after,
                tasks: tasks_head,
            }
        }
        Message::Copy {
            queue,
            after,
            seq,
            change,
        } => QueueHead::Copy {
            queue: queue.to_vec(),
            after,
            seq,
            change: change_head(change, bodies),
        },
        Message::Give {
            queue,
            worker,
            seq,
            tasks,
        } => QueueHead::Give {
            queue: queue.to_vec(),
            worker: worker.0,
            seq,
            tasks: heads(tasks, bodies),
        },
        Message::Move {
            queue,
            seq,
            last,
            seen,
            tasks,
        } => QueueHead::Move {
            queue: queue.to_vec(),
            seq,
            last,
            seen,
            tasks: heads(tasks, bodies),
        },
        message => word(message),
    }
}

/// Messages without tasks.
fn word(message: Message) -> QueueHead {
    match message {
        Message::PushAgain { queue } => QueueHead::PushAgain {
            queue: queue.to_vec(),
        },
        Message::Taken { queue, number } => QueueHead::Taken {
            queue: queue.to_vec(),
            number,
        },
        Message::Copied { queue, seq } => QueueHead::Copied {
            queue: queue.to_vec(),
            seq,
        },
        Message::Seats(seats) => QueueHead::Seats {
            seats: seats.into_iter().map(seat_head).collect(),
        },
        Message::Seat(seat) => QueueHead::Seat {
            seat: seat_head(seat),
        },
        Message::Done {
            queue,
            worker,
            tasks,
        } => QueueHead::Done {
            queue: queue.to_vec(),
            worker: worker.0,
            tasks: ids(tasks),
        },
        Message::Failed {
            queue,
            worker,
            tasks,
            reason,
        } => QueueHead::Failed {
            queue: queue.to_vec(),
            worker: worker.0,
            tasks: ids(tasks),
            reason: reason.to_vec(),
        },
        Message::Moved { queue, seq } => QueueHead::Moved {
            queue: queue.to_vec(),
            seq,
        },
        Message::TellSeats
        | Message::Push { .. }
        | Message::Copy { .. }
        | Message::Give { .. }
        | Message::Move { .. } => QueueHead::TellSeats,
    }
}

/// Cuts the second frame into the bytes of tasks.
struct Bodies(Option<Bytes>);

impl Bodies {
    fn take(&mut self, length: u32) -> Result<Bytes, WireError> {
        let rest = self.0.as_mut().ok_or(WireError::Frames)?;
        if rest.len() < length as usize {
            return Err(WireError::Frames);
        }
        Ok(rest.split_to(length as usize))
    }

    fn tasks(&mut self, heads: Vec<TaskHead>) -> Result<Vec<Carried>, WireError> {
        let heads = heads.into_iter();
        let tasks = heads.map(|(origin, number, attempt, standing, length)| {
            let standing = match standing {
                0 => Standing::Ready,
                1 => Standing::Given,
                2 => Standing::Dead,
                _ => return Err(WireError::Code),
            };
            Ok(Carried {
                id: TaskId { origin, number },
                attempt,
                standing,
                body: self.take(length)?,
            })
        });
        tasks.collect()
    }

    fn pushed(&mut self, heads: Vec<(u64, bool, u32)>) -> Result<Vec<Pushed>, WireError> {
        let heads = heads.into_iter();
        let tasks = heads.map(|(number, again, length)| {
            Ok(Pushed {
                number,
                again,
                body: self.take(length)?,
            })
        });
        tasks.collect()
    }

    /// The frame is there if and only if tasks are, and has nothing more.
    fn end(self, has_tasks: bool) -> Result<(), WireError> {
        match self.0 {
            Some(rest) if has_tasks && rest.is_empty() => Ok(()),
            None if !has_tasks => Ok(()),
            _ => Err(WireError::Frames),
        }
    }
}

/// The message of a head and its second frame, if there was one.
pub(super) fn message(head: QueueHead, body: Option<Bytes>) -> Result<Message, WireError> {
    let mut bodies = Bodies(body);
    let (message, has_tasks) = match head {
        QueueHead::Push {
            queue,
            after,
            tasks,
        } => {
            let tasks = bodies.pushed(tasks)?;
            let queue = queue.into();
            let push = Message::Push {
                queue,
                after,
                tasks,
            };
            (push, true)
        }
        QueueHead::Copy {
            queue,
            after,
            seq,
            change,
        } => {
            let has_tasks = matches!(change, ChangeHead::Add { .. });
            let change = self::change(change, &mut bodies)?;
            let queue = queue.into();
            let copy = Message::Copy {
                queue,
                after,
                seq,
                change,
            };
            (copy, has_tasks)
        }
        QueueHead::Give {
            queue,
            worker,
            seq,
            tasks,
        } => {
            let give = Message::Give {
                queue: queue.into(),
                worker: ClientId(worker),
                seq,
                tasks: bodies.tasks(tasks)?,
            };
            (give, true)
        }
        QueueHead::Move {
            queue,
            seq,
            last,
            seen,
            tasks,
        } => {
            let part = Message::Move {
                queue: queue.into(),
                seq,
                last,
                seen,
                tasks: bodies.tasks(tasks)?,
            };
            (part, true)
        }
        head => (bare(head), false),
    };
    bodies.end(has_tasks)?;
    Ok(message)
}

fn change(change: ChangeHead, bodies: &mut Bodies) -> Result<Change, WireError> {
    Ok(match change {
        ChangeHead::Reset => Change::Reset,
        ChangeHead::Seen { seen } => Change::Seen(seen),
        ChangeHead::Add { tasks } => Change::Add(bodies.tasks(tasks)?),
        ChangeHead::Gone { tasks } => Change::Gone(task_ids(tasks)),
        ChangeHead::Attempt {
            origin,
            number,
            attempt,
            dead,
        } => Change::Attempt {
            id: TaskId { origin, number },
            attempt,
            dead,
        },
        ChangeHead::Forget => Change::Forget,
    })
}

/// Messages without tasks.
fn bare(head: QueueHead) -> Message {
    match head {
        QueueHead::PushAgain { queue } => Message::PushAgain {
            queue: queue.into(),
        },
        QueueHead::Taken { queue, number } => Message::Taken {
            queue: queue.into(),
            number,
        },
        QueueHead::Copied { queue, seq } => Message::Copied {
            queue: queue.into(),
            seq,
        },
        QueueHead::Seats { seats } => Message::Seats(seats.into_iter().map(seat).collect()),
        QueueHead::Seat { seat: head } => Message::Seat(seat(head)),
        QueueHead::Done {
            queue,
            worker,
            tasks,
        } => Message::Done {
            queue: queue.into(),
            worker: ClientId(worker),
            tasks: task_ids(tasks),
        },
        QueueHead::Failed {
            queue,
            worker,
            tasks,
            reason,
        } => Message::Failed {
            queue: queue.into(),
            worker: ClientId(worker),
            tasks: task_ids(tasks),
            reason: reason.into(),
        },
        QueueHead::Moved { queue, seq } => Message::Moved {
            queue: queue.into(),
            seq,
        },
        QueueHead::TellSeats
        | QueueHead::Push { .. }
        | QueueHead::Copy { .. }
        | QueueHead::Give { .. }
        | QueueHead::Move { .. } => Message::TellSeats,
    }
}

#[cfg(test)]
mod tests;
