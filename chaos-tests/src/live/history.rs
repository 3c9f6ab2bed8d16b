//! What clients sent and received, and whether the one follows from the other.

pub mod holes;
pub mod order;

use anyhow::{Context, Result, ensure};
use holes::Span;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Bytes of a record in a file.
pub const RECORD_BYTES: usize = 16;

/// A message that a client sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Number of its publisher.
    pub publisher: u16,
    /// Number of its topic.
    pub topic: u16,
    /// Its place among those of this publisher on this topic, from 0.
    pub number: u32,
    /// When, on the monotonic clock of this machine, in nanoseconds.
    pub at: u64,
}

/// A publisher and a topic: what order is kept within.
pub type Stream = (u16, u16);

/// All that was sent, with the time of each message.
#[derive(Debug, Default)]
pub struct Sent {
    streams: BTreeMap<Stream, Vec<u64>>,
}

/// The longest time in which a stream brought nothing, between two of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pause {
    /// How long.
    pub length: Duration,
    /// When it began.
    pub from: u64,
    /// On which topic.
    pub topic: u16,
}

/// What one subscriber got of one publisher, or a sum of such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Messages received.
    pub received: u64,
    /// Messages that never came and should have.
    pub lost: u64,
    /// Messages that never came and need not have.
    pub excused: u64,
    /// Those of them that nobody need have counted.
    pub late: u64,
    /// Messages that came once more.
    pub doubled: u64,
    /// Messages that came after a later one of their stream.
    pub out_of_order: u64,
    /// Messages that nobody sent.
    pub unknown: u64,
    /// The longest pause of a stream.
    pub pause: Pause,
    /// The first message that was lost.
    pub first_lost: Option<Record>,
}

/// The records of a file that a client has completed.
///
/// # Errors
/// If it cannot be read, or ends within a record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
    ensure!(rest.is_empty(), "{} is cut off", path.display());
    Ok(records.iter().map(Record::from_bytes).collect())
}

impl Record {
    fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let [p0, p1, t0, t1, n0, n1, n2, n3, at @ ..] = *bytes;
        Self {
            publisher: u16::from_le_bytes([p0, p1]),
            topic: u16::from_le_bytes([t0, t1]),
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            at: u64::from_le_bytes(at),
        }
    }

    fn stream(&self) -> Stream {
        (self.publisher, self.topic)
    }
}

impl Sent {
    /// Adds what a publisher sent.
    ///
    /// # Panics
    /// If its numbers have gaps: the client program is wrong.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            let times = self.streams.entry(record.stream()).or_default();
            assert_eq!(times.len(), record.number as usize, "numbers without gaps");
            times.push(record.at);
        }
    }

    /// When a message was sent; None if it never was.
    pub fn at(&self, record: &Record) -> Option<u64> {
        let times = self.streams.get(&record.stream())?;
        times.get(record.number as usize).copied()
    }

    /// How many messages there were on topics that are wanted.
    pub fn messages(&self, wanted: impl Fn(u16) -> bool) -> u64 {
        let streams = self.streams.iter().filter(|((_, topic), _)| wanted(*topic));
        streams.map(|(_, times)| times.len() as u64).sum()
    }

    /// Compares what a subscriber received with what was sent, for each publisher. `wanted` says
    /// which topics it asked for, `faults` when something stood between it and a publisher: a
    /// hole in a stream may come of that, and a pause that meets such a time does not count.
    pub fn check(
        &self,
        received: &[Record],
        wanted: impl Fn(u16) -> bool,
        faults: impl Fn(u16) -> Vec<Span>,
    ) -> BTreeMap<u16, Findings> {
        let publishers = self.streams.keys().map(|(publisher, _)| *publisher);
        let faults: BTreeMap<u16, Vec<Span>> = publishers.map(|it| (it, faults(it))).collect();
        let mut findings: BTreeMap<u16, Findings> = BTreeMap::new();
        let mut progress: HashMap<Stream, Progress> = HashMap::new();
        for record in received {
            let found = findings.entry(record.publisher).or_default();
            let times = self
                .streams
                .get(&record.stream())
                .filter(|_| wanted(record.topic));
            match times.filter(|times| (record.number as usize) < times.len()) {
                Some(times) => {
                    let seen = progress.entry(record.stream());
                    let seen = seen.or_insert_with(|| Progress::new(times.len()));
                    let pause = seen.take(record, found);
                    let mut faults = faults[&record.publisher].iter();
                    if pause > found.pause && !faults.any(|it| it.meets(pause.from, pause.to())) {
                        found.pause = pause;
                    }
                }
                None => found.unknown += 1,
            }
        }
        for (stream, times) in &self.streams {
            let (publisher, topic) = *stream;
            if wanted(topic) {
                let found = findings.entry(publisher).or_default();
                find_missing(
                    *stream,
                    times,
                    progress.get(stream),
                    &faults[&publisher],
                    found,
                );
            }
        }
        findings
    }
}

