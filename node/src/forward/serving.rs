//! The owner's side: records that were sent on, kept until every interested node has acked them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::dedup::MEMORY;
use super::memory::compact;
use super::{Header, Instance, Time};

/// Place of a node in this node's peer table; 0 is the node itself.
pub(crate) type Slot = u32;

/// A record that somebody has yet to ack.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) header: Header,
    pub(crate) body: Bytes,
    /// The how-manieth that was kept, of all streams: the order that others see.
    kept: u64,
}

/// Streams that this node serves, by origin and partition.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    origins: HashMap<Instance, Origin, FixedState>,
    /// Records kept so far.
    kept: u64,
}

#[derive(Debug, Default)]
struct Origin {
    streams: HashMap<u16, Served, FixedState>,
    gone_since: Option<Time>,
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Served {
    received: u64,
    pending: VecDeque<Pending>,
    /// How many of `pending`, from the front, have memory of their own.
    compacted: usize,
    owed: Vec<Owed>,
}

/// What one node has of a stream that it owes acks of: `acked < sent`.
#[derive(Debug)]
struct Owed {
    slot: Slot,
    acked: u64,
    sent: u64,
    /// Messages that it was sent since it owed nothing.
    messages: u64,
}

/// How an ack changed what a node owes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// The node owes nothing more of this stream.
    pub(crate) settled: bool,
    /// So many messages it had been sent since it last owed nothing, if it is settled.
    pub(crate) messages: u64,
    /// The stream's done level, if it rose.
    pub(crate) done: Option<u64>,
}

impl Serving {
    pub(crate) fn stream(&mut self, origin: Instance, partition: u16) -> &mut Served {
        self.origins
            .entry(origin)
            .or_default()
            .streams
            .entry(partition)
            .or_default()
    }

    pub(crate) fn existing(&mut self, origin: Instance, partition: u16) -> Option<&mut Served> {
        self.origins.get_mut(&origin)?.streams.get_mut(&partition)
    }

    /// Keeps a record for those who owe an ack of it.
    pub(crate) fn keep(&mut self, origin: Instance, header: Header, body: Bytes) {
        self.kept += 1;
        let kept = self.kept;
        let served = self.stream(origin, header.partition);
        served.pending.push_back(Pending { header, body, kept });
    }

    /// Records that a node has to get again when its link is new, with their origins, in the order
    /// in which they were served: several publishers' messages on a topic have one order for all.
    pub(crate) fn unacked(&self, slot: Slot) -> Vec<(Instance, Pending)> {
        let mut found = Vec::new();
        for (origin, partition) in self.owed_by(slot) {
            let served = self
                .origins
                .get(&origin)
                .and_then(|it| it.streams.get(&partition));
            let unacked = served.into_iter().flat_map(|served| served.unacked(slot));
            found.extend(unacked.map(|pending| (origin, pending)));
        }
        found.sort_unstable_by_key(|(_, pending)| pending.kept);
        found
    }

    /// Every stream that a node owes acks of, with its origin.
    pub(crate) fn owed_by(&self, slot: Slot) -> Vec<(Instance, u16)> {
        let mut streams: Vec<_> = self
            .origins
            .iter()
            .flat_map(|(origin, o)| {
                o.streams
                    .iter()
                    .map(move |(p, served)| (*origin, *p, served))
            })
            .filter(|(_, _, served)| served.owes(slot))
            .map(|(origin, partition, _)| (origin, partition))
            .collect();
        streams.sort_unstable();
        streams
    }

    /// Forgets origins that have been gone for [`MEMORY`] and owe nothing.
    pub(crate) fn expire(&mut self, is_here: impl Fn(Instance) -> bool, now: Time) {
        self.origins.retain(|id, origin| {
            if is_here(*id) {
                origin.gone_since = None;
                return true;
            }
            let gone_since = *origin.gone_since.get_or_insert(now);
            now.saturating_sub(gone_since) < MEMORY
                || origin
                    .streams
                    .values()
                    .any(|served| !served.pending.is_empty())
        });
    }

