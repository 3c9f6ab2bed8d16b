//! The rules of queues: which topics have a part of each queue to themselves, now and while
//! anything waits under a rule that has gone.

use std::collections::HashSet;

use super::clients::LAST_CLIENT;
use super::lane::LaneId;
use super::prefixes::PrefixIndex;
use crate::config::{QueueConfig, QueueRule};

/// By [`LaneId`]: first what holds without a rule, then the rules. A rule keeps its place while
/// it is there, and after it until nothing waits in its lanes.
#[derive(Debug)]
pub(crate) struct Rules {
    places: Vec<Rule>,
}

/// How queues treat topics that begin like this.
#[derive(Clone, Debug)]
struct Rule {
    prefix: Box<[u8]>,
    config: QueueConfig,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InForce,
    /// No message falls under it any more; some may wait.
    Gone,
    /// The place may be taken by another.
    Free,
}

impl Rules {
    /// No rules: `queue` is what holds without one.
    pub(crate) fn new(queue: QueueConfig) -> Self {
        let without = Rule {
            prefix: Box::default(),
            config: queue,
            state: State::InForce,
        };
        Self {
            places: vec![without],
        }
    }

    /// What holds for a lane.
    pub(crate) fn config(&self, lane: LaneId) -> QueueConfig {
        self.places[lane.0 as usize].config
    }

    /// What holds for a lane, unless its rule has gone.
    pub(crate) fn config_in_force(&self, lane: LaneId) -> Option<QueueConfig> {
        let rule = &self.places[lane.0 as usize];
        (rule.state == State::InForce).then_some(rule.config)
    }

    /// What topics under this rule begin with.
    pub(crate) fn prefix(&self, lane: LaneId) -> &[u8] {
        &self.places[lane.0 as usize].prefix
    }

    /// The rule for a topic, of those that its prefixes have: the longest decides.
    pub(crate) fn longest(&self, ids: &[u32]) -> LaneId {
        let lanes = ids.iter().map(|id| LaneId(id - LAST_CLIENT));
        let longest = lanes.max_by_key(|lane| self.prefix(*lane).len());
        longest.unwrap_or_default()
    }

    /// Replaces the rules, in the index of prefixes as well.
    pub(crate) fn replace(
        &mut self,
        queue: QueueConfig,
        rules: &[QueueRule],
        index: &mut PrefixIndex,
    ) {
        self.places[0].config = queue;
        for (place, rule) in self.places.iter_mut().enumerate().skip(1) {
            let kept = rules
                .iter()
                .find(|it| it.prefix.as_bytes() == &*rule.prefix);
            match kept {
                Some(kept) if rule.state != State::Free => {
                    rule.config = kept.config(queue);
                    if rule.state == State::Gone {
                        rule.state = State::InForce;
                        index.insert(&rule.prefix, number(place));
                    }
                }
                None if rule.state == State::InForce => {
                    rule.state = State::Gone;
                    index.remove(&rule.prefix, number(place));
                }
                _ => {}
            }
        }
        for rule in rules {
            self.add(rule, queue, index);
        }
    }

    /// Puts a new rule into the first free place.
    fn add(&mut self, rule: &QueueRule, queue: QueueConfig, index: &mut PrefixIndex) {
        let mut taken = self.places.iter().skip(1);
        if taken.any(|it| it.state == State::InForce && &*it.prefix == rule.prefix.as_bytes()) {
            return;
        }
        let rule = Rule {
            prefix: rule.prefix.as_bytes().into(),
            config: rule.config(queue),
            state: State::InForce,
        };
        let free = self.places.iter().position(|it| it.state == State::Free);
        let place = free.unwrap_or(self.places.len());
        index.insert(&rule.prefix, number(place));
        if place == self.places.len() {
            self.places.push(rule);
        } else {
            self.places[place] = rule;
        }
    }

    /// Gives up the places of rules that have gone and that nothing waits under.
    pub(crate) fn free_unused(&mut self, used: &HashSet<LaneId>) {
        for (place, rule) in self.places.iter_mut().enumerate() {
            if rule.state == State::Gone && !used.contains(&LaneId(place as u32)) {
                rule.state = State::Free;
            }
        }
    }
}

/// The number of a rule in the index of prefixes: above those of clients.
fn number(place: usize) -> u32 {
    LAST_CLIENT + place as u32
}
