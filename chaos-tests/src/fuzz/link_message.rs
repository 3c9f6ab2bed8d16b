//! A message on a link. Whatever can be read can be written and read again, and what one end
//! writes the other reads.

use bytes::Bytes;
use zmesh_node::forward::Instance;
use zmesh_node::link::wire::{
    Carried, Head, decode, decode_head, encode, encode_head, encode_queue, encode_request,
};
use zmesh_node::zmtp::frames::{FrameLimits, Item, Span, item_at, put_header};

use super::script::Script;

const LIMITS: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 2,
};

/// The node at the other end.
const PEER: Instance = Instance(2);

/// Takes the bytes of a connection, or, behind a length, of a first and a second frame.
pub fn run(bytes: &[u8]) {
    let chunk = Bytes::copy_from_slice(bytes);
    if let Some(span) = message(&chunk) {
        read(&chunk, &span);
    }
    let chunk = framed(&mut Script::new(bytes));
    let span = message(&chunk).expect("it was framed by the rules");
    read(&chunk, &span);
}

/// Puts frames around what the script says.
pub(crate) fn framed(script: &mut Script) -> Bytes {
    let length = script.byte();
    let head = script.bytes(if length == 255 {
        usize::MAX
    } else {
        length.into()
    });
    let body = script.rest();
    let mut framed = Vec::new();
    let records = length % 2 == 1;
    put_header(&mut framed, records, head.len());
    framed.extend_from_slice(head);
    if records {
        put_header(&mut framed, false, body.len());
        framed.extend_from_slice(body);
    }
    framed.into()
}

/// The message that a buffer begins with.
pub(crate) fn message(chunk: &[u8]) -> Option<Span> {
    match item_at(chunk, 0, LIMITS) {
        Ok(Item::Message(span)) => Some(span),
        _ => None,
    }
}

fn read(chunk: &Bytes, span: &Span) {
    let Ok(head) = decode_head(chunk, span) else {
        return;
    };
    if matches!(head, Head::Hello(_) | Head::Refused { .. }) {
        let written = encode_head(&head, false);
        let span = message(&written).expect("a whole message");
        assert_eq!(
            decode_head(&written, &span).expect("it was just written"),
            head
        );
    }
    if let Ok(carried) = decode(chunk, span, PEER) {
        again(carried, chunk, span);
    }
}

fn again(read: Carried, chunk: &Bytes, span: &Span) {
    let mut written = Vec::new();
    let put = |part: Bytes| written.extend_from_slice(&part);
    match read.clone() {
        Carried::Core(message) => encode(message, put),
        Carried::Request(message) => encode_request(message, put),
        Carried::Queue(message) => encode_queue(message, put),
        Carried::Nothing => return,
    }
    let written = Bytes::from(written);
    let second = message(&written).expect("a whole message");
    assert_eq!(second.range().len(), written.len());
    // Numbers have a fixed width: there is one way to write a head. What is behind it is ignored.
    assert!(span.topic(chunk).starts_with(second.topic(&written)));
    let second = decode(&written, &second, PEER).expect("it was just written");
    assert_eq!(second, read);
}

/// See [`super::Target::examples`]: every kind of message.
pub fn examples() -> Vec<Vec<u8>> {
    super::link_session::messages()
        .into_iter()
        .map(|message| {
            let mut written = Vec::new();
            encode(message, |part| written.extend_from_slice(&part));
            written
        })
        .chain([encode_head(
            &Head::Refused {
                reason: "no".into(),
            },
            false,
        )
        .to_vec()])
        .collect()
}
