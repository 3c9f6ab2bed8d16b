//! Messages of requests as bytes: a head of its own kind, and the body as the second frame.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::{Head, WireError, encode_head, put_header};
use crate::forward::ClientId;
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
        passed_on: bool,
        service: Vec<u8>,
    },
    Placed {
        number: u64,
        node: u64,
    },
    /// Has a body.
    Work {
        asker: u64,
        number: u64,
        worker: u32,
        service: Vec<u8>,
    },
    /// Has a body.
    Answer {
        number: u64,
    },
    Fail {
        number: u64,
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
    let head = match message {
        Message::Ask {
            id,
            passed_on,
            service,
            body,
        } => {
            let head = RequestHead::Ask {
                asker: id.asker,
                number: id.number,
                passed_on,
                service: service.to_vec(),
            };
            return (head, Some(body));
        }
        Message::Work {
            id,
            worker,
            service,
            body,
        } => {
            let head = RequestHead::Work {
                asker: id.asker,
                number: id.number,
                worker: worker.0,
                service: service.to_vec(),
            };
            return (head, Some(body));
        }
        Message::Answer { number, body } => return (RequestHead::Answer { number }, Some(body)),
        Message::Placed { number, node } => RequestHead::Placed { number, node },
        Message::Fail { number, code, text } => RequestHead::Fail {
            number,
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
    };
    (head, None)
}

/// The message of a head and its body, if there was one.
pub(super) fn message(head: RequestHead, body: Option<Bytes>) -> Result<Message, WireError> {
    let message = match (head, body) {
        (
            RequestHead::Ask {
                asker,
                number,
                passed_on,
                service,
            },
            Some(body),
        ) => Message::Ask {
            id: RequestId { asker, number },
            passed_on,
            service: service.into(),
            body,
        },
        (
            RequestHead::Work {
                asker,
                number,
                worker,
                service,
            },
            Some(body),
        ) => Message::Work {
            id: RequestId { asker, number },
            worker: ClientId(worker),
            service: service.into(),
            body,
        },
        (RequestHead::Answer { number }, Some(body)) => Message::Answer { number, body },
        (head, None) => bare(head)?,
        _ => return Err(WireError::Frames),
    };
    Ok(message)
}

/// Messages without a body.
fn bare(head: RequestHead) -> Result<Message, WireError> {
    Ok(match head {
        RequestHead::Placed { number, node } => Message::Placed { number, node },
        RequestHead::Fail { number, code, text } => {
            let code = Code::ALL.get(usize::from(code)).ok_or(WireError::Code)?.1;
            Message::Fail { number, code, text }
        }
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
        RequestHead::Ask { .. } | RequestHead::Work { .. } | RequestHead::Answer { .. } => {
            return Err(WireError::Frames);
        }
    })
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
            (parts, any::<bool>(), any::<u8>()).prop_map(
                |(([asker, number], worker, service, body), passed_on, kind)| {
                    let id = RequestId { asker, number };
                    let worker = ClientId(worker);
                    match kind % 5 {
                        0 => Message::Ask {
                            id,
                            passed_on,
                            service,
                            body,
                        },
                        1 => Message::Work {
                            id,
                            worker,
                            service,
                            body,
                        },
                        2 => Message::Answer { number, body },
                        3 => Message::Placed {
                            number,
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
            (any::<u64>(), code, ".{0,40}").prop_map(|(number, code, text)| Message::Fail {
                number,
                code,
                text
            }),
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
