//! The clients of the world: publishers that number what they publish, subscribers that come and
//! go and look at what they get.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zmesh_node::forward::{ClientId, Instance, Time};

use crate::membership::Standing;
use crate::message::{Got, PREFIXES, READY, Stamp, TOPICS, read, spans};
use crate::plan::Planted;
use crate::world::World;

pub(crate) struct Publisher {
    pub(crate) client: ClientId,
    pub(crate) node: Instance,
    pub(crate) number: u32,
    published: BTreeMap<usize, u64>,
    /// It was told to wait, and not yet that it may go on.
    pub(crate) waiting: bool,
}

/// A prefix that a subscriber holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) since: Time,
    /// Once it was told that the prefix is in force.
    pub(crate) ready: Option<Ready>,
}

/// What follows from a prefix being in force.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    told: Time,
    /// Nodes that were members all the time since it was subscribed to.
    among: BTreeSet<Instance>,
}

/// A message that a subscriber must get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub(crate) at: Time,
    pub(crate) origin: Instance,
    pub(crate) frames: usize,
}

pub(crate) struct Subscriber {
    pub(crate) client: ClientId,
    pub(crate) node: Instance,
    pub(crate) prefixes: BTreeMap<&'static str, Held>,
    pub(crate) awake: bool,
    /// It reads nothing, whatever there is.
    pub(crate) asleep: bool,
    pub(crate) closing: bool,
    pub(crate) owed: BTreeMap<Stamp, Owed>,
    pub(crate) seen: BTreeSet<Stamp>,
    pub(crate) last: BTreeMap<(u32, usize), u64>,
}

impl Subscriber {
    /// Whether a topic that begins like this is promised to it by now.
    fn is_promised(&self, topic: &str, knows: impl Fn(&str, &Ready) -> bool) -> bool {
        self.prefixes.iter().any(|(prefix, held)| {
            let ready = held.ready.as_ref();
            topic.starts_with(prefix) && ready.is_some_and(|ready| knows(prefix, ready))
        })
    }
}

impl World {
    /// One step of every client.
    pub(crate) fn move_clients(&mut self) {
        for index in 0..self.publishers.len() {
            if !self.calm && self.dice.chance(self.plan.publish) {
                self.publish(index);
            }
        }
        for index in (0..self.subscribers.len()).rev() {
            let drain = if self.calm { 1.0 } else { self.plan.drain };
            let asleep = self.subscribers[index].asleep;
            while !asleep && self.subscribers[index].awake && self.dice.chance(drain) {
                self.read_segment(index);
            }
            if self.subscribers[index].closing && self.dice.chance(0.5) {
                self.close_subscriber(index);
            }
        }
    }

    /// Publishers and subscribers for nodes that have none.
    pub(crate) fn settle_clients(&mut self) {
        for node in self.with_standing(Standing::Ready) {
            let here = self.publishers.iter().filter(|p| p.node == node).count();
            if here < 1 || here < self.plan.publishers && self.dice.chance(0.1) {
                self.open_publisher(node);
            }
            let here = self.subscribers.iter().filter(|s| s.node == node).count();
            if here < 1 {
                self.open_subscriber(node);
            }
        }
    }

    fn open_publisher(&mut self, node: Instance) {
        let number = self.fresh() as u32;
        let client = ClientId(number);
        self.input(node, |router, _| router.handle_client_opened(client));
        self.publishers.push(Publisher {
            client,
            node,
            number,
            published: BTreeMap::new(),
            waiting: false,
        });
    }

    pub(crate) fn open_subscriber(&mut self, node: Instance) {
        let client = ClientId(self.fresh() as u32);
        self.input(node, |router, now| {
            router.handle_client_opened(client);
            let told = router.handle_subscribe(client, READY.as_bytes(), now);
            told.expect("one subscription is not too many");
        });
        self.subscribers.push(Subscriber {
            client,
            node,
            prefixes: BTreeMap::new(),
            awake: false,
            asleep: false,
            closing: false,
            owed: BTreeMap::new(),
            seen: BTreeSet::new(),
            last: BTreeMap::new(),
        });
        let index = self.subscribers.len() - 1;
        for _ in 0..self.dice.between(1, 3) {
            self.subscribe(index);
        }
    }

    pub(crate) fn subscribe(&mut self, index: usize) {
        let prefix = self.dice.pick(&PREFIXES).unwrap_or("");
        self.subscribe_to(index, prefix);
    }

    pub(crate) fn subscribe_to(&mut self, index: usize, prefix: &'static str) {
        let (now, subscriber) = (self.now, &mut self.subscribers[index]);
        if subscriber.prefixes.contains_key(prefix) {
            return;
        }
        let held = Held {
            since: now,
            ready: None,
        };
        subscriber.prefixes.insert(prefix, held);
        let (node, client) = (subscriber.node, subscriber.client);
        self.trace("subscribes", &(node, client, prefix));
        let taken = self.input(node, |router, now| {
            router.handle_subscribe(client, prefix.as_bytes(), now)
        });
        taken.expect("far from the limit");
    }

    pub(crate) fn unsubscribe(&mut self, index: usize) {
        // It looks at everything first: word of a prefix that comes later is of a later one.
        while self.subscribers[index].awake {
            self.read_segment(index);
        }
        let held: Vec<&'static str> = self.subscribers[index].prefixes.keys().copied().collect();
        let Some(prefix) = self.dice.pick(&held) else {
            return;
        };
        let subscriber = &mut self.subscribers[index];
        subscriber.prefixes.remove(prefix);
        let (node, client) = (subscriber.node, subscriber.client);
        self.trace("unsubscribes", &(node, client, prefix));
        self.input(node, |router, _| {
            router.handle_unsubscribe(client, prefix.as_bytes());
        });
        let subscriber = &mut self.subscribers[index];
        let mut owed = std::mem::take(&mut subscriber.owed);
        owed.retain(|stamp, owed| {
            subscriber.is_promised(&stamp.first_frame(owed.frames), |_, _| true)
        });
        subscriber.owed = owed;
    }

