//! What clients say of work queues, frame by frame.

use bytes::Bytes;

use super::{MAX_CREDIT, MAX_QUEUE_BYTES};
use crate::zmtp::frames::{Span, frames};

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// It takes so many tasks of a queue at a time.
    Work { queue: Bytes, credit: u32 },
    /// It takes no more of them.
    Unwork { queue: Bytes },
    /// It has done one.
    Done { id: Bytes },
    /// It has not done one, for this reason.
    Failed { id: Bytes, reason: Bytes },
}

/// Whether a message of a DEALER socket is about queues.
pub fn is_about_queues(chunk: &Bytes, span: &Span) -> bool {
    matches!(
        span.topic(chunk),
        b"$zmesh.work" | b"$zmesh.unwork" | b"$zmesh.done" | b"$zmesh.failed"
    )
}

/// Understands a message that is about queues; or says what would be right.
pub(super) fn parse(chunk: &Bytes, span: &Span) -> Result<Verb, String> {
    let bodies = frames(chunk, span.range()).map(|(_, body)| chunk.slice(body));
    let words: Vec<Bytes> = bodies.take(4).collect();
    match &words[..] {
        [verb, queue, credit] if verb == "$zmesh.work" => {
            if let Some(wrong) = wrong_name(queue) {
                return Err(wrong);
            }
            let number = std::str::from_utf8(credit).ok();
            let number = number.and_then(|it| it.parse().ok());
            match number {
                Some(credit) if (1..=MAX_CREDIT).contains(&credit) => Ok(Verb::Work {
                    queue: Bytes::copy_from_slice(queue),
                    credit,
                }),
                _ => Err(format!(
                    "the credit of [$zmesh.work, queue, credit] is a decimal number from 1 to \
                     {MAX_CREDIT}: how many tasks the worker takes at a time"
                )),
            }
        }
        [verb, queue] if verb == "$zmesh.unwork" => Ok(Verb::Unwork {
            queue: queue.clone(),
        }),
        [verb, id] if verb == "$zmesh.done" => Ok(Verb::Done { id: id.clone() }),
        [verb, id, reason] if verb == "$zmesh.failed" => Ok(Verb::Failed {
            id: id.clone(),
            reason: Bytes::copy_from_slice(&reason[..reason.len().min(MAX_REASON_BYTES)]),
        }),
        _ => Err(
            "a worker says [$zmesh.work, queue, credit], [$zmesh.unwork, queue], \
                  [$zmesh.done, task id] or [$zmesh.failed, task id, reason]"
                .into(),
        ),
    }
}

/// Of a longer reason this much is kept.
const MAX_REASON_BYTES: usize = 1024;

/// The queue and the body of a task that a PUSH socket sends; or what is wrong with it.
pub(super) fn task(chunk: &Bytes, span: &Span) -> Result<(Bytes, Bytes), String> {
    let range = span.range();
    let mut all = frames(chunk, range.clone());
    let first = all.next().map(|(_, body)| body);
    let queue = first.clone().map_or(Bytes::new(), |body| chunk.slice(body));
    if let Some(wrong) = wrong_name(&queue) {
        return Err(wrong);
    }
    let start = first.map_or(range.end, |body| body.end);
    Ok((
        Bytes::copy_from_slice(&queue),
        chunk.slice(start..range.end),
    ))
}

/// What is wrong with the name of a queue.
pub(super) fn wrong_name(queue: &[u8]) -> Option<String> {
    if queue.is_empty() || queue.len() > MAX_QUEUE_BYTES {
        let bytes = queue.len();
        return Some(format!(
            "a queue has a name of 1 to {MAX_QUEUE_BYTES} bytes, this one has {bytes}: a task is \
             [queue, body…]"
        ));
    }
    let reserved = queue.starts_with(b"$");
    reserved.then(|| "names that begin with $ are the mesh's own".into())
}
