//! Membership and the ring that follows from it, as one immutable snapshot for all threads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use zmesh_gossip::{Member, NodeId};
use zmesh_partition::Table;

use crate::forward::{Instance, Peer, Ring, Topology};
use crate::gossip::Membership;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) membership: Arc<Membership>,
    pub(crate) ring: Arc<Ring>,
    /// The view hash that `ring` was made for.
    pub(crate) ring_hash: u64,
}

impl View {
    /// Before anything is known.
    pub(crate) fn empty(membership: Arc<Membership>) -> Self {
        let ring = Arc::new(Ring::new(Table::empty(), HashMap::new()));
        Self {
            membership,
            ring,
            ring_hash: 0,
        }
    }

    /// The next snapshot. The ring is computed only if the view is another one; that takes some
    /// milliseconds, so this is not for the data thread.
    pub(crate) fn next(&self, membership: Arc<Membership>) -> Self {
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
    pub(crate) fn topology(&self, me: NodeId) -> Topology {
        let members = self.membership.members.iter().map(|known| &known.member);
        let others = members.filter(|member| member.id != me);
        let (live, gone): (Vec<&Member>, Vec<&Member>) = others.partition(|m| m.is_live());
        let peer = |member: &&Member| Peer {
            instance: Instance(member.nonce),
            card: Bytes::from(member.encode()),
        };
        Topology {
            peers: live.iter().map(peer).collect(),
            gone: gone.iter().map(|member| Instance(member.nonce)).collect(),
            ring: Arc::clone(&self.ring),
        }
    }

    /// A member by its id.
    pub(crate) fn member(&self, id: [u8; 16]) -> Option<&Member> {
        let members = self.membership.members.iter().map(|known| &known.member);
        members.into_iter().find(|member| member.id.0 == id)
    }
}
