//! What the core is told about the other nodes, and what it does when that changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use zmesh_partition::{Partition, Table};

use super::peers::Named;
use super::router::{Output, Router};
use super::subscriptions::DEATH_PATIENCE;
use super::{DropReason, Instance, Time};

/// Another node that is held alive.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which process.
    pub instance: Instance,
    /// Its membership record, opaque here: it is carried to nodes that do not know it.
    pub card: Bytes,
}

/// Who owns what, in one view.
#[derive(Debug)]
pub struct Ring {
    table: Table,
    instances: HashMap<[u8; 16], Instance>,
}

impl Ring {
    /// A table with the instances behind its member ids.
    pub fn new(table: Table, instances: HashMap<[u8; 16], Instance>) -> Self {
        Self { table, instances }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The owner and its successors.
    pub fn owners(&self, partition: Partition) -> impl Iterator<Item = Instance> {
        let ids = self.table.owners(partition);
        (0..ids.len()).filter_map(move |index| self.instances.get(&ids[index]).copied())
    }
}

/// The other nodes as membership sees them now.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Everyone held alive or suspect, without this node.
    pub peers: Vec<Peer>,
    /// Instances that are known to be dead, or to have left.
    pub gone: HashSet<Instance>,
    /// Those of them that are dead and did not say that they leave, and for how long, at least
    /// those that have been dead for less than [`DEATH_PATIENCE`].
    pub lately_dead: Vec<(Instance, Time)>,
    /// The ring of the view.
    pub ring: Arc<Ring>,
}

impl Router {
    /// The membership has changed.
    pub fn handle_topology(&mut self, topology: Topology, now: Time) {
        let mut appeared = false;
        for peer in &topology.peers {
            let slot = self.peers.slot(peer.instance, now);
            let known = self.peers.get_mut(slot);
            known.card = peer.card.clone();
            appeared |= !known.is_here();
            known.in_topology = true;
            known.learned_at = None;
        }
        let here: HashSet<Instance> = topology.peers.iter().map(|peer| peer.instance).collect();
        let before = std::mem::replace(&mut self.topology, topology);
        self.doubt_deaths(now);
        let mut returned = Vec::new();
        for slot in self.peers.slots() {
            let peer = self.peers.get_mut(slot);
            let was_here = peer.in_topology;
            peer.in_topology = here.contains(&peer.instance);
            if peer.in_topology {
                peer.held_dead = false;
                // Also one that was never held alive here: while it was held dead, what others said
                // of it was not believed.
                let departed = self.departed.take(peer.instance);
                let was_dead = departed.is_some() || before.gone.contains(&peer.instance);
                let (prefixes, named) = departed.unwrap_or_default();
                if was_dead && !peer.knows_interest(named) {
                    if peer.prefixes.is_empty() {
                        peer.prefixes = prefixes;
                    }
                    returned.push((peer.instance, named));
                }
            } else if was_here {
                peer.held_dead = true;
                self.departed.add(peer.instance, now);
                if peer.accepted {
                    peer.await_also(std::iter::once((peer.instance, 0)), now);
                }
            }
            if self.topology.gone.contains(&peer.instance) {
                peer.learned_at = None;
            }
            self.review_peer(slot, now);
        }
        self.await_returned(&returned, now);
        if appeared {
            self.spread_view();
        }
        self.ring_changed(now);
        self.check_ready(now);
        self.release_held(now);
        self.settle(now);
    }

    /// Others may have held a member alive all the while that this node did not, and do not name it
    /// again: their records wait until its interest is known once more, as well as they named it.
    fn await_returned(&mut self, returned: &[(Instance, u64)], now: Time) {
        for slot in self.peers.slots() {
            let peer = self.peers.get_mut(slot);
            let itself = peer.instance;
            let others = returned.iter().filter(|(instance, _)| *instance != itself);
            // Also from one that is itself held dead: it may hold this node alive, and give it
            // records.
            if peer.accepted {
                peer.await_also(others.copied(), now);
            }
        }
    }

    /// Takes over who has died lately. One that is held dead here may live, and others may hold it
    /// alive: see [`DEATH_PATIENCE`].
    fn doubt_deaths(&mut self, now: Time) {
        let before = std::mem::take(&mut self.doubted_deaths);
        for (instance, age) in &self.topology.lately_dead {
            let until = now + DEATH_PATIENCE.saturating_sub(*age);
            let until = before.get(instance).map_or(until, |it| until.min(*it));
            self.doubted_deaths.insert(*instance, until);
        }
    }

