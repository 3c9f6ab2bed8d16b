//! What the core does when links come and go, with what arrives over them, and with time.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::batch::Batch;
use super::interest::{Change, MAX_PREFIX_BYTES};
use super::owner::for_each_message;
use super::peers::{Message, Named, PeerState};
use super::router::{Output, Router};
use super::serving::Slot;
use super::{Header, Instance, Time};

/// Records wait so long at most for the interest of a node that their sender knew and this node
/// does not: a node that this one cannot reach must not stop the others.
const INTEREST_PATIENCE: Time = Time::from_secs(5);

/// What a peer sent that it must not send: the link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Headers and messages of a batch do not fit together.
    #[error("records and their messages do not fit together")]
    Records,
    /// A link begins with what its node's clients want.
    #[error("something came before what its clients want")]
    Unintroduced,
    /// The message belongs to the other direction.
    #[error("a message of the wrong direction")]
    Direction,
}

impl Router {
    /// The link that this node dialed is up.
    pub fn handle_link_up(&mut self, peer: Instance, now: Time) {
        let slot = self.peers.slot(peer, now);
        let state = self.peers.get_mut(slot);
        state.link_up(now);
        let (version, changes) = (self.interest.version(), self.interest.snapshot());
        state.outgoing.push_back(Message::Interest {
            version,
            snapshot: true,
            changes,
        });
        self.outputs.push_back(Output::Link(peer));
        self.send_view(slot);
        for kept in self.outbox.assigned_to(peer) {
            let range = 0..kept.body.len();
            self.give(peer, kept.header, &kept.body, range, now);
            self.close_buffer(&kept.body, now);
        }
        self.resend_to(slot, now);
        self.ring_changed(now);
        self.settle(now);
    }

    /// The link that this node dialed is down.
    pub fn handle_link_down(&mut self, peer: Instance, now: Time) {
        let Some(slot) = self.peers.find(peer) else {
            return;
        };
        self.peers.get_mut(slot).link_down(now);
        self.forget_if_unused(slot);
    }

    /// A peer's link to this node is up.
    pub fn handle_accepted(&mut self, peer: Instance, now: Time) {
        let slot = self.peers.slot(peer, now);
        let state = self.peers.get_mut(slot);
        state.accepted_closed();
        state.accepted = true;
        // Whoever makes a link again will take messages again.
        state.passed_over = false;
        state.progress_at = now;
        // Its state may have been made anew since it was taken for dead.
        state.held_dead = self.departed.contains(peer);
        if state.held_dead {
            state.await_also(std::iter::once((peer, 0)), now);
        }
    }

    /// A peer's link to this node is down.
    pub fn handle_accepted_closed(&mut self, peer: Instance) {
        let Some(slot) = self.peers.find(peer) else {
            return;
        };
        let peer = self.peers.get_mut(slot);
        peer.accepted_closed();
        if !peer.is_here() {
            self.peers.unindex_interest(slot, &mut self.nodes);
        }
        self.forget_if_unused(slot);
    }

    fn forget_if_unused(&mut self, slot: Slot) {
        if self
            .peers
            .get(slot)
            .is_some_and(|peer| peer.is_forgettable())
        {
            self.peers.unindex_interest(slot, &mut self.nodes);
            self.remove_peer(slot);
        }
    }

    /// Whether the link from a peer must not be read now: its records wait for the interest of
    /// nodes that its view has and this node's has not. Its own interest does not wait: two that
    /// return at once would wait for each other's.
    pub fn is_held(&self, peer: Instance) -> bool {
        let slot = self.peers.find(peer);
        slot.and_then(|slot| self.peers.get(slot))
            .is_some_and(|peer| !peer.awaiting.is_empty() && peer.introduced)
    }

    /// A peer's message came over the link that it dialed.
    pub fn handle_message(
        &mut self,
        from: Instance,
        message: Message,
        now: Time,
    ) -> Result<(), BadMessage> {
        let Some(slot) = self.peers.find(from) else {
            return Ok(());
        };
        let peer = self.peers.get_mut(slot);
        let introduces = matches!(message, Message::Interest { snapshot: true, .. });
        if !peer.introduced && !introduces {
            return Err(BadMessage::Unintroduced);
        }
        if !peer.awaiting.is_empty() && peer.introduced {
            peer.held.push_back(message);
            return Ok(());
        }
        let handled = self.take_message_from(slot, from, message, now);
        self.settle(now);
        handled
    }

