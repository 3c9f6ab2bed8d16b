//! What must hold of messages: nothing lost, doubled or reordered, one order per topic, and
//! everything counted.
//!
//! A message is promised to a subscriber if, when it was published, the subscriber's prefix was in
//! force, and the publisher's node held the subscriber's node alive and knew of the prefix. It need
//! not arrive if the publisher's own node crashed; if a node that served it held the
//! subscriber's node dead at the time or later, for that side of a partition goes on alone; or if
//! it was dropped and counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use foldhash::fast::FixedState;
use zmesh_node::forward::{ClientId, DropReason, Instance, Stats};

use super::order::Order;
use super::{Kind, Planted, Stamp, Watch};
use crate::sim::Time;
use crate::sim::clients::{TOPICS, spans, stamp};
use crate::sim::process::ProcessId;

/// No message is on its way for longer, from where it was taken or served.
const ON_THE_WAY: Time = Time::from_secs(60);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It was killed, or its host was lost.
    Crashed,
    /// It left in order.
    Departed,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    at: Time,
    origin: ProcessId,
}

/// A subscriber, as the watch knows it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Prefixes, and whether they are in force.
    prefixes: BTreeMap<Vec<u8>, bool>,
    /// Prefixes given up before they were in force.
    retired: BTreeSet<Vec<u8>>,
    owed: BTreeMap<Stamp, Owed>,
    seen: HashSet<Stamp, FixedState>,
    last: BTreeMap<(u32, u16), u32>,
    /// What came on each topic.
    order: BTreeMap<u16, Vec<Stamp>>,
    swapped: Option<Stamp>,
}

/// A node that had a message, since when, and until when at least.
type Place = (ProcessId, Time, Time);

/// Whether something was so for a node and an instance while a message was there or on its way.
fn was(
    times: &BTreeMap<(ProcessId, Instance), Vec<(Time, Time)>>,
    (place, first, last): Place,
    instance: Instance,
) -> bool {
    let mut times = times.get(&(place, instance)).into_iter().flatten();
    times.any(|(from, until)| *until >= first && *from <= last + ON_THE_WAY)
}

impl Watch {
    /// A program subscribes. `false` if it must not: it has the prefix, or word of an earlier
    /// subscription to it may still be on the way.
    pub fn subscribed(&mut self, process: ProcessId, client: ClientId, prefix: &str) -> bool {
        let reader = self.readers.entry((process, client)).or_default();
        let prefix = prefix.as_bytes();
        let fits = !reader.prefixes.contains_key(prefix) && !reader.retired.contains(prefix);
        if fits {
            reader.prefixes.insert(prefix.into(), false);
        }
        fits
    }

    /// A program no longer wants a prefix: what only that promised is no longer promised.
    /// `false` if it has no such prefix.
    pub fn unsubscribed(&mut self, process: ProcessId, client: ClientId, prefix: &str) -> bool {
        let Some(reader) = self.readers.get_mut(&(process, client)) else {
            return false;
        };
        match reader.prefixes.remove(prefix.as_bytes()) {
            None => return false,
            Some(true) => {}
            Some(false) => drop(reader.retired.insert(prefix.into())),
        }
        let prefixes = &reader.prefixes;
        reader.owed.retain(|stamp, _| {
            let topic = TOPICS[usize::from(stamp.topic)].as_bytes();
            prefixes
                .iter()
                .any(|(it, ready)| *ready && topic.starts_with(it))
        });
        true
    }

    /// A program is told that a prefix of its is in force everywhere.
    pub fn told_ready(&mut self, process: ProcessId, client: ClientId, prefix: &[u8]) {
        let reader = self.readers.get_mut(&(process, client));
        if let Some(ready) = reader.and_then(|it| it.prefixes.get_mut(prefix)) {
            *ready = true;
        }
    }

    /// A program is gone.
    pub fn client_closed(&mut self, process: ProcessId, client: ClientId) {
        self.readers.remove(&(process, client));
    }

