//! All records this node holds, with digests by which two tables can be compared cheaply.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::gossip::suspicion::Suspicion;
use crate::id::{NodeId, first_eight};
use crate::member::{Member, State};
use crate::rtt::Rtt;

/// Parts of the id space that a sync compares one by one.
pub(crate) const BUCKETS: usize = 64;
/// A bucket is a range of first bytes of ids.
const BUCKET_WIDTH: usize = 256 / BUCKETS;

/// A record and what this node has noticed about its subject.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) member: Member,
    /// When `member.age` was right.
    stamped: Duration,
    /// What the record adds to the digests.
    hash: u64,
    /// Whether the digests contain it: everything but old tombstones.
    counted: bool,
    pub(crate) rtt: Rtt,
    pub(crate) suspicion: Option<Suspicion>,
    /// When its address last refused a connection; forgotten when it is heard.
    pub(crate) refused_at: Option<Duration>,
    /// When it was last heard itself, over gossip.
    pub(crate) heard_at: Duration,
    /// When it was first not suspected because its link brought something. Forgotten when it is
    /// heard.
    pub(crate) spared_at: Option<Duration>,
    /// When it was last told that it is held suspect or dead.
    pub(crate) accused_at: Option<Duration>,
    /// Its view hash when it was last heard.
    pub(crate) view: Option<u64>,
    /// How far its data thread was behind when it last answered.
    pub(crate) lag: Duration,
    /// When a dead member is called on next.
    pub(crate) next_call: Duration,
    /// When it was last found alive after it had been held dead.
    pub(crate) back_at: Option<Duration>,
}

/// What a record was before it changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    pub(crate) nonce: u64,
    pub(crate) incarnation: u64,
    pub(crate) state: State,
    pub(crate) weight: u8,
    pub(crate) in_view: bool,
}

/// What merging a record into the table did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Merge {
    Nothing,
    Full,
    New,
    Changed(Before),
}

/// Records by id.
#[derive(Debug)]
pub(crate) struct Table {
    /// The node whose table it is. Its record stays, also when it has left.
    own: NodeId,
    entries: BTreeMap<NodeId, Entry>,
    /// Sorted. Members are drawn from it by number for every round of gossip.
    live: Vec<NodeId>,
    suspects: BTreeSet<NodeId>,
    dead: BTreeSet<NodeId>,
    buckets: Vec<u64>,
}

