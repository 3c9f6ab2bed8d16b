//! Finds message and command boundaries in ZMTP traffic, in place (RFC 23, section "Traffic").
//!
//! A frame is a flags byte, a length of one byte (or eight, if the LONG bit is set) and a body.
//! Nothing is copied and nothing is decoded: the caller gets offsets into its own buffer.

use std::ops::Range;

const MORE: u8 = 0b001;
const LONG: u8 = 0b010;
const COMMAND: u8 = 0b100;

/// Longest command: a subscription with its prefix is the longest there is.
const MAX_COMMAND_BYTES: u64 = 64 << 10;

/// Where one message lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the flags byte of the first frame.
    pub start: u32,
    /// Offset behind the last frame.
    pub end: u32,
    /// Offset of the first frame's body: the topic.
    pub topic_start: u32,
    /// Offset behind the first frame's body.
    pub topic_end: u32,
    /// Number of frames.
    pub frames: u32,
}

impl Span {
    /// All frames with their headers.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The body of the first frame.
    pub fn topic<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.topic_start as usize..self.topic_end as usize]
    }
}

/// What stands at a place in the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole message.
    Message(Span),
    /// A whole command; the range is its body (name length, name, data).
    Command {
        /// Where the body lies.
        body: Range<usize>,
        /// Offset behind the command.
        end: usize,
    },
    /// A whole command between two frames of a message that begins at the place asked for. RFC 23
    /// has none there, but libzmq answers a PING wherever it is.
    Inner {
        /// Where the command lies, with its header.
        frame: Range<usize>,
        /// Where its body lies.
        body: Range<usize>,
    },
    /// The item is not complete: there is no use in looking again before the buffer holds this
    /// many bytes, counted from the place that was asked for.
    Incomplete {
        /// A lower bound of the item's length.
        need: usize,
    },
}

/// Why traffic cannot be ZMTP that this node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A reserved flag is set, a command has MORE, or too many commands stand inside a message.
    #[error("not a ZMTP frame")]
    BadFlags,
    /// The message is, or announces to be, larger than the limit.
    #[error("message larger than max-message")]
    TooLarge,
    /// The message has more frames than the limit.
    #[error("message with more frames than max-frames")]
    TooManyFrames,
}

/// Limits for one message.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// All frames with their headers, in bytes; at most 1 GiB.
    pub message_bytes: usize,
    /// Frames.
    pub frames: usize,
}

/// What any node of a mesh may let in: a node may set its own limits lower. What comes over links
/// was let in elsewhere, so nodes with different settings still understand each other.
pub const WIDEST: FrameLimits = FrameLimits {
    message_bytes: 1 << 30,
    frames: 1 << 20,
};

struct Frame {
    flags: u8,
    header: usize,
    length: u64,
}

/// Reads a frame's header; `None` if it is not all there.
#[inline]
fn frame_at(buffer: &[u8], at: usize) -> Option<Frame> {
    let flags = *buffer.get(at)?;
    if flags & LONG == 0 {
        return Some(Frame {
            flags,
            header: 2,
            length: u64::from(*buffer.get(at + 1)?),
        });
    }
    let bytes = buffer.get(at + 1..at + 9)?;
    let length = u64::from_be_bytes(bytes.try_into().ok()?);
    Some(Frame {
        flags,
        header: 9,
        length,
    })
}

/// Looks at what begins at `at`.
#[inline]
pub fn item_at(buffer: &[u8], at: usize, limits: FrameLimits) -> Result<Item, FrameError> {
    let mut position = at;
    let mut topic = 0..0;
    let mut frames = 0usize;
    loop {
        let Some(frame) = frame_at(buffer, position) else {
            return check_flags(buffer, position).map(|()| Item::Incomplete {
                need: buffer.len() - at + 1,
            });
        };
        check_flags(buffer, position)?;
        let body = position + frame.header;
        // A command is not part of a message.
        let most = match frame.flags & COMMAND {
            0 => (limits.message_bytes as u64).saturating_sub((body - at) as u64),
            _ => MAX_COMMAND_BYTES,
        };
        if frame.length > most {
            return Err(FrameError::TooLarge);
        }
        let end = body + frame.length as usize;
        if frame.flags & COMMAND != 0 {
            let command = match frames {
                0 => Item::Command {
                    body: body..end,
                    end,
                },
                _ => Item::Inner {
                    frame: position..end,
                    body: body..end,
                },
            };
            return Ok(whole(buffer, at, end, command));
        }
        if frames == 0 {
            topic = body..end;
        }
        frames += 1;
        if frames > limits.frames {
            return Err(FrameError::TooManyFrames);
        }
        if frame.flags & MORE == 0 {
            let span = Span {
                start: at as u32,
                end: end as u32,
                topic_start: topic.start as u32,
                topic_end: topic.end as u32,
                frames: frames as u32,
            };
            return Ok(whole(buffer, at, end, Item::Message(span)));
        }
        position = end;
        if position > buffer.len() {
            return Ok(Item::Incomplete { need: end - at + 2 });
        }
    }
}

