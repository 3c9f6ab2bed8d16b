//! Second place: the owner of a partition. It matches each message against the interest of all
//! nodes, sends it to those that want it, and answers `done` when all of them have it.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::own::{subject, traced};
use super::prefixes::{PrefixIndex, SetId};
use super::router::{Output, Router, SELF};
use super::serving::{Acked, Pending, Slot};
use super::{DropReason, Header, Instance, Time};
use crate::zmtp::frames::{FrameError, FrameLimits, Item, Span, item_at};

/// Space for matching that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    slots: Vec<Slot>,
    messages: Vec<(SetId, Span)>,
}

/// A part of a record for one node: where the wanted messages lie.
#[derive(Debug, Default)]
struct Part {
    ranges: Vec<Range<usize>>,
    messages: u32,
    bytes: usize,
}

/// Calls `each` for every message in a range of a buffer, which must hold whole messages.
pub(super) fn for_each_message(
    chunk: &[u8],
    range: Range<usize>,
    limits: FrameLimits,
    mut each: impl FnMut(Span),
) -> Result<(), FrameError> {
    let mut at = range.start;
    let buffer = chunk.get(..range.end).ok_or(FrameError::BadFlags)?;
    while at < range.end {
        match item_at(buffer, at, limits)? {
            Item::Message(span) => {
                at = span.end as usize;
                each(span);
            }
            _ => return Err(FrameError::BadFlags),
        }
    }
    Ok(())
}

impl Router {
    /// Serves a record of some origin.
    pub(super) fn serve(
        &mut self,
        origin: Instance,
        header: Header,
        chunk: &Bytes,
        range: Range<usize>,
        now: Time,
    ) -> Result<(), FrameError> {
        let served = self.serving.stream(origin, header.partition);
        if !served.is_new(header.last()) {
            self.stats.duplicate_records += 1;
            let done = served.done();
            self.report_done(origin, header.partition, done, now);
            return Ok(());
        }
        let (uniform, mark) = self.match_record(chunk, range.clone())?;
        self.count_for_the_unknown(&header);
        self.count_topic(&header, chunk, &range);
        self.serving
            .stream(origin, header.partition)
            .receive(header.last());
        if let (Some(id), Some(set)) = (mark, uniform) {
            self.tell_served(id, set);
        }
        let owed = match uniform {
            Some(set) => self.route_whole(set, origin, header, chunk, range.clone(), now),
            None => self.route_parts(origin, header, chunk, now),
        };
        if owed {
            self.serving.keep(origin, header, chunk.slice(range));
        }
        let done = self.serving.stream(origin, header.partition).done();
        if done == header.last() {
            self.report_done(origin, header.partition, done, now);
        }
        Ok(())
    }

    /// Whoever could not say what its clients want may have wanted the messages.
    fn count_for_the_unknown(&mut self, header: &Header) {
        let given_up = |peer: &&super::peers::PeerState| peer.given_up && peer.is_here();
        let unknown = self.peers.iter().filter(given_up).count() as u64;
        if unknown > 0 {
            let (messages, bytes) = (u64::from(header.messages), header.length as usize);
            let (messages, bytes) = (messages * unknown, bytes * unknown as usize);
            self.stats
                .drop(DropReason::InterestUnknown, messages, bytes);
        }
    }

    /// Counts a record for its topic, unless it is not in the sample.
    fn count_topic(&mut self, header: &Header, chunk: &Bytes, range: &Range<usize>) {
        let weight = u64::from(self.topics.weight());
        if weight == 0 {
            return;
        }
        let buffer = &chunk[..range.end];
        if let Ok(Item::Message(span)) = item_at(buffer, range.start, self.limits.frames) {
            let key = zmesh_partition::key(subject(span.topic(chunk)));
            let (messages, bytes) = (u64::from(header.messages), u64::from(header.length));
            self.topics
                .count(key, header.partition, messages * weight, bytes * weight);
        }
    }

