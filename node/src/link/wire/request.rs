//! Messages of requests as bytes: a head of its own kind, and the body as the second frame.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::{Head, WireError, encode_head, put_header};
use crate::forward::{ClientId, Time};
use crate::services::{Code, Message, RequestId, Seat};

/// Bodies up to this are copied behind their head: one slice for a write.
const COPIED_BYTES: usize = 4 << 10;

/// See [`Message`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[allow(missing_docs, reason = "the fields are those of the messages")]
pub enum RequestHead {
    /// Has a body.
    Ask {
        asker: u64,
        number: u64,
        attempt: u8,
        passed_on: bool,
        patience_ms: u32,
        service: Vec<u8>,
    },
    Placed {
        number: u64,
        attempt: u8,
        node: u64,
    },
    /// Has a body.
    Work {
        asker: u64,
        number: u64,
        attempt: u8,
        worker: u32,
        patience_ms: u32,
        service: Vec<u8>,
    },
    /// Has a body.
    Answer {
        number: u64,
    },
    Fail {
        number: u64,
        attempt: u8,
        code: u8,
        text: String,
    },
    /// Services with their worker, its credit and its room.
    Seats {
        seats: Vec<(Vec<u8>, u32, u32, u32)>,
    },
    Seat {
        service: Vec<u8>,
        worker: u32,
        credit: u32,
        room: u32,
    },
    Room {
        service: Vec<u8>,
        worker: u32,
        count: u32,
    },
    TellSeats,
    /// Has a body.
    Part {
        number: u64,
    },
}

/// Encodes a message; its slices are to be written one behind the other.
pub fn encode_request(message: Message, mut put: impl FnMut(Bytes)) {
    let (head, body) = parts(message);
    let start = encode_head(&Head::Request(head), body.is_some());
    let Some(body) = body else { return put(start) };
    let mut bytes = Vec::with_capacity(start.len() + 9 + body.len().min(COPIED_BYTES));
    bytes.extend_from_slice(&start);
    put_header(&mut bytes, false, body.len());
    if body.len() <= COPIED_BYTES {
        bytes.extend_from_slice(&body);
        return put(bytes.into());
    }
    put(bytes.into());
    put(body);
}

fn parts(message: Message) -> (RequestHead, Option<Bytes>) {
    match message {
        Message::Ask {
            id,
            passed_on,
            patience,
            service,
            body,
        } => {
            let head = RequestHead::Ask {
                asker: id.asker,
                number: id.number,
                attempt: id.attempt,
                passed_on,
                patience_ms: millis(patience),
                service: service.to_vec(),
            };
            (head, Some(body))
        }
        Message::Work {
            id,
            worker,
            patience,
            service,
            body,
        } => {
            let head = RequestHead::Work {
                asker: id.asker,
                number: id.number,
                attempt: id.attempt,
                worker: worker.0,
                patience_ms: millis(patience),
                service: service.to_vec(),
            };
            (head, Some(body))
        }
        Message::Answer { number, body } => (RequestHead::Answer { number }, Some(body)),
        Message::Part { number, body } => (RequestHead::Part { number }, Some(body)),
        message => (bare_head(message), None),
    }
}

/// The head of a message; of one with a body that is all but the body.
fn bare_head(message: Message) -> RequestHead {
    match message {
        Message::Placed {
            number,
            attempt,
            node,
        } => RequestHead::Placed {
            number,
            attempt,
            node,
        },
        Message::Fail {
            number,
            attempt,
            code,
            text,
        } => RequestHead::Fail {
            number,
            attempt,
            code: code as u8,
            text,
        },
        Message::Seats(seats) => {
            let seats = seats
                .into_iter()
                .map(|it| (it.service.to_vec(), it.worker.0, it.credit, it.room));
            RequestHead::Seats {
                seats: seats.collect(),
            }
        }
        Message::Seat(seat) => RequestHead::Seat {
            service: seat.service.to_vec(),
            worker: seat.worker.0,
            credit: seat.credit,
            room: seat.room,
        },
        Message::Room {
            service,
            worker,
            count,
        } => RequestHead::Room {
            service: service.to_vec(),
            worker: worker.0,
            count,
        },
        Message::TellSeats => RequestHead::TellSeats,
        Message::Ask { .. }
        | Message::Work { .. }
        | Message::Answer { .. }
        | Message::Part { .. } => {
            unreachable!("they have a body")
        }
    }
}