    /// Gives memory of their own to records that have waited since the last call.
    pub(crate) fn compact(&mut self) {
        for served in self
            .origins
            .values_mut()
            .flat_map(|origin| origin.streams.values_mut())
        {
            for pending in served.pending.iter_mut().skip(served.compacted) {
                pending.body = compact(&pending.body);
            }
            served.compacted = served.pending.len();
        }
    }

    /// Every record with each node that owes an ack of it.
    pub(crate) fn unacked_by_all(&self) -> impl Iterator<Item = (Slot, &Pending)> {
        let origins = self.origins.values();
        let streams = origins.flat_map(|origin| origin.streams.values());
        streams.flat_map(|served| {
            let owed = served.owed.iter().enumerate();
            owed.flat_map(|(index, owed)| {
                let unacked = served.unacked_at(index);
                unacked.map(|pending| (owed.slot, pending))
            })
        })
    }

    /// Whether nobody owes an ack.
    pub(crate) fn is_empty(&self) -> bool {
        let origins = self.origins.values();
        let mut streams = origins.flat_map(|origin| origin.streams.values());
        streams.all(|served| served.pending.is_empty())
    }

    /// Messages that were sent to nodes which still owe acks of their streams.
    pub(crate) fn unacked_messages(&self) -> u64 {
        let origins = self.origins.values();
        let streams = origins.flat_map(|origin| origin.streams.values());
        let owed = streams.flat_map(|served| &served.owed);
        owed.map(|owed| owed.messages).sum()
    }

    /// Bytes of records that wait for acks.
    pub(crate) fn pending_bytes(&self) -> usize {
        let streams = self
            .origins
            .values()
            .flat_map(|origin| origin.streams.values());
        streams
            .flat_map(|served| &served.pending)
            .map(|pending| pending.body.len())
            .sum()
    }
}

impl Served {
    /// Whether the record that ends with this number was not received before.
    pub(crate) fn is_new(&self, last: u64) -> bool {
        last > self.received
    }

    /// A record was received.
    pub(crate) fn receive(&mut self, last: u64) {
        self.received = self.received.max(last);
    }

    /// Up to where everything received is acked by all.
    pub(crate) fn done(&self) -> u64 {
        let acked = self.owed.iter().map(|owed| owed.acked);
        acked.min().unwrap_or(self.received)
    }

    /// Notes that a record goes to a node. Returns whether the node owed nothing before.
    pub(crate) fn sent(&mut self, slot: Slot, header: &Header) -> bool {
        if let Some(owed) = self.owed.iter_mut().find(|owed| owed.slot == slot) {
            owed.sent = owed.sent.max(header.last());
            owed.messages += u64::from(header.messages);
            return false;
        }
        self.owed.push(Owed {
            slot,
            acked: header.first - 1,
            sent: header.last(),
            messages: header.messages.into(),
        });
        true
    }

    /// A node has the stream up to this number.
    pub(crate) fn acked(&mut self, slot: Slot, last: u64) -> Acked {
        let before = self.done();
        let Some(index) = self.owed.iter().position(|owed| owed.slot == slot) else {
            return Acked::default();
        };
        let owed = &mut self.owed[index];
        owed.acked = owed.acked.max(last.min(owed.sent));
        let settled = owed.acked >= owed.sent;
        let messages = if settled {
            self.owed.swap_remove(index).messages
        } else {
            0
        };
        Acked {
            settled,
            messages,
            done: self.release(before),
        }
    }

    /// A node will not ack any more. Returns the records that it has not acked.
    pub(crate) fn forget(&mut self, slot: Slot) -> (Vec<Pending>, Acked) {
        let before = self.done();
        let Some(index) = self.owed.iter().position(|owed| owed.slot == slot) else {
            return (Vec::new(), Acked::default());
        };
        let lost = self.unacked_at(index).cloned().collect();
        let messages = self.owed.swap_remove(index).messages;
        (
            lost,
            Acked {
                settled: true,
                messages,
                done: self.release(before),
            },
        )
    }

