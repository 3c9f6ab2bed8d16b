//! What must hold, and whether it does.

use std::collections::{BTreeMap, BTreeSet};

use zmesh_node::forward::{DropReason, Instance, Message, Stats, Time};

use crate::clients::{Owed, Subscriber};
use crate::membership::Standing;
use crate::message::Stamp;
use crate::world::World;

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A subscriber got a message twice.
    Doubled,
    /// A subscriber got a message behind a later one.
    Reordered,
    /// A subscriber did not get what it was promised.
    Lost,
    /// Counters of a node do not add up.
    Miscounted,
    /// The mesh did not come to rest.
    Restless,
    /// A node was passed over although all was well.
    PassedOver,
    /// A core refused what another had sent.
    Refused,
}

#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) violations: Vec<(Kind, String)>,
    /// What each node knows of each other's prefixes.
    interest: BTreeMap<(Instance, Instance), BTreeSet<Vec<u8>>>,
    /// Until when somebody held the node dead, or it somebody, without reason.
    pub(crate) blind: BTreeMap<Instance, Time>,
    /// Nodes that did not leave in order.
    pub(crate) crashed: BTreeSet<Instance>,
    /// Drops of nodes that are no more.
    pub(crate) dropped_before: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) pauses: u64,
    pub(crate) passed_over: u64,
}

impl Oracle {
    pub(crate) fn report(&mut self, kind: Kind, text: String) {
        self.violations.push((kind, text));
    }

    /// A node takes in what another's clients want.
    pub(crate) fn note_interest(&mut self, at: Instance, of: Instance, message: &Message) {
        let Message::Interest {
            snapshot, changes, ..
        } = message
        else {
            return;
        };
        let known = self.interest.entry((at, of)).or_default();
        if *snapshot {
            known.clear();
        }
        for (add, prefix) in changes {
            if *add {
                known.insert(prefix.clone());
            } else {
                known.remove(prefix);
            }
        }
    }

    /// A link has closed from a node that is not a member here: it is forgotten.
    pub(crate) fn forget_interest(&mut self, at: Instance, of: Instance) {
        self.interest.remove(&(at, of));
    }

    pub(crate) fn knows(&self, at: Instance, of: Instance, prefix: &str) -> bool {
        let known = self.interest.get(&(at, of));
        known.is_some_and(|known| known.contains(prefix.as_bytes()))
    }

    /// A subscriber got a message.
    pub(crate) fn check(&mut self, subscriber: &mut Subscriber, stamp: Stamp) {
        self.delivered += 1;
        let client = subscriber.client;
        subscriber.owed.remove(&stamp);
        if !subscriber.seen.insert(stamp) {
            self.report(Kind::Doubled, format!("{client:?} got {stamp:?} twice"));
            return;
        }
        let stream = (stamp.publisher, stamp.topic);
        let last = subscriber.last.entry(stream).or_insert(0);
        if stamp.number < *last {
            let text = format!("{client:?} got {stamp:?} behind {last}");
            self.report(Kind::Reordered, text);
        }
        *last = stamp.number.max(*last);
    }
}

/// Messages that a node dropped because another could not be reached or did not ack.
pub(crate) fn dropped(stats: &Stats, reason: DropReason) -> u64 {
    stats.dropped[reason as usize]
}

impl World {
    /// Everything is through: `None`. Otherwise what is not.
    pub(crate) fn unrest(&self) -> Option<String> {
        if self.has_news() {
            return Some("news is on its way".into());
        }
        for (instance, process) in &self.processes {
            let stats = process.router.stats();
            let owing = (
                stats.undone_bytes,
                stats.unacked_bytes,
                stats.moving_partitions,
            );
            if owing != (0, 0, 0) {
                return Some(format!("{instance:?}: undone, unacked, moving: {owing:?}"));
            }
            if process.record.standing != Standing::Ready {
                return Some(format!("{instance:?} is {:?}", process.record.standing));
            }
            for other in self.processes.keys().filter(|other| *other != instance) {
                let session = process.dialed.get(other);
                let session = session.and_then(|id| self.sessions.get(id));
                if !session.is_some_and(crate::links::Session::is_idle) {
                    return Some(format!("link from {instance:?} to {other:?}"));
                }
                let waits = (&process.messages_wait, &process.replies_wait);
                if waits.0.contains(other) || waits.1.contains(other) {
                    return Some(format!("{instance:?} has something for {other:?}"));
                }
            }
        }
        self.unrest_of_clients()
    }

