//! Everything about a run that the seed decides before it begins.

use std::time::Duration;

use zmesh_gossip::Config;
use zmesh_node::config::{QueueConfig, QueuePolicy};
use zmesh_node::forward::Limits;

use super::Time;
use super::clients::FRAMES;
use super::dice::Dice;
use super::network::Path;
use super::watch::{Planted, Stamp};

/// What goes wrong. Each kind is in some runs only: together they hide each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A process is killed; its host lives on.
    Kill,
    /// A host is lost without a word.
    LoseHost,
    /// A process stands still (SIGSTOP, a suspended machine).
    Stall,
    /// A process runs slowly.
    Slow,
    /// A process's clock jumps ahead.
    ClockJump,
    /// A connection is reset.
    Reset,
    /// A pair of hosts cannot reach each other.
    CutPair,
    /// One direction between two hosts carries nothing.
    CutOneWay,
    /// A host is cut off from all others.
    Isolate,
    /// The hosts fall into two or three parts.
    Split,
    /// Two parts, and one host that both reach.
    Bridge,
    /// Packets are lost between some hosts.
    Lossy,
    /// Some hosts are far away and on a thin wire.
    FarAway,
    /// A node joins.
    Join,
    /// A node leaves in order.
    Leave,
    /// A program comes, goes, or changes what it wants.
    Churn,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 16] = [
        Self::Kill,
        Self::LoseHost,
        Self::Stall,
        Self::Slow,
        Self::ClockJump,
        Self::Reset,
        Self::CutPair,
        Self::CutOneWay,
        Self::Isolate,
        Self::Split,
        Self::Bridge,
        Self::Lossy,
        Self::FarAway,
        Self::Join,
        Self::Leave,
        Self::Churn,
    ];
}

/// How a run is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Nodes at the start.
    pub nodes: usize,
    /// Hosts: nodes that join need one.
    pub hosts: usize,
    /// How long faults go on.
    pub trouble: Time,
    /// Kinds of faults, and the mean time between two of a kind.
    pub faults: Vec<(Fault, Time)>,
    /// Longest time that a fault lasts.
    pub longest_fault: Time,
    /// Seeds that each node is given, and whether as names.
    pub seeds: usize,
    /// Whether seeds are names.
    pub named_seeds: bool,
    /// Least latency and jitter of a path.
    pub latency: (Time, Time),
    /// Bytes that one direction of a connection holds.
    pub window: usize,
    /// Publishers and subscribers of a node, at most.
    pub publishers: usize,
    /// See above.
    pub subscribers: usize,
    /// Mean time between two bursts of a publisher.
    pub publish_every: Time,
    /// Most messages of a burst.
    pub burst: usize,
    /// How many of the subscribers are slow.
    pub slow_subscribers: f64,
    /// Every subscriber's queue.
    pub queue: QueueConfig,
    /// Bytes of a publisher that may be on their way.
    pub connection_budget: usize,
    /// The same for all publishers of a node.
    pub node_budget: usize,
    /// A mistake, for the tests of the checks.
    pub planted: Option<Planted>,
    /// A message whose way is told.
    pub follow: Option<Stamp>,
}

impl Plan {
    /// A run of the swarm: 2 to 16 nodes unless it is said how many.
    pub fn of_seed(seed: u64, nodes: Option<usize>) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed_0f91);
        let dice = &mut dice;
        let drawn = match dice.below(10) {
            0..6 => dice.between(2, 5),
            6..9 => dice.between(6, 9),
            _ => dice.between(10, 16),
        } as usize;
        let nodes = nodes.unwrap_or(drawn);
        let seconds = Duration::from_secs;
        let share = dice.pick(&[0.15, 0.3, 0.5]).unwrap_or(0.3);
        let mut faults = Vec::new();
        for fault in Fault::ALL {
            if dice.chance(share) {
                faults.push((fault, dice.time(seconds(3), seconds(40))));
            }
        }
        let ms = Duration::from_millis;
        let small = dice.chance(0.3);
        let policy = dice.pick(&QueuePolicy::ALL.map(|(_, policy)| policy));
        let latency = [
            (ms(0), ms(1)),
            (ms(1), ms(2)),
            (ms(5), ms(20)),
            (ms(30), ms(50)),
        ];
        let connection_budget = dice.pick(&[2000, 30_000, 1 << 22]).unwrap_or(30_000);
        let large = nodes > 20;
        Self {
            seed,
            nodes,
            hosts: nodes + 3,
            trouble: dice.time(seconds(15), seconds(if large { 40 } else { 90 })),
            faults,
            longest_fault: seconds(dice.pick(&[2, 8, 30]).unwrap_or(8)),
            seeds: dice.between(1, 3) as usize,
            named_seeds: dice.chance(0.3),
            latency: dice.pick(&latency).unwrap_or(latency[0]),
            window: dice
                .pick(&[32 << 10, 256 << 10, 2 << 20])
                .unwrap_or(256 << 10),
            publishers: dice.between(1, 2) as usize,
            subscribers: if large {
                1
            } else {
                dice.between(1, 3) as usize
            },
            publish_every: if large {
                // About as much in all, whatever the size.
                ms(60) * nodes as u32
            } else {
                dice.time(ms(20), ms(400))
            },
            burst: dice.between(1, 12) as usize,
            slow_subscribers: dice.pick(&[0.0, 0.1, 0.4]).unwrap_or(0.0),
            queue: QueueConfig {
                bytes: if small { 2000 } else { 16 << 20 },
                policy: policy.unwrap_or(QueuePolicy::DropNewest),
            },
            connection_budget,
            node_budget: connection_budget * 3,
            planted: None,
            follow: None,
        }
    }

    /// No faults, room for everything: what is wrong here was planted.
    pub fn calm(seed: u64, nodes: usize) -> Self {
        Self {
            faults: Vec::new(),
            trouble: Duration::from_secs(15),
            slow_subscribers: 0.0,
            publishers: 2,
            subscribers: 3,
            publish_every: Duration::from_millis(50),
            burst: 6,
            queue: QueueConfig {
                bytes: 16 << 20,
                policy: QueuePolicy::DropNewest,
            },
            connection_budget: 20_000,
            node_budget: 60_000,
            ..Self::of_seed(seed, Some(nodes))
        }
    }

    /// Whether anything but nodes and programs that come and go in order happens, or a program may
    /// not read: what a node that leaves cannot wait out.
    pub fn hinders(&self) -> bool {
        let harmless = [Fault::Join, Fault::Leave, Fault::Churn];
        let harmless = |(fault, _): &(Fault, Time)| harmless.contains(fault);
        !self.faults.iter().all(harmless) || self.slow_subscribers > 0.0
    }

    /// Membership as nodes should have it.
    pub fn watched_config(&self) -> Config {
        Config::local()
    }

    /// Membership as nodes have it.
    pub fn config(&self) -> Config {
        let mut config = self.watched_config();
        if self.planted == Some(Planted::DeafDeath) {
            config.isolation_silence = Time::MAX;
        }
        config
    }

    /// The core's limits.
    pub fn limits(&self) -> Limits {
        let hoards = self.planted == Some(Planted::Hoard);
        let times = if hoards { 50 } else { 1 };
        Limits {
            frames: FRAMES,
            connection_budget: self.connection_budget * times,
            node_budget: self.node_budget * times,
            subscriptions: 100,
            queue: self.queue,
        }
    }

    /// Every path when nothing is wrong with it.
    pub fn path(&self) -> Path {
        let mut path = Path::local();
        path.latency += self.latency.0;
        path.jitter += self.latency.1;
        path
    }
}
