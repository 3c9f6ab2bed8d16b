//! What a node says to its own clients, on topics of its own.

use bytes::Bytes;

use super::DropReason;
use super::queue::Segment;
use crate::zmtp::frames;

/// Topics that begin like this are no client's: what is published on them is dropped.
pub(crate) const RESERVED: &[u8] = b"$";

/// Topics that begin like this are spoken by nodes, each to its own clients.
pub(crate) const OWN: &[u8] = b"$zmesh.";

/// Topic of the messages that tell a client that a subscription of its is in force everywhere.
pub(crate) const READY_TOPIC: &[u8] = b"$zmesh.ready";

/// Topic of the messages that tell a client, where it happened, that its queue had no room.
pub(crate) const DROPPED_TOPIC: &[u8] = b"$zmesh.dropped";

/// Topics of the messages that tell of what happens, followed by what it is.
pub(crate) const EVENT_TOPIC: &[u8] = b"$zmesh.event.";

/// A marked message has one frame: this, its mark in 16 hexadecimal digits, a space, and the topic
/// whose way it goes. It is no client's, and no client gets it.
const TRACE_TOPIC: &[u8] = b"$zmesh.trace ";

/// Bytes before the topic in a marked message.
const TRACE_BYTES: usize = TRACE_TOPIC.len() + 17;

/// The topic that decides where a message goes: its own, or that of the way that it marks.
#[inline]
pub(crate) fn subject(topic: &[u8]) -> &[u8] {
    match topic.first() {
        Some(b'$') => traced(topic).map_or(topic, |(_, subject)| subject),
        _ => topic,
    }
}

/// The mark and the topic of a marked message.
pub(crate) fn traced(topic: &[u8]) -> Option<(u64, &[u8])> {
    if !topic.starts_with(TRACE_TOPIC) {
        return None;
    }
    let (head, subject) = topic.split_at_checked(TRACE_BYTES)?;
    let digits = str::from_utf8(&head[TRACE_TOPIC.len()..TRACE_BYTES - 1]).ok()?;
    Some((u64::from_str_radix(digits, 16).ok()?, subject))
}

/// A marked message.
pub(crate) fn trace(id: u64, topic: &[u8]) -> Segment {
    let mut frame = TRACE_TOPIC.to_vec();
    frame.extend_from_slice(format!("{id:016x} ").as_bytes());
    frame.extend_from_slice(topic);
    message(&[&frame])
}

/// Word of something that happened.
pub(crate) fn event(topic: &[u8], json: &[u8]) -> Segment {
    message(&[topic, json])
}

/// Whether who subscribes to this prefix asks for one of these topics. A prefix of the name will
/// do, as with any topic, but not one so short that it was meant for something else.
pub(crate) fn asks_for(topic: &[u8], prefix: &[u8]) -> bool {
    prefix.starts_with(OWN) && topic.starts_with(prefix)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_message_says_its_mark_and_its_topic() {
        for topic in [&b"STOCK.AAPL"[..], b"", b"$zmesh.trace "] {
            let Segment { bytes, .. } = trace(0xfe, topic);
            assert_eq!(traced(&bytes[2..]), Some((0xfe, topic)));
            assert_eq!(subject(&bytes[2..]), topic);
        }
    }

    #[test]
    fn what_only_looks_like_a_mark_is_a_topic() {
        for topic in [
            &b"$zmesh.trace 00"[..],
            b"$zmesh.trace zzzzzzzzzzzzzzzz A",
            b"$",
            b"A",
        ] {
            assert_eq!(traced(topic), None);
            assert_eq!(subject(topic), topic);
        }
    }
}