/// Sorts what did not come of a stream into what is excused and what is lost.
fn find_missing(
    (publisher, topic): Stream,
    times: &[u64],
    progress: Option<&Progress>,
    faults: &[Span],
    found: &mut Findings,
) {
    let came = |number: usize| progress.and_then(|it| it.came[number]);
    let lost = holes::lost(times, came, faults);
    found.lost += lost.len() as u64;
    for (number, at) in times.iter().enumerate() {
        if came(number).is_none() && lost.binary_search(&number).is_err() {
            found.excused += 1;
            found.late += u64::from(faults.iter().any(|it| it.is_late(*at)));
        }
    }
    let first = lost.first().map(|&number| Record {
        publisher,
        topic,
        number: number as u32,
        at: times[number],
    });
    found.first_lost = earliest(found.first_lost, first);
}

impl Pause {
    /// When it ended.
    pub fn to(&self) -> u64 {
        self.from + self.length.as_nanos() as u64
    }
}

fn earliest(one: Option<Record>, other: Option<Record>) -> Option<Record> {
    one.into_iter().chain(other).min_by_key(|record| record.at)
}

/// How far a subscriber has come with a stream.
struct Progress {
    /// When each message came first.
    came: Vec<Option<u64>>,
    /// One more than the highest number seen.
    next: u32,
    last_at: Option<u64>,
}

impl Progress {
    fn new(messages: usize) -> Self {
        Self {
            came: vec![None; messages],
            next: 0,
            last_at: None,
        }
    }

    /// Counts a message; gives the time since the one before.
    fn take(&mut self, record: &Record, found: &mut Findings) -> Pause {
        found.received += 1;
        let came = &mut self.came[record.number as usize];
        if came.is_some() {
            found.doubled += 1;
        } else {
            *came = Some(record.at);
            if record.number < self.next {
                found.out_of_order += 1;
            }
        }
        self.next = self.next.max(record.number + 1);
        let from = self.last_at.replace(record.at).unwrap_or(record.at);
        Pause {
            length: Duration::from_nanos(record.at.saturating_sub(from)),
            from,
            topic: record.topic,
        }
    }
}

