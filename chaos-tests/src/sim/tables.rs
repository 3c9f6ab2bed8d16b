//! Tables that were made before: one takes milliseconds, and there are few sets of members.

use std::collections::BTreeMap;
use std::sync::Arc;

use zmesh_gossip::Member;
use zmesh_node::forward::{Instance, Ring};
use zmesh_node::view::Membership;
use zmesh_partition::Table;

type Members = Vec<([u8; 16], u8)>;

/// See the module.
#[derive(Debug, Default)]
pub struct Tables {
    tables: BTreeMap<Members, Table>,
    rings: BTreeMap<u64, Arc<Ring>>,
    /// Planted: rings are made of one member too few.
    pub spoiled: bool,
}

impl Tables {
    /// The ring of a view, as the node's own `View::next` makes it.
    pub fn ring(&mut self, membership: &Membership) -> Arc<Ring> {
        if let Some(ring) = self.rings.get(&membership.view_hash) {
            return Arc::clone(ring);
        }
        let members = members_in_view(membership);
        let known = &members[usize::from(self.spoiled && !members.is_empty())..];
        let table = self.table(known).clone();
        let instances = members
            .iter()
            .map(|member| (member.id.0, Instance(member.nonce)))
            .collect();
        let ring = Arc::new(Ring::new(table, instances));
        self.rings.insert(membership.view_hash, Arc::clone(&ring));
        ring
    }

    /// Whether the table that is handed out for this view's hash is the one of its members.
    pub fn agrees(&mut self, membership: &Membership) -> bool {
        let members = members_in_view(membership);
        let table = self.table(&members).clone();
        self.ring(membership).table() == &table
    }

    /// Forgets the rings: the next run has other processes.
    pub fn start_over(&mut self) {
        self.rings.clear();
        if self.tables.len() > 2000 {
            self.tables.clear();
        }
    }

    fn table(&mut self, members: &[&Member]) -> &Table {
        let mut key: Members = members.iter().map(|it| (it.id.0, it.weight)).collect();
        key.sort_unstable();
        self.tables.entry(key).or_insert_with_key(|key| {
            let member = |&(id, weight): &([u8; 16], u8)| zmesh_partition::Member { id, weight };
            Table::new(&key.iter().map(member).collect::<Vec<_>>())
        })
    }
}

fn members_in_view(membership: &Membership) -> Vec<&Member> {
    let members = membership.members.iter().map(|known| &known.member);
    members
        .filter(|member| membership.view.binary_search(&member.id).is_ok())
        .collect()
}
