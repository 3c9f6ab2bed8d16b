//! The ring: who comes after a partition's place, in which order.
//!
//! Every member has [`POINTS`] points a unit of weight. A partition's candidates are the members
//! in the order in which a walk from its place meets them. So when a member leaves, everyone
//! else's order stays as it is, and the second candidate is the one that takes over. (Candidates
//! looked up under several salts, each on its own, would not have that: a lookup that met the
//! leaver would meet somebody else than the next candidate.)

use crate::hash;
use hashring::HashRing;
use std::hash::{BuildHasher, Hash, Hasher};

/// Id of a member.
pub type MemberId = [u8; 16];

/// Somebody who can own partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its id, unique among the members.
    pub id: MemberId,
    /// Its share relative to the others', 1 to 16. Other values count as the nearest of these.
    pub weight: u8,
}

/// Points a member has for each unit of its weight. More split the ring more evenly and cost more
/// to sort; the bound on loads evens out what is left. Every partition that the bound sends on may
/// move with the next change: with 128 points one join in fifty among 32 members moved more than
/// 1.2 × the minimum, with 256 none of 400 moved more than 1.16 ×.
const POINTS: usize = 256;

/// Largest weight: bounds the ring to 4096 points a member.
const MAX_WEIGHT: u8 = 16;

impl Member {
    /// The weight within its bounds.
    pub(crate) fn share(&self) -> usize {
        usize::from(self.weight.clamp(1, MAX_WEIGHT))
    }
}

/// The ring of a list of members, who are named by their index in that list.
pub(crate) struct Ring {
    ring: HashRing<Point, PointIsItsHash>,
    members: usize,
}

/// The candidates of one partition, found one by one.
pub(crate) struct Walk {
    place: u64,
    met: Vec<u16>,
}

/// A point of a member on the ring.
struct Point {
    at: u64,
    member: u16,
}

impl Ring {
    /// The ring of members that are sorted by id, without duplicates.
    pub(crate) fn new(members: &[Member]) -> Self {
        let mut points = Vec::new();
        for (index, member) in (0..).zip(members) {
            let places = hash::points_of_member(&member.id, POINTS * member.share());
            points.extend(places.map(|at| Point { at, member: index }));
        }
        // Where two points fall together, the smaller id has it.
        points.sort_unstable_by_key(|point| (point.at, point.member));
        points.dedup_by_key(|point| point.at);
        let mut ring = HashRing::with_hasher(PointIsItsHash);
        ring.batch_add(points);
        Self {
            ring,
            members: members.len(),
        }
    }
}

impl Walk {
    /// A walk from this place.
    pub(crate) fn from(place: u64) -> Self {
        Self {
            place,
            met: Vec::new(),
        }
    }

    /// The next member that the walk has not met yet, until it has met all of them.
    pub(crate) fn next(&mut self, ring: &Ring) -> Option<u16> {
        let mut points_left = ring.ring.len();
        while self.met.len() < ring.members && points_left > 0 {
            let point = ring.ring.get(&Place(self.place))?;
            self.place = point.at.wrapping_add(1);
            points_left -= 1;
            if !self.met.contains(&point.member) {
                self.met.push(point.member);
                return Some(point.member);
            }
        }
        None
    }

    /// The members met so far, in order.
    pub(crate) fn met(&self) -> &[u16] {
        &self.met
    }
}

/// A place on the ring to look from.
struct Place(u64);

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.at);
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Points are hashes already: hashing them again would cost time and hide them from the walk.
struct PointIsItsHash;

impl BuildHasher for PointIsItsHash {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only write_u64 is used above; this keeps the trait's promise for anything else.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u8) -> Vec<Member> {
        (0..count)
            .map(|byte| Member {
                id: [byte; 16],
                weight: 1,
            })
            .collect()
    }

    fn order(ring: &Ring, place: u64) -> Vec<u16> {
        let mut walk = Walk::from(place);
        std::iter::from_fn(|| walk.next(ring)).collect()
    }

    #[test]
    fn a_walk_meets_every_member_once() {
        let ring = Ring::new(&members(20));
        for place in [0, 1 << 40, u64::MAX] {
            let mut met = order(&ring, place);
            met.sort_unstable();
            assert_eq!(met, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_member_that_leaves_changes_nobody_elses_order() {
        let all = members(20);
        let (before, after) = (Ring::new(&all), Ring::new(&all[..19]));
        for partition in 0..200 {
            let place = hash::of_partition(partition);
            let mut expected = order(&before, place);
            expected.retain(|&member| member != 19);
            assert_eq!(order(&after, place), expected);
        }
    }

    #[test]
    fn nobody_is_met_on_an_empty_ring() {
        assert_eq!(order(&Ring::new(&[]), 7), []);
    }
}
