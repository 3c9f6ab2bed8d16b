//! What waits for the links to other nodes.

use std::collections::{BTreeMap, VecDeque};

use super::{Code, Message, Output, Services};
use crate::forward::Instance;

/// What a message takes beside what a client has said.
pub(super) const OVERHEAD_BYTES: usize = 256;

/// A link with so many messages waiting is slow: what is behind them must not hold on to buffers.
const COPY_AFTER: usize = 64;

#[derive(Debug, Default)]
struct Link {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// Word of a worker found no room: all of them are told when nothing waits any more.
    seats_due: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<Instance, Link>,
}

impl Links {
    /// Whether a node gets no more for now.
    pub(super) fn is_full(&self, peer: Instance, limit: usize) -> bool {
        self.links
            .get(&peer)
            .is_some_and(|link| link.bytes >= limit)
    }

    /// Whether nothing waits.
    pub(super) fn are_empty(&self) -> bool {
        self.links.values().all(|link| link.waiting.is_empty())
    }

    pub(super) fn is_empty(&self, peer: Instance) -> bool {
        let link = self.links.get(&peer);
        link.is_none_or(|link| link.waiting.is_empty())
    }

    fn push(&mut self, peer: Instance, message: Message) {
        let link = self.links.entry(peer).or_default();
        let message = if link.waiting.len() < COPY_AFTER {
            message
        } else {
            message.compact()
        };
        link.bytes += message.cost();
        link.waiting.push_back(message);
    }

    fn pop(&mut self, peer: Instance) -> Option<Message> {
        let link = self.links.get_mut(&peer)?;
        let message = link.waiting.pop_front()?;
        link.bytes -= message.cost();
        Some(message)
    }

    /// A node has gone: what waits for it.
    pub(super) fn forget(&mut self, peer: Instance) -> VecDeque<Message> {
        let link = self.links.remove(&peer);
        link.map(|link| link.waiting).unwrap_or_default()
    }

    /// Nodes with a queue.
    pub(super) fn peers(&self) -> impl Iterator<Item = Instance> {
        self.links.keys().copied()
    }

    /// All workers are about to be told: what was said of them before is old.
    fn forget_seats(&mut self, peer: Instance) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        link.seats_due = false;
        link.waiting.retain(|message| {
            let old = matches!(message, Message::Seats(_) | Message::Seat(_));
            link.bytes -= if old { message.cost() } else { 0 };
            !old
        });
    }

    fn forget_questions(&mut self, peer: Instance) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        link.waiting.retain(|message| {
            let old = *message == Message::TellSeats;
            link.bytes -= if old { message.cost() } else { 0 };
            !old
        });
    }
}

impl Services {
    /// Puts a message on its way.
    pub(super) fn send(&mut self, to: Instance, message: Message) {
        if to == self.me {
            self.inbox.push_back(message);
        } else if !self.here.contains(&to) {
            // Whoever waits for it has a deadline.
        } else if self.links.is_full(to, self.limits.bytes) {
            self.find_no_room(to, message);
        } else {
            self.put(to, message);
        }
    }

    fn put(&mut self, to: Instance, message: Message) {
        if self.links.is_empty(to) {
            self.outputs.push_back(Output::Link(to));
        }
        self.links.push(to, message);
    }

    /// A link that takes nothing: the node is held alive, and does not read.
    fn find_no_room(&mut self, to: Instance, message: Message) {
        match message {
            Message::Ask { id, .. } | Message::Work { id, .. } => {
                let text = "too much waits for the node that it goes to: ask later".into();
                self.tell_failed(id, Code::Busy, text);
            }
            Message::Seat(_) => {
                if let Some(link) = self.links.links.get_mut(&to) {
                    link.seats_due = true;
                }
            }
            // At most one of each waits.
            Message::Seats(_) | Message::TellSeats => self.put(to, message),
            // The asker's deadline covers these.
            Message::Placed { .. }
            | Message::Answer { .. }
            | Message::Part { .. }
            | Message::Fail { .. } => {}
            Message::Room { .. } => debug_assert!(false, "these wait elsewhere"),
        }
    }

    /// Tells an owner of all workers here, or of none if they are to get nothing new.
    pub(super) fn tell_seats(&mut self, owner: Instance) {
        self.links.forget_seats(owner);
        let seats = self.seats_for(owner);
        self.send(owner, seats);
    }

    fn seats_for(&mut self, owner: Instance) -> Message {
        // What was done since is in what is told now.
        self.rooms.retain(|(of, _, _), _| *of != owner);
        Message::Seats(match self.leaving {
            true => Vec::new(),
            false => self.workers.seats_at(owner),
        })
    }

    /// The link to a node has come up: nothing that was sent before counts on having arrived.
    pub fn handle_link_up(&mut self, peer: Instance, now: crate::forward::Time) {
        self.tell_seats(peer);
        self.links.forget_questions(peer);
        self.send(peer, Message::TellSeats);
        self.settle(now);
    }

    /// The next message for the link to a node.
    pub fn take_message(&mut self, peer: Instance) -> Option<Message> {
        if let Some(message) = self.links.pop(peer) {
            return Some(message);
        }
        let link = self.links.links.get_mut(&peer);
        if link.is_some_and(|link| std::mem::take(&mut link.seats_due)) {
            return Some(self.seats_for(peer));
        }
        self.take_room(peer)
    }
}