    fn take_message_from(
        &mut self,
        slot: Slot,
        from: Instance,
        message: Message,
        now: Time,
    ) -> Result<(), BadMessage> {
        match message {
            Message::Interest {
                version,
                snapshot,
                changes,
            } => {
                self.take_interest(slot, version, snapshot, changes, now);
            }
            Message::View { members } => {
                let awaited = self.take_in(members, now);
                let peer = self.peers.get_mut(slot);
                peer.awaiting.extend(awaited);
                peer.held_since = now;
            }
            Message::Publish(batch) => self.take_batch(slot, from, &batch, true, now)?,
            Message::Deliver(batch) => {
                let origin = batch.origin;
                self.take_batch(slot, origin, &batch, false, now)?;
            }
            _ => return Err(BadMessage::Direction),
        }
        Ok(())
    }

    fn take_batch(
        &mut self,
        slot: Slot,
        origin: Instance,
        batch: &Batch,
        publish: bool,
        now: Time,
    ) -> Result<(), BadMessage> {
        self.nodes.trim();
        self.clients.index.trim();
        let chunk = batch.body.first().cloned().unwrap_or_default();
        let mut at = 0;
        let mut result = Ok(());
        for header in &batch.headers {
            let end = at + header.length as usize;
            result = self.take_record(slot, origin, *header, &chunk, at..end, publish, now);
            if result.is_err() {
                break;
            }
            at = end;
        }
        self.close_buffer(&chunk, now);
        if at != chunk.len() {
            result.and(Err(BadMessage::Records))
        } else {
            result
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one record's whole way in, private to here"
    )]
    fn take_record(
        &mut self,
        slot: Slot,
        origin: Instance,
        header: Header,
        chunk: &Bytes,
        range: std::ops::Range<usize>,
        publish: bool,
        now: Time,
    ) -> Result<(), BadMessage> {
        let numbered = header.first > 0 && header.count > 0 && header.messages <= header.count;
        if !numbered || header.first.checked_add(u64::from(header.count)).is_none() {
            return Err(BadMessage::Records);
        }
        if publish {
            let served = self.serve(origin, header, chunk, range, now);
            return served.map_err(|_| BadMessage::Records);
        }
        for_each_message(chunk, range.clone(), self.limits.frames, |_| {})
            .map_err(|_| BadMessage::Records)?;
        if !self.deliver(slot, origin, header, chunk, &[range], now) {
            self.ack(slot, origin, header.partition, header.last());
        }
        Ok(())
    }

    fn take_interest(
        &mut self,
        slot: Slot,
        version: u64,
        snapshot: bool,
        changes: Vec<Change>,
        now: Time,
    ) {
        let fits = |change: &Change| change.1.len() <= MAX_PREFIX_BYTES;
        let changes = changes.into_iter().filter(fits).collect();
        self.peers
            .change_interest(slot, snapshot, changes, &mut self.nodes);
        let peer = self.peers.get_mut(slot);
        peer.interest = Some(version);
        peer.given_up = false;
        if snapshot {
            peer.introduced = true;
            self.name_again(slot, version);
        }
        let peer = self.peers.get_mut(slot);
        if peer.is_here() {
            self.take_up_interest(slot);
        } else if peer.is_missed() {
            self.peers.index_interest(slot, &mut self.nodes);
        }
        self.release_held(now);
    }

    /// A peer is held alive: its prefixes count from now on, and it is told so. While nobody here
    /// knew of it they did not, and its clients must not be told that they do.
    pub(super) fn take_up_interest(&mut self, slot: Slot) {
        self.peers.index_interest(slot, &mut self.nodes);
        let peer = self.peers.get_mut(slot);
        if !peer.accepted || peer.interest == peer.told_interest {
            return;
        }
        if !peer.has_replies() {
            self.outputs.push_back(Output::Accepted(peer.instance));
        }
        peer.interest_ack = peer.interest;
        peer.told_interest = peer.interest;
    }

    /// Takes up links whose records waited for interest that is now known, or for nodes that
    /// are known to be gone, or have waited long enough. One that is held dead and yet speaks is
    /// likely to be held alive soon: till then nothing would go to its own clients.
    pub(super) fn release_held(&mut self, now: Time) {
        for slot in self.peers.slots() {
            let Some(peer) = self.peers.get(slot) else {
                continue;
            };
            if peer.awaiting.is_empty() {
                continue;
            }
            let patient = now.saturating_sub(peer.held_since) < INTEREST_PATIENCE;
            let unknown = |(instance, version): &(Instance, u64)| {
                let slot = self.peers.find(*instance);
                let other = slot.and_then(|slot| self.peers.get(slot));
                other.is_some_and(|other| match other.is_here() {
                    true => !other.knows_interest(*version) && *instance != peer.instance,
                    false => other.is_missed() && *instance == peer.instance,
                })
            };
            let awaiting = peer.awaiting.iter().map(|(it, version)| (*it, *version));
            let (still, given_up): (BTreeMap<_, _>, Vec<_>) = if patient {
                (awaiting.filter(unknown).collect(), Vec::new())
            } else {
                (BTreeMap::new(), awaiting.filter(unknown).collect())
            };
            for (instance, _) in given_up {
                self.give_up_on(instance);
            }
            self.peers.get_mut(slot).awaiting = still;
            let peer = self.peers.get_mut(slot);
            if peer.awaiting.is_empty() {
                self.take_held(slot, now);
            }
        }
    }