    /// Whether every subscription of a process is in force; if not, one that is not.
    /// `dropped` says of which program the queue was full: the word may have been dropped too.
    pub fn waits_for_ready(
        &self,
        process: ProcessId,
        dropped: impl Fn(ClientId) -> bool,
    ) -> Option<String> {
        let readers = self.readers.iter();
        let readers = readers.filter(|((at, client), _)| *at == process && !dropped(*client));
        let mut waits = readers.flat_map(|((_, client), reader)| {
            let prefixes = reader.prefixes.iter().filter(|(_, ready)| !**ready);
            prefixes.map(move |(prefix, _)| (client, prefix))
        });
        let (client, prefix) = waits.next()?;
        let prefix = String::from_utf8_lossy(prefix);
        Some(format!("{client:?} was not told of {prefix:?}"))
    }

    /// A node takes a message from a program.
    pub fn published(&mut self, process: ProcessId, stamp: Stamp, now: Time) {
        self.counts.published += 1;
        self.origins.insert(stamp.publisher, process);
        if self.follow == Some(stamp) {
            self.tell(|| format!("{process:?} takes it"));
        }
        let topic = TOPICS[usize::from(stamp.topic)].as_bytes();
        let owed = Owed {
            at: now,
            origin: process,
        };
        let nothing = BTreeSet::new();
        let holds = self.holds.get(&process).unwrap_or(&nothing);
        let all_is_well = self.calm;
        for ((at, _), reader) in &mut self.readers {
            let instance = self.mine[at].0;
            let known = self.interest.get(&(process, instance));
            let mut prefixes = reader.prefixes.iter();
            let promised = prefixes.any(|(prefix, ready)| {
                let here = *at == process;
                let there =
                    || holds.contains(&instance) && known.is_some_and(|it| it.contains(prefix));
                *ready && topic.starts_with(prefix) && (here || all_is_well || there())
            });
            if promised {
                self.counts.promised += 1;
                reader.owed.insert(stamp, owed);
            }
        }
    }

    /// Whether the message that is followed is among these.
    pub(super) fn carries_followed(&self, body: &Bytes) -> bool {
        spans(body).iter().any(|span| {
            let rest = body.get(span.topic_end as usize + 2..span.end as usize);
            rest.and_then(|rest| stamp(span.topic(body), rest)) == self.follow
        })
    }

    /// Records come to a node that serves them.
    pub(super) fn note_served(&mut self, process: ProcessId, body: &Bytes) {
        if self.follow.is_some() && self.carries_followed(body) {
            self.tell(|| format!("{process:?} is to serve it"));
        }
        for span in spans(body) {
            let (topic, rest) = (span.topic(body), span.topic_end as usize + 2);
            if let Some(stamp) = body
                .get(rest..span.end as usize)
                .and_then(|it| stamp(topic, it))
            {
                let served = self.served.entry(stamp).or_default();
                match served.iter_mut().find(|(by, _, _)| *by == process) {
                    Some((_, _, last)) => *last = self.now,
                    None => served.push((process, self.now, self.now)),
                }
            }
        }
    }

    /// A message is not as it was sent.
    pub fn damaged(&mut self, process: ProcessId, message: &[u8]) {
        self.report(Kind::Damaged, format!("at {process:?}: {message:?}"));
    }

    /// A program gets a message.
    pub fn received(&mut self, process: ProcessId, client: ClientId, stamp: Stamp) {
        match self.planted {
            Some(Planted::Loss) if stamp.number % 16 == 3 => return,
            Some(Planted::Double) if stamp.number % 16 == 3 => self.check(process, client, stamp),
            Some(Planted::Damage) if stamp.number % 16 == 3 => return self.damaged(process, b"?"),
            Some(Planted::Swap | Planted::OwnOrder) => {
                let held = self.swap(process, client, stamp);
                if let Some(stamp) = held {
                    self.check(process, client, stamp);
                }
                return;
            }
            _ => {}
        }
        self.check(process, client, stamp);
    }

