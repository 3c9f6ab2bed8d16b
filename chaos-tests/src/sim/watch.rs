//! Who looks on: what must hold of members and messages, and whether it does.

mod delivery;
mod members;
mod order;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use zmesh_gossip::{Config, Gossip, NodeId};
use zmesh_node::forward::{ClientId, Instance, Message, Router, Topology};
use zmesh_node::view::Membership;

use super::Time;
use super::dice::Dice;
use super::process::ProcessId;
use super::tables::Tables;

pub use delivery::Ended;
use delivery::Reader;
use members::Claim;

/// Which message of whom, on which topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Who published it.
    pub publisher: u32,
    /// On which topic, as an index.
    pub topic: u16,
    /// Its number among those of this publisher on this topic.
    pub number: u32,
}

impl std::str::FromStr for Stamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Vec<u32> = text.split('.').flat_map(str::parse).collect();
        match numbers[..] {
            [publisher, topic, number] => Ok(Self {
                publisher,
                topic: topic as u16,
                number,
            }),
            _ => Err("three numbers are wanted: PUBLISHER.TOPIC.NUMBER".into()),
        }
    }
}

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A record went back in the order of precedence.
    WentBack,
    /// A process that had ended came back to life.
    Resurrected,
    /// Somebody else than the subject raised a record, or said that it left.
    RaisedByOther,
    /// A node that heard nobody declared a living one dead.
    DeafDeath,
    /// Equal view hashes, different tables.
    Tables,
    /// A subscriber got a message twice.
    Doubled,
    /// A subscriber got a message behind a later one of the same publisher and topic.
    Reordered,
    /// A subscriber did not get what it was promised.
    Lost,
    /// A message was changed on its way.
    Damaged,
    /// Two subscribers saw a topic in different orders while its owner stood.
    TopicOrder,
    /// Counters do not add up.
    Miscounted,
    /// Something grew over its limit.
    Unbounded,
    /// A node missed messages and nobody counted them.
    Uncounted,
    /// A node that nothing hindered left before it had handed on what it had.
    Undrained,
    /// The mesh did not come to rest, or to one view.
    Restless,
    /// A node was passed over although all was well.
    PassedOver,
}