    /// The node takes part although it does not know what some members' clients want.
    pub fn handle_joined(&mut self) {
        let members = self.peers.iter().filter(|peer| peer.interest.is_none());
        let unknown: Vec<Instance> = members.map(|peer| peer.instance).collect();
        unknown.into_iter().for_each(|it| self.give_up_on(it));
    }

    /// Records are served from now on without the interest of a member that has not told it.
    fn give_up_on(&mut self, instance: Instance) {
        let Some(peer) = self.peers.by_instance(instance) else {
            return;
        };
        if peer.is_here() && !peer.given_up {
            peer.given_up = true;
            self.outputs.push_back(Output::GivenUp(instance));
        }
    }

    fn take_held(&mut self, slot: Slot, now: Time) {
        let from = self.peers.get_mut(slot).instance;
        while let Some(peer) = self.peers.by_instance(from)
            && peer.awaiting.is_empty()
            && let Some(message) = peer.held.pop_front()
        {
            // What is malformed here closes nothing: its sender has moved on, and acks nothing.
            let _ = self.take_message_from(slot, from, message, now);
        }
        self.outputs.push_back(Output::Accepted(from));
    }

    /// A peer's answer came over the link that this node dialed.
    pub fn handle_reply(
        &mut self,
        from: Instance,
        reply: Message,
        now: Time,
    ) -> Result<(), BadMessage> {
        let Some(slot) = self.peers.find(from) else {
            return Ok(());
        };
        let peer = self.peers.get_mut(slot);
        peer.progress_at = now;
        peer.passed_over = false;
        match reply {
            Message::Done { streams } => {
                for (partition, last) in streams {
                    self.finish(partition, last, now);
                }
            }
            Message::Ack { origin, streams } => {
                for (partition, last) in streams {
                    self.handle_ack(slot, origin, partition, last, now);
                }
            }
            Message::InterestAck { version } => {
                peer.acked_interest = peer.acked_interest.max(Some(version));
                self.check_ready(now);
            }
            Message::Holding => {}
            _ => return Err(BadMessage::Direction),
        }
        self.settle(now);
        Ok(())
    }

    /// The next reply for the link that a peer dialed.
    pub fn take_reply(&mut self, peer: Instance) -> Option<Message> {
        let peer = self.peers.by_instance(peer)?;
        if let Some(version) = peer.interest_ack.take() {
            return Some(Message::InterestAck { version });
        }
        if !peer.dones.is_empty() {
            let streams = std::mem::take(&mut peer.dones).into_iter().collect();
            return Some(Message::Done { streams });
        }
        if let Some(((origin, _), _)) = peer.acks.first_key_value() {
            let origin = *origin;
            let others = peer.acks.split_off(&(Instance(origin.0), u16::MAX));
            let acks: BTreeMap<_, _> = std::mem::replace(&mut peer.acks, others);
            let streams = acks
                .into_iter()
                .map(|((_, partition), last)| (partition, last));
            return Some(Message::Ack {
                origin,
                streams: streams.collect(),
            });
        }
        std::mem::take(&mut peer.say_holding).then_some(Message::Holding)
    }

    /// A peer has told anew what its clients want. Whoever was told of it when less was known here
    /// is told again: it may still have what it knew before the peer was cut off.
    fn name_again(&mut self, slot: Slot, version: u64) {
        let instance = self.peers.get_mut(slot).instance;
        for link in self.peers.linked() {
            let told = &mut self.peers.get_mut(link).sent_members;
            if told.get(&instance).is_some_and(|it| *it < version) {
                told.remove(&instance);
                self.send_view(link);
            }
        }
    }

    /// Tells a linked peer of the members that it has not been told of.
    pub(super) fn send_view(&mut self, slot: Slot) {
        let Some(peer) = self.peers.get(slot) else {
            return;
        };
        let (instance, sent) = (peer.instance, &peer.sent_members);
        let here = self.peers.iter().filter(|peer| peer.is_here());
        let new = here
            .filter(|member| member.instance != instance && !sent.contains_key(&member.instance));
        let named = |member: &PeerState| Named {
            instance: member.instance,
            card: member.card.clone(),
            interest: member.interest.unwrap_or(0),
        };
        let members: Vec<Named> = new.map(named).collect();
        if members.is_empty() {
            return;
        }
        let peer = self.peers.get_mut(slot);
        peer.sent_members.extend(
            members
                .iter()
                .map(|member| (member.instance, member.interest)),
        );
        if peer.outgoing.is_empty() {
            self.outputs.push_back(Output::Link(peer.instance));
        }
        peer.outgoing.push_back(Message::View { members });
    }
}
