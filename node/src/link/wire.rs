//! Link messages as bytes (docs/protocol.md, "Links"). Each is one ZMTP message: a frame that
//! begins with its kind, and for records a second frame with the clients' messages as they came.

#[cfg(test)]
mod document;
mod queue;
mod request;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{Decode, Encode};
use bytes::Bytes;

use crate::forward::{Batch, Header, Instance, Message, Named};
use crate::zmtp::frames::{Span, put_header};
use crate::{queues, services};

pub use self::queue::{ChangeHead, QueueHead, SeatHead, TaskHead, encode_queue};
pub use self::request::{RequestHead, encode_request};

/// Version of the link protocol. Nodes of different versions refuse each other.
pub const PROTOCOL: u16 = 2;

/// No part of a link message but its records is larger.
const MAX_HEAD_BYTES: usize = 128 << 20;

/// Most first frames are smaller than these.
const SMALL_HEAD_BYTES: usize = 4 << 10;
const LARGE_HEAD_BYTES: usize = 256 << 10;

/// Room for everything of a batch that is not its last message.
pub const MARGIN_BYTES: usize = MAX_HEAD_BYTES;

/// Who a node is: the first message in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Version of the link protocol.
    pub protocol: u16,
    /// Number of partitions.
    pub partitions: u16,
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: [u8; 16],
    /// The process.
    pub instance: u64,
}

/// What stands in the first frame.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Head {
    /// Who speaks: the first message in both directions.
    Hello(Hello),
    /// The answer to a hello that does not fit.
    Refused {
        /// The values of both sides.
        reason: String,
    },
    /// See [`Message::Interest`].
    Interest {
        /// The version after the changes.
        version: u64,
        /// Whether the changes begin from nothing.
        snapshot: bool,
        /// Prefixes added (`true`) or removed.
        changes: Vec<(bool, Vec<u8>)>,
    },
    /// See [`Message::View`].
    View {
        /// Instances with their membership records, and the known version of their interest.
        members: Vec<(u64, Vec<u8>, u64)>,
    },
    /// See [`Message::Publish`]; the messages are the second frame.
    Publish {
        /// One for each record.
        headers: Vec<Header>,
    },
    /// See [`Message::Deliver`]; the messages are the second frame.
    Deliver {
        /// The instance that took the messages from its clients.
        origin: u64,
        /// One for each record.
        headers: Vec<Header>,
    },
    /// See [`Message::Done`].
    Done {
        /// Partitions with the number of the last message that is done.
        streams: Vec<(u16, u64)>,
    },
    /// See [`Message::Ack`].
    Ack {
        /// The origin of the streams.
        origin: u64,
        /// Partitions with the number of the last message delivered.
        streams: Vec<(u16, u64)>,
    },
    /// See [`Message::InterestAck`].
    InterestAck {
        /// The version.
        version: u64,
    },
    /// See [`Message::Holding`].
    Holding,
    /// Of requests; some have the second frame.
    Request(RequestHead),
    /// Of work queues; some have the second frame.
    Queue(QueueHead),
}

/// What a link brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Something for the forwarding core.
    Core(Message),
    /// Something for requests.
    Request(services::Message),
    /// Something for work queues.
    Queue(queues::Message),
    /// A hello or a refusal, which say nothing any more.
    Nothing,
}

impl Carried {
    /// The part of the forwarding core.
    pub fn core(self) -> Option<Message> {
        match self {
            Self::Core(message) => Some(message),
            Self::Request(_) | Self::Queue(_) | Self::Nothing => None,
        }
    }
}

/// Bytes that are not a link message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The first frame cannot be read.
    #[error("malformed link message; a --seed names the gossip port, not this one")]
    Malformed(#[from] bincode::error::DecodeError),
    /// Frames that do not go with its kind.
    #[error("a link message has one frame, or two if it carries records")]
    Frames,
    /// A reason that does not exist.
    #[error("a request failed for a reason that this version does not know")]
    Code,
}

/// Fixed-width numbers: records are the common case, and are read and written in one sweep. What
/// is read may take so many bytes of memory.
fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Fixint, Limit<LIMIT>> {
    bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>()
}

/// Encodes a message without records.
pub fn encode_head(head: &Head, more: bool) -> Bytes {
    let body = bincode::encode_to_vec(head, config::<MAX_HEAD_BYTES>())
        .expect("encoding into memory fails only above a limit that the core stays far below");
    let mut out = Vec::with_capacity(body.len() + 9);
    put_header(&mut out, more, body.len());
    out.extend_from_slice(&body);
    Bytes::from(out)
}