/// A mistake planted into the world, that a check must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Two nodes lose sight of each other when all is well.
    LateCut,
    /// What was dropped for nodes out of reach is not counted.
    LostCount,
    /// A node on its way out never has handed on what it had.
    StuckDrain,
    /// A record is seen as it was before.
    WentBack,
    /// A node says of one that has ended that it lives.
    Resurrection,
    /// A node raises the incarnation of another.
    RaisedByOther,
    /// A node declares the others dead when it is cut off.
    DeafDeath,
    /// A table has two partitions swapped.
    WrongTable,
    /// A subscriber sees a message twice.
    Double,
    /// A subscriber does not see a message.
    Loss,
    /// A subscriber sees two messages in the wrong order.
    Swap,
    /// A message changes on its way.
    Damage,
    /// A subscriber sees the messages of two publishers in an order of its own.
    OwnOrder,
    /// A node does not count what it hands to a client.
    Miscount,
    /// A publisher is read over its budget.
    Hoard,
    /// A cut is never healed.
    LastingCut,
    /// A lost `done`: a publisher's messages are owed for ever.
    LostDone,
    /// Acks are lost although nothing is wrong.
    LostAcks,
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages published.
    pub published: u64,
    /// Messages that subscribers got.
    pub delivered: u64,
    /// Of those, ones that were checked against a promise.
    pub promised: u64,
    /// Promised messages that a stated rule let go: counted drops, and members held dead.
    pub excused: u64,
    /// Living processes that somebody declared dead.
    pub false_deaths: u64,
    /// Faults injected.
    pub faults: u64,
    /// Events of the simulation.
    pub events: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was broken.
    pub violations: Vec<(Kind, String)>,
    /// What was seen.
    pub counts: Counts,
    /// What is planted.
    pub planted: Option<Planted>,
    /// Faults have stopped, and the mesh has mended.
    calm: bool,
    /// Since then.
    calm_at: Time,
    /// A message whose way is told line by line, with what happens to nodes meanwhile.
    pub follow: Option<Stamp>,
    /// Each death that somebody declared: when, who, and of whom. Where it is kept nothing else is
    /// looked at, for the sake of meshes of a thousand.
    pub deaths: Option<Vec<(Time, ProcessId, Instance)>>,
    config: Option<Config>,
    /// Which process each instance is, and whether it lives.
    instances: BTreeMap<Instance, (ProcessId, bool)>,
    mine: BTreeMap<ProcessId, (Instance, NodeId)>,
    claims: BTreeMap<(ProcessId, NodeId), Claim>,
    /// The last incarnation, and whether it left, as each instance itself says.
    own_word: BTreeMap<Instance, (u64, bool)>,
    heard_at: BTreeMap<ProcessId, Time>,
    suspected_at: BTreeMap<(ProcessId, Instance), Time>,
    now: Time,
    /// Members held by each process.
    holds: BTreeMap<ProcessId, BTreeSet<Instance>>,
    /// When a process did not hold an instance alive: from, until.
    unheld: BTreeMap<(ProcessId, Instance), Vec<(Time, Time)>>,
    /// When it passed it over.
    passed_over: BTreeMap<(ProcessId, Instance), Vec<(Time, Time)>>,
    /// When it served without knowing what the instance's clients want.
    given_up: BTreeMap<(ProcessId, Instance), Vec<(Time, Time)>>,
    accepted: BTreeSet<(ProcessId, Instance)>,
    /// When it was held dead and there was no link from it: nobody knew what it wanted.
    unknown: BTreeMap<(ProcessId, Instance), Vec<(Time, Time)>>,
    interest: BTreeMap<(ProcessId, Instance), BTreeSet<Vec<u8>>>,
    readers: BTreeMap<(ProcessId, ClientId), Reader>,
    /// At which node each publisher is.
    origins: BTreeMap<u32, ProcessId>,
    /// When some subscriber got a message last.
    arrived: HashMap<Stamp, Time, foldhash::fast::FixedState>,
    /// Who served a message, and when: the first and the last time.
    served: HashMap<Stamp, Vec<(ProcessId, Time, Time)>, foldhash::fast::FixedState>,
    ended: BTreeMap<ProcessId, Ended>,
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.promised += other.promised;
        self.excused += other.excused;
        self.false_deaths += other.false_deaths;
        self.faults += other.faults;
        self.events += other.events;
    }
}

impl Watch {
    /// Looks on a run with these settings of membership.
    pub fn new(config: Config, planted: Option<Planted>) -> Self {
        Self {
            config: Some(config),
            planted,
            ..Self::default()
        }
    }

    /// Looks on for deaths alone.
    pub fn for_deaths() -> Self {
        Self {
            deaths: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Notes that a promise was broken.
    pub fn report(&mut self, kind: Kind, text: String) {
        if self.violations.len() < 100 {
            let now = self.now;
            self.violations.push((kind, format!("{now:.3?} {text}")));
        }
    }

    /// Tells what happens while a message is followed.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.follow.is_some() {
            println!("{:.4?} {}", self.now, what());
        }
    }

    /// Time goes on.
    pub fn tick(&mut self, now: Time) {
        self.now = now;
        self.counts.events += 1;
    }

    /// A process begins.
    pub fn began(&mut self, process: ProcessId, instance: Instance, node: NodeId) {
        self.instances.insert(instance, (process, true));
        self.mine.insert(process, (instance, node));
        self.heard_at.insert(process, self.now);
    }

