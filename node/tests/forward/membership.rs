//! What each node holds of the others: a stand-in for gossip that the world feeds, where and when
//! it likes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use zmesh_node::forward::{Instance, Peer, Ring, Time, Topology};
use zmesh_partition::{Member, Table};

/// How far a process is in its life; later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Standing {
    Joining,
    Ready,
    Leaving,
    Gone,
}

/// A process: the node that it is, and the how-manieth process of that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) id: u8,
    pub(crate) generation: u8,
    pub(crate) standing: Standing,
}

impl Record {
    pub(crate) fn instance(self) -> Instance {
        Instance(u64::from(self.id) * 100 + 100 + u64::from(self.generation))
    }

    pub(crate) fn card(self) -> Bytes {
        Bytes::copy_from_slice(&[self.id, self.generation, self.standing as u8])
    }

    pub(crate) fn of_card(card: &[u8]) -> Self {
        use Standing::{Gone, Joining, Leaving, Ready};
        let standings = [Joining, Ready, Leaving, Gone];
        Self {
            id: card[0],
            generation: card[1],
            standing: standings[usize::from(card[2])],
        }
    }
}

/// One node's view.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    me: u8,
    records: BTreeMap<u8, Record>,
    /// Living instances that are held dead by mistake, and until when.
    doubted: BTreeMap<Instance, Time>,
}

impl Membership {
    pub(crate) fn new(me: Record) -> Self {
        Self {
            me: me.id,
            records: BTreeMap::from([(me.id, me)]),
            doubted: BTreeMap::new(),
        }
    }

    /// Takes in a record. `true` if that changed anything.
    pub(crate) fn learn(&mut self, record: Record) -> bool {
        let known = self.records.get(&record.id);
        let newer = known.is_none_or(|known| {
            (record.generation, record.standing) > (known.generation, known.standing)
        });
        if newer {
            self.records.insert(record.id, record);
        }
        newer
    }

    pub(crate) fn doubt(&mut self, instance: Instance, until: Time) {
        self.doubted.insert(instance, until);
    }

    /// Takes back whom it doubted for long enough; says who that is.
    pub(crate) fn refuted(&mut self, now: Time) -> Vec<Instance> {
        let over = self.doubted.iter().filter(|(_, until)| **until <= now);
        let over: Vec<Instance> = over.map(|(instance, _)| *instance).collect();
        for instance in &over {
            self.doubted.remove(instance);
        }
        over
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        self.records.values().copied()
    }

    /// Every other process that it holds alive.
    pub(crate) fn others(&self) -> impl Iterator<Item = Record> {
        self.records().filter(|record| {
            record.id != self.me
                && record.standing != Standing::Gone
                && !self.doubted.contains_key(&record.instance())
        })
    }

    pub(crate) fn holds_alive(&self, instance: Instance) -> bool {
        self.others().any(|record| record.instance() == instance)
    }

    pub(crate) fn topology(&self) -> Topology {
        let peer = |record: Record| Peer {
            instance: record.instance(),
            card: record.card(),
        };
        let own = self.records().filter(|record| record.id == self.me);
        let owning = own.chain(self.others());
        let owning: Vec<Record> = owning
            .filter(|record| record.standing == Standing::Ready)
            .collect();
        let gone = self
            .records()
            .filter(|record| record.standing == Standing::Gone);
        let gone: HashSet<Instance> = gone
            .map(Record::instance)
            .chain(self.doubted.keys().copied())
            .collect();
        Topology {
            // The core counts the time itself, as long as it is told of them.
            lately_dead: gone.iter().map(|it| (*it, Time::ZERO)).collect(),
            peers: self.others().map(peer).collect(),
            gone,
            ring: Arc::new(ring(&owning)),
        }
    }
}

fn ring(owning: &[Record]) -> Ring {
    // A table takes milliseconds and there are few sets of members.
    thread_local! {
        static TABLES: RefCell<BTreeMap<Vec<u8>, Table>> = const { RefCell::new(BTreeMap::new()) };
    }
    let mut ids: Vec<u8> = owning.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    let member = |id: &u8| Member {
        id: [*id; 16],
        weight: 1,
    };
    let table = TABLES.with_borrow_mut(|tables| {
        let members: Vec<Member> = ids.iter().map(member).collect();
        let table = tables.entry(ids).or_insert_with(|| Table::new(&members));
        table.clone()
    });
    let instances: HashMap<_, _> = owning
        .iter()
        .map(|record| ([record.id; 16], record.instance()))
        .collect();
    Ring::new(table, instances)
}
