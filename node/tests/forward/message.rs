//! The messages of a run: each says who published it and which one it is.

use bytes::Bytes;
use zmesh_node::zmtp::frames::{Item, Span, item_at, put_header};

use crate::plan::FRAMES;

/// Several share a partition: the key ends at the space.
pub(crate) const TOPICS: [&str; 8] = ["a", "a 1", "a 2", "ab", "b", "b.x", "c y", "d"];

pub(crate) const PREFIXES: [&str; 10] = ["", "a", "a ", "a 1", "ab", "b", "b.", "c", "d", "x"];

/// What tells a subscriber that a prefix is in force.
pub(crate) const READY: &str = "$zmesh.ready";

/// Which message of whom, on which topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    pub(crate) topic: usize,
    pub(crate) number: u64,
}

impl Stamp {
    /// The first frame, in a message of so many frames: one frame holds everything.
    pub(crate) fn first_frame(&self, frames: usize) -> String {
        let topic = TOPICS[self.topic];
        if frames == 1 {
            format!("{topic} {}", self.mark())
        } else {
            topic.into()
        }
    }

    fn mark(&self) -> String {
        format!("#{}.{}", self.publisher, self.number)
    }

    /// Appends the message.
    pub(crate) fn put(&self, frames: usize, padding: usize, out: &mut Vec<u8>) {
        let mut parts = vec![self.first_frame(frames)];
        if frames > 2 {
            parts.push(".".repeat(padding));
        }
        if frames > 1 {
            parts.push(self.mark());
        }
        for (index, part) in parts.iter().enumerate() {
            put_header(out, index + 1 < parts.len(), part.len());
            out.extend_from_slice(part.as_bytes());
        }
    }

    fn parse(frames: &[&str]) -> Option<Self> {
        let (before, mark) = frames.last()?.rsplit_once('#')?;
        let topic = if frames.len() == 1 {
            before.trim_end()
        } else {
            frames[0]
        };
        let (publisher, number) = mark.split_once('.')?;
        Some(Self {
            publisher: publisher.parse().ok()?,
            topic: TOPICS.iter().position(|name| *name == topic)?,
            number: number.parse().ok()?,
        })
    }
}

/// What a subscriber got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Message(Stamp),
    Ready(String),
}

/// Where the messages of a buffer lie.
pub(crate) fn spans(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Ok(Item::Message(span)) = item_at(bytes, at, FRAMES) else {
            panic!("not whole messages: {bytes:?}");
        };
        at = span.end as usize;
        spans.push(span);
    }
    spans
}

/// Reads what a subscriber got; frames must be as they were sent.
pub(crate) fn read(bytes: &Bytes) -> Vec<Got> {
    let got = |span: &Span| {
        let frames = frames(&bytes[span.range()]);
        if frames[0] == READY {
            return Got::Ready(frames[1].into());
        }
        let stamp = Stamp::parse(&frames);
        Got::Message(stamp.unwrap_or_else(|| panic!("damaged on the way: {frames:?}")))
    };
    spans(bytes).iter().map(got).collect()
}

fn frames(message: &[u8]) -> Vec<&str> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let (start, length) = (at + 2, usize::from(message[at + 1]));
        frames.push(std::str::from_utf8(&message[start..start + length]).expect("sent as text"));
        at = start + length;
    }
    frames
}

#[test]
fn a_message_is_read_as_it_was_put() {
    for frames in 1..=3 {
        for topic in 0..TOPICS.len() {
            let stamp = Stamp {
                publisher: 7,
                topic,
                number: 12,
            };
            let mut out = Vec::new();
            stamp.put(frames, 9, &mut out);
            assert_eq!(read(&out.into()), [Got::Message(stamp)]);
        }
    }
}
