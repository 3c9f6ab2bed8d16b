//! Everything about a run that the seed decides before it begins.

use zmesh_node::config::{QueueConfig, QueuePolicy, QueueRule};
use zmesh_node::forward::Limits;
use zmesh_node::zmtp::frames::FrameLimits;

use crate::dice::Dice;

/// Messages may be so large.
pub(crate) const FRAMES: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 16,
};

/// A mistake planted into the world, that a checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A subscriber sees a message twice.
    Double,
    /// A subscriber does not see a message.
    Loss,
    /// A subscriber sees two messages in the wrong order.
    Swap,
    /// `done` is lost on a link that stays up.
    LostDone,
    /// An ack is lost on a link that stays up.
    LostAck,
    /// A publisher is not told that it may be read again.
    LostWake,
    /// An interest ack is lost on a link that stays up.
    LostInterestAck,
}

/// How a run is to be. Chances are per step of the world, unless they say otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) steps: usize,
    /// Longest time that passes in a step.
    pub(crate) step_ms: u64,
    pub(crate) queue: QueueConfig,
    pub(crate) rules: Vec<QueueRule>,
    pub(crate) connection_budget: usize,
    pub(crate) node_budget: usize,
    /// News of membership takes so long at most.
    pub(crate) spread_ms: u64,
    /// How many links are ten times slower than the others.
    pub(crate) slow_links: f64,
    /// Most publishers of a node.
    pub(crate) publishers: usize,
    /// That a publisher publishes, for each.
    pub(crate) publish: f64,
    /// Most messages that it publishes at once.
    pub(crate) burst: usize,
    /// That bytes move on a link, for each direction of each.
    pub(crate) pump: f64,
    /// That a subscriber reads, for each.
    pub(crate) drain: f64,
    /// That a subscriber comes, goes or changes its prefixes.
    pub(crate) churn: f64,
    pub(crate) resets: f64,
    pub(crate) cuts: f64,
    /// Longest time for which a link cannot be made again.
    pub(crate) cut_ms: u64,
    pub(crate) crashes: f64,
    pub(crate) false_deaths: f64,
    pub(crate) joins: f64,
    pub(crate) leaves: f64,
    pub(crate) planted: Option<Planted>,
}

impl Plan {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed_0f91);
        let dice = &mut dice;
        // Each kind of fault is in some runs only: together they hide each other.
        let mut some = |share: f64, most: f64| {
            let rate = most * dice.between(1, 10) as f64 / 10.0;
            if dice.chance(share) { rate } else { 0.0 }
        };
        let (resets, cuts) = (some(0.6, 0.1), some(0.3, 0.03));
        let (crashes, false_deaths) = (some(0.35, 0.02), some(0.2, 0.03));
        let (joins, leaves) = (some(0.5, 0.05), some(0.4, 0.03));
        let churn = some(0.6, 0.2);
        let policies = QueuePolicy::ALL.map(|(_, policy)| policy);
        let policy = dice.pick(&policies).expect("there are policies");
        let small = dice.chance(0.35);
        let plan = Self {
            seed,
            nodes: dice.between(2, 4) as usize,
            steps: dice.between(100, 500) as usize,
            step_ms: dice.pick(&[5, 20, 60, 120]).expect("not empty"),
            spread_ms: dice.pick(&[100, 800, 3000]).expect("not empty"),
            slow_links: dice.pick(&[0.0, 0.2, 0.5]).expect("not empty"),
            publishers: dice.between(1, 3) as usize,
            queue: QueueConfig {
                bytes: if small { 400 } else { 1 << 24 },
                policy,
            },
            connection_budget: dice.pick(&[300, 3000, 1 << 22]).expect("not empty"),
            node_budget: dice.pick(&[900, 9000, 1 << 24]).expect("not empty"),
            publish: dice.between(1, 8) as f64 / 30.0,
            burst: dice.between(1, 12) as usize,
            pump: dice.between(2, 10) as f64 / 10.0,
            drain: dice.pick(&[0.02, 0.3, 1.0]).expect("not empty"),
            churn,
            resets,
            cuts,
            cut_ms: dice.pick(&[500, 2500, 4000]).expect("not empty"),
            crashes,
            false_deaths,
            joins,
            leaves,
            planted: None,
            rules: Vec::new(),
        };
        let rules = if dice.chance(0.4) {
            rules(dice)
        } else {
            Vec::new()
        };
        Self { rules, ..plan }
    }

    /// No faults, no churn, room for everything: what is lost or doubled here was planted.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            nodes: 3,
            steps: 200,
            step_ms: 20,
            spread_ms: 100,
            slow_links: 0.0,
            queue: QueueConfig {
                bytes: 1 << 24,
                policy: QueuePolicy::DropNewest,
            },
            connection_budget: 100,
            node_budget: 1 << 24,
            publish: 0.3,
            burst: 12,
            pump: 0.5,
            drain: 0.5,
            churn: 0.0,
            resets: 0.0,
            cuts: 0.0,
            crashes: 0.0,
            false_deaths: 0.0,
            joins: 0.0,
            leaves: 0.0,
            rules: Vec::new(),
            ..Self::of_seed(seed)
        }
    }

    /// Whether nothing goes wrong but by mistakes that were planted.
    pub(crate) fn is_faultless(&self) -> bool {
        let faults = [
            self.resets,
            self.cuts,
            self.crashes,
            self.false_deaths,
            self.leaves,
        ];
        faults == [0.0; 5] && self.slow_links == 0.0
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            frames: FRAMES,
            connection_budget: self.connection_budget,
            node_budget: self.node_budget,
            subscriptions: 100,
            queue: self.queue,
        }
    }
}

/// Rules for some of the topics, each with a policy and a size of its own.
fn rules(dice: &mut Dice) -> Vec<QueueRule> {
    let policies = QueuePolicy::ALL.map(|(_, policy)| policy);
    let mut rules = Vec::new();
    for prefix in ["a", "a 1", "b."] {
        if dice.chance(0.6) {
            rules.push(QueueRule {
                prefix: prefix.into(),
                policy: dice.pick(&policies).expect("there are policies"),
                bytes: dice.chance(0.5).then_some(400),
            });
        }
    }
    rules
}