/// Encodes a message; its slices are to be written one behind the other.
pub fn encode(message: Message, mut put: impl FnMut(Bytes)) {
    let head = match message {
        Message::Publish(batch) => {
            return encode_batch(
                Head::Publish {
                    headers: batch.headers,
                },
                batch.body,
                put,
            );
        }
        Message::Deliver(batch) => {
            let head = Head::Deliver {
                origin: batch.origin.0,
                headers: batch.headers,
            };
            return encode_batch(head, batch.body, put);
        }
        Message::Interest {
            version,
            snapshot,
            changes,
        } => Head::Interest {
            version,
            snapshot,
            changes,
        },
        Message::View { members } => {
            let members = members
                .into_iter()
                .map(|it| (it.instance.0, it.card.to_vec(), it.interest));
            Head::View {
                members: members.collect(),
            }
        }
        Message::Done { streams } => Head::Done { streams },
        Message::Ack { origin, streams } => Head::Ack {
            origin: origin.0,
            streams,
        },
        Message::InterestAck { version } => Head::InterestAck { version },
        Message::Holding => Head::Holding,
    };
    put(encode_head(&head, false));
}

fn encode_batch(head: Head, body: Vec<Bytes>, mut put: impl FnMut(Bytes)) {
    let head = encode_head(&head, true);
    let mut start = Vec::with_capacity(head.len() + 9);
    start.extend_from_slice(&head);
    put_header(&mut start, false, body.iter().map(Bytes::len).sum());
    put(Bytes::from(start));
    body.into_iter().for_each(put);
}

/// Decodes the first frame of a message in a buffer.
///
/// A list takes its memory when its length is read, before its entries are. A short frame that
/// announces a long list, maybe of someone who has not even said who he is, must not get that
/// much: an entry takes at most four times the memory of its shortest encoding.
pub fn decode_head(chunk: &Bytes, span: &Span) -> Result<Head, WireError> {
    let bytes = span.topic(chunk);
    if bytes.len() <= SMALL_HEAD_BYTES {
        decode_within::<{ 4 * SMALL_HEAD_BYTES }>(bytes)
    } else if bytes.len() <= LARGE_HEAD_BYTES {
        decode_within::<{ 4 * LARGE_HEAD_BYTES }>(bytes)
    } else {
        decode_within::<MAX_HEAD_BYTES>(bytes)
    }
}

fn decode_within<const LIMIT: usize>(bytes: &[u8]) -> Result<Head, WireError> {
    // What stands behind it is ignored: a later version may say more in its hello, and is refused
    // for its version.
    Ok(bincode::decode_from_slice(bytes, config::<LIMIT>())?.0)
}

/// Decodes a message that arrived from a node; `origin` is that node.
pub fn decode(chunk: &Bytes, span: &Span, origin: Instance) -> Result<Carried, WireError> {
    match decode_head(chunk, span)? {
        Head::Request(head) if span.frames <= 2 => {
            let body = (span.frames == 2).then(|| second_frame(chunk, span));
            request::message(head, body).map(Carried::Request)
        }
        Head::Queue(head) if span.frames <= 2 => {
            let body = (span.frames == 2).then(|| second_frame(chunk, span));
            queue::message(head, body).map(Carried::Queue)
        }
        head => {
            let message = message(head, chunk, span, origin)?;
            Ok(message.map_or(Carried::Nothing, Carried::Core))
        }
    }
}

fn message(
    head: Head,
    chunk: &Bytes,
    span: &Span,
    origin: Instance,
) -> Result<Option<Message>, WireError> {
    let message = match (head, span.frames) {
        (Head::Publish { headers }, 2) => {
            Message::Publish(Batch::received(origin, headers, second_frame(chunk, span)))
        }
        (Head::Deliver { origin, headers }, 2) => {
            let body = second_frame(chunk, span);
            Message::Deliver(Batch::received(Instance(origin), headers, body))
        }
        (Head::Publish { .. } | Head::Deliver { .. }, _) => return Err(WireError::Frames),
        (_, frames) if frames != 1 => return Err(WireError::Frames),
        (
            Head::Interest {
                version,
                snapshot,
                changes,
            },
            _,
        ) => Message::Interest {
            version,
            snapshot,
            changes,
        },
        (Head::View { members }, _) => {
            let members = members.into_iter().map(|(instance, card, interest)| Named {
                instance: Instance(instance),
                card: Bytes::from(card),
                interest,
            });
            Message::View {
                members: members.collect(),
            }
        }
        (Head::Done { streams }, _) => Message::Done { streams },
        (Head::Ack { origin, streams }, _) => Message::Ack {
            origin: Instance(origin),
            streams,
        },
        (Head::InterestAck { version }, _) => Message::InterestAck { version },
        (Head::Holding, _) => Message::Holding,
        (Head::Hello(_) | Head::Refused { .. }, _) => return Ok(None),
        (Head::Request(_) | Head::Queue(_), _) => return Err(WireError::Frames),
    };
    Ok(Some(message))
}

