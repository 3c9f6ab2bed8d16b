//! One simulated process: its clock, its threads, and what holds it up.

use zmesh_gossip::{Config, Gossip, Me, NodeId};
use zmesh_node::forward::Limits;
use zmesh_node::link::wire::{Hello, PROTOCOL};
use zmesh_partition::PARTITIONS;

use super::Time;
use super::data::Data;
use super::gossiper::Gossiper;
use super::network::{HostId, Service};
use super::outside::{Outside, address};

/// The cluster of every simulated node.
pub const CLUSTER: &str = "sim";

/// A process, unique in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its number.
    pub id: ProcessId,
    /// The node's name.
    pub name: String,
    /// Where it runs.
    pub host: HostId,
    /// What the wall clock shows, in milliseconds.
    pub epoch: u64,
    /// Random: which process this is.
    pub nonce: u64,
    /// For the machine's own draws.
    pub seed: u64,
    /// Gossip addresses to join through.
    pub seeds: Vec<String>,
    /// Membership's settings.
    pub config: Config,
    /// The core's limits; without them the process has no data thread.
    pub limits: Option<Limits>,
}

/// See the module.
pub struct Process {
    /// Its number.
    pub id: ProcessId,
    /// The node's name.
    pub name: String,
    /// The node.
    pub node: NodeId,
    /// Where it runs.
    pub host: HostId,
    /// The gossip thread.
    pub gossiper: Gossiper,
    /// The data thread.
    pub data: Option<Data>,
    born: Time,
    /// By how much its clock is ahead of the time that has passed.
    ahead: Time,
    /// Until then it stands still.
    pub frozen_until: Time,
    /// It opens its programs once the node takes them.
    pub programs_wait: bool,
    /// Longest time that it takes for what it does at once.
    pub slowness: Time,
    busy_until: Time,
    /// For when it is entered into the agenda. Entries for later than that may stand there too;
    /// they find nothing to do and end.
    wake_at: Time,
}

/// What a run of the process led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Lives,
    /// It has said goodbye, and owes nobody anything.
    Departed,
    /// It has stopped: an older process has its name, or its time to leave was up.
    Failed,
}

impl Process {
    /// A process that has just been started.
    ///
    /// # Panics
    /// If what it is started with is no node's.
    pub fn new(start: Start, outside: &mut Outside<'_>) -> Self {
        let Start { id, name, host, .. } = start.clone();
        let me = Me {
            cluster: CLUSTER.into(),
            name: name.clone(),
            epoch: start.epoch,
            nonce: start.nonce,
            client: "10.9.9.9:5555".into(),
            gossip: address(host, Service::Gossip),
            link: address(host, Service::Link),
            zone: String::new(),
            weight: 1,
        };
        let now = Time::ZERO;
        let machine = Gossip::new(start.config, me, start.seeds, start.seed, now);
        let machine = machine.expect("simulated nodes have valid names and addresses");
        let node = machine.id();
        outside.net.listen(host, Service::Gossip, id);
        let data = start.limits.map(|limits| {
            outside.net.listen(host, Service::Link, id);
            let hello = Hello {
                protocol: PROTOCOL,
                partitions: PARTITIONS,
                cluster: CLUSTER.into(),
                name: name.clone(),
                id: node.0,
                instance: start.nonce,
            };
            Data::new(id, host, hello, limits, now)
        });
        let mut gossiper = Gossiper::new(machine, id, host, now);
        gossiper.publishes = data.is_some();
        Self {
            id,
            name,
            node,
            host,
            gossiper,
            data,
            born: outside.now,
            ahead: Time::ZERO,
            frozen_until: Time::ZERO,
            programs_wait: false,
            slowness: Time::ZERO,
            busy_until: Time::ZERO,
            wake_at: Time::MAX,
        }
    }

    /// What its own clock shows.
    pub fn clock(&self, now: Time) -> Time {
        now.saturating_sub(self.born) + self.ahead
    }

    /// Its clock jumps ahead.
    pub fn jump(&mut self, by: Time) {
        self.ahead += by;
    }

    /// It stands still until then.
    pub fn freeze(&mut self, until: Time) {
        self.frozen_until = self.frozen_until.max(until);
    }

    /// When it can run at the earliest.
    pub fn may_run_at(&self) -> Time {
        self.frozen_until.max(self.busy_until)
    }

    /// Takes in what has come and does what is due.
    pub fn run(&mut self, outside: &mut Outside<'_>) -> Fate {
        let now = self.clock(outside.now);
        if outside.now >= self.wake_at {
            self.wake_at = Time::MAX;
        }
        for (end, service) in outside.net.take_accepted(self.id) {
            match (service, &mut self.data) {
                (Service::Gossip, _) => self.gossiper.accepted(end),
                (Service::Link, Some(data)) => data.links.accept(end, now),
                (Service::Link, None) => outside.close(end),
            }
        }
        for end in outside.net.take_ready(self.id) {
            let known = self.gossiper.ready(end, now, outside);
            if let Some(data) = self.data.as_mut().filter(|_| !known) {
                data.ready(end, now, outside);
            }
        }
        self.gossiper.run(now, outside);
        if let Some(data) = &mut self.data {
            data.run(now, &mut self.gossiper, outside);
            self.gossiper.run(now, outside);
        } else if self.membership_only(now) {
            self.gossiper.run(now, outside);
        }
        if self.slowness > Time::ZERO {
            self.busy_until = outside.now + outside.dice.time(Time::ZERO, self.slowness);
        }
        let gave_up = self.data.as_ref().is_some_and(|data| data.gave_up);
        match (self.gossiper.conflict, self.gossiper.departed) {
            (true, _) => Fate::Failed,
            (false, true) if gave_up => Fate::Failed,
            (false, true) => Fate::Departed,
            (false, false) => Fate::Lives,
        }
    }

    /// When it wants to run next, if that is not entered already.
    pub fn next_wake(&mut self) -> Option<Time> {
        let data = self.data.as_ref().map_or(Time::MAX, Data::deadline);
        let due = self.gossiper.deadline().min(data);
        if due == Time::MAX {
            return None;
        }
        let due = (self.born + due.saturating_sub(self.ahead)).max(self.may_run_at());
        (due < self.wake_at).then(|| {
            self.wake_at = due;
            due
        })
    }

    /// Without a data thread a node is ready as soon as it has joined.
    fn membership_only(&mut self, now: Time) -> bool {
        if self.gossiper.joined && !self.gossiper.machine.me().ready {
            self.gossiper.machine.set_ready(now);
            return true;
        }
        false
    }
}
