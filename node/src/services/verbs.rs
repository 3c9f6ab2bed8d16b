//! What clients with REQ and DEALER sockets say, frame by frame.

use std::ops::Range;

use bytes::Bytes;

use super::majordomo::{self, Manner, Says, Side, Version};
use super::{MAX_CREDIT, MAX_SERVICE_BYTES};
use crate::zmtp::frames::{Span, frames};

/// How an answer is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// It begins with an empty frame, as the request did: REQ sockets want it so.
    pub(super) delimiter: bool,
    pub(super) form: Form,
}

/// What stands around an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing.
    Plain,
    /// The asker's own name for the request.
    Named(Bytes),
    /// For a Majordomo client: the service.
    Majordomo(Version, Bytes),
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Something of a service.
    Request {
        reply: Reply,
        service: Bytes,
        body: Bytes,
    },
    /// It takes so many requests of a service at a time.
    Serve { service: Bytes, credit: u32 },
    /// It takes no more of them.
    Unserve { service: Bytes },
    /// It has done a request.
    Answer { id: Bytes, body: Bytes },
    /// It is a Majordomo worker.
    Majordomo(Manner, Says),
}

/// Words that nobody understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) reply: Reply,
    /// What is wrong, and what would be right.
    pub(super) text: String,
}

const PLAIN: Reply = Reply {
    delimiter: false,
    form: Form::Plain,
};

/// Longest tag of a request.
const MAX_TAG_BYTES: usize = 255;

/// What begins with this is no service.
const RESERVED: &[u8] = b"$";

/// A message, frame by frame.
pub(super) struct Frames<'a> {
    chunk: &'a Bytes,
    /// Where each of the first frames begins, and where its body lies.
    places: Vec<(usize, Range<usize>)>,
    end: usize,
}

impl Frames<'_> {
    pub(super) fn get(&self, index: usize) -> Option<Bytes> {
        let (_, body) = self.places.get(index)?;
        Some(self.chunk.slice(body.clone()))
    }

    /// All frames from this one on, with their headers.
    pub(super) fn from(&self, index: usize) -> Bytes {
        let start = self.places.get(index).map_or(self.end, |(start, _)| *start);
        self.chunk.slice(start..self.end)
    }

    fn skip_first(&mut self) {
        self.places.remove(0);
    }
}

/// What a REP socket says, behind the empty frame that ends its envelope.
pub(super) fn behind_envelope(chunk: &Bytes, span: &Span) -> Bytes {
    let range = span.range();
    let mut all = frames(chunk, range.clone());
    let empty = all.find(|(_, body)| body.is_empty());
    let start = empty.map_or(range.start, |(_, body)| body.end);
    chunk.slice(start..range.end)
}

/// Understands a message. A `worker` answers, where others ask.
pub(super) fn parse(chunk: &Bytes, span: &Span, worker: bool) -> Result<Verb, Wrong> {
    let range = span.range();
    let mut message = Frames {
        chunk,
        // No verb looks at more than the delimiter, itself, three words and where the body begins.
        places: frames(chunk, range.clone()).take(6).collect(),
        end: range.end,
    };
    let mut reply = PLAIN;
    if span.frames > 1 && message.get(0).is_some_and(|first| first.is_empty()) {
        reply.delimiter = true;
        message.skip_first();
    }
    let wrong = |text: &str| Wrong {
        reply: reply.clone(),
        text: text.into(),
    };
    let first = message.get(0).unwrap_or_default();
    let count = span.frames - u32::from(reply.delimiter);
    if let Some((version, side)) = Version::of(&first) {
        return majordomo(&message, count, version, side, reply.delimiter);
    }
    match &first[..] {
        b"$zmesh.request" => {
            let (Some(tag), Some(service)) = (message.get(1), message.get(2)) else {
                return Err(wrong(
                    "a request with a name is [$zmesh.request, name, service, body…]",
                ));
            };
            if tag.len() > MAX_TAG_BYTES {
                return Err(wrong("the name of a request has at most 255 bytes"));
            }
            reply.form = Form::Named(Bytes::copy_from_slice(&tag));
            let body = message.from(3);
            request(reply, service, body)
        }
        b"$zmesh.serve" => serve(&message, count).map_err(|text| wrong(&text)),
        b"$zmesh.unserve" => match message.get(1) {
            Some(service) => Ok(Verb::Unserve { service }),
            None => Err(wrong("a worker leaves with [$zmesh.unserve, service]")),
        },
        word if word.starts_with(b"$zmesh.") => Err(wrong(&format!(
            "{} is no verb: there are $zmesh.request, $zmesh.serve and $zmesh.unserve",
            String::from_utf8_lossy(&word[..word.len().min(64)])
        ))),
        _ if worker && !reply.delimiter => Ok(Verb::Answer {
            body: message.from(1),
            id: first,
        }),
        _ => {
            let body = message.from(1);
            request(reply, first, body)
        }
    }
}