    fn unrest_of_clients(&self) -> Option<String> {
        for publisher in &self.publishers {
            if publisher.waiting {
                return Some(format!("{:?} waits to be read", publisher.client));
            }
        }
        for subscriber in &self.subscribers {
            let client = subscriber.client;
            let router = &self.processes[&subscriber.node].router;
            let stats = router.client_stats(client);
            let waiting = stats.map_or(0, |stats| stats.queue_messages);
            if subscriber.awake || subscriber.closing || waiting > 0 {
                return Some(format!("{waiting} messages wait for {client:?}"));
            }
            let mut prefixes = subscriber.prefixes.iter();
            let waits = prefixes.find(|(_, held)| held.ready.is_none());
            if let Some((prefix, _)) = waits
                && self.dropped_by_queue(subscriber) == 0
            {
                return Some(format!("{client:?} was not told of {prefix:?}"));
            }
        }
        None
    }

    pub(crate) fn dropped_by_queue(&self, subscriber: &Subscriber) -> u64 {
        let router = &self.processes[&subscriber.node].router;
        let stats = router.client_stats(subscriber.client);
        stats.map_or(0, |stats| stats.dropped_messages)
    }

    /// What a subscriber was promised and did not get must have been dropped and counted.
    pub(crate) fn check_losses(&mut self) {
        let living = self.processes.values();
        let passed_over = |process: &crate::world::Process| {
            dropped(&process.router.stats(), DropReason::PassedOver)
        };
        let passed_over: u64 = living.map(passed_over).sum();
        let passed_over = passed_over + self.oracle.dropped_before;
        let mut losses = Vec::new();
        for subscriber in &self.subscribers {
            let blind = self.oracle.blind.get(&subscriber.node);
            let is_lost = |stamp: &Stamp, owed: &Owed| {
                let stream = (stamp.publisher, stamp.topic);
                let overtaken = subscriber.last.get(&stream) > Some(&stamp.number);
                let alive = !self.oracle.crashed.contains(&owed.origin);
                (alive || overtaken) && blind.is_none_or(|until| *until < owed.at)
            };
            let lost = subscriber.owed.iter();
            let lost: Vec<Stamp> = lost
                .filter(|(stamp, owed)| is_lost(stamp, owed))
                .map(|(stamp, _)| *stamp)
                .collect();
            let counted = self.dropped_by_queue(subscriber) + passed_over;
            if lost.len() as u64 > counted {
                losses.push(format!(
                    "{:?} on {:?} got {} messages too few ({counted} drops counted), such as {:?}",
                    subscriber.client,
                    subscriber.node,
                    lost.len(),
                    lost[0],
                ));
            }
        }
        for text in losses {
            self.oracle.report(Kind::Lost, text);
        }
    }

    /// At rest every node has handed to its clients, or dropped and counted, what they wanted.
    pub(crate) fn check_counts(&mut self) {
        let mut wrong = Vec::new();
        for (instance, process) in &self.processes {
            let stats = process.router.stats();
            use DropReason::{QueueFull, QueueOldest, SubscriberGone};
            let reasons = [QueueFull, QueueOldest, SubscriberGone];
            let dropped: u64 = reasons.map(|reason| dropped(&stats, reason)).iter().sum();
            if stats.matched_messages != stats.delivered_messages + dropped {
                wrong.push(format!("{instance:?}: {stats:?}"));
            }
            if stats.unaccounted() != [0; 3] {
                let unaccounted = stats.unaccounted();
                wrong.push(format!("{instance:?}: {unaccounted:?} of {stats:?}"));
            }
            if stats.delivered_messages != process.handed {
                let handed = process.handed;
                wrong.push(format!(
                    "{instance:?} handed {handed} to clients: {stats:?}"
                ));
            }
        }
        for text in wrong {
            self.oracle.report(Kind::Miscounted, text);
        }
    }
}
