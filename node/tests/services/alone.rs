//! One core, for what needs no others: limits, and links that take nothing.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;
use zmesh_node::forward::{ClientId, Instance, Time};
use zmesh_node::services::{Limits, Message, RequestId, Seat, Services};
use zmesh_node::zmtp::frames::{Item, item_at};

use crate::words::{FRAMES, message, messages, ring};

/// A node of its own, for what needs no others: a client of it, and what that hears.
pub(crate) struct Alone {
    pub(crate) services: Services,
    pub(crate) now: Time,
}

fn request(number: u64) -> RequestId {
    RequestId {
        asker: 1,
        number,
        attempt: 0,
    }
}

pub(crate) const ME: Instance = Instance(2);
pub(crate) const CLIENT: ClientId = ClientId(7);

impl Alone {
    /// With nobody else.
    pub(crate) fn single() -> Self {
        let mut node = Self::beside(&[ME.0], Limits::default());
        // It knows the workers that there are.
        node.pass(Duration::from_secs(3));
        node
    }

    /// With these other nodes, of which the first owns everything.
    fn beside(others: &[u64], limits: Limits) -> Self {
        let mut services = Services::new(ME, limits);
        let now = Duration::from_secs(10);
        let others_but_me = others.iter().filter(|it| **it != ME.0);
        let here = others_but_me.map(|it| Instance(*it)).collect();
        services.handle_topology(here, ring(&BTreeSet::from([others[0]])), now);
        services.handle_client_opened(CLIENT);
        Self { services, now }
    }

    fn say(&mut self, parts: &[&[u8]]) {
        self.says(CLIENT, parts);
    }

    pub(crate) fn says(&mut self, client: ClientId, parts: &[&[u8]]) {
        let chunk = message(parts);
        let Ok(Item::Message(span)) = item_at(&chunk, 0, FRAMES) else {
            panic!("it was just written")
        };
        let services = &mut self.services;
        services.handle_client_message(client, &chunk, &span, self.now);
    }

    fn heard(&mut self) -> Vec<Vec<Vec<u8>>> {
        self.hears(CLIENT)
    }

    /// What has come for a client since.
    pub(crate) fn hears(&mut self, client: ClientId) -> Vec<Vec<Vec<u8>>> {
        let segments = std::iter::from_fn(|| self.services.take_segment(client));
        segments.flat_map(|it| messages(&it)).collect()
    }

    /// Lets time pass, with every timer in it.
    pub(crate) fn pass(&mut self, time: Time) {
        let until = self.now + time;
        while let Some(due) = self.services.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.services.handle_timeout(self.now);
        }
        self.now = until;
    }

    fn sent(&mut self, to: Instance) -> Vec<Message> {
        std::iter::from_fn(|| self.services.take_message(to)).collect()
    }
}

#[test]
fn what_waits_for_a_link_that_takes_nothing_has_a_limit_also_without_a_body() {
    let limits = Limits {
        bytes: 10_000,
        ..Limits::default()
    };
    let mut node = Alone::beside(&[1, 3], limits);
    for _ in 0..100 {
        node.say(&[b"risk"]);
    }
    let refused = node.heard();
    let busy = |it: &&Vec<Vec<u8>>| it[1] == b"busy";
    assert_eq!(refused.iter().filter(busy).count(), refused.len());
    let waits = node.sent(Instance(1)).len();
    assert_eq!(waits + refused.len(), 100);
    assert!((10..=40).contains(&waits), "{waits} of 256 bytes and more");
    // With room again it goes on.
    node.say(&[b"risk"]);
    assert_eq!((node.heard().len(), node.sent(Instance(1)).len()), (0, 1));
}

#[test]
fn workers_that_come_and_go_while_their_link_takes_nothing_are_told_at_last() {
    let limits = Limits {
        bytes: 2000,
        ..Limits::default()
    };
    let mut node = Alone::beside(&[1], limits);
    for _ in 0..50 {
        node.say(&[b"$zmesh.serve", b"risk", b"2"]);
        node.say(&[b"$zmesh.unserve", b"risk"]);
    }
    node.say(&[b"$zmesh.serve", b"risk", b"3"]);
    let told = node.sent(Instance(1));
    assert!(told.len() < 20, "{}", told.len());
    let Some(Message::Seats(seats)) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(seats.iter().map(|it| it.credit).collect::<Vec<_>>(), [3]);
    assert_eq!(node.sent(Instance(1)), []);
}

#[test]
fn a_worker_whose_node_takes_nothing_is_not_picked() {
    let limits = Limits {
        bytes: 3000,
        ..Limits::default()
    };
    let mut owner = Services::new(ME, limits);
    let now = Duration::from_secs(10);
    let here = HashSet::from([Instance(1), Instance(3)]);
    owner.handle_topology(here, ring(&BTreeSet::from([ME.0])), now);
    for node in [1, 3] {
        let seat = Seat {
            service: "risk".into(),
            worker: CLIENT,
            credit: 1000,
            room: 1000,
        };
        owner.handle_message(Instance(node), Message::Seat(seat), now);
    }
    let mut at_3 = 0;
    for number in 0..200 {
        let ask = Message::Ask {
            id: request(number),
            passed_on: false,
            patience: Duration::from_secs(5),
            service: "risk".into(),
            body: Bytes::new(),
        };
        owner.handle_message(Instance(1), ask, now);
        // Only this one reads.
        while let Some(message) = owner.take_message(Instance(3)) {
            at_3 += usize::from(matches!(message, Message::Work { .. }));
        }
    }
    assert!(at_3 > 180, "{at_3} of 200");
}

#[test]
fn what_a_worker_has_done_while_its_link_was_down_is_told_once() {
    let owner = Instance(1);
    let mut node = Alone::beside(&[1], Limits::default());
    node.say(&[b"$zmesh.serve", b"risk", b"2"]);
    for number in 1..3 {
        let work = Message::Work {
            id: request(number),
            worker: CLIENT,
            patience: Duration::from_secs(5),
            service: "risk".into(),
            body: Bytes::new(),
        };
        node.services.handle_message(owner, work, node.now);
        let id = request(number);
        node.say(&[id.to_string().as_bytes(), b"done"]);
    }
    // Nothing went out until here.
    node.services.handle_link_up(owner, node.now);
    let told = node.sent(owner);
    let room = |it: &Message| match it {
        Message::Seats(seats) => seats[0].room,
        Message::Room { count, .. } => *count,
        _ => 0,
    };
    assert_eq!(told.iter().map(room).sum::<u32>(), 2, "{told:?}");
}
