//! Probing: one member a tick, first directly, then through helpers (SWIM, section 3.1).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::Gossip;
use crate::config::Config;
use crate::id::NodeId;
use crate::packet::{Body, Outcome};

/// Members among whom those are drawn that are told news, where there are more.
pub(super) const PARTNERS: usize = 64;
/// An answer that takes longer than this tells nothing of how late others will be.
const LATEST: Duration = Duration::from_secs(4);

/// A question after a member's life that waits for its answer.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) target: NodeId,
    nonce: u64,
    sent: Duration,
    /// When helpers are asked; `None` once they were.
    pub(super) direct_until: Option<Duration>,
    until: Duration,
    /// Started because a connection broke, not because it was the member's turn.
    urgent: bool,
    pub(super) helpers: Vec<NodeId>,
    /// Helpers that have answered, whatever they found.
    answers: BTreeSet<NodeId>,
    /// Helpers whose finding makes them accusers.
    confirmed: BTreeSet<NodeId>,
    /// Whether a helper found that the address refuses connections.
    pub(super) refused: bool,
}

/// Whom to probe next, and the probes that wait.
#[derive(Debug)]
pub(super) struct Probes {
    next_tick: Duration,
    ticks: usize,
    seq: u32,
    /// What is left of the shuffled round over all members.
    round: Vec<NodeId>,
    /// The last ones of it.
    pub(super) met: VecDeque<NodeId>,
    pub(super) waiting: BTreeMap<u32, Probe>,
    /// Probes that have ended without an answer of the target to this node. It may yet come and
    /// tell how late it is.
    unanswered: VecDeque<(u32, NodeId, Duration)>,
}

impl Probes {
    /// The first tick comes at a random time, so that nodes started together do not beat together.
    pub(super) fn new(config: &Config, now: Duration, rng: &mut Xoshiro256PlusPlus) -> Self {
        let next_tick = now + config.tick.mul_f64(rng.random::<f64>());
        Self {
            next_tick,
            ticks: 0,
            seq: 0,
            round: Vec::new(),
            met: VecDeque::new(),
            waiting: BTreeMap::new(),
            unanswered: VecDeque::new(),
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        let probes = self.waiting.values();
        let next = probes.map(|probe| probe.direct_until.unwrap_or(probe.until).min(probe.until));
        next.min().unwrap_or(Duration::MAX).min(self.next_tick)
    }

    /// A new member takes a random place in the round.
    pub(super) fn include(&mut self, id: NodeId, rng: &mut Xoshiro256PlusPlus) {
        if !self.round.contains(&id) {
            let place = rng.random_range(0..=self.round.len());
            self.round.insert(place, id);
        }
    }

    /// When a probe that ended unanswered was sent. It is asked for once.
    fn unanswered_since(&mut self, target: NodeId, seq: u32) -> Option<Duration> {
        let is_it = |it: &(u32, NodeId, Duration)| (it.0, it.1) == (seq, target);
        let index = self.unanswered.iter().position(is_it)?;
        self.unanswered.remove(index).map(|(_, _, sent)| sent)
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }
}

impl Gossip {
    pub(super) fn tick_due(&mut self) {
        if self.now < self.probes.next_tick {
            return;
        }
        self.probes.next_tick = self.now + self.config.tick;
        if !self.join.is_announced() || !self.has_company() {
            return;
        }
        self.probes.ticks += 1;
        let even = self.probes.ticks.is_multiple_of(2);
        if let Some(target) = if even && self.config.ring_successors > 0 {
            self.next_on_ring()
        } else {
            self.next_in_round()
        } {
            self.probe(target, false);
        }
    }

    pub(super) fn probes_due(&mut self) {
        let now = self.now;
        let waiting = self.probes.waiting.iter();
        let due = |at: Duration| at <= now;
        let over: Vec<u32> = waiting
            .clone()
            .filter(|(_, p)| due(p.until))
            .map(|(&seq, _)| seq)
            .collect();
        let late: Vec<u32> = waiting
            .filter(|(_, p)| !due(p.until) && p.direct_until.is_some_and(due))
            .map(|(&seq, _)| seq)
            .collect();
        over.into_iter().for_each(|seq| self.probe_failed(seq));
        late.into_iter()
            .for_each(|seq| self.direct_probe_is_late(seq));
    }

