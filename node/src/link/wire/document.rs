//! The example of docs/protocol.md is what a link carries, byte for byte.

use bytes::Bytes;

use super::encode;
use crate::forward::{Batch, Header, Instance, Message};

const DOCUMENT: &str = include_str!("../../../../docs/protocol.md");

#[test]
fn the_deliver_in_the_document_is_the_one_on_the_wire() {
    let header = Header {
        partition: zmesh_partition::Partition::of_topic(b"STOCK.AAPL").get(),
        first: 41,
        count: 2,
        messages: 1,
        length: 19,
    };
    let body = Bytes::from_static(b"\x01\x0aSTOCK.AAPL\x00\x05187.3");
    let batch = Batch::received(Instance(0x0123_4567_89ab_cdef), vec![header], body);
    let mut sent = String::new();
    encode(Message::Deliver(batch), |part| {
        sent.extend(part.iter().map(|byte| format!("{byte:02x}")));
    });
    assert_eq!(sent, example("Example: a Deliver"));
}

/// The bytes of an example: of each line of the block below its heading, what stands before `;`.
fn example(heading: &str) -> String {
    let (_, below) = DOCUMENT.split_once(heading).unwrap();
    let block = below.split("```").nth(1).unwrap();
    let bytes = block.lines().filter_map(|line| line.split(';').next());
    bytes.flat_map(str::split_whitespace).collect()
}
