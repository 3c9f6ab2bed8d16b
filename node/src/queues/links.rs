//! What waits for the links to other nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::{Message, Output, Queues, TaskId};
use crate::forward::{ClientId, Instance, Time};

/// Word that is put together when a link takes it.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) taken: BTreeMap<(Instance, Bytes), u64>,
    pub(super) copied: BTreeMap<(Instance, Bytes), u64>,
    pub(super) seats: BTreeSet<(Instance, Bytes, ClientId)>,
    pub(super) done: BTreeMap<(Instance, Bytes, ClientId), Vec<TaskId>>,
}

impl Queues {
    /// What waits for nodes that have gone.
    pub(super) fn forget_links(&mut self) {
        let here = &self.here;
        self.links.retain(|peer, _| here.contains(peer));
        self.due.taken.retain(|(peer, _), _| here.contains(peer));
        self.due.copied.retain(|(peer, _), _| here.contains(peer));
        self.due.seats.retain(|(peer, ..)| here.contains(peer));
        // A task that is done stays done, whoever has the queue now.
        let done = std::mem::take(&mut self.due.done);
        for ((owner, queue, client), tasks) in done {
            let owner = match owner == self.me || self.here.contains(&owner) {
                true => owner,
                false => self.owner_of(&queue),
            };
            let due = self.due.done.entry((owner, queue, client)).or_default();
            due.extend(tasks);
            self.wake_due(owner);
        }
    }

    /// The link to a node has come up: nothing that was sent before counts on having arrived.
    pub fn handle_link_up(&mut self, peer: Instance, now: Time) {
        let waiting = self.links.remove(&peer).unwrap_or_default();
        // What workers have done goes once more; all else follows from how things stand.
        let done = waiting.into_iter().filter(|message| {
            matches!(
                message,
                Message::Done { .. } | Message::Failed { .. } | Message::Moved { .. }
            )
        });
        let done: Vec<Message> = done.collect();
        self.send(peer, Message::Seats(self.seats_for(peer)));
        self.send(peer, Message::TellSeats);
        done.into_iter().for_each(|it| self.send(peer, it));
        self.push_again(peer);
        self.tell_origin_again(peer);
        let copies = self.copies.iter().filter(|((owner, _), _)| *owner == peer);
        let copied = copies.map(|(key, copy)| (key.clone(), copy.seq()));
        self.due.copied.extend(copied.collect::<Vec<_>>());
        self.wake_due(peer);
        for queue in self.owned.keys().cloned().collect::<Vec<_>>() {
            let Some(owned) = self.owned.get_mut(&queue) else {
                continue;
            };
            owned.expect_seats(peer);
            if owned.is_moving_to(peer) {
                owned.stop_moving();
            }
            if owned.feed.is_some_and(|feed| feed.to == peer) {
                self.begin_copy(&queue);
            }
            self.move_on(&queue);
        }
        self.settle(now);
    }

    /// The next message for the link to a node.
    pub fn take_message(&mut self, peer: Instance) -> Option<Message> {
        if let Some(message) = self.links.get_mut(&peer).and_then(VecDeque::pop_front) {
            return Some(message);
        }
        self.take_due(peer)
    }

    pub(super) fn take_due(&mut self, peer: Instance) -> Option<Message> {
        let first = (peer, Bytes::new());
        let next = |map: &BTreeMap<(Instance, Bytes), u64>| {
            let (key, _) = map.range(first.clone()..).next()?;
            (key.0 == peer).then(|| key.clone())
        };
        if let Some(key) = next(&self.due.copied) {
            let seq = self.due.copied.remove(&key)?;
            return Some(Message::Copied { queue: key.1, seq });
        }
        if let Some(key) = next(&self.due.taken) {
            let number = self.due.taken.remove(&key)?;
            return Some(Message::Taken {
                queue: key.1,
                number,
            });
        }
        let first = (peer, Bytes::new(), ClientId(0));
        if let Some(key) = self.due.seats.range(first.clone()..).next().cloned()
            && key.0 == peer
        {
            self.due.seats.remove(&key);
            return Some(Message::Seat(self.seat(peer, key.2, key.1)));
        }
        let (key, _) = self.due.done.range(first..).next()?;
        if key.0 != peer {
            return None;
        }
        let key = key.clone();
        let tasks = self.due.done.remove(&key)?;
        Some(Message::Done {
            queue: key.1,
            worker: key.2,
            tasks,
        })
    }

    /// The link from a node is a new one: what it had said may be lost.
    pub(super) fn answer_anew(&mut self, peer: Instance) {
        let seats = self.seats_for(peer);
        self.send(peer, Message::Seats(seats));
        for queue in self.owned.keys().cloned().collect::<Vec<_>>() {
            if let Some(owned) = self.owned.get_mut(&queue)
                && owned.is_moving_to(peer)
            {
                owned.stop_moving();
                self.move_on(&queue);
            }
        }
    }

    /// Puts a message on its way. What is for nobody is dropped: it follows from how things stand
    /// when there is somebody.
    pub(super) fn send(&mut self, to: Instance, message: Message) {
        if to == self.me {
            return self.inbox.push_back(message);
        }
        if !self.here.contains(&to) {
            return;
        }
        let link = self.links.entry(to).or_default();
        if link.is_empty() {
            self.outputs.push_back(Output::Link(to));
        }
        link.push_back(message);
    }

    /// There is word for a node that is put together when it can be sent.
    pub(super) fn wake_due(&mut self, to: Instance) {
        if to != self.me && self.links.get(&to).is_none_or(VecDeque::is_empty) {
            self.outputs.push_back(Output::Link(to));
        }
    }

    pub(super) fn tell_taken(&mut self, to: Instance, queue: Bytes, number: u64) {
        if to == self.me || self.here.contains(&to) {
            let due = self.due.taken.entry((to, queue)).or_default();
            *due = number.max(*due);
            self.wake_due(to);
        }
    }
}
