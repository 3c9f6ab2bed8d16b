//! Traffic of a ZMTP connection after its handshake. However it is cut on its way, the same
//! messages and commands are found, and they are those that the specification says.

use std::cell::RefCell;
use std::ops::ControlFlow;

use zmesh_node::zmtp::frames::{
    FrameError, FrameLimits, Span, command_parts, put_command, put_header,
};
use zmesh_node::zmtp::intake::{Arena, Intake, MOST_INNER, Read, Scanned};

use super::script::Script;
use super::topics::put_message;

/// Small enough to be met, large enough that a message does not fit into an ordinary read.
const LIMITS: FrameLimits = FrameLimits {
    message_bytes: 200_000,
    frames: 8,
};

thread_local! {
    /// One for all connections of a thread, as in a node.
    static ARENA: RefCell<Arena> = RefCell::default();
}

/// What was found, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) messages: Vec<Vec<u8>>,
    topics: Vec<(Vec<u8>, u32)>,
    commands: Vec<Vec<u8>>,
    /// Bytes of what is not all there.
    left: usize,
}

/// Takes two bytes that say how the rest is cut on its way.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let steps = [
        usize::from(script.byte()) + 1,
        usize::from(script.byte()) + 1,
    ];
    let stream = script.rest();
    let expected = by_the_book(stream);
    let whole = take_in(std::iter::once(stream));
    let cut = take_in(pieces(stream, steps));
    assert_eq!(whole, expected, "in one piece");
    assert_eq!(cut, expected, "in pieces");
    if let Ok(found) = expected {
        again(&found);
    }
}

/// Cuts bytes into pieces of these lengths in turn.
fn pieces(mut bytes: &[u8], steps: [usize; 2]) -> impl Iterator<Item = &[u8]> {
    let mut steps = steps.into_iter().cycle();
    std::iter::from_fn(move || {
        let step = steps.next()?.min(bytes.len());
        let (piece, rest) = bytes.split_at(step);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn take_in<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Found, FrameError> {
    let mut found = Found::default();
    let mut intake = Intake::default();
    let mut scanned = Scanned::default();
    for mut piece in pieces {
        while !piece.is_empty() {
            let read = ARENA.with_borrow_mut(|arena| read(&mut intake, arena, &mut piece));
            let Read::Data(data) = read else {
                assert!(matches!(read, Read::More), "there was something to read");
                continue;
            };
            intake.scan::<FrameError>(data, LIMITS, &mut scanned, |body| {
                let _ = command_parts(body);
                found.commands.push(body.to_vec());
                ControlFlow::Continue(())
            })?;
            for span in &scanned.spans {
                assert!(span.range().end <= scanned.chunk.len(), "inside the chunk");
                found.add(&scanned.chunk, span);
            }
        }
    }
    found.left = intake.kept();
    Ok(found)
}

/// One read of what has arrived: as much as the buffer has room for.
fn read(intake: &mut Intake, arena: &mut Arena, arrived: &mut &[u8]) -> Read {
    let read = intake.read(arena, |buffer| {
        let room = buffer.capacity() - buffer.len();
        assert!(
            room > 0,
            "a read without room looks like the end of the stream"
        );
        let (taken, rest) = arrived.split_at(room.min(arrived.len()));
        buffer.extend_from_slice(taken);
        *arrived = rest;
        Ok(taken.len())
    });
    read.expect("reading from memory does not fail")
}

/// The specification word by word, without a thought for speed; and commands between the frames of
/// a message, as libzmq has them.
fn by_the_book(stream: &[u8]) -> Result<Found, FrameError> {
    let mut found = Found::default();
    let (mut at, mut message, mut frames, mut topic) = (0, Vec::new(), 0, Vec::new());
    let mut inner = 0;
    loop {
        let flags = stream.get(at).copied().unwrap_or(0);
        let (more, long, command) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        if flags & !7 != 0 || command && more {
            return Err(FrameError::BadFlags);
        }
        let Some(header) = stream.get(at..at + if long { 9 } else { 2 }) else {
            break;
        };
        let length = header[1..]
            .iter()
            .fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
        let (before, limit) = match command {
            true => (0, 64 << 10),
            false => (message.len() + header.len(), LIMITS.message_bytes),
        };
        if before as u128 + length > limit as u128 {
            return Err(FrameError::TooLarge);
        }
        frames += u32::from(!command);
        if frames as usize > LIMITS.frames {
            return Err(FrameError::TooManyFrames);
        }
        let body = at + header.len();
        let end = body + length as usize;
        let Some(body) = stream.get(body..end) else {
            break;
        };
        if command {
            inner += usize::from(frames > 0);
            if inner > MOST_INNER {
                return Err(FrameError::BadFlags);
            }
            found.commands.push(body.to_vec());
        } else {
            if frames == 1 {
                topic = body.to_vec();
            }
            message.extend_from_slice(&stream[at..end]);
        }
        at = end;
        if !command && !more {
            found.messages.push(std::mem::take(&mut message));
            found.topics.push((std::mem::take(&mut topic), frames));
            (frames, inner) = (0, 0);
        }
    }
    found.left = message.len() + stream.len() - at;
    Ok(found)
}

/// What was found is found again when it is written anew.
fn again(found: &Found) {
    let mut stream = Vec::new();
    for message in &found.messages {
        let frames = frames(message);
        for (index, frame) in frames.iter().enumerate() {
            put_header(&mut stream, index + 1 < frames.len(), frame.len());
            stream.extend_from_slice(frame);
        }
    }
    for command in &found.commands {
        // Names are at most 255 bytes long, and text.
        if let Some((name, data)) = command_parts(command)
            && let Ok(name) = std::str::from_utf8(name)
        {
            put_command(&mut stream, name, data);
        }
    }
    let second = take_in(std::iter::once(&stream[..])).expect("written by the rules");
    assert_eq!(second.topics, found.topics);
    assert_eq!(second.left, 0);
    assert!(
        second
            .commands
            .iter()
            .all(|command| found.commands.contains(command))
    );
}

/// The bodies of a message's frames.
pub(crate) fn frames(mut message: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !message.is_empty() {
        let header = if message[0] & 2 != 0 { 9 } else { 2 };
        let length = message[1..header]
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        frames.push(&message[header..header + length]);
        message = &message[header + length..];
    }
    frames
}

impl Found {
    fn add(&mut self, chunk: &[u8], span: &Span) {
        self.messages.push(chunk[span.range()].to_vec());
        self.topics.push((span.topic(chunk).to_vec(), span.frames));
    }
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    let mut several = vec![6, 0];
    put_message(&mut several, b"topic", 0, 0);
    put_message(&mut several, b"a 1", 2, 300);
    put_command(&mut several, "SUBSCRIBE", b"prefix");
    put_message(&mut several, b"", 7, 1);
    put_command(&mut several, "PING", &[0, 100, b'x']);
    let mut cut = vec![255, 1];
    put_message(&mut cut, b"cut", 1, 1000);
    cut.truncate(700);
    let mut large = vec![200, 200];
    put_message(&mut large, b"large", 1, 3000);
    put_header(&mut large, false, 150_000);
    large.extend_from_slice(&[7; 600]);
    let mut too_large = vec![3, 3];
    put_message(&mut too_large, b"fits", 1, 9);
    put_header(&mut too_large, false, 200_001);
    let endless = [vec![1, 1], [1, 0].repeat(9)].concat();
    vec![several, cut, large, too_large, endless]
}