/// Only MORE, LONG and COMMAND are defined; a command has no MORE.
fn check_flags(buffer: &[u8], at: usize) -> Result<(), FrameError> {
    let flags = buffer.get(at).copied().unwrap_or(0);
    let unknown = flags & !(MORE | LONG | COMMAND) != 0;
    if unknown || flags & COMMAND != 0 && flags & MORE != 0 {
        Err(FrameError::BadFlags)
    } else {
        Ok(())
    }
}

fn whole(buffer: &[u8], at: usize, end: usize, item: Item) -> Item {
    if end <= buffer.len() {
        item
    } else {
        Item::Incomplete { need: end - at }
    }
}

/// Appends a frame's header to `out`.
pub fn put_header(out: &mut Vec<u8>, more: bool, length: usize) {
    let flags = if more { MORE } else { 0 };
    if length <= 255 {
        out.extend_from_slice(&[flags, length as u8]);
    } else {
        out.push(flags | LONG);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends a command frame to `out`.
pub fn put_command(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let length = 1 + name.len() + data.len();
    if length <= 255 {
        out.extend_from_slice(&[COMMAND, length as u8]);
    } else {
        out.push(COMMAND | LONG);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(data);
}

/// The frames of a whole message, one after the other: where each begins, and where its body lies.
pub fn frames(
    buffer: &[u8],
    range: Range<usize>,
) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let frame = frame_at(buffer, at).filter(|_| at < range.end)?;
        let (start, body) = (at, at + frame.header);
        at = body + frame.length as usize;
        Some((start, body..at))
    })
}

/// Splits a command's body into its name and data.
pub fn command_parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = body.split_first()?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits {
        message_bytes: 1 << 20,
        frames: 64,
    };

    fn message(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            put_header(&mut out, index + 1 < frames.len(), frame.len());
            out.extend_from_slice(frame);
        }
        out
    }

    #[test]
    fn a_frame_that_announces_more_than_the_limit_is_refused_before_it_arrives() {
        let mut bytes = vec![LONG];
        bytes.extend_from_slice(&(1u64 << 63).to_be_bytes());
        assert_eq!(item_at(&bytes, 0, LIMITS), Err(FrameError::TooLarge));
    }

    #[test]
    fn a_message_of_endless_frames_is_refused() {
        let bytes = [MORE, 0].repeat(65);
        assert_eq!(item_at(&bytes, 0, LIMITS), Err(FrameError::TooManyFrames));
    }

    #[test]
    fn a_command_inside_a_message_is_found_and_one_with_more_is_refused() {
        let inner = Item::Inner {
            frame: 2..5,
            body: 4..5,
        };
        assert_eq!(item_at(&[MORE, 0, COMMAND, 1, 0], 0, LIMITS), Ok(inner));
        for bad in [0x80, COMMAND | MORE] {
            assert_eq!(item_at(&[bad, 0], 0, LIMITS), Err(FrameError::BadFlags));
        }
    }

    proptest! {
        #[test]
        fn every_message_is_found_whole(
            messages in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..20), 1..5),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|m| message(m)).collect();
            let mut at = 0;
            for frames in &messages {
                let Item::Message(span) = item_at(&bytes, at, LIMITS).unwrap() else {
                    panic!("no message at {at}")
                };
                prop_assert_eq!(&bytes[span.range()], &message(frames)[..]);
                prop_assert_eq!(span.topic(&bytes), &frames[0][..]);
                prop_assert_eq!(span.frames as usize, frames.len());
                at = span.end as usize;
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn a_cut_message_asks_for_more_and_never_for_more_than_it_is(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = message(&frames);
            let cut = cut.index(bytes.len());
            match item_at(&bytes[..cut], 0, LIMITS).unwrap() {
                Item::Incomplete { need } => prop_assert!(need > cut && need <= bytes.len()),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
            let _ = item_at(&bytes, at.min(bytes.len()), LIMITS);
            let _ = command_parts(&bytes);
        }
    }
}