    /// A process has ended.
    pub fn ended(&mut self, process: ProcessId, how: Ended) {
        self.tell(|| format!("{process:?} has ended: {how:?}"));
        if let Some((instance, _)) = self.mine.get(&process)
            && let Some(entry) = self.instances.get_mut(instance)
        {
            entry.1 = false;
        }
        self.ended.insert(process, how);
        self.readers.retain(|(at, _), _| *at != process);
        self.holds.remove(&process);
        self.claims.retain(|(at, _), _| *at != process);
    }

    /// All is well from now on: nothing is excused any more.
    pub fn all_is_well(&mut self) {
        (self.calm, self.calm_at) = (true, self.now);
    }

    /// Looks at the whole of a process's members.
    pub fn members(&mut self, process: ProcessId, machine: &Gossip) {
        if self.deaths.is_none() {
            self.check_members(process, machine);
        }
    }

    /// A process is told of a view: its table must be the one that everybody makes of it.
    pub fn table(&mut self, tables: &mut Tables, membership: &Membership, dice: &mut Dice) {
        let look = self.planted == Some(Planted::WrongTable) || dice.chance(0.02);
        if look && membership.view_hash != 0 && !tables.agrees(membership) {
            let hash = membership.view_hash;
            self.report(Kind::Tables, format!("view {hash:016x} has two tables"));
        }
    }

    /// A process's core is told whom it holds alive.
    pub fn topology(
        &mut self,
        process: ProcessId,
        topology: &Topology,
        membership: &Membership,
        now: Time,
    ) {
        let here: BTreeSet<Instance> = topology.peers.iter().map(|peer| peer.instance).collect();
        let before = self.holds.insert(process, here);
        let (before, here) = (before.unwrap_or_default(), self.holds[&process].clone());
        let known = membership.members.iter().map(|known| known.member.nonce);
        let known: BTreeSet<Instance> = known.map(Instance).collect();
        for instance in known.union(&before) {
            if here.contains(instance) != before.contains(instance) {
                self.tell(|| {
                    let (verb, of) = (here.contains(instance), self.instances.get(instance));
                    format!("{process:?} holds {of:?} here: {verb}")
                });
            }
            let key = (process, *instance);
            let unheld = self.unheld.entry(key).or_default();
            let still = unheld.iter_mut().find(|(_, until)| *until == Time::MAX);
            match (here.contains(instance), still) {
                (true, Some((_, until))) => *until = now,
                (false, None) => unheld.push((now, Time::MAX)),
                _ => {}
            }
            if !here.contains(instance) && !self.accepted.contains(&key) {
                self.interest.remove(&key);
            }
            self.note_known(key);
        }
    }

    /// Notes since when, or until when, nobody at a node knew what another one's clients want.
    fn note_known(&mut self, key: (ProcessId, Instance)) {
        let holds = self.holds.get(&key.0);
        let here = holds.is_some_and(|it| it.contains(&key.1));
        let known = here || self.accepted.contains(&key);
        let times = self.unknown.entry(key).or_default();
        let still = times.iter_mut().find(|(_, until)| *until == Time::MAX);
        match (known, still) {
            (true, Some((_, until))) => *until = self.now,
            (false, None) => times.push((self.now, Time::MAX)),
            _ => {}
        }
    }

    /// A link from a peer is taken.
    pub fn accepted(&mut self, process: ProcessId, peer: Instance) {
        self.tell(|| format!("{process:?} is linked from {:?}", self.instances.get(&peer)));
        self.accepted.insert((process, peer));
        self.note_known((process, peer));
    }

    /// A link from a peer has ended.
    pub fn accepted_closed(&mut self, process: ProcessId, peer: Instance) {
        self.tell(|| {
            format!(
                "{process:?} no longer linked from {:?}",
                self.instances.get(&peer)
            )
        });
        self.accepted.remove(&(process, peer));
        self.note_known((process, peer));
        if !self
            .holds
            .get(&process)
            .is_some_and(|it| it.contains(&peer))
        {
            self.interest.remove(&(process, peer));
        }
    }

