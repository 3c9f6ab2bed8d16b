//! First place: the node that took a message. It cuts what clients send into records, numbers
//! them, and keeps each until its owner says that it is done.

use std::ops::Range;

use bytes::Bytes;

use super::outbox::{New, Placed};
use super::own::RESERVED;
use super::router::{Output, Router};
use super::topology::desired;
use super::{ClientId, DropReason, Header, Instance, Time};
use crate::zmtp::frames::Span;

struct Run {
    partition: u16,
    range: Range<usize>,
    messages: u32,
}

impl Router {
    /// A client has sent messages: whole ones, at these places of a buffer.
    pub fn handle_publish(&mut self, client: ClientId, chunk: &Bytes, spans: &[Span], now: Time) {
        self.nodes.trim();
        self.clients.index.trim();
        let mut run: Option<Run> = None;
        let mut last_key: &[u8] = b"";
        let mut last_partition = None;
        for span in spans {
            let topic = span.topic(chunk);
            if topic.starts_with(RESERVED) {
                self.stats.drop(DropReason::Reserved, 1, span.range().len());
                self.stats.taken_messages += 1;
                continue;
            }
            let key = zmesh_partition::key(topic);
            let partition = match last_partition {
                Some(partition) if key == last_key => partition,
                _ => self.partition_of(key),
            };
            (last_key, last_partition) = (key, Some(partition));
            match &mut run {
                Some(run) if run.partition == partition && run.range.end == span.range().start => {
                    run.range.end = span.range().end;
                    run.messages += 1;
                }
                _ => {
                    let next = Run {
                        partition,
                        range: span.range(),
                        messages: 1,
                    };
                    if let Some(run) = run.replace(next) {
                        self.publish(client, chunk, run, now);
                    }
                }
            }
        }
        if let Some(run) = run {
            self.publish(client, chunk, run, now);
        }
        self.close_buffer(chunk, now);
        self.settle(now);
    }

    fn publish(&mut self, client: ClientId, chunk: &Bytes, run: Run, now: Time) {
        let body = chunk.slice(run.range.clone());
        self.stats.taken_messages += u64::from(run.messages);
        self.stats.taken_bytes += body.len() as u64;
        self.clients
            .charge(client, u64::from(run.messages), body.len());
        let new = New {
            count: run.messages,
            body,
            client,
            taken_at: now,
        };
        let placed = self.place(run.partition, new, now);
        if let Some(target) = placed.to {
            self.give(target, placed.header, chunk, run.range, now);
        }
    }

    /// Numbers a record and finds out where it goes.
    pub(super) fn place(&mut self, partition: u16, new: New, now: Time) -> Placed {
        let (me, ring, peers) = (self.me, &self.topology.ring, &self.peers);
        let desired = || desired(me, ring, peers, partition, now);
        self.outbox.add(partition, new, self.ring_version, desired)
    }

    /// Gives a record of this node to its owner: over the link, if that is up. If it is not, the
    /// record goes when it comes up.
    pub(super) fn give(
        &mut self,
        target: Instance,
        header: Header,
        chunk: &Bytes,
        range: Range<usize>,
        now: Time,
    ) {
        if target == self.me {
            let served = self.serve(self.me, header, chunk, range, now);
            debug_assert!(
                served.is_ok(),
                "messages were found whole when they were taken"
            );
            return;
        }
        if let Some(slot) = self.peers.find(target) {
            self.send(slot, true, self.me, header, chunk, &[range]);
        }
    }

    /// Puts a record into what waits for a link. The batch stays open until the buffer is
    /// through.
    pub(super) fn send(
        &mut self,
        slot: u32,
        publish: bool,
        origin: Instance,
        header: Header,
        chunk: &Bytes,
        ranges: &[Range<usize>],
    ) {
        let peer = self.peers.get_mut(slot);
        if !peer.up {
            return;
        }
        if peer.outgoing.is_empty() {
            self.outputs.push_back(Output::Link(peer.instance));
        }
        peer.count(&header);
        self.stats.forwarded_messages += u64::from(header.messages);
        self.stats.forwarded_bytes += u64::from(header.length);
        if !self.touched.contains(&slot) {
            self.touched.push(slot);
        }
        peer.batch(publish, origin, chunk)
            .add(header, chunk, ranges);
    }

    /// The owner of a stream of this node is through with it up to this number.
    pub(super) fn finish(&mut self, partition: u16, last: u64, now: Time) {
        let (freed, free_to_move) = self.outbox.done(partition, last);
        let mut resumed = Vec::new();
        for kept in freed {
            let count = u64::from(kept.header.count);
            self.stats.done_messages += count;
            let took = now.saturating_sub(kept.taken_at);
            self.stats.done_times.observe(took, count);
            self.tell_done(&kept);
            self.clients
                .discharge(kept.client, kept.body.len(), &mut resumed);
        }
        resumed.sort_unstable();
        resumed.dedup();
        self.outputs.extend(resumed.into_iter().map(Output::Client));
        if free_to_move {
            self.revise(partition, now);
        }
    }
}