    pub(super) fn receive_ack(&mut self, from: NodeId, seq: u32) {
        if self
            .probes
            .waiting
            .get(&seq)
            .is_some_and(|probe| probe.target == from)
        {
            let probe = self.probes.waiting.remove(&seq);
            self.health.better();
            if let Some(probe) = &probe {
                self.note_lateness(from, probe.sent);
            }
            // After a second ping nobody knows which of the two was answered (Karn's rule).
            let once = probe.filter(|probe| probe.direct_until.is_some());
            if let (Some(probe), Some(entry)) = (once, self.table.get_mut(from)) {
                let rtt = self.now.saturating_sub(probe.sent);
                entry.rtt.sample(rtt);
                self.stats.answered(rtt);
            }
        } else if let Some(sent) = self.probes.unanswered_since(from, seq) {
            self.note_lateness(from, sent);
        } else {
            self.relay_answered(from, seq, Outcome::Ack);
        }
    }

    /// A helper tells what it found.
    pub(super) fn receive_finding(&mut self, from: NodeId, seq: u32, outcome: Outcome) {
        let Some(probe) = self.probes.waiting.get_mut(&seq) else {
            return;
        };
        if !probe.helpers.contains(&from) {
            return;
        }
        probe.answers.insert(from);
        match outcome {
            Outcome::Ack => {
                if let Some(probe) = self.probes.waiting.remove(&seq) {
                    self.await_late_answer(seq, &probe);
                }
                self.health.better();
            }
            Outcome::Nack { healthy } => {
                if healthy && self.config.nacks_confirm {
                    probe.confirmed.insert(from);
                }
            }
            Outcome::Refused | Outcome::WrongTarget => {
                probe.confirmed.insert(from);
                probe.refused = true;
                let target = probe.target;
                self.consider_refusals(target);
            }
        }
    }

    /// Another process answers where a member should be: the member does not listen there any more.
    pub(super) fn receive_wrong_target(&mut self, from: NodeId, seq: u32) {
        self.stats.wrong_targets += 1;
        let Some(target) = self.probes.waiting.get(&seq).map(|probe| probe.target) else {
            self.relay_answered(from, seq, Outcome::WrongTarget);
            return;
        };
        if target == from {
            // A newer process of the same node; its record came with the packet.
            self.probes.waiting.remove(&seq);
            return;
        }
        if let Some(entry) = self.table.get_mut(target) {
            entry.refused_at = Some(self.now);
        }
        self.direct_probe_is_late(seq);
    }

    /// The direct patience with a member, not yet stretched by local health.
    pub(super) fn direct_timeout(&self, id: NodeId) -> Duration {
        let (shortest, longest) = (self.config.direct_min, self.config.direct_max);
        self.table
            .get(id)
            .map_or(longest, |entry| entry.rtt.timeout(shortest, longest))
    }

    /// How long a probe of a member may take.
    pub(super) fn window(&self, id: NodeId) -> Duration {
        let shortest = self.config.probe_window;
        let late = self.lateness_of(id) / self.config.lateness_factor.max(1);
        self.health.stretch(late.min(LATEST).max(shortest))
    }

    /// How late an answer of a member may be, as far as that is to be taken into account: as many
    /// times as suspicions are to last.
    pub(super) fn lateness_of(&self, id: NodeId) -> Duration {
        self.lateness.of(id) * self.config.lateness_factor
    }

    /// A member has answered, or shown otherwise that it lives, what it was asked at that time.
    /// What kept all, or many, from being heard tells nothing of one.
    pub(super) fn note_lateness(&mut self, id: NodeId, asked_at: Duration) {
        let took = self.now.saturating_sub(asked_at);
        let alone = asked_at < self.company_since || self.is_isolated();
        if took <= LATEST && !alone && !self.looks_partitioned() {
            self.lateness.sample(id, took, self.now);
        }
    }

    fn await_late_answer(&mut self, seq: u32, probe: &Probe) {
        let old = |it: &(u32, NodeId, Duration)| self.now.saturating_sub(it.2) > LATEST;
        while self.probes.unanswered.front().is_some_and(old)
            || self.probes.unanswered.len() >= self.config.max_probes
        {
            self.probes.unanswered.pop_front();
        }
        let unanswered = (seq, probe.target, probe.sent);
        self.probes.unanswered.push_back(unanswered);
    }