impl Findings {
    /// Adds those of another publisher or subscriber.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.excused += other.excused;
        self.late += other.late;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.unknown += other.unknown;
        self.pause = self.pause.max(other.pause);
        self.first_lost = earliest(self.first_lost, other.first_lost);
    }

    /// Whether the promise was broken.
    pub fn is_bad(&self) -> bool {
        self.lost + self.doubled + self.out_of_order + self.unknown > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn record(publisher: u16, topic: u16, number: u32) -> Record {
        let at = u64::from(number) * MS;
        Record {
            publisher,
            topic,
            number,
            at,
        }
    }

    /// Ten messages of publisher 1 on topic 0, and what a subscriber makes of them.
    fn findings(received: &[u32], faults: &[Span]) -> Findings {
        let mut sent = Sent::default();
        sent.add(
            &(0..10)
                .map(|number| record(1, 0, number))
                .collect::<Vec<_>>(),
        );
        let received: Vec<_> = received
            .iter()
            .map(|number| record(1, 0, *number))
            .collect();
        sent.check(&received, |_| true, |_| faults.to_vec())[&1]
    }

    fn all_but(missing: &[u32]) -> Vec<u32> {
        (0..10).filter(|number| !missing.contains(number)).collect()
    }

    #[test]
    fn what_came_as_it_was_sent_is_in_order() {
        let found = findings(&all_but(&[]), &[]);
        assert!(!found.is_bad(), "{found:?}");
        assert_eq!(
            (found.received, found.pause.length),
            (10, Duration::from_millis(1))
        );
    }

    #[test]
    fn what_is_missing_is_lost_unless_it_is_excused() {
        let fault = Span {
            from: 4 * MS,
            began: 4 * MS,
            to: 4 * MS,
            may_lose: true,
        };
        let found = findings(&all_but(&[3, 4, 9]), &[fault]);
        assert_eq!((found.lost, found.excused, found.is_bad()), (2, 1, true));
        assert_eq!(found.first_lost, Some(record(1, 0, 3)));
        assert_eq!(
            found.pause.length,
            Duration::from_millis(1),
            "the other is excused"
        );
        let found = findings(&all_but(&[3, 4, 9]), &[]);
        assert_eq!(found.pause.length, Duration::from_millis(3));
        assert_eq!(findings(&[], &[]).lost, 10);
    }

    #[test]
    fn what_was_overtaken_before_a_fault_is_lost() {
        let fault = Span {
            from: 2 * MS,
            began: 2 * MS,
            to: 8 * MS,
            may_lose: true,
        };
        let found = findings(&all_but(&[3, 5, 6]), &[fault]);
        assert_eq!((found.lost, found.excused), (1, 2));
        assert_eq!(found.first_lost, Some(record(1, 0, 3)));
    }

    #[test]
    fn what_comes_twice_is_doubled_and_not_out_of_order() {
        let found = findings(&[0, 1, 2, 1, 3, 4, 5, 6, 7, 8, 9], &[]);
        assert_eq!((found.doubled, found.out_of_order, found.lost), (1, 0, 0));
        assert!(found.is_bad());
    }

    #[test]
    fn what_comes_late_is_out_of_order_and_not_lost() {
        let found = findings(&[0, 1, 3, 2, 4, 5, 6, 7, 8, 9], &[]);
        assert_eq!((found.doubled, found.out_of_order, found.lost), (0, 1, 0));
        assert!(found.is_bad());
    }

    #[test]
    fn what_nobody_sent_or_asked_for_is_unknown() {
        assert_eq!(findings(&[0, 10], &[]).unknown, 1);
        let mut sent = Sent::default();
        sent.add(&[record(1, 0, 0), record(1, 1, 0)]);
        let found = sent.check(
            &[record(1, 0, 0), record(1, 1, 0)],
            |topic| topic == 0,
            |_| Vec::new(),
        );
        assert_eq!(
            (found[&1].unknown, found[&1].received, found[&1].lost),
            (1, 1, 0)
        );
        assert_eq!(sent.messages(|topic| topic == 0), 1);
    }

    #[test]
    fn files_are_read_as_clients_write_them() {
        let folder = tempfile::tempdir().expect("a place for files");
        let path = folder.path().join("history");
        fs::write(&path, [1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]).expect("room");
        let record = Record {
            publisher: 1,
            topic: 2,
            number: 3,
            at: 4,
        };
        assert_eq!(read(&path).expect("it is whole"), [record]);
        fs::write(&path, [0; 15]).expect("room");
        assert!(read(&path).is_err());
    }
}