/// The message of a head and its body, if there was one.
pub(super) fn message(head: RequestHead, body: Option<Bytes>) -> Result<Message, WireError> {
    let message = match (head, body) {
        (
            RequestHead::Ask {
                asker,
                number,
                attempt,
                passed_on,
                patience_ms,
                service,
            },
            Some(body),
        ) => Message::Ask {
            id: RequestId {
                asker,
                number,
                attempt,
            },
            passed_on,
            patience: Time::from_millis(patience_ms.into()),
            service: service.into(),
            body,
        },
        (
            RequestHead::Work {
                asker,
                number,
                attempt,
                worker,
                patience_ms,
                service,
            },
            Some(body),
        ) => Message::Work {
            id: RequestId {
                asker,
                number,
                attempt,
            },
            worker: ClientId(worker),
            patience: Time::from_millis(patience_ms.into()),
            service: service.into(),
            body,
        },
        (RequestHead::Answer { number }, Some(body)) => Message::Answer { number, body },
        (RequestHead::Part { number }, Some(body)) => Message::Part { number, body },
        (head, None) => bare(head)?,
        _ => return Err(WireError::Frames),
    };
    Ok(message)
}

/// Messages without a body.
fn bare(head: RequestHead) -> Result<Message, WireError> {
    Ok(match head {
        RequestHead::Placed {
            number,
            attempt,
            node,
        } => Message::Placed {
            number,
            attempt,
            node,
        },
        RequestHead::Fail {
            number,
            attempt,
            code,
            text,
        } => Message::Fail {
            number,
            attempt,
            code: Code::ALL.get(usize::from(code)).ok_or(WireError::Code)?.1,
            text,
        },
        RequestHead::Seats { seats } => {
            let seats = seats
                .into_iter()
                .map(|(service, worker, credit, room)| seat(service, worker, credit, room));
            Message::Seats(seats.collect())
        }
        RequestHead::Seat {
            service,
            worker,
            credit,
            room,
        } => Message::Seat(seat(service, worker, credit, room)),
        RequestHead::Room {
            service,
            worker,
            count,
        } => Message::Room {
            service: service.into(),
            worker: ClientId(worker),
            count,
        },
        RequestHead::TellSeats => Message::TellSeats,
        RequestHead::Ask { .. }
        | RequestHead::Work { .. }
        | RequestHead::Answer { .. }
        | RequestHead::Part { .. } => return Err(WireError::Frames),
    })
}

/// An hour at most: [`crate::config::MAX_DEADLINE`].
fn millis(time: Time) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn seat(service: Vec<u8>, worker: u32, credit: u32, room: u32) -> Seat {
    Seat {
        service: service.into(),
        worker: ClientId(worker),
        credit,
        room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::Instance;
    use crate::link::wire::{Carried, decode};
    use crate::zmtp::frames::{FrameLimits, Item, item_at};
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits {
        message_bytes: 1 << 20,
        frames: 2,
    };

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..6000).prop_map(Bytes::from)
    }

    fn any_seat() -> impl Strategy<Value = Seat> {
        (bytes(), any::<[u32; 3]>()).prop_map(|(service, [worker, credit, room])| Seat {
            service,
            worker: ClientId(worker),
            credit,
            room,
        })
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let code = prop::sample::select(Code::ALL.map(|(_, code)| code).to_vec());
        let parts = (any::<[u64; 2]>(), any::<u32>(), bytes(), bytes());
        prop_oneof![
            (parts, any::<bool>(), any::<u8>(), any::<u8>()).prop_map(
                |(([asker, number], worker, service, body), passed_on, attempt, kind)| {
                    let id = RequestId {
                        asker,
                        number,
                        attempt,
                    };
                    let patience = Time::from_millis(worker.into());
                    let worker = ClientId(worker);
                    match kind % 6 {
                        0 => Message::Ask {
                            id,
                            passed_on,
                            patience,
                            service,
                            body,
                        },
                        1 => Message::Work {
                            id,
                            worker,
                            patience,
                            service,
                            body,
                        },
                        2 => Message::Answer { number, body },
                        5 => Message::Part { number, body },
                        3 => Message::Placed {
                            number,
                            attempt,
                            node: asker,
                        },
                        _ => Message::Room {
                            service,
                            worker,
                            count: worker.0,
                        },
                    }
                }
            ),
            (any::<u64>(), any::<u8>(), code, ".{0,40}").prop_map(
                |(number, attempt, code, text)| Message::Fail {
                    number,
                    attempt,
                    code,
                    text
                }
            ),
            prop::collection::vec(any_seat(), 0..5).prop_map(Message::Seats),
            any_seat().prop_map(Message::Seat),
            Just(Message::TellSeats),
        ]
    }

    proptest! {
        #[test]
        fn every_message_arrives_as_it_was(message in any_message()) {
            let mut bytes = Vec::new();
            encode_request(message.clone(), |part| bytes.extend_from_slice(&part));
            let chunk = Bytes::from(bytes);
            let Item::Message(span) = item_at(&chunk, 0, LIMITS).unwrap() else {
                panic!("no message")
            };
            prop_assert_eq!(span.end as usize, chunk.len());
            let read = decode(&chunk, &span, Instance(1)).unwrap();
            prop_assert_eq!(read, Carried::Request(message));
        }
    }
}
