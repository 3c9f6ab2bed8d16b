//! The other nodes: what each wants, what waits for it, and what it owes.
//!
//! Two connections join two nodes. On the one that this node dialed it sends records, interest
//! and views, and gets acks back; on the one that it accepted it is the other way round.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::batch::{Batch, Header};
use super::interest::Change;
use super::prefixes::PrefixIndex;
use super::serving::Slot;
use super::{Instance, PeerStats, Time};

/// A link to a living owner that is down for longer is taken for lost: its successor steps in.
pub(crate) const LINK_PATIENCE: Time = Time::from_secs(2);

/// What nodes say to each other over links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Dialer: what its clients subscribe to. A snapshot replaces everything before it.
    Interest {
        /// The interest's version after these changes.
        version: u64,
        /// Whether the changes begin from nothing.
        snapshot: bool,
        /// Prefixes added (`true`) or removed, in order.
        changes: Vec<Change>,
    },
    /// Dialer: members that it knows and that the receiver must know before the next record.
    View {
        /// What is known of each.
        members: Vec<Named>,
    },
    /// Dialer, as origin: records for the receiver to serve as their owner.
    Publish(Batch),
    /// Dialer, as owner: records that the receiver's clients want.
    Deliver(Batch),
    /// Acceptor, as owner: streams of the dialer are done up to these numbers.
    Done {
        /// Partitions with the number of the last message that is done.
        streams: Vec<(u16, u64)>,
    },
    /// Acceptor: streams of an origin were delivered up to these numbers.
    Ack {
        /// The origin of the streams.
        origin: Instance,
        /// Partitions with the number of the last message delivered.
        streams: Vec<(u16, u64)>,
    },
    /// Acceptor: it has taken in the interest up to this version.
    InterestAck {
        /// The version.
        version: u64,
    },
    /// Acceptor: it lives, and holds acks back because a subscriber's queue is full, or because
    /// records wait for another node's interest.
    Holding,
}

/// A member that is named to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which process.
    pub instance: Instance,
    /// Its membership record.
    pub card: Bytes,
    /// The version of its interest that whoever names it has; 0 if none. The receiver must not
    /// serve records of that node with less.
    pub interest: u64,
}

/// All peers, by slot and by instance.
#[derive(Debug)]
pub(crate) struct Peers {
    slots: Vec<Option<PeerState>>,
    by_instance: HashMap<Instance, Slot, FixedState>,
}

/// One peer.
#[derive(Debug)]
pub(crate) struct PeerState {
    pub(crate) instance: Instance,
    pub(crate) card: Bytes,
    /// Membership holds it alive.
    pub(crate) in_topology: bool,
    /// Membership held it alive, and now holds it dead.
    pub(crate) held_dead: bool,
    /// Another node named it, and membership has no opinion yet.
    pub(crate) learned_at: Option<Time>,
    pub(crate) prefixes: HashSet<Vec<u8>>,
    /// The version of `prefixes`, once there was a snapshot.
    pub(crate) interest: Option<u64>,
    indexed: bool,
    /// Records were served without its interest: it could not be had in time.
    pub(crate) given_up: bool,

    pub(crate) up: bool,
    down_since: Time,
    pub(crate) outgoing: VecDeque<Message>,
    pending_bytes: usize,
    /// Members that it was told of on this link, each with the version of its interest that was
    /// known here.
    pub(crate) sent_members: HashMap<Instance, u64, FixedState>,
    /// Version of this node's interest that the peer has.
    pub(crate) acked_interest: Option<u64>,
    /// Streams of which it owes acks.
    pub(crate) owing: usize,
    pub(crate) progress_at: Time,
    pub(crate) passed_over: bool,

    pub(crate) accepted: bool,
    /// What its clients want has come over that link, as the first thing on it.
    pub(crate) introduced: bool,
    pub(crate) acks: BTreeMap<(Instance, u16), u64>,
    pub(crate) dones: BTreeMap<u16, u64>,
    pub(crate) interest_ack: Option<u64>,
    /// The version that was acked on this link.
    pub(crate) told_interest: Option<u64>,
    pub(crate) say_holding: bool,
    /// Messages from it that wait until the interest of `awaiting` is known, each at this version
    /// or later; its own name is among them while it is held dead although its link stands.
    pub(crate) held: VecDeque<Message>,
    pub(crate) awaiting: BTreeMap<Instance, u64>,
    pub(crate) held_since: Time,

    messages: u64,
    bytes: u64,
    sessions: u64,
}

