//! What nodes say to each other over links, as a script says, and what holds of it.

use bytes::Bytes;
use zmesh_node::forward::{Batch, Header, Instance, Message, Named};
use zmesh_node::link::wire;
use zmesh_node::zmtp::frames::{Item, Span, item_at};

use super::PEERS;
use crate::fuzz::link_message::message;
use crate::fuzz::router::{FRAMES, ME};
use crate::fuzz::script::Script;
use crate::fuzz::topics::{PREFIXES, put_message};

/// What a link carries arrives as it was.
pub(super) fn survives(message: &Message, from: Instance) {
    let mut written = Vec::new();
    wire::encode(message.clone(), |part| written.extend_from_slice(&part));
    let written = Bytes::from(written);
    let span = self::message(&written).expect("a whole message");
    assert_eq!(span.end as usize, written.len());
    let read = wire::decode(&written, &span, from).expect("it was just written");
    match (message, read.core().expect("a message of the core")) {
        (Message::Publish(sent) | Message::Deliver(sent), Message::Publish(read))
        | (Message::Publish(sent) | Message::Deliver(sent), Message::Deliver(read)) => {
            assert_eq!((sent.origin, &sent.headers), (read.origin, &read.headers));
            assert_eq!(sent.body.concat(), read.body.concat());
            fits(&read);
        }
        (sent, read) => assert_eq!(sent, &read),
    }
}

/// Records and their messages fit together.
fn fits(batch: &Batch) {
    let body = batch.body.concat();
    let mut at = 0;
    for header in &batch.headers {
        let end = at + header.length as usize;
        let _ = spans(&body[at..end]);
        at = end;
    }
    assert_eq!(at, body.len());
}

/// Where the messages of a buffer lie. There is nothing else in it.
pub(super) fn spans(chunk: &[u8]) -> Vec<Span> {
    let (mut spans, mut at) = (Vec::new(), 0);
    while at < chunk.len() {
        let Ok(Item::Message(span)) = item_at(chunk, at, FRAMES) else {
            panic!("not whole messages: {:?}", &chunk[at..]);
        };
        at = span.end as usize;
        spans.push(span);
    }
    spans
}

pub(super) fn changes(script: &mut Script) -> Vec<(bool, Vec<u8>)> {
    let count = usize::from(script.byte() & 3);
    let change = |_| (script.byte() < 192, script.pick(&PREFIXES).to_vec());
    (0..count).map(change).collect()
}

/// An answer that fits what was sent, or one that does not.
pub(super) fn acceptor_says(sent: &[(Instance, Header)], script: &mut Script) -> Message {
    let what = script.below(8);
    let recent = sent.get(usize::from(script.byte())).or(sent.last());
    let (origin, partition, last) = match recent {
        Some((origin, header)) if what != 6 => (*origin, header.partition, header.last()),
        _ => (
            script.pick(&[ME, PEERS[0], PEERS[1]]),
            script.byte().into(),
            script.number(),
        ),
    };
    let streams = vec![(partition, last)];
    match what {
        0..=2 => Message::Done { streams },
        3..=6 => Message::Ack { origin, streams },
        _ if script.flag() => Message::Holding,
        _ => Message::InterestAck {
            version: script.number(),
        },
    }
}

/// Every kind of message.
pub(crate) fn messages() -> Vec<Message> {
    let mut body = Vec::new();
    put_message(&mut body, b"STOCK.AAPL", 1, 5);
    let length = body.len() as u32;
    put_message(&mut body, b"a", 0, 0);
    let header = |first, length| Header {
        partition: 7,
        first,
        count: 2,
        messages: 1,
        length,
    };
    let headers = vec![header(1, length), header(3, body.len() as u32 - length)];
    let batch = |origin| Batch::received(origin, headers.clone(), body.clone().into());
    let streams = vec![(7, 2), (9, 40)];
    vec![
        Message::Publish(batch(PEERS[0])),
        Message::Deliver(batch(PEERS[1])),
        Message::Interest {
            version: 3,
            snapshot: true,
            changes: vec![(true, b"STOCK.".to_vec()), (false, b"a".to_vec())],
        },
        Message::View {
            members: vec![Named {
                instance: PEERS[2],
                card: Bytes::from_static(b"card"),
                interest: 0,
            }],
        },
        Message::Done {
            streams: streams.clone(),
        },
        Message::Ack {
            origin: ME,
            streams,
        },
        Message::InterestAck { version: 3 },
        Message::Holding,
    ]
}