    /// Planted: now and then a message is held until the next one has gone before it.
    fn swap(&mut self, process: ProcessId, client: ClientId, stamp: Stamp) -> Option<Stamp> {
        let own = self.planted == Some(Planted::OwnOrder);
        let reader = self.readers.get_mut(&(process, client))?;
        if reader.swapped.is_none() && stamp.number % 8 == 3 && (!own || client.0.is_multiple_of(2))
        {
            reader.swapped = Some(stamp);
            return None;
        }
        let other_publisher = |held: &Stamp| held.publisher != stamp.publisher;
        let fits = reader.swapped.is_some_and(|held| held.topic == stamp.topic)
            && reader
                .swapped
                .as_ref()
                .is_some_and(|held| !own || other_publisher(held));
        let held = reader.swapped.take();
        if fits {
            self.check(process, client, stamp);
            return held;
        }
        if let Some(held) = held {
            self.check(process, client, held);
        }
        Some(stamp)
    }

    fn check(&mut self, process: ProcessId, client: ClientId, stamp: Stamp) {
        self.counts.delivered += 1;
        self.arrived.insert(stamp, self.now);
        if self.follow == Some(stamp) {
            self.tell(|| format!("{process:?} {client:?} gets it"));
        }
        let Some(reader) = self.readers.get_mut(&(process, client)) else {
            return;
        };
        reader.owed.remove(&stamp);
        if !reader.seen.insert(stamp) {
            let text = format!("{process:?} {client:?} got {stamp:?} twice");
            return self.report(Kind::Doubled, text);
        }
        reader.order.entry(stamp.topic).or_default().push(stamp);
        let stream = (stamp.publisher, stamp.topic);
        let last = reader.last.insert(stream, stamp.number);
        if let Some(last) = last.filter(|last| stamp.number < *last) {
            reader.last.insert(stream, last);
            let text = format!("{process:?} {client:?} got {stamp:?} behind {last}");
            self.report(Kind::Reordered, text);
        }
    }

    /// What a subscriber was promised and did not get must have been dropped and counted.
    /// `dropped` says how much each subscriber's queue dropped, and `unreached` how much was
    /// dropped because a node could not be reached.
    pub fn check_losses(&mut self, dropped: &BTreeMap<(ProcessId, ClientId), u64>, unreached: u64) {
        let mut losses = Vec::new();
        let mut excused = 0;
        // What a node missed every reader of it missed; one may have wanted less.
        let mut missed: BTreeMap<ProcessId, (u64, Option<Stamp>)> = BTreeMap::new();
        for ((process, client), reader) in &self.readers {
            let owed = reader.owed.iter();
            let lost: Vec<(&Stamp, &Owed)> = owed
                .filter(|(stamp, owed)| self.must_arrive(reader, stamp, owed))
                .collect();
            let (excuses, broken): (Vec<_>, Vec<_>) = lost
                .into_iter()
                .partition(|(stamp, owed)| self.is_excused(*process, stamp, owed));
            excused += excuses.len() as u64;
            let dropped = dropped.get(&(*process, *client)).copied().unwrap_or(0);
            let at_node = missed.entry(*process).or_default();
            let counted = excuses.iter().filter(|(stamp, owed)| {
                let instance = self.mine[process].0;
                let mut places = self.places(stamp, owed);
                !places.any(|place| was(&self.unknown, place, instance))
            });
            let here = (counted.count() + broken.len()) as u64;
            let first = excuses.first().map(|(stamp, _)| **stamp);
            *at_node = (here.saturating_sub(dropped), first).max(*at_node);
            if broken.len() as u64 > dropped {
                let (stamp, owed) = broken[0];
                losses.push(format!(
                    "{process:?} {client:?} got {} messages too few (its queue dropped {dropped}), \
                     such as {stamp:?} of {:?} at {:.3?}, served by {:?}, last seen {:?}",
                    broken.len(),
                    owed.origin,
                    owed.at,
                    self.served.get(stamp),
                    reader.last.get(&(stamp.publisher, stamp.topic)),
                ));
            }
        }
        self.counts.excused += excused;
        for text in losses {
            self.report(Kind::Lost, text);
        }
        // What a node had counted is gone with it when it crashes.
        let lost = self.planted == Some(Planted::LostCount);
        let unreached = if lost { 0 } else { unreached };
        let all_count = !self.ended.values().any(|it| *it == Ended::Crashed);
        if all_count && missed.values().map(|(count, _)| count).sum::<u64>() > unreached {
            let text = format!("nodes missed {missed:?}, and {unreached} were counted");
            self.report(Kind::Uncounted, text);
        }
    }