    /// The live members that follow this node on the ring of ids take turns.
    fn next_on_ring(&self) -> Option<NodeId> {
        let live = self.table.live();
        let (before, after) = live.split_at(live.partition_point(|&id| id < self.id));
        let after = after.iter().chain(before);
        let ring: Vec<NodeId> = after
            .copied()
            .filter(|&id| id != self.id)
            .take(self.config.ring_successors)
            .collect();
        ring.get((self.probes.ticks / 2).checked_rem(ring.len())?)
            .copied()
    }

    fn next_in_round(&mut self) -> Option<NodeId> {
        for _ in 0..2 {
            while let Some(id) = self.probes.round.pop() {
                if id != self.id && self.table.is_live(id) {
                    if self.probes.met.len() >= PARTNERS {
                        self.probes.met.pop_front();
                    }
                    self.probes.met.push_back(id);
                    return Some(id);
                }
            }
            self.probes.round = self.table.live().to_vec();
            self.probes.round.shuffle(&mut self.rng);
        }
        None
    }

    /// Asks a member directly; helpers at once too if it is urgent.
    pub(super) fn probe(&mut self, target: NodeId, urgent: bool) {
        let Some(entry) = self.table.get(target) else {
            return;
        };
        let nonce = entry.member.nonce;
        let under_way = |p: &Probe| p.target == target && (p.urgent || !urgent);
        if !self.join.is_announced()
            || self.probes.waiting.len() >= self.config.max_probes
            || self.probes.waiting.values().any(under_way)
        {
            return;
        }
        let seq = self.probes.next_seq();
        let direct = self.now + self.health.stretch(self.direct_timeout(target));
        let probe = Probe {
            target,
            nonce,
            sent: self.now,
            direct_until: Some(direct),
            until: self.now + self.window(target),
            urgent,
            helpers: Vec::new(),
            answers: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            refused: false,
        };
        self.stats.probes += 1;
        self.probes.waiting.insert(seq, probe);
        self.send_member(target, Body::Ping { seq, target, nonce });
        if urgent {
            self.ask_helpers(seq);
        }
    }

    fn direct_probe_is_late(&mut self, seq: u32) {
        let Some(probe) = self.probes.waiting.get_mut(&seq) else {
            return;
        };
        let (target, nonce, urgent) = (probe.target, probe.nonce, probe.urgent);
        if probe.direct_until.take().is_some() {
            if !urgent {
                self.ask_helpers(seq);
            }
            // Once more directly: on a bad path that is worth as much as a helper.
            self.send_member(target, Body::Ping { seq, target, nonce });
        }
        self.consider_refusals(target);
    }

    fn ask_helpers(&mut self, seq: u32) {
        let Some(probe) = self.probes.waiting.get(&seq) else {
            return;
        };
        let (target, nonce) = (probe.target, probe.nonce);
        let Some(entry) = self.table.get(target) else {
            return;
        };
        let address = entry.member.gossip.clone();
        let helpers = self.pick(self.config.helpers, &[target]);
        self.stats.probes_indirect += 1;
        for &helper in &helpers {
            let address = address.clone();
            self.send_member(
                helper,
                Body::PingReq {
                    seq,
                    target,
                    nonce,
                    address,
                },
            );
        }
        if let Some(probe) = self.probes.waiting.get_mut(&seq) {
            probe.helpers = helpers;
        }
    }

    pub(super) fn probe_failed(&mut self, seq: u32) {
        let Some(probe) = self.probes.waiting.remove(&seq) else {
            return;
        };
        self.stats.probes_failed += 1;
        self.await_late_answer(seq, &probe);
        if self.is_spared((probe.target, probe.nonce), probe.sent) {
            self.stats.probes_spared += 1;
            return;
        }
        let refuses = self.refuses(probe.target);
        let quick = refuses && (probe.refused || self.all_refuse(&probe.helpers));
        if !refuses && probe.answers.len() < probe.helpers.len() {
            // Helpers that are silent themselves make this node doubt its own ears.
            self.health.worse();
        }
        let mut accusers = probe.confirmed;
        accusers.insert(self.id);
        self.suspect(probe.target, (probe.nonce, probe.sent), accusers, quick);
    }
}
