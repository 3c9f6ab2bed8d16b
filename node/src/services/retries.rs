//! Requests that are asked again: of services that say that this does no harm.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Services;
use crate::forward::Time;

/// Before the second attempt; twice as long before each one after it. Half of it is by chance, so
/// that those who failed together do not come again together.
const FIRST_WAIT: Time = Time::from_millis(50);

/// When requests are asked again; those that are over by then are passed over.
#[derive(Debug, Default)]
pub(super) struct Retries {
    due: BinaryHeap<Reverse<(Time, u64)>>,
    /// Requests that were asked again.
    pub(super) count: u64,
}

impl Retries {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }
}

/// The wait after so many attempts: from half of the step to all of it.
fn wait(attempts: u32, chance: u64) -> Time {
    let step = FIRST_WAIT.saturating_mul(1 << (attempts - 1).min(10));
    step / 2 + (step / 2).mul_f64((chance >> 11) as f64 / (1_u64 << 53) as f64)
}

/// Numbers like chance from what differs between requests and nodes: splitmix64 (Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn chance(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Services {
    /// Plans another attempt, if the request may have one and there is time for it.
    pub(super) fn retry(&mut self, number: u64, now: Time) -> bool {
        let Some(ask) = self.asks.get_mut(number) else {
            return false;
        };
        if ask.kept.is_none() {
            return false;
        }
        let attempts = u32::from(ask.attempt) + 1;
        let at = now
            + wait(
                attempts,
                chance(self.me.0 ^ (number << 8) ^ u64::from(attempts)),
            );
        if at >= ask.until || ask.attempt == u8::MAX {
            return false;
        }
        ask.attempt += 1;
        ask.placed = None;
        ask.asked = None;
        self.retries.due.push(Reverse((at, number)));
        true
    }

    /// Requests whose next attempt is due.
    pub(super) fn ask_again(&mut self, now: Time) {
        while let Some(Reverse((at, number))) = self.retries.due.peek().copied()
            && at <= now
        {
            self.retries.due.pop();
            // One that was answered late, or whose asker has gone, is over.
            if self
                .asks
                .get_mut(number)
                .is_some_and(|ask| ask.asked.is_none())
            {
                self.retries.count += 1;
                self.send_ask(number, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_half_of_each_is_by_chance() {
        for attempts in 1..=11 {
            let step = FIRST_WAIT * (1 << (attempts - 1));
            let waits = (0..1000).map(|number| wait(attempts, chance(number)));
            let (least, most) = waits.fold((step, Time::ZERO), |(least, most), it| {
                (least.min(it), most.max(it))
            });
            assert!(least >= step / 2 && most <= step);
            assert!(
                most - least > step * 9 / 20,
                "{least:?} to {most:?} of {step:?}"
            );
        }
        assert_eq!(wait(1000, u64::MAX), wait(11, u64::MAX));
    }
}