    /// Finds who wants the messages. `Some` if all of them are wanted by the same nodes;
    /// otherwise each message with its nodes is in `scratch.messages`. With it the mark, if one of
    /// them is marked.
    fn match_record(
        &mut self,
        chunk: &Bytes,
        range: Range<usize>,
    ) -> Result<(Option<SetId>, Option<u64>), FrameError> {
        let Self {
            nodes,
            scratch,
            limits,
            ..
        } = self;
        scratch.messages.clear();
        let (mut first, mut mark) = (None, None);
        let mut uniform = true;
        for_each_message(chunk, range.clone(), limits.frames, |span| {
            let topic = span.topic(chunk);
            let (id, topic) = traced(topic).map_or((None, topic), |(id, it)| (Some(id), it));
            mark = mark.or(id);
            let set = nodes.find(topic);
            uniform &= *first.get_or_insert(set) == set;
        })?;
        if uniform {
            return Ok((Some(first.unwrap_or_else(|| nodes.find(b""))), mark));
        }
        for_each_message(chunk, range, limits.frames, |span| {
            let set = nodes.find(subject(span.topic(chunk)));
            scratch.messages.push((set, span));
        })?;
        Ok((None, mark))
    }

    /// Sends a whole record to each of a set of nodes. Returns whether anybody owes an ack.
    fn route_whole(
        &mut self,
        set: SetId,
        origin: Instance,
        header: Header,
        chunk: &Bytes,
        range: Range<usize>,
        now: Time,
    ) -> bool {
        let mut slots = std::mem::take(&mut self.scratch.slots);
        slots.clear();
        slots.extend_from_slice(self.nodes.ids(set));
        let mut owed = false;
        for slot in &slots {
            let range = std::slice::from_ref(&range);
            owed |= self.route(*slot, origin, header, chunk, range, now);
        }
        self.scratch.slots = slots;
        owed
    }

    /// Sends to each node what it wants of the record in `scratch.messages`.
    fn route_parts(&mut self, origin: Instance, header: Header, chunk: &Bytes, now: Time) -> bool {
        let mut parts: BTreeMap<Slot, Part> = BTreeMap::new();
        for (set, span) in &self.scratch.messages {
            for slot in self.nodes.ids(*set) {
                parts.entry(*slot).or_default().add(span);
            }
        }
        let mut owed = false;
        for (slot, part) in parts {
            let header = part.header(header);
            owed |= self.route(slot, origin, header, chunk, &part.ranges, now);
        }
        owed
    }

    /// Sends a record, or part of one, to one node. Returns whether it owes an ack.
    fn route(
        &mut self,
        slot: Slot,
        origin: Instance,
        header: Header,
        chunk: &Bytes,
        ranges: &[Range<usize>],
        now: Time,
    ) -> bool {
        self.stats.routed_messages += u64::from(header.messages);
        if slot == SELF {
            let held = self.deliver(SELF, origin, header, chunk, ranges, now);
            if held {
                self.serving
                    .stream(origin, header.partition)
                    .sent(SELF, &header);
            } else {
                self.stats.acked_messages += u64::from(header.messages);
            }
            return held;
        }
        let peer = self.peers.get_mut(slot);
        let unreachable = (!peer.is_here()).then_some(DropReason::Unreachable);
        let passed_over = peer.passed_over.then_some(DropReason::PassedOver);
        if let Some(reason) = unreachable.or(passed_over) {
            let (messages, bytes) = (u64::from(header.messages), header.length as usize);
            self.stats.drop(reason, messages, bytes);
            self.note_drop(header.partition, reason, now);
            return false;
        }
        if self
            .serving
            .stream(origin, header.partition)
            .sent(slot, &header)
        {
            if peer.owing == 0 {
                peer.progress_at = now;
            }
            peer.owing += 1;
        }
        self.send(slot, false, origin, header, chunk, ranges);
        true
    }

    /// A node has delivered a stream up to this number.
    pub(super) fn handle_ack(
        &mut self,
        slot: Slot,
        origin: Instance,
        partition: u16,
        last: u64,
        now: Time,
    ) {
        let Some(served) = self.serving.existing(origin, partition) else {
            return;
        };
        let acked = served.acked(slot, last);
        self.stats.acked_messages += acked.messages;
        self.apply(slot, origin, partition, acked, now);
    }

