//! Membership and the ring that follows from it, as one immutable snapshot for all threads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zmesh_gossip::{Member, NodeId, State, Stats};
use zmesh_partition::Table;

use crate::forward::{DEATH_PATIENCE, Instance, Peer, Ring, Topology};

/// A member as this node knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The record.
    pub member: Member,
    /// Smoothed round-trip time of probes, once one was answered.
    pub rtt: Option<Duration>,
    /// How far its data thread was behind when it last answered.
    pub lag: Duration,
}

/// What gossip says, as one snapshot: published whenever it changes and at least once a second.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    /// Every record held, this node's own included, in the order of ids.
    pub members: Vec<Known>,
    /// Ids of the members that share the partitions, sorted.
    pub view: Vec<NodeId>,
    /// Equal sets of instances have equal hashes; 0 before the first view.
    pub view_hash: u64,
    /// Whether this node has a seed's table or has found itself alone.
    pub joined: bool,
    /// Counters.
    pub stats: Stats,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct View {
    /// What gossip says.
    pub membership: Arc<Membership>,
    /// Who owns what in its view.
    pub ring: Arc<Ring>,
    /// The view hash that `ring` was made for.
    pub ring_hash: u64,
}

impl View {
    /// Before anything is known.
    pub fn empty(membership: Arc<Membership>) -> Self {
        let ring = Arc::new(Ring::new(Table::empty(), HashMap::new()));
        Self {
            membership,
            ring,
            ring_hash: 0,
        }
    }

    /// The next snapshot. The ring is computed only if the view is another one; that takes some
    /// milliseconds, so this is not for the data thread.
    pub fn next(&self, membership: Arc<Membership>) -> Self {
        if membership.view_hash == self.ring_hash {
            return Self {
                membership,
                ..self.clone()
            };
        }
        let in_view: HashSet<NodeId> = membership.view.iter().copied().collect();
        let members: Vec<&Member> = membership
            .members
            .iter()
            .map(|known| &known.member)
            .filter(|member| in_view.contains(&member.id))
            .collect();
        let on_ring: Vec<zmesh_partition::Member> = members
            .iter()
            .map(|member| zmesh_partition::Member {
                id: member.id.0,
                weight: member.weight,
            })
            .collect();
        let instances = members
            .iter()
            .map(|member| (member.id.0, Instance(member.nonce)))
            .collect();
        let ring = Arc::new(Ring::new(Table::new(&on_ring), instances));
        let ring_hash = membership.view_hash;
        Self {
            membership,
            ring,
            ring_hash,
        }
    }

    /// What the forwarding core of node `me` has to know.
    pub fn topology(&self, me: NodeId) -> Topology {
        let members = self.membership.members.iter().map(|known| &known.member);
        let others = members.filter(|member| member.id != me);
        let (live, gone): (Vec<&Member>, Vec<&Member>) = others.partition(|m| m.is_live());
        let peer = |member: &&Member| Peer {
            instance: Instance(member.nonce),
            card: Bytes::from(member.encode()),
        };
        let died = |member: &&&Member| member.state == State::Dead && member.age < DEATH_PATIENCE;
        let lately_dead = gone.iter().filter(died);
        Topology {
            lately_dead: lately_dead
                .map(|member| (Instance(member.nonce), member.age))
                .collect(),
            peers: live.iter().map(peer).collect(),
            gone: gone.iter().map(|member| Instance(member.nonce)).collect(),
            ring: Arc::clone(&self.ring),
        }
    }

    /// Whether there are others, and they may still count on this node for partitions.
    pub fn counts_on(&self, me: NodeId) -> bool {
        let mut others = self.others(me).filter(|member| member.is_live());
        self.membership.view.contains(&me) && others.next().is_some()
    }

    /// Whether every other member that is leaving has handed on what it had.
    pub fn others_have_handed_on(&self, me: NodeId) -> bool {
        let mut leaving = self.others(me).filter(|it| it.is_live() && it.leaving);
        leaving.all(Member::has_handed_on)
    }

    fn others(&self, me: NodeId) -> impl Iterator<Item = &Member> {
        let members = self.membership.members.iter().map(|known| &known.member);
        members.filter(move |member| member.id != me)
    }

    /// Names of members by the nonce of their process.
    pub fn names(&self) -> HashMap<u64, &str> {
        let members = self.membership.members.iter().map(|known| &known.member);
        members
            .map(|member| (member.nonce, member.name.as_str()))
            .collect()
    }

    /// A member by its id.
    pub fn member(&self, id: [u8; 16]) -> Option<&Member> {
        let members = self.membership.members.iter().map(|known| &known.member);
        members.into_iter().find(|member| member.id.0 == id)
    }
}