    /// A message comes over a link that a peer dialed.
    pub fn message(
        &mut self,
        process: ProcessId,
        peer: Instance,
        message: &Message,
        router: &Router,
    ) {
        match message {
            Message::Interest {
                snapshot, changes, ..
            } if !router.is_held(peer) => {
                self.tell(|| {
                    let from = self.instances.get(&peer);
                    format!("{process:?} hears of {from:?}: {snapshot} {changes:?}")
                });
                let known = self.interest.entry((process, peer)).or_default();
                if *snapshot {
                    known.clear();
                    let now = self.now;
                    let times = self.given_up.get_mut(&(process, peer));
                    for (_, until) in times.into_iter().flatten() {
                        *until = now.min(*until);
                    }
                }
                for (add, prefix) in changes {
                    if *add {
                        known.insert(prefix.clone());
                    } else {
                        known.remove(prefix);
                    }
                }
            }
            Message::Publish(batch) => {
                for body in &batch.body {
                    self.note_served(process, body);
                }
            }
            Message::Deliver(batch) => {
                if let Some((by, _)) = self.instances.get(&peer).copied() {
                    for body in &batch.body {
                        self.note_served(by, body);
                    }
                }
                let followed = |body| self.carries_followed(body);
                if self.follow.is_some() && batch.body.iter().any(followed) {
                    let from = self.instances.get(&peer);
                    self.tell(|| format!("{process:?} is given it by {from:?}"));
                }
            }
            _ => {}
        }
    }

    /// Planted: whether a reply is lost on a link that stays up.
    pub fn swallows(&self, reply: &Message) -> bool {
        match self.planted {
            Some(Planted::LostDone) => self.calm && matches!(reply, Message::Done { .. }),
            Some(Planted::LostAcks) => self.calm && matches!(reply, Message::Ack { .. }),
            _ => false,
        }
    }

    /// A node is passed over.
    pub fn passed_over(&mut self, process: ProcessId, peer: Instance) {
        self.tell(|| format!("{process:?} passes over {:?}", self.instances.get(&peer)));
        let now = self.now;
        let times = self.passed_over.entry((process, peer)).or_default();
        times.push((now, Time::MAX));
        if self.calm {
            let text = format!("{process:?} passed over {peer:?} although all is well");
            self.report(Kind::PassedOver, text);
        }
    }

    /// A process serves without knowing what a peer's clients want.
    pub fn given_up(&mut self, process: ProcessId, peer: Instance) {
        self.tell(|| format!("{process:?} gives up on {:?}", self.instances.get(&peer)));
        let now = self.now;
        let times = self.given_up.entry((process, peer)).or_default();
        times.push((now, Time::MAX));
    }

    /// A process has a new link to a peer, or an answer over it: it no longer passes it over.
    pub fn answered(&mut self, process: ProcessId, peer: Instance) {
        let now = self.now;
        let times = self.passed_over.get_mut(&(process, peer));
        for (_, until) in times.into_iter().flatten() {
            *until = now.min(*until);
        }
    }

    /// A message goes out on a link to a peer.
    pub fn leaves(&self, peer: Instance, message: &Message) {
        let (Message::Publish(batch) | Message::Deliver(batch)) = message else {
            return;
        };
        if self.follow.is_some() && batch.body.iter().any(|it| self.carries_followed(it)) {
            self.tell(|| format!("it goes out to {:?}", self.instances.get(&peer)));
        }
    }

    /// A link is not read: its records wait for the interest of others.
    pub fn held(&self, process: ProcessId, peer: Instance) {
        self.tell(|| {
            format!(
                "{process:?} does not read {:?} now",
                self.instances.get(&peer)
            )
        });
    }

    /// Whether this instance's process runs.
    fn lives(&self, instance: Instance) -> bool {
        self.instances
            .get(&instance)
            .is_some_and(|(_, lives)| *lives)
    }
}