/// Understands a message of a Majordomo client or worker; it has so many frames.
fn majordomo(
    message: &Frames<'_>,
    count: u32,
    version: Version,
    side: Side,
    delimiter: bool,
) -> Result<Verb, Wrong> {
    if side == Side::Worker {
        let manner = Manner { version, delimiter };
        return Ok(Verb::Majordomo(manner, Says::of(version, message, count)));
    }
    // The second version has a command before the service, of which there is one.
    let at = match version {
        Version::V1 => 1,
        Version::V2 => 2,
    };
    let service = message.get(at).unwrap_or_default();
    let service = Bytes::copy_from_slice(&service[..service.len().min(MAX_SERVICE_BYTES + 1)]);
    let reply = Reply {
        delimiter,
        form: Form::Majordomo(version, service.clone()),
    };
    let command = message.get(1).unwrap_or_default();
    if version == Version::V2 && command[..] != [1] {
        let text = "a request of MDP/0.2 is [MDPC02, 0x01, service, body…]".into();
        return Err(Wrong { reply, text });
    }
    request(reply, service, message.from(at + 1))
}

fn request(reply: Reply, service: Bytes, body: Bytes) -> Result<Verb, Wrong> {
    match wrong_name(&service) {
        Some(text) => Err(Wrong { reply, text }),
        None => Ok(Verb::Request {
            reply,
            service: Bytes::copy_from_slice(&service),
            body,
        }),
    }
}

fn serve(message: &Frames, frames: u32) -> Result<Verb, String> {
    let shape = "a worker comes with [$zmesh.serve, service, credit]";
    let (Some(service), Some(credit), 3) = (message.get(1), message.get(2), frames) else {
        return Err(shape.into());
    };
    if let Some(text) = wrong_worker_name(&service) {
        return Err(text);
    }
    let number = std::str::from_utf8(&credit)
        .ok()
        .and_then(|it| it.parse().ok());
    match number {
        Some(credit) if (1..=MAX_CREDIT).contains(&credit) => Ok(Verb::Serve {
            service: Bytes::copy_from_slice(&service),
            credit,
        }),
        _ => Err(format!(
            "{shape}; the credit is a decimal number from 1 to {MAX_CREDIT}: how many requests \
             the worker takes at a time"
        )),
    }
}

/// What is wrong with the name of a service that somebody wants to serve.
pub(super) fn wrong_worker_name(service: &[u8]) -> Option<String> {
    wrong_name(service).or_else(|| {
        let own = majordomo::is_management(service);
        own.then(|| "services that begin with mmi. are the mesh's own".into())
    })
}

/// What is wrong with the name of a service.
fn wrong_name(service: &[u8]) -> Option<String> {
    if service.is_empty() || service.len() > MAX_SERVICE_BYTES {
        let bytes = service.len();
        return Some(format!(
            "a service has a name of 1 to {MAX_SERVICE_BYTES} bytes, this one has {bytes}: a \
             request is [service, body…]"
        ));
    }
    let reserved = service.starts_with(RESERVED);
    reserved.then(|| "names that begin with $ are the mesh's own".into())
}
