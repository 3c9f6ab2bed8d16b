//! The table: owner and successors of every partition.
//!
//! Partitions ask their candidates in order. A member takes at most 1.10 × its fair share; asked
//! by more, it keeps those for which it is the earlier candidate, and of these the lower numbers,
//! and sends the others on to their next candidate. This is deferred acceptance: its outcome does
//! not depend on the order in which partitions ask.
//!
//! A table costs 100 KB and one walk of the ring: about 5 ms for 3 members and 10 ms for 128 in a
//! release build. Reading it is one index.

use crate::hash;
use crate::ring::{Member, MemberId, Ring, Walk};
use crate::topic::{PARTITIONS, Partition};
use std::collections::BinaryHeap;
use std::ops::Deref;

/// Most members of a table: one a partition, as no more could own one. Of more members those with
/// the lowest ids are taken.
pub const MAX_MEMBERS: usize = PARTITIONS as usize;

/// Owner and successors kept for each partition.
const OWNERS: usize = 3;

/// Stands in a row for a member that is not there.
const NOBODY: u16 = u16::MAX;

/// Who owns each partition, and who follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Sorted by id.
    members: Vec<MemberId>,
    /// Indices into `members`, one row a partition; no rows without members.
    rows: Vec<[u16; OWNERS]>,
    /// Partitions owned, by index of the member.
    loads: Vec<u32>,
}

/// The owner of a partition, then its successors, nearest first: at most three, all different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    ids: [MemberId; OWNERS],
    count: usize,
}

impl Table {
    /// The table of nobody.
    pub fn empty() -> Self {
        Self {
            members: Vec::new(),
            rows: Vec::new(),
            loads: Vec::new(),
        }
    }

    /// The table of these members, in whatever order. Of a member named twice the greater weight
    /// counts.
    pub fn new(members: &[Member]) -> Self {
        let members = canonical(members);
        if members.is_empty() {
            return Self::empty();
        }
        let ring = Ring::new(&members);
        let mut walks: Vec<Walk> = Partition::all()
            .map(|it| Walk::from(hash::of_partition(it.get())))
            .collect();
        let held = assign(&ring, &limits(&members), &mut walks);
        let loads = held.iter().map(|held| held.len() as u32).collect();
        let mut rows = vec![[NOBODY; OWNERS]; walks.len()];
        for (owner, held) in (0..).zip(&held) {
            for asked in held.iter() {
                let index = usize::from(asked.partition);
                rows[index] = row(owner, &mut walks[index], &ring);
            }
        }
        Self {
            members: members.iter().map(|member| member.id).collect(),
            rows,
            loads,
        }
    }

    /// The owner of a partition. None only if there are no members.
    pub fn owner(&self, partition: Partition) -> Option<MemberId> {
        let [owner, ..] = *self.rows.get(partition.index())?;
        self.members.get(usize::from(owner)).copied()
    }

    /// The owner of a partition and its successors: who comes next if the owner leaves.
    pub fn owners(&self, partition: Partition) -> Owners {
        let mut owners = Owners {
            ids: [[0; 16]; OWNERS],
            count: 0,
        };
        let row = self.rows.get(partition.index()).into_iter().flatten();
        for id in row.filter_map(|&index| self.members.get(usize::from(index))) {
            owners.ids[owners.count] = *id;
            owners.count += 1;
        }
        owners
    }

    /// How many partitions a member owns; 0 if it is not a member.
    pub fn partitions_of(&self, id: MemberId) -> u32 {
        self.index_of(id).map_or(0, |index| self.loads[index])
    }

    /// The members, sorted by id.
    pub fn members(&self) -> &[MemberId] {
        &self.members
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where a member stands in the list of them.
    pub(crate) fn index_of(&self, id: MemberId) -> Option<usize> {
        self.members.binary_search(&id).ok()
    }
}

impl Deref for Owners {
    type Target = [MemberId];

    fn deref(&self) -> &[MemberId] {
        &self.ids[..self.count]
    }
}

/// The members in the order in which a partition asks them to own it, the most welcome first.
/// Makes the ring anew: some milliseconds.
pub fn candidates(members: &[Member], partition: Partition) -> Vec<MemberId> {
    let members = canonical(members);
    let ring = Ring::new(&members);
    let mut walk = Walk::from(hash::of_partition(partition.get()));
    let order = std::iter::from_fn(|| walk.next(&ring));
    order.map(|index| members[usize::from(index)].id).collect()
}

/// A partition at a member that it asked. Greater is less welcome, so that a heap has the one to
/// send away on top.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    /// How many candidates the partition had asked before.
    rank: u16,
    partition: u16,
}

/// The members sorted by id, each once, as many as a table takes.
fn canonical(members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    members.sort_unstable_by_key(|member| (member.id, std::cmp::Reverse(member.share())));
    members.dedup_by_key(|member| member.id);
    members.truncate(MAX_MEMBERS);
    members
}

/// The most partitions each member may own: 1.10 × its fair share rounded down, but never less
/// than its fair share rounded up, so that there is a place for every partition.
fn limits(members: &[Member]) -> Vec<usize> {
    let total: usize = members.iter().map(Member::share).sum();
    let limit = |member: &Member| {
        let parts = usize::from(PARTITIONS) * member.share();
        (parts * 11 / (total * 10)).max(parts.div_ceil(total))
    };
    members.iter().map(limit).collect()
}

/// Finds a member for every partition. Leaves each walk just behind its owner.
fn assign(ring: &Ring, limits: &[usize], walks: &mut [Walk]) -> Vec<BinaryHeap<Asked>> {
    let mut held: Vec<BinaryHeap<Asked>> = limits.iter().map(|_| BinaryHeap::new()).collect();
    for partition in 0..PARTITIONS {
        let mut asking = Some(partition);
        while let Some(partition) = asking {
            let walk = &mut walks[usize::from(partition)];
            let rank = walk.met().len() as u16;
            let candidate = walk
                .next(ring)
                .expect("the limits leave a place for every partition");
            let candidate = usize::from(candidate);
            held[candidate].push(Asked { rank, partition });
            let full = held[candidate].len() > limits[candidate];
            asking = if full {
                held[candidate].pop().map(|asked| asked.partition)
            } else {
                None
            };
        }
    }
    held
}

/// The row of a partition: its owner, then its candidates in order without the owner.
fn row(owner: u16, walk: &mut Walk, ring: &Ring) -> [u16; OWNERS] {
    while walk.met().len() < OWNERS && walk.next(ring).is_some() {}
    let mut row = [NOBODY; OWNERS];
    row[0] = owner;
    let others = walk.met().iter().filter(|&&member| member != owner);
    for (slot, &member) in row[1..].iter_mut().zip(others) {
        *slot = member;
    }
    row
}