    /// Forgets a peer, and what was held back for it.
    pub(super) fn remove_peer(&mut self, slot: u32) {
        self.withheld.retain(|(from, _, _), _| *from != slot);
        if let Some(peer) = self.peers.remove(slot) {
            self.departed.keep(peer.instance, peer.prefixes);
        }
    }

    /// Applies the rule of movement to every stream with records that are not done.
    pub(super) fn ring_changed(&mut self, now: Time) {
        self.ring_version += 1;
        for partition in self.outbox.active() {
            self.revise(partition, now);
        }
    }

    pub(super) fn revise(&mut self, partition: u16, now: Time) {
        let desired = self.desired(partition, now);
        let (peers, me) = (&self.peers, self.me);
        let gone = |target| target != me && !peers.is_usable(target, now);
        let waited = (now, &mut self.stats.move_times);
        let moved = self
            .outbox
            .revise(partition, desired, self.ring_version, gone, waited);
        if let Some((target, records)) = moved {
            self.todo
                .extend(records.into_iter().map(|kept| (target, kept)));
        }
    }

    /// The owner, or the first successor where the link to the owner has been down for long.
    pub(super) fn desired(&self, partition: u16, now: Time) -> Instance {
        desired(self.me, &self.topology.ring, &self.peers, partition, now)
    }

    /// A peer counts while membership or another node's word says that it is alive. When it
    /// stops counting, what it had not acked is dropped and counted, and nobody waits for it.
    pub(super) fn review_peer(&mut self, slot: u32, now: Time) {
        let peer = self.peers.get_mut(slot);
        if peer.is_here() {
            self.take_up_interest(slot);
            return;
        }
        if !peer.is_missed() {
            self.peers.unindex_interest(slot, &mut self.nodes);
        }
        self.stop_waiting_for(slot, DropReason::Unreachable, now);
        let peer = self.peers.get_mut(slot);
        peer.clear_outgoing();
        if peer.is_forgettable() {
            self.remove_peer(slot);
        }
    }

    /// Tells every linked peer of members that it may not know.
    pub(super) fn spread_view(&mut self) {
        let here = self.peers.iter().filter(|peer| peer.is_here());
        let here: HashSet<Instance> = here.map(|peer| peer.instance).collect();
        for slot in self.peers.linked() {
            let told = &mut self.peers.get_mut(slot).sent_members;
            if told.len() > 2 * here.len() {
                told.retain(|instance, _| here.contains(instance));
            }
            self.send_view(slot);
        }
    }

    /// Nodes that another node named: they count until membership has an opinion of its own, and
    /// the others are told. Returns those whose interest is not known as well as there.
    pub(super) fn take_in(&mut self, members: Vec<Named>, now: Time) -> Vec<(Instance, u64)> {
        let (mut awaited, mut appeared) = (Vec::new(), false);
        for Named {
            instance,
            card,
            interest,
        } in members
        {
            let gone = self.topology.gone.contains(&instance);
            self.departed.name(instance, interest);
            if instance == self.me || gone || self.departed.contains(instance) {
                continue;
            }
            let slot = self.peers.slot(instance, now);
            let peer = self.peers.get_mut(slot);
            if !peer.is_here() {
                appeared = true;
                peer.card = card.clone();
                peer.learned_at = Some(now);
                self.outputs.push_back(Output::Learned(card));
                self.take_up_interest(slot);
            }
            if !self.peers.get_mut(slot).knows_interest(interest) {
                awaited.push((instance, interest));
            }
        }
        if appeared {
            self.spread_view();
        }
        awaited
    }
}

/// See [`Router::desired`]; apart so that it can be asked while the outbox is changed.
pub(super) fn desired(
    me: Instance,
    ring: &Ring,
    peers: &super::peers::Peers,
    partition: u16,
    now: Time,
) -> Instance {
    let Some(partition) = Partition::new(partition) else {
        return me;
    };
    let mut owners = ring.owners(partition);
    let first = owners.next().unwrap_or(me);
    if first == me || peers.is_usable(first, now) {
        return first;
    }
    owners
        .find(|owner| *owner == me || peers.is_usable(*owner, now))
        .unwrap_or(first)
}