    pub(crate) fn close_subscriber(&mut self, index: usize) {
        let Subscriber { node, client, .. } = self.subscribers.remove(index);
        self.trace("closes", &(node, client));
        self.input(node, |router, now| router.handle_client_closed(client, now));
    }

    /// Ends the connections of all clients of a node.
    pub(crate) fn close_clients(&mut self, node: Instance) {
        while let Some(index) = self.subscribers.iter().position(|s| s.node == node) {
            self.close_subscriber(index);
        }
        while let Some(index) = self.publishers.iter().position(|p| p.node == node) {
            let client = self.publishers.remove(index).client;
            self.input(node, |router, now| router.handle_client_closed(client, now));
        }
    }

    pub(crate) fn publish(&mut self, index: usize) {
        let Publisher {
            client,
            node,
            waiting,
            ..
        } = self.publishers[index];
        if waiting {
            return;
        }
        if !self.input(node, |router, _| router.may_read(client)) {
            self.publishers[index].waiting = true;
            self.oracle.pauses += 1;
            return;
        }
        let mut bytes = Vec::new();
        for _ in 0..self.dice.between(1, self.plan.burst as u64) {
            let topic = self.dice.below(TOPICS.len());
            self.put_next(index, topic, &mut bytes);
        }
        self.send(client, node, bytes);
    }

    /// Publishes one message on each topic.
    pub(crate) fn publish_everything(&mut self) {
        for index in 0..self.publishers.len() {
            let Publisher { client, node, .. } = self.publishers[index];
            let mut bytes = Vec::new();
            for topic in 0..TOPICS.len() {
                self.put_next(index, topic, &mut bytes);
            }
            self.send(client, node, bytes);
        }
    }

    fn send(&mut self, client: ClientId, node: Instance, bytes: Vec<u8>) {
        let chunk = Bytes::from(bytes);
        let spans = spans(&chunk);
        self.input(node, |router, now| {
            router.handle_publish(client, &chunk, &spans, now);
        });
    }

    fn put_next(&mut self, index: usize, topic: usize, bytes: &mut Vec<u8>) {
        let publisher = &mut self.publishers[index];
        let number = publisher.published.entry(topic).or_insert(0);
        *number += 1;
        let stamp = Stamp {
            publisher: publisher.number,
            topic,
            number: *number,
        };
        let origin = publisher.node;
        let frames = self.dice.between(1, 3) as usize;
        stamp.put(frames, self.dice.below(60), bytes);
        self.trace("publishes", &(origin, stamp, frames));
        self.promise(origin, stamp, frames);
    }

    /// Notes who must get a message: whoever was told that its prefix is in force, if the origin
    /// was a member then, or had to hear of it before it could take messages, or has heard of it.
    fn promise(&mut self, origin: Instance, stamp: Stamp, frames: usize) {
        self.oracle.published += 1;
        let topic = stamp.first_frame(frames);
        let owed = Owed {
            at: self.now,
            origin,
            frames,
        };
        let process = &self.processes[&origin];
        for subscriber in &mut self.subscribers {
            let node = subscriber.node;
            let alive = process.membership.holds_alive(node);
            let since = process.since.get(&node).copied();
            let knows = |prefix: &str, ready: &Ready| {
                let joined_later =
                    since <= process.ready_at && Some(ready.told) <= process.ready_at;
                node == origin
                    || ready.among.contains(&origin)
                    || alive && (joined_later || self.oracle.knows(origin, node, prefix))
            };
            if subscriber.is_promised(&topic, knows) {
                subscriber.owed.insert(stamp, owed);
            }
        }
    }

    fn read_segment(&mut self, index: usize) {
        let Subscriber { node, client, .. } = self.subscribers[index];
        let Some(segment) = self.input(node, |router, now| router.take_segment(client, now)) else {
            self.subscribers[index].awake = false;
            return;
        };
        let mut got = read(&segment.bytes);
        assert_eq!(got.len(), segment.messages as usize);
        self.plant(&mut got);
        self.process(node).handed += got.len() as u64;
        for got in got {
            self.trace("gets", &(client, &got));
            match got {
                Got::Message(stamp) => self.oracle.check(&mut self.subscribers[index], stamp),
                Got::Ready(prefix) => self.told_ready(index, &prefix),
            }
        }
    }

    fn plant(&mut self, got: &mut Vec<Got>) {
        let messages = got.iter().all(|got| matches!(got, Got::Message(_)));
        match self.plan.planted {
            Some(Planted::Double) if messages => got.extend(got.last().cloned()),
            Some(Planted::Loss) if messages => {
                got.pop();
            }
            Some(Planted::Swap) if messages => got.reverse(),
            _ => {}
        }
    }

    fn told_ready(&mut self, index: usize, prefix: &str) {
        let node = self.subscribers[index].node;
        let (told, since) = (self.now, self.processes[&node].since.clone());
        if let Some(held) = self.subscribers[index].prefixes.get_mut(prefix) {
            let among = since.iter().filter(|(_, at)| **at <= held.since);
            let among = among.map(|(instance, _)| *instance).collect();
            held.ready = Some(Ready { told, among });
        }
    }
}
