//! What a node says to its own clients, on topics of its own.

use bytes::Bytes;

use super::DropReason;
use super::queue::Segment;
use crate::zmtp::frames;

/// Topics that begin like this are spoken by nodes only, each to its own clients.
pub(crate) const RESERVED: &[u8] = b"$zmesh.";

/// Topic of the messages that tell a client that a subscription of its is in force everywhere.
pub(crate) const READY_TOPIC: &[u8] = b"$zmesh.ready";

/// Topic of the messages that tell a client, where it happened, that its queue had no room.
pub(crate) const DROPPED_TOPIC: &[u8] = b"$zmesh.dropped";

/// Whether who subscribes to this prefix asks for one of these topics. A prefix of the name will
/// do, as with any topic, but not one so short that it was meant for something else.
pub(crate) fn asks_for(topic: &[u8], prefix: &[u8]) -> bool {
    prefix.starts_with(RESERVED) && topic.starts_with(prefix)
}

/// Word that a subscription is in force everywhere.
pub(crate) fn ready(prefix: &[u8]) -> Segment {
    message(&[READY_TOPIC, prefix])
}

/// Word of messages that were dropped: how many here, why, how many in all, and the prefix of the
/// rule that their topics fall under.
pub(crate) fn dropped(count: u64, reason: DropReason, total: u64, prefix: &[u8]) -> Segment {
    let (count, total) = (count.to_string(), total.to_string());
    let frames = [
        DROPPED_TOPIC,
        count.as_bytes(),
        reason.name().as_bytes(),
        total.as_bytes(),
        prefix,
    ];
    message(&frames)
}

fn message(parts: &[&[u8]]) -> Segment {
    let mut bytes = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        frames::put_header(&mut bytes, number + 1 < parts.len(), part.len());
        bytes.extend_from_slice(part);
    }
    Segment {
        bytes: Bytes::from(bytes),
        messages: 1,
    }
}
