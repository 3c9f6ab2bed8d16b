//! From suspect to dead: how long a member may take to refute (Lifeguard, section IV.B).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use crate::id::NodeId;
use crate::member::{MAX_ACCUSERS, Member, State};

/// Silent suspects from which on a network partition is more likely than so many deaths.
const PARTITION_SUSPECTS: usize = 3;
/// So many times more patience with late answers where fewer than two members could confirm.
const FEW_CONFIRM: u32 = 4;
/// ln(c + 1) / ln(k + 1) in thousandths, for k confirmations that are expected and c that came.
const SHRINK: [[u64; MAX_ACCUSERS]; MAX_ACCUSERS] = [
    [1000; 4],
    [0, 1000, 1000, 1000],
    [0, 631, 1000, 1000],
    [0, 500, 792, 1000],
];

/// When a member became suspect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspicion {
    since: Duration,
    /// Set when its address refuses connections, as seen from two nodes.
    quick: Option<Duration>,
    /// When this node asked it for the first time in vain.
    asked_at: Option<Duration>,
}

impl Suspicion {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            since: now,
            quick: None,
            asked_at: None,
        }
    }

    pub(crate) fn asked_at(self) -> Option<Duration> {
        self.asked_at
    }
}

impl Gossip {
    /// Makes this node, and the helpers that agree with it, accusers of a member.
    pub(super) fn suspect(
        &mut self,
        target: NodeId,
        (nonce, asked_at): (u64, Duration),
        accusers: BTreeSet<NodeId>,
        quick: bool,
    ) {
        let Some(entry) = self.table.get(target) else {
            return;
        };
        if entry.member.nonce != nonce || !entry.member.is_live() {
            return;
        }
        let mut record = entry.member.clone();
        record.state = State::Suspect;
        record.accusers = accusers.into_iter().take(MAX_ACCUSERS).collect();
        self.learn(record);
        let until = self.now + self.config.refused_suspicion;
        let entry = self.table.get_mut(target);
        let Some(suspicion) = entry.and_then(|entry| entry.suspicion.as_mut()) else {
            return;
        };
        suspicion.asked_at.get_or_insert(asked_at);
        if quick {
            suspicion.quick = Some(suspicion.quick.map_or(until, |quick| quick.min(until)));
        }
    }

    pub(super) fn suspicion_deadline(&self) -> Duration {
        let suspects = self.table.suspects();
        if suspects.is_empty() {
            return Duration::MAX;
        }
        let patience = self.patience();
        let deadlines = suspects
            .iter()
            .filter_map(|&id| self.deadline_of(id, &patience));
        deadlines.min().unwrap_or(Duration::MAX)
    }

    pub(super) fn suspicions_due(&mut self) {
        let suspects = self.table.suspects();
        if suspects.is_empty() {
            return;
        }
        let patience = self.patience();
        let over = |&id: &NodeId| {
            let deadline = self.deadline_of(id, &patience);
            deadline.is_some_and(|at| at <= self.now)
        };
        let lost: Vec<NodeId> = suspects.iter().copied().filter(over).collect();
        for id in lost {
            let Some(entry) = self.table.get(id) else {
                continue;
            };
            let accusers = BTreeSet::new();
            self.learn(Member {
                state: State::Dead,
                accusers,
                ..entry.member.clone()
            });
        }
    }

    /// Somebody was heard. If that ends a silence of everybody, the silence is not held against
    /// those who are suspect: it was this node that was cut off.
    pub(super) fn end_isolation(&mut self) {
        let now = self.now;
        let silence = now.saturating_sub(self.contact_at);
        self.contact_at = now;
        if silence <= self.config.isolation_silence || self.table.live().len() <= 2 {
            return;
        }
        self.company_since = now;
        for id in self.table.suspects().clone() {
            let entry = self.table.get_mut(id);
            if let Some(suspicion) = entry.and_then(|entry| entry.suspicion.as_mut()) {
                suspicion.since = (suspicion.since + silence).min(now);
            }
        }
    }

    fn deadline_of(&self, id: NodeId, patience: &Patience) -> Option<Duration> {
        let entry = self.table.get(id)?;
        let suspicion = entry.suspicion?;
        let accusers = entry.member.accusers.len();
        let since = self.silent_since(entry.member.nonce, suspicion.since);
        let silent = |mute: &&NodeId| **mute != id && !entry.member.accusers.contains(*mute);
        let silent = patience.mute.iter().filter(silent).count();
        // At least one: who has nobody left to ask is more likely to be cut off itself.
        let least = patience.others.min(1);
        let others = patience.others.saturating_sub(silent).max(least);
        let time = patience.with((accusers, others), self.lateness_of(id));
        let deadline = since + time;
        if let Some(quick) = suspicion.quick {
            return Some(quick.min(deadline));
        }
        Some(deadline + patience.hold)
    }

