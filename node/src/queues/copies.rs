//! Copies of queues: how an owner has one made, and what becomes of one when its owner dies.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use zmesh_partition::Partition;

use super::message::{Carried, Change, Standing};
use super::owner::{BATCH_BYTES, BATCH_TASKS, Feed};
use super::store::{State, Store};
use super::{Message, Queues};
use crate::forward::{Instance, Time};

/// Another node's queue, as far as it has told.
#[derive(Debug, Default)]
pub(super) struct Copy {
    pub(super) store: Store,
    seen: HashMap<u64, u64>,
    /// The last change that was taken in.
    seq: u64,
}

/// By the owner, and the queue.
pub(super) type Copies = BTreeMap<(Instance, Bytes), Copy>;

impl Queues {
    /// The node that has the copy of a queue here: the first owner in the ring beside this node.
    pub(super) fn copy_of(&self, queue: &[u8]) -> Option<Instance> {
        let mut owners = self.ring.owners(Partition::of_topic(queue));
        owners.find(|node| *node != self.me && self.here.contains(node))
    }

    /// Has the right node make the copy: from the beginning, if it is another one than before.
    pub(super) fn choose_copy(&mut self, queue: &Bytes) {
        let to = self.copy_of(queue);
        let feed = self.owned.get(queue).and_then(|owned| owned.feed);
        if feed.map(|feed| feed.to) == to {
            return;
        }
        if let Some(owned) = self.owned.get_mut(queue) {
            owned.feed = None;
            let former = feed.map(|feed| feed.to);
            if let Some(older) = Self::replace_former(owned, former) {
                self.tell_forget(older, queue);
            }
        }
        self.begin_copy(queue);
    }

    /// Tells the copy everything.
    pub(super) fn begin_copy(&mut self, queue: &Bytes) {
        let to = self.copy_of(queue);
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        let Some(to) = to else {
            owned.feed = None;
            return;
        };
        let mut changes = vec![Change::Reset, Change::Seen(Self::seen_of(owned))];
        let (mut tasks, mut bytes) = (Vec::new(), 0);
        for (id, task) in owned.store.iter() {
            bytes += task.body.len();
            tasks.push(task.carried(id));
            if tasks.len() >= BATCH_TASKS || bytes >= BATCH_BYTES {
                changes.push(Change::Add(std::mem::take(&mut tasks)));
                bytes = 0;
            }
        }
        if !tasks.is_empty() {
            changes.push(Change::Add(tasks));
        }
        let first = self.seq + 1;
        self.seq += changes.len() as u64;
        owned.feed = Some(Feed {
            to,
            first,
            seq: self.seq,
            acked: 0,
            begun: self.seq,
        });
        Self::rebase(owned, self.seq);
        for (seq, change) in (first..).zip(changes) {
            let queue = queue.clone();
            let after = if seq == first { 0 } else { seq - 1 };
            let message = Message::Copy {
                queue,
                after,
                seq,
                change,
            };
            self.send(to, message);
        }
    }

    /// Tells the copy of a change; its number.
    pub(super) fn feed(&mut self, queue: &Bytes, change: Change) -> u64 {
        let owned = self.owned.get_mut(queue);
        let Some(feed) = owned.and_then(|owned| owned.feed.as_mut()) else {
            return 0;
        };
        self.seq += 1;
        let (to, after) = (feed.to, feed.seq);
        feed.seq = self.seq;
        let message = Message::Copy {
            queue: queue.clone(),
            after,
            seq: self.seq,
            change,
        };
        self.send(to, message);
        self.seq
    }

    /// The number of the last change.
    pub(super) fn feed_seq(&self, queue: &Bytes) -> u64 {
        let owned = self.owned.get(queue);
        owned
            .and_then(|owned| owned.feed)
            .map_or(0, |feed| feed.seq)
    }

    /// A copy has everything up to this change.
    pub(super) fn take_copied(&mut self, from: Instance, queue: &Bytes, seq: u64, now: Time) {
        let Some(owned) = self.owned.get_mut(queue) else {
            return;
        };
        match &mut owned.feed {
            // What it acks may be of a feed before this one.
            Some(feed) if feed.to == from && (feed.first..=feed.seq).contains(&seq) => {
                feed.acked = feed.acked.max(seq);
            }
            _ => return,
        }
        if let Some(former) = Self::former_to_forget(owned) {
            self.tell_forget(former, queue);
        }
        self.advance(queue, now);
    }

    /// The queue is no more: nor is its copy.
    pub(super) fn forget_copy(&mut self, queue: &Bytes, feed: Option<Feed>) {
        if let Some(feed) = feed {
            self.tell_forget(feed.to, queue);
        }
    }

    fn tell_forget(&mut self, to: Instance, queue: &Bytes) {
        let message = Message::Copy {
            queue: queue.clone(),
            after: 0,
            seq: 0,
            change: Change::Forget,
        };
        self.send(to, message);
    }

    /// An owner tells of a change.
    pub(super) fn take_change(
        &mut self,
        key: (Instance, Bytes),
        after: u64,
        seq: u64,
        change: Change,
    ) {
        match change {
            Change::Forget => {
                self.copies.remove(&key);
                return;
            }
            Change::Reset => drop(self.copies.insert(key.clone(), Copy::default())),
            _ => {}
        }
        let Some(copy) = self.copies.get_mut(&key) else {
            // It began before the link did: the owner begins anew.
            return;
        };
        if after != copy.seq {
            return;
        }
        copy.seq = seq;
        match change {
            Change::Reset | Change::Forget => {}
            Change::Seen(seen) => copy.seen.extend(seen),
            Change::Add(tasks) => tasks.into_iter().for_each(|task| copy.add(task)),
            Change::Gone(tasks) => {
                for id in tasks {
                    copy.store.remove(id);
                }
            }
            Change::Attempt { id, attempt, dead } => {
                copy.store.set_attempt(id, attempt);
                copy.store
                    .set(id, if dead { State::Dead } else { State::Ready });
            }
        }
        let (owner, queue) = key;
        self.due.copied.insert((owner, queue), seq);
        self.wake_due(owner);
    }

    /// Owners that have gone: what they told goes on here.
    pub(super) fn promote_copies(&mut self, now: Time) {
        let (here, me) = (&self.here, self.me);
        let owners = self.copies.keys();
        let gone = owners.filter(|(owner, _)| *owner != me && !here.contains(owner));
        let gone: Vec<(Instance, Bytes)> = gone.cloned().collect();
        for key in gone {
            if let Some(copy) = self.copies.remove(&key) {
                self.promote(&key.1, &copy.store, &copy.seen, now);
            }
        }
    }
}

impl Copy {
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    fn add(&mut self, task: Carried) {
        let seen = self.seen.entry(task.id.origin).or_default();
        *seen = (*seen).max(task.id.number);
        let state = match task.standing {
            Standing::Dead => State::Dead,
            Standing::Ready | Standing::Given => State::Ready,
        };
        // One behind the other, as they came.
        self.store.add(task.id, 0, task.attempt, state, task.body);
    }
}