impl Peers {
    /// No peers; slot 0 is this node's own and never in use here.
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![None],
            by_instance: HashMap::default(),
        }
    }

    /// The slot of an instance, made if need be.
    pub(crate) fn slot(&mut self, instance: Instance, now: Time) -> Slot {
        if let Some(slot) = self.by_instance.get(&instance) {
            return *slot;
        }
        let free = self.slots.iter().skip(1).position(Option::is_none);
        let slot = free.map_or(self.slots.len(), |index| index + 1);
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(PeerState::new(instance, now));
        let slot = slot as Slot;
        self.by_instance.insert(instance, slot);
        slot
    }

    pub(crate) fn find(&self, instance: Instance) -> Option<Slot> {
        self.by_instance.get(&instance).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&PeerState> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// A peer whose slot was just found: slots stay valid until [`Peers::remove`].
    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut PeerState {
        self.slots[slot as usize]
            .as_mut()
            .expect("a slot is in use until its peer is removed")
    }

    pub(crate) fn by_instance(&mut self, instance: Instance) -> Option<&mut PeerState> {
        let slot = self.find(instance)?;
        self.slots[slot as usize].as_mut()
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        let used = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, peer)| peer.is_some());
        used.map(|(slot, _)| slot as Slot).collect()
    }

    /// Slots of peers whose link is up.
    pub(crate) fn linked(&self) -> Vec<Slot> {
        let mut slots = self.slots();
        slots.retain(|slot| self.get(*slot).is_some_and(|peer| peer.up));
        slots
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PeerState> {
        self.slots.iter().flatten()
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<PeerState> {
        let peer = self.slots[slot as usize].take()?;
        self.by_instance.remove(&peer.instance);
        Some(peer)
    }

    /// Whether records can be given to it: it is held alive and its link is up, or has not been
    /// down for long.
    pub(crate) fn is_usable(&self, instance: Instance, now: Time) -> bool {
        let peer = self.find(instance).and_then(|slot| self.get(slot));
        peer.is_some_and(|peer| {
            peer.is_here() && (peer.up || now.saturating_sub(peer.down_since) < LINK_PATIENCE)
        })
    }

    /// Makes a peer's prefixes count for matching.
    pub(crate) fn index_interest(&mut self, slot: Slot, index: &mut PrefixIndex) {
        let peer = self.get_mut(slot);
        if !std::mem::replace(&mut peer.indexed, true) {
            for prefix in &peer.prefixes {
                index.insert(prefix, slot);
            }
        }
    }

    /// The opposite.
    pub(crate) fn unindex_interest(&mut self, slot: Slot, index: &mut PrefixIndex) {
        let peer = self.get_mut(slot);
        if std::mem::replace(&mut peer.indexed, false) {
            for prefix in &peer.prefixes {
                index.remove(prefix, slot);
            }
        }
    }

    /// Takes in a change of a peer's prefixes.
    pub(crate) fn change_interest(
        &mut self,
        slot: Slot,
        snapshot: bool,
        changes: Vec<Change>,
        index: &mut PrefixIndex,
    ) {
        let peer = self.get_mut(slot);
        if snapshot {
            let kept: HashSet<&[u8]> = changes.iter().map(|(_, prefix)| &prefix[..]).collect();
            peer.prefixes.retain(|prefix| {
                let keep = kept.contains(&prefix[..]);
                if !keep && peer.indexed {
                    index.remove(prefix, slot);
                }
                keep
            });
        }
        for (add, prefix) in changes {
            if peer.indexed && add {
                index.insert(&prefix, slot);
            } else if peer.indexed {
                index.remove(&prefix, slot);
            }
            if add {
                peer.prefixes.insert(prefix);
            } else {
                peer.prefixes.remove(&prefix);
            }
        }
    }
}

impl PeerState {
    fn new(instance: Instance, now: Time) -> Self {
        Self {
            instance,
            card: Bytes::new(),
            in_topology: false,
            held_dead: false,
            learned_at: None,
            prefixes: HashSet::new(),
            interest: None,
            indexed: false,
            given_up: false,
            up: false,
            down_since: now,
            outgoing: VecDeque::new(),
            pending_bytes: 0,
            sent_members: HashMap::default(),
            acked_interest: None,
            owing: 0,
            progress_at: now,
            passed_over: false,
            accepted: false,
            introduced: false,
            acks: BTreeMap::new(),
            dones: BTreeMap::new(),
            interest_ack: None,
            told_interest: None,
            say_holding: false,
            held: VecDeque::new(),
            awaiting: BTreeMap::new(),
            held_since: now,
            messages: 0,
            bytes: 0,
            sessions: 0,
        }
    }

    /// Whether anybody says that it is alive.
    pub(crate) fn is_here(&self) -> bool {
        self.in_topology || self.learned_at.is_some()
    }

    /// Whether it is held dead although its link stands. What its clients want is dropped then,
    /// and counted.
    pub(crate) fn is_missed(&self) -> bool {
        self.held_dead && self.accepted && !self.is_here()
    }

    /// Whether its interest is known, at this version or later.
    pub(crate) fn knows_interest(&self, version: u64) -> bool {
        self.interest.is_some_and(|it| it >= version)
    }

    /// Whether nothing is left that anybody could ask for.
    pub(crate) fn is_forgettable(&self) -> bool {
        !self.is_here() && !self.up && !self.accepted
    }

    pub(crate) fn link_up(&mut self, now: Time) {
        self.up = true;
        self.sessions += 1;
        self.progress_at = now;
        self.passed_over = false;
        self.acked_interest = None;
        self.sent_members.clear();
        self.clear_outgoing();
    }

    pub(crate) fn link_down(&mut self, now: Time) {
        self.up = false;
        self.down_since = now;
        self.clear_outgoing();
    }

    pub(crate) fn accepted_closed(&mut self) {
        self.accepted = false;
        self.introduced = false;
        self.acks.clear();
        self.dones.clear();
        self.interest_ack = None;
        self.told_interest = None;
        self.say_holding = false;
        self.held.clear();
        self.awaiting.clear();
    }

    pub(crate) fn has_replies(&self) -> bool {
        !self.acks.is_empty()
            || !self.dones.is_empty()
            || self.interest_ack.is_some()
            || self.say_holding
    }

    /// Its messages wait for the interest of these, at these versions, or for these to be held
    /// alive.
    pub(crate) fn await_also(&mut self, these: impl Iterator<Item = (Instance, u64)>, now: Time) {
        if self.awaiting.is_empty() {
            self.held_since = now;
        }
        for (instance, version) in these {
            let awaited = self.awaiting.entry(instance).or_insert(version);
            *awaited = version.max(*awaited);
        }
    }

    /// This node did not run for so long, as a stopped process or a suspended machine does not:
    /// that was no silence of the peer's.
    pub(crate) fn excuse(&mut self, late: Time, now: Time) {
        for since in [
            &mut self.progress_at,
            &mut self.held_since,
            &mut self.down_since,
        ] {
            *since = (*since + late).min(now);
        }
    }

    /// Takes back what waits for the link and is for the peer's clients.
    pub(crate) fn drop_deliveries(&mut self) {
        let mut dropped = 0;
        self.outgoing.retain(|message| {
            if let Message::Deliver(batch) = message {
                dropped += batch.bytes();
            }
            !matches!(message, Message::Deliver(_))
        });
        self.pending_bytes = self.pending_bytes.saturating_sub(dropped);
    }

    pub(crate) fn clear_outgoing(&mut self) {
        self.outgoing.clear();
        self.pending_bytes = 0;
    }

    /// The batch at the end of what waits, or a new one. `publish` says which kind; `chunk` is
    /// the buffer that is being cut up.
    pub(crate) fn batch(&mut self, publish: bool, origin: Instance, chunk: &Bytes) -> &mut Batch {
        let joins = match self.outgoing.back() {
            Some(Message::Publish(batch)) => publish && batch.has_room(),
            Some(Message::Deliver(batch)) => !publish && batch.origin == origin && batch.has_room(),
            _ => false,
        };
        if !joins {
            self.close_batch(chunk);
            let batch = Batch::new(origin);
            let message = if publish {
                Message::Publish(batch)
            } else {
                Message::Deliver(batch)
            };
            self.outgoing.push_back(message);
        }
        match self.outgoing.back_mut() {
            Some(Message::Publish(batch) | Message::Deliver(batch)) => batch,
            _ => unreachable!("a batch was just found or put there"),
        }
    }

    /// Ends the open range of the last batch.
    pub(crate) fn close_batch(&mut self, chunk: &Bytes) {
        if let Some(Message::Publish(batch) | Message::Deliver(batch)) = self.outgoing.back_mut() {
            batch.close(chunk);
        }
    }

    /// Gives what waits for the link memory of its own.
    pub(crate) fn compact(&mut self) {
        for message in &mut self.outgoing {
            if let Message::Publish(batch) | Message::Deliver(batch) = message {
                batch.compact();
            }
        }
    }

    pub(crate) fn count(&mut self, header: &Header) {
        self.messages += u64::from(header.messages);
        self.bytes += u64::from(header.length);
        self.pending_bytes += header.length as usize;
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.outgoing.pop_front()?;
        if let Message::Publish(batch) | Message::Deliver(batch) = &message {
            self.pending_bytes = self.pending_bytes.saturating_sub(batch.bytes());
        }
        Some(message)
    }

    pub(crate) fn stats(&self) -> PeerStats {
        PeerStats {
            instance: self.instance,
            up: self.up,
            messages: self.messages,
            bytes: self.bytes,
            pending_bytes: self.pending_bytes,
            prefixes: self.prefixes.len(),
            sessions: self.sessions,
        }
    }
}