    /// Nothing is promised any more.
    pub fn forget_promises(&mut self) {
        for reader in self.readers.values_mut() {
            reader.owed.clear();
        }
    }

    fn must_arrive(&self, reader: &Reader, stamp: &Stamp, owed: &Owed) -> bool {
        let stream = (stamp.publisher, stamp.topic);
        let overtaken = reader.last.get(&stream) > Some(&stamp.number);
        overtaken || self.ended.get(&owed.origin) != Some(&Ended::Crashed)
    }

    fn is_excused(&self, process: ProcessId, stamp: &Stamp, owed: &Owed) -> bool {
        if self.calm && owed.at >= self.calm_at {
            return false;
        }
        let instance = self.mine[&process].0;
        let reasons = [&self.unheld, &self.passed_over, &self.given_up];
        let mut places = self.places(stamp, owed);
        places.any(|place| reasons.iter().any(|it| was(it, place, instance)))
    }

    /// Where a message was, as far as that can be seen.
    fn places(&self, stamp: &Stamp, owed: &Owed) -> impl Iterator<Item = Place> {
        let served = self.served.get(stamp).into_iter().flatten();
        let last = self.arrived.get(stamp).copied().unwrap_or(owed.at);
        served.copied().chain([(owed.origin, owed.at, last)])
    }

    /// At rest every node has handed to its clients, or dropped and counted, what they wanted.
    pub fn check_counts(&mut self, process: ProcessId, stats: &Stats, handed: u64) {
        use DropReason::{QueueFull, QueueOldest, SubscriberGone};
        let reasons = [QueueFull, QueueOldest, SubscriberGone];
        let dropped: u64 = reasons.map(|it| stats.dropped[it as usize]).iter().sum();
        let delivered = if self.planted == Some(Planted::Miscount) {
            stats.delivered_messages + 1
        } else {
            stats.delivered_messages
        };
        let even = stats.unaccounted() == [0; 3];
        if !even || stats.matched_messages != delivered + dropped || delivered != handed {
            let text = format!("{process:?} handed {handed} to clients: {stats:?}");
            self.report(Kind::Miscounted, text);
        }
    }

    /// Which node served a message, for the readers at one node. `None` if it may have been more
    /// than one: each reader may have got it from another.
    fn server_of(&self, stamp: &Stamp, at: ProcessId) -> Option<ProcessId> {
        let origin = *self.origins.get(&stamp.publisher)?;
        let by = match self.served.get(stamp).map_or(&[][..], Vec::as_slice) {
            [] => origin,
            [(by, _, _)] => *by,
            _ => return None,
        };
        // The publisher's own node may have served its own readers before another node did.
        (by == origin || at != origin).then_some(by)
    }

    /// Subscribers have seen what one node served of a topic in one order.
    pub fn check_topic_order(&mut self) {
        let mut wrong = Vec::new();
        for topic in 0..TOPICS.len() as u16 {
            let mut orders: BTreeMap<ProcessId, Order> = BTreeMap::new();
            for (at, reader) in &self.readers {
                let mut last: BTreeMap<ProcessId, Stamp> = BTreeMap::new();
                for stamp in reader.order.get(&topic).into_iter().flatten() {
                    let Some(by) = self.server_of(stamp, at.0) else {
                        continue;
                    };
                    let before = last.insert(by, *stamp);
                    orders.entry(by).or_default().add(before, *stamp, *at);
                }
            }
            for (by, order) in orders {
                if let Some((stamp, at)) = order.contradiction() {
                    let topic = TOPICS[usize::from(topic)];
                    wrong.push(format!(
                        "{at:?} saw {stamp:?} of {topic:?}, which {by:?} served, in an order that \
                         is not that of others"
                    ));
                }
            }
        }
        for text in wrong {
            self.report(Kind::TopicOrder, text);
        }
    }
}