    fn apply(&mut self, slot: Slot, origin: Instance, partition: u16, acked: Acked, now: Time) {
        if acked.settled && slot != SELF {
            let peer = self.peers.get_mut(slot);
            peer.owing = peer.owing.saturating_sub(1);
        }
        if let Some(done) = acked.done {
            self.report_done(origin, partition, done, now);
        }
    }

    fn report_done(&mut self, origin: Instance, partition: u16, done: u64, now: Time) {
        if origin == self.me {
            self.finish(partition, done, now);
        } else if let Some(peer) = self.peers.by_instance(origin)
            && peer.accepted
        {
            if !peer.has_replies() {
                self.outputs.push_back(Output::Accepted(origin));
            }
            peer.dones.insert(partition, done);
        }
    }

    /// Nobody waits for a node any more; what it had not acked is dropped and counted.
    pub(super) fn stop_waiting_for(&mut self, slot: Slot, reason: DropReason, now: Time) {
        for (origin, partition) in self.serving.owed_by(slot) {
            let Some(served) = self.serving.existing(origin, partition) else {
                continue;
            };
            let (lost, acked) = served.forget(slot);
            let prefixes = &self.peers.get_mut(slot).prefixes;
            let (messages, bytes) = count_wanted(&lost, prefixes.iter(), self.limits.frames);
            // What it has come to want since was not sent to it.
            let messages = messages.min(acked.messages);
            self.stats.drop(reason, messages, bytes);
            // The others it had acked before, or no longer wants.
            self.stats.acked_messages += acked.messages - messages;
            if messages > 0 {
                self.note_drop(partition, reason, now);
            }
            self.apply(slot, origin, partition, acked, now);
        }
    }

    /// Sends a node all that it has not acked, again: its link is new.
    pub(super) fn resend_to(&mut self, slot: Slot, now: Time) {
        for (origin, Pending { header, body, .. }) in self.serving.unacked(slot) {
            self.resend(slot, origin, header, &body, now);
        }
    }

    fn resend(&mut self, slot: Slot, origin: Instance, header: Header, body: &Bytes, now: Time) {
        let mut part = Part::default();
        let Self { nodes, limits, .. } = self;
        let found = for_each_message(body, 0..body.len(), limits.frames, |span| {
            let set = nodes.find(subject(span.topic(body)));
            if nodes.ids(set).contains(&slot) {
                part.add(&span);
            }
        });
        debug_assert!(found.is_ok(), "the record was matched when it came");
        // Also with no message left that it wants: its ack is still owed.
        let header = part.header(header);
        self.send(slot, false, origin, header, body, &part.ranges);
        self.close_buffer(body, now);
    }
}

impl Part {
    fn add(&mut self, span: &Span) {
        let range = span.range();
        self.messages += 1;
        self.bytes += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    fn header(&self, whole: Header) -> Header {
        Header {
            messages: self.messages,
            length: self.bytes as u32,
            ..whole
        }
    }
}

/// How many of some records' messages, and bytes of them, begin with one of the prefixes.
fn count_wanted<'a>(
    records: &[Pending],
    prefixes: impl Iterator<Item = &'a Vec<u8>>,
    limits: FrameLimits,
) -> (u64, usize) {
    let mut wanted = (0, 0);
    if records.is_empty() {
        return wanted;
    }
    let mut index = PrefixIndex::default();
    for prefix in prefixes {
        index.insert(prefix, SELF);
    }
    for Pending { body, .. } in records {
        let counted = for_each_message(body, 0..body.len(), limits, |span| {
            let set = index.find(subject(span.topic(body)));
            if !index.ids(set).is_empty() {
                wanted.0 += 1;
                wanted.1 += span.range().len();
            }
        });
        debug_assert!(counted.is_ok(), "the record was matched when it came");
    }
    wanted
}