/// The second frame's body: what follows its header, which is short or long by its flags.
fn second_frame(chunk: &Bytes, span: &Span) -> Bytes {
    let header = span.topic_end as usize;
    let long = chunk[header] & 2 != 0;
    chunk.slice(header + if long { 9 } else { 2 }..span.end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::frames::{FrameLimits, Item, item_at};
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits {
        message_bytes: 1 << 20,
        frames: 2,
    };

    fn through(message: Message, origin: Instance) -> Message {
        let mut bytes = Vec::new();
        encode(message, |part| bytes.extend_from_slice(&part));
        let chunk = Bytes::from(bytes);
        let Item::Message(span) = item_at(&chunk, 0, LIMITS).unwrap() else {
            panic!("no message")
        };
        assert_eq!(span.end as usize, chunk.len());
        decode(&chunk, &span, origin).unwrap().core().unwrap()
    }

    #[test]
    fn a_batch_arrives_as_it_was() {
        let header = Header {
            partition: 7,
            first: 3,
            count: 2,
            messages: 2,
            length: 300,
        };
        let body = Bytes::from(vec![9; 300]);
        let batch = Batch::received(Instance(5), vec![header], body);
        let message = Message::Deliver(batch.clone());
        assert_eq!(through(message.clone(), Instance(1)), message);
        let message = Message::Publish(batch);
        assert_eq!(through(message.clone(), Instance(5)), message);
    }

    fn read(head: &[u8]) -> Result<Head, WireError> {
        let mut bytes = Vec::new();
        put_header(&mut bytes, false, head.len());
        bytes.extend_from_slice(head);
        let Item::Message(span) = item_at(&bytes, 0, LIMITS).unwrap() else {
            panic!("no message")
        };
        decode_head(&bytes.into(), &span)
    }

    #[test]
    fn a_short_message_that_announces_a_long_list_gets_no_memory_for_it() {
        let refused = |bytes: u64| [&1u32.to_le_bytes()[..], &bytes.to_le_bytes()].concat();
        let error = read(&refused(64 << 20)).unwrap_err();
        assert!(
            matches!(
                error,
                WireError::Malformed(bincode::error::DecodeError::LimitExceeded)
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_long_list_is_read_whole() {
        for prefixes in [400, 30_000] {
            let changes = vec![(true, Vec::new()); prefixes];
            let head = Head::Interest {
                version: 1,
                snapshot: true,
                changes,
            };
            let body = bincode::encode_to_vec(&head, config::<MAX_HEAD_BYTES>()).unwrap();
            assert_eq!(read(&body).unwrap(), head);
        }
    }

    proptest! {
        #[test]
        fn every_other_message_arrives_as_it_was(
            version in any::<u64>(),
            changes in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)), 0..9),
            streams in prop::collection::vec((any::<u16>(), any::<u64>()), 0..9),
            members in prop::collection::vec(
                (any::<u64>(), prop::collection::vec(any::<u8>(), 0..20)), 0..9),
        ) {
            let members = members.into_iter().map(|(id, card)| Named {
                instance: Instance(id),
                card: card.into(),
                interest: version,
            });
            for message in [
                Message::Interest { version, snapshot: version % 2 == 0, changes },
                Message::View { members: members.collect() },
                Message::Done { streams: streams.clone() },
                Message::Ack { origin: Instance(version), streams },
                Message::InterestAck { version },
                Message::Holding,
            ] {
                prop_assert_eq!(through(message.clone(), Instance(1)), message);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let chunk = Bytes::from(bytes);
            if let Ok(Item::Message(span)) = item_at(&chunk, 0, LIMITS) {
                let _ = decode(&chunk, &span, Instance(1));
            }
        }
    }
}