    /// How long members may stay suspect just now.
    fn patience(&self) -> Patience {
        let members = self.table.live().len();
        let ticks = u64::from(self.config.suspicion_min_ticks);
        let shortest =
            self.config.tick.as_micros() as u64 * ticks * log10_milli(members).max(1000) / 1000;
        let longest = shortest * u64::from(self.config.suspicion_max_factor);
        let hold = if self.is_isolated() {
            self.config.isolation_hold
        } else {
            Duration::ZERO
        };
        Patience {
            shortest,
            longest,
            others: members.saturating_sub(2),
            confirmations: self.config.confirmations.min(MAX_ACCUSERS - 1),
            mute: self.mute(Duration::from_micros(shortest)),
            partitioned: self.looks_partitioned(),
            hold,
        }
    }

    /// Suspects from whom nothing at all has come for so long: they can confirm nothing.
    fn mute(&self, shortest: Duration) -> Vec<NodeId> {
        let is_mute = |id: &&NodeId| {
            let entry = self.table.get(**id);
            let suspicion = entry.and_then(|entry| entry.suspicion);
            entry.zip(suspicion).is_some_and(|(entry, suspicion)| {
                let since = suspicion.since;
                since + shortest <= self.now
                    && entry.heard_at < since
                    && !self.has_sign(entry.member.nonce, since)
            })
        };
        self.table
            .suspects()
            .iter()
            .filter(is_mute)
            .copied()
            .collect()
    }

    /// Nobody is heard although more than one could be.
    pub(super) fn is_isolated(&self) -> bool {
        let silence = self.now.saturating_sub(self.contact_at);
        self.table.live().len() > 2 && silence > self.config.isolation_silence
    }

    /// So many members became suspect at once that the network is the likelier culprit.
    pub(super) fn looks_partitioned(&self) -> bool {
        let silent = |id: &&NodeId| {
            let entry = self.table.get(**id);
            entry
                .and_then(|e| e.suspicion)
                .is_some_and(|s| s.quick.is_none())
        };
        let suspects = self.table.suspects();
        suspects.len() >= PARTITION_SUSPECTS && {
            let silent = suspects.iter().filter(silent).count();
            silent >= PARTITION_SUSPECTS
                && silent * 100 > self.table.live().len() * self.config.partition_percent
        }
    }
}

/// How long members may stay suspect, depending on how many accuse them. Times in microseconds.
#[derive(Clone, Debug)]
struct Patience {
    shortest: u64,
    longest: u64,
    /// Members besides this node and the suspect.
    others: usize,
    /// Confirmations after which it is the shortest, where so many are possible.
    confirmations: usize,
    /// Those of whom nothing is to be expected.
    mute: Vec<NodeId>,
    /// So many are suspect that this node may be the one that is cut off.
    partitioned: bool,
    /// Added while this node doubts its own ears.
    hold: Duration,
}

impl Patience {
    /// For so many accusers, and others who could be.
    fn with(&self, (accusers, others): (usize, usize), lateness: Duration) -> Duration {
        let came = accusers.saturating_sub(1).min(MAX_ACCUSERS - 1);
        if self.partitioned && came == 0 {
            return Duration::from_micros(self.longest);
        }
        let expected = others.min(self.confirmations);
        let shrink = (self.longest - self.shortest) * SHRINK[expected][came] / 1000;
        let longest = Duration::from_micros(self.longest);
        // Where one other or nobody can confirm, only time tells a death from a bad network.
        let lateness = lateness * if expected < 2 { FEW_CONFIRM } else { 1 };
        Duration::from_micros(self.longest - shrink).max(lateness.min(longest))
    }
}

/// log10 in thousandths; the crate has no floating-point logarithm.
fn log10_milli(number: usize) -> u64 {
    let number = (number as u64).clamp(1, 1 << 31);
    let whole = number.ilog2();
    // The fraction of log2, bit by bit: squaring a number doubles its logarithm.
    let mut fraction = 0u64;
    let mut mantissa = (number << 32) >> whole;
    for bit in (0..16).rev() {
        let squared = (u128::from(mantissa) * u128::from(mantissa)) >> 32;
        mantissa = squared as u64;
        if mantissa >= 2 << 32 {
            mantissa >>= 1;
            fraction |= 1 << bit;
        }
    }
    ((u64::from(whole) << 16 | fraction) * 301_030 / 1000) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_many_silent_and_alone_gives_them_the_longest_time() {
        let patience = |partitioned| Patience {
            shortest: 1_000_000,
            longest: 6_000_000,
            others: 1,
            confirmations: 3,
            mute: Vec::new(),
            partitioned,
            hold: Duration::ZERO,
        };
        let seconds = |partitioned, accusers| {
            let time = patience(partitioned).with((accusers, 1), Duration::ZERO);
            time.as_secs()
        };
        assert_eq!((seconds(true, 1), seconds(true, 2)), (6, 1));
        let few = patience(true).with((1, 0), Duration::ZERO);
        assert_eq!(few.as_secs(), 6);
    }

    #[test]
    fn the_integer_logarithm_is_right_to_a_thousandth() {
        for (number, expected) in [(1, 0), (2, 301), (3, 477), (10, 1000), (256, 2408)] {
            assert!(
                log10_milli(number).abs_diff(expected) <= 1,
                "log10({number})"
            );
        }
        assert!(log10_milli(10_000).abs_diff(4000) <= 1);
    }
}