    fn unacked(&self, slot: Slot) -> Vec<Pending> {
        let index = self.owed.iter().position(|owed| owed.slot == slot);
        index
            .map(|index| self.unacked_at(index).cloned().collect())
            .unwrap_or_default()
    }

    fn unacked_at(&self, index: usize) -> impl Iterator<Item = &Pending> {
        let Owed { acked, sent, .. } = self.owed[index];
        self.pending
            .iter()
            .filter(move |pending| pending.header.first > acked && pending.header.last() <= sent)
    }

    fn owes(&self, slot: Slot) -> bool {
        self.owed.iter().any(|owed| owed.slot == slot)
    }

    fn release(&mut self, before: u64) -> Option<u64> {
        let done = self.done();
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.header.last() <= done)
        {
            self.pending.pop_front();
            self.compacted = self.compacted.saturating_sub(1);
        }
        (done > before).then_some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(first: u64) -> Header {
        Header {
            partition: 0,
            first,
            count: 2,
            messages: 2,
            length: 1,
        }
    }

    const A: Instance = Instance(1);

    fn send(serving: &mut Serving, origin: Instance, first: u64, slots: &[Slot]) {
        let served = serving.stream(origin, 0);
        served.receive(header(first).last());
        for slot in slots {
            served.sent(*slot, &header(first));
        }
        serving.keep(origin, header(first), Bytes::from_static(b"x"));
    }

    #[test]
    fn done_rises_with_the_slowest_of_those_that_owe() {
        let mut serving = Serving::default();
        send(&mut serving, A, 1, &[1, 2]);
        send(&mut serving, A, 3, &[1]);
        let served = serving.stream(A, 0);
        assert_eq!(
            served.acked(1, 4),
            Acked {
                settled: true,
                messages: 4,
                done: None
            }
        );
        assert_eq!(
            served.acked(2, 2),
            Acked {
                settled: true,
                messages: 2,
                done: Some(4)
            }
        );
        assert!(served.pending.is_empty());
    }

    #[test]
    fn a_node_that_was_not_sent_the_first_records_does_not_hold_them_back() {
        let mut serving = Serving::default();
        send(&mut serving, A, 1, &[1]);
        send(&mut serving, A, 3, &[1, 2]);
        let served = serving.stream(A, 0);
        assert_eq!(served.acked(1, 4).done, Some(2));
        assert_eq!(served.acked(2, 4).done, Some(4));
    }

    #[test]
    fn who_has_gone_no_longer_holds_anything_back_and_what_it_missed_is_known() {
        let mut serving = Serving::default();
        send(&mut serving, A, 1, &[1, 2]);
        send(&mut serving, A, 3, &[1, 2]);
        let served = serving.stream(A, 0);
        served.acked(1, 4);
        served.acked(2, 2);
        let (lost, acked) = served.forget(2);
        assert_eq!(lost.len(), 1);
        assert_eq!(
            acked,
            Acked {
                settled: true,
                messages: 4,
                done: Some(4)
            }
        );
    }

    #[test]
    fn what_a_node_gets_again_has_the_order_in_which_it_was_served() {
        let mut serving = Serving::default();
        let b = Instance(2);
        for (origin, first) in [(b, 1), (A, 1), (b, 3), (A, 3)] {
            send(&mut serving, origin, first, &[1, 2]);
        }
        serving.stream(A, 0).acked(1, 2);
        let unacked = serving.unacked(1).into_iter();
        let order: Vec<_> = unacked
            .map(|(origin, pending)| (origin, pending.header.first))
            .collect();
        assert_eq!(order, [(b, 1), (b, 3), (A, 3)]);
    }
}
