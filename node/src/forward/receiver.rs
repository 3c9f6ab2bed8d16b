//! Third place: a node whose clients want the message. It skips what it has seen, puts the rest
//! into the clients' queues, and acks.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;

use super::clients::Asked;
use super::lane::LaneId;
use super::own::traced;
use super::owner::for_each_message;
use super::prefixes::SetId;
use super::queue::Segment;
use super::router::{Output, Router, SELF};
use super::serving::Slot;
use super::{ClientId, Header, Instance, Time};

/// A part of a subscriber's queue.
pub(super) type Part = (ClientId, LaneId);

/// Neighbouring messages that the same clients want, not yet in their queues.
#[derive(Debug)]
pub(crate) struct LocalRun {
    set: SetId,
    range: Range<usize>,
    messages: u32,
}

/// An ack that is held back while subscribers' queues are full.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    upto: u64,
    full: BTreeSet<Part>,
}

impl Router {
    /// Delivers a record, or part of one, that came from the owner at `from`. Returns whether
    /// the ack must be held back.
    pub(super) fn deliver(
        &mut self,
        from: Slot,
        origin: Instance,
        header: Header,
        chunk: &Bytes,
        ranges: &[Range<usize>],
        now: Time,
    ) -> bool {
        let last = header.last();
        let mut full = Vec::new();
        if self.dedup.is_new(origin, header.partition, last) {
            for range in ranges {
                self.deliver_range(chunk, range.clone(), &mut full, now);
            }
            let run = self.local_run.as_ref();
            if run.is_some_and(|run| self.clients.may_block(run.set)) {
                // Only if the run ends with the record is it known whose ack to hold back.
                full.extend(self.end_run(chunk, now));
            }
        } else {
            self.stats.duplicate_records += 1;
        }
        self.withhold(from, origin, header.partition, last, full)
    }

    fn deliver_range(
        &mut self,
        chunk: &Bytes,
        range: Range<usize>,
        full: &mut Vec<Part>,
        now: Time,
    ) {
        let mut at = range.start;
        while at < range.end {
            let Self {
                clients,
                local_run,
                limits,
                ..
            } = self;
            let mut other = None;
            let found = for_each_message(chunk, at..range.end, limits.frames, |span| {
                if other.is_some() {
                    return;
                }
                let topic = span.topic(chunk);
                let (trace, topic) = traced(topic).map_or((None, topic), |(id, it)| (Some(id), it));
                let set = clients.index.find(topic);
                let span = span.range();
                match local_run {
                    _ if trace.is_some() => other = Some((set, span, trace)),
                    Some(run) if run.set == set && run.range.end == span.start => {
                        run.range.end = span.end;
                        run.messages += 1;
                        at = span.end;
                    }
                    _ => other = Some((set, span, None)),
                }
            });
            debug_assert!(found.is_ok(), "a record is matched before it is delivered");
            let Some((set, span, trace)) = other else {
                return;
            };
            full.extend(self.end_run(chunk, now));
            at = span.end;
            if let Some(id) = trace {
                self.tell_delivered(id, set);
                continue;
            }
            self.local_run = Some(LocalRun {
                set,
                range: span,
                messages: 1,
            });
        }
    }

    /// Puts the current run into the queues of those who want it. Returns whose are full.
    fn end_run(&mut self, chunk: &Bytes, now: Time) -> Vec<Part> {
        let mut full = Vec::new();
        let Some(run) = self.local_run.take() else {
            return full;
        };
        let Self {
            clients,
            stats,
            outputs,
            ..
        } = self;
        let (ids, lane) = clients.wanted_by(run.set);
        let ids = ids.to_vec();
        if ids.is_empty() {
            return full;
        }
        let segment = Segment {
            bytes: chunk.slice(run.range),
            messages: run.messages,
        };
        let dropped: u64 = stats.dropped.iter().sum();
        for id in ids.into_iter().map(ClientId) {
            match clients.push(id, segment.clone(), lane, stats, now) {
                Asked::Nothing => {}
                Asked::Wake => outputs.push_back(Output::Client(id)),
                Asked::Hold => full.push((id, lane)),
                Asked::Close => outputs.push_back(Output::CloseClient(id)),
            }
        }
        if stats.dropped.iter().sum::<u64>() != dropped {
            self.note_drop_of(&segment, lane, now);
        }
        full
    }

    /// Ends the run that was cut from a buffer.
    pub(super) fn flush_local(&mut self, chunk: &Bytes, now: Time) {
        let full = self.end_run(chunk, now);
        debug_assert!(
            full.is_empty(),
            "with the policy `block` runs end with their record"
        );
    }

    fn withhold(
        &mut self,
        from: Slot,
        origin: Instance,
        partition: u16,
        last: u64,
        full: Vec<Part>,
    ) -> bool {
        let key = (from, origin, partition);
        if full.is_empty() && !self.withheld.contains_key(&key) {
            return false;
        }
        let withheld = self.withheld.entry(key).or_default();
        withheld.upto = withheld.upto.max(last);
        withheld.full.extend(full);
        true
    }

    /// Notes that a stream was delivered up to this number, to be told to its owner.
    pub(super) fn ack(&mut self, from: Slot, origin: Instance, partition: u16, last: u64) {
        let peer = self.peers.get_mut(from);
        if !peer.accepted {
            return;
        }
        if !peer.has_replies() {
            self.outputs.push_back(Output::Accepted(peer.instance));
        }
        let acked = peer.acks.entry((origin, partition)).or_insert(0);
        *acked = last.max(*acked);
    }

    /// Parts of queues that hold publishers back.
    pub(super) fn full_parts(&self) -> impl Iterator<Item = Part> {
        let parts = self.withheld.values().flat_map(|withheld| &withheld.full);
        parts.copied()
    }

    /// Parts of subscribers' queues have room again, or have gone: acks that waited for them alone
    /// are due.
    pub(super) fn unblock(&mut self, is_free: impl Fn(&Part) -> bool, now: Time) {
        let mut due = Vec::new();
        self.withheld.retain(|key, withheld| {
            withheld.full.retain(|part| !is_free(part));
            if withheld.full.is_empty() {
                due.push((*key, withheld.upto));
            }
            !withheld.full.is_empty()
        });
        due.sort_unstable();
        for ((from, origin, partition), upto) in due {
            if from == SELF {
                self.handle_ack(SELF, origin, partition, upto, now);
            } else if self.peers.get(from).is_some() {
                self.ack(from, origin, partition, upto);
            }
        }
    }
}