impl Table {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            entries: BTreeMap::new(),
            live: Vec::new(),
            suspects: BTreeSet::new(),
            dead: BTreeSet::new(),
            buckets: alloc::vec![0; BUCKETS],
        }
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// What was noticed about a member may be changed in place, its record only by `merge`.
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Members held alive or suspect, sorted.
    pub(crate) fn live(&self) -> &[NodeId] {
        &self.live
    }

    pub(crate) fn is_live(&self, id: NodeId) -> bool {
        self.live.binary_search(&id).is_ok()
    }

    pub(crate) fn suspects(&self) -> &BTreeSet<NodeId> {
        &self.suspects
    }

    pub(crate) fn dead(&self) -> &BTreeSet<NodeId> {
        &self.dead
    }

    pub(crate) fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// Equal tables have equal digests.
    pub(crate) fn digest(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |digest, bucket| digest ^ bucket)
    }

    /// Members that can be reached at this gossip or link address.
    pub(crate) fn at_address(&self, address: &str) -> Vec<NodeId> {
        let here = |entry: &&Entry| entry.member.gossip == address || entry.member.link == address;
        let live = self.live.iter().filter_map(|id| self.entries.get(id));
        live.filter(here).map(|entry| entry.member.id).collect()
    }

    /// The records of one bucket that are still told to others, with their ages.
    pub(crate) fn bucket(&self, bucket: usize, now: Duration) -> impl Iterator<Item = Member> {
        let (mut first, mut last) = (NodeId([0; 16]), NodeId([0xff; 16]));
        first.0[0] = (bucket * BUCKET_WIDTH) as u8;
        last.0[0] = (bucket * BUCKET_WIDTH + BUCKET_WIDTH - 1) as u8;
        let entries = self.entries.range(first..=last).map(|(_, entry)| entry);
        entries
            .filter(|entry| entry.counted)
            .map(move |entry| entry.aged(now))
    }

    /// Takes in a record. A tombstone that is too old to be told is not taken in anew, or the
    /// dead would be remembered for ever by handing them round.
    pub(crate) fn merge(&mut self, record: &Member, now: Duration, config: &Config) -> Merge {
        let id = record.id;
        let Some(entry) = self.entries.get_mut(&id) else {
            return self.insert(record, now, config);
        };
        let before = entry.before();
        let old_hash = if entry.counted { entry.hash } else { 0 };
        entry.member.age = entry.age(now);
        entry.stamped = now;
        if !entry.member.merge(record) {
            return Merge::Nothing;
        }
        if entry.member.nonce != before.nonce {
            let member = entry.member.clone();
            *entry = Entry::new(member, now);
        }
        entry.counted = true;
        entry.hash = hash(&entry.member);
        let change = old_hash ^ entry.hash;
        self.toggle(id, change);
        self.sort_in(id);
        Merge::Changed(before)
    }

    /// Forgets tombstones that are old enough; says which ids are gone.
    pub(crate) fn expire(&mut self, now: Duration, config: &Config) -> Vec<NodeId> {
        let tombstones: Vec<NodeId> = self
            .entries
            .keys()
            .copied()
            .filter(|id| *id != self.own && !self.is_live(*id))
            .collect();
        let mut gone = Vec::new();
        for id in tombstones {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let age = entry.age(now);
            if age >= config.tombstone_spread && entry.counted {
                entry.counted = false;
                let old_hash = entry.hash;
                self.toggle(id, old_hash);
            }
            if age >= config.tombstone_keep {
                self.remove(id);
                gone.push(id);
            }
        }
        gone
    }

    fn insert(&mut self, record: &Member, now: Duration, config: &Config) -> Merge {
        if !record.is_live() && record.age >= config.tombstone_spread {
            return Merge::Nothing;
        }
        if self.entries.len() >= config.max_members && !self.drop_oldest_tombstone(now) {
            return Merge::Full;
        }
        self.entries
            .insert(record.id, Entry::new(record.clone(), now));
        self.toggle(record.id, hash(record));
        self.sort_in(record.id);
        Merge::New
    }

    fn drop_oldest_tombstone(&mut self, now: Duration) -> bool {
        let tombstones = self
            .entries
            .values()
            .filter(|entry| entry.member.id != self.own && !entry.member.is_live());
        let Some(oldest) = tombstones.max_by_key(|entry| entry.age(now)) else {
            return false;
        };
        self.remove(oldest.member.id);
        true
    }

    fn remove(&mut self, id: NodeId) {
        if let Some(entry) = self.entries.remove(&id) {
            if entry.counted {
                self.toggle(id, entry.hash);
            }
            self.sort_in(id);
        }
    }

    fn toggle(&mut self, id: NodeId, hash: u64) {
        self.buckets[bucket_of(id)] ^= hash;
    }

    fn sort_in(&mut self, id: NodeId) {
        let state = self.entries.get(&id).map(|entry| entry.member.state);
        let lives = matches!(state, Some(State::Alive | State::Suspect));
        match (self.live.binary_search(&id), lives) {
            (Err(place), true) => self.live.insert(place, id),
            (Ok(place), false) => {
                self.live.remove(place);
            }
            (Ok(_), true) | (Err(_), false) => {}
        }
        let mut keep = |set: fn(&mut Self) -> &mut BTreeSet<NodeId>, holds: bool| {
            let set = set(self);
            if holds {
                set.insert(id)
            } else {
                set.remove(&id)
            }
        };
        keep(|table| &mut table.suspects, state == Some(State::Suspect));
        keep(|table| &mut table.dead, state == Some(State::Dead));
    }
}

impl Entry {
    fn new(member: Member, now: Duration) -> Self {
        Self {
            hash: hash(&member),
            member,
            stamped: now,
            counted: true,
            rtt: Rtt::default(),
            suspicion: None,
            refused_at: None,
            heard_at: Duration::ZERO,
            spared_at: None,
            accused_at: None,
            view: None,
            lag: Duration::ZERO,
            next_call: Duration::ZERO,
            back_at: None,
        }
    }

    /// How long the subject has been dead or gone.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        if self.member.is_live() {
            return Duration::ZERO;
        }
        self.member
            .age
            .saturating_add(now.saturating_sub(self.stamped))
    }

    /// The record with its age as of now, in whole seconds, as it is told to others.
    pub(crate) fn aged(&self, now: Duration) -> Member {
        Member {
            age: Duration::from_secs(self.age(now).as_secs()),
            ..self.member.clone()
        }
    }

    fn before(&self) -> Before {
        Before {
            nonce: self.member.nonce,
            incarnation: self.member.incarnation,
            state: self.member.state,
            weight: self.member.weight,
            in_view: self.member.in_view(),
        }
    }
}

fn bucket_of(id: NodeId) -> usize {
    usize::from(id.0[0]) / BUCKET_WIDTH
}

/// What of a record must agree between two tables; who accuses and how old it is need not.
fn hash(member: &Member) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&member.id.0);
    for number in [
        member.epoch,
        member.nonce,
        member.incarnation,
        member.state as u64,
    ] {
        hasher.update(&number.to_le_bytes());
    }
    first_eight(&hasher)
}
