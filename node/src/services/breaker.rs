//! A service whose workers keep failing is not asked for a while: its askers hear so at once,
//! instead of waiting for the same failure each. (Nygard, *Release It!*: circuit breaker.)

use std::collections::HashMap;

use bytes::Bytes;

use crate::forward::Time;

/// How long it is open the first time; twice as long after each probe that fails too.
const FIRST_WAIT: Time = Time::from_secs(1);

/// Never longer than this.
const LONGEST_WAIT: Time = Time::from_secs(30);

/// Services with failures that are remembered.
const MOST: usize = 10_000;

#[derive(Debug)]
struct Breaker {
    /// Failures since the last answer.
    failures: u32,
    /// While it is open, and when the next request may try.
    open: Option<(Time, Time)>,
    /// The request that tries.
    probe: Option<u64>,
}

/// Those of all services with failures, as the askers of this node see them.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    breakers: HashMap<Bytes, Breaker>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes its way.
    Pass,
    /// It is refused: so many have failed, and this long from now another may try.
    Refuse {
        /// Failures since the last answer.
        failures: u32,
        /// Until the next probe; zero while one is on its way.
        wait: Time,
    },
}

impl Breakers {
    /// Services that are not asked now.
    pub(super) fn open(&self) -> usize {
        let open = self.breakers.values().filter(|it| it.open.is_some());
        open.count()
    }

    /// A request is to be sent. `is_open` tells whether another still has no answer.
    pub(super) fn check(
        &mut self,
        service: &Bytes,
        number: u64,
        now: Time,
        is_open: impl Fn(u64) -> bool,
    ) -> Verdict {
        let Some(breaker) = self.breakers.get_mut(service) else {
            return Verdict::Pass;
        };
        let Some((until, _)) = breaker.open else {
            return Verdict::Pass;
        };
        if now >= until && !breaker.probe.is_some_and(is_open) {
            breaker.probe = Some(number);
            return Verdict::Pass;
        }
        Verdict::Refuse {
            failures: breaker.failures,
            wait: until.saturating_sub(now),
        }
    }

    /// A worker has answered.
    pub(super) fn succeeded(&mut self, service: &Bytes) {
        if !self.breakers.is_empty() {
            self.breakers.remove(service);
        }
    }

    /// A worker was lost, or its answer did not come in time. It opens after so many in a row.
    pub(super) fn failed(&mut self, service: &Bytes, number: u64, most: u32, now: Time) {
        if !self.breakers.contains_key(service) && self.breakers.len() >= MOST {
            return;
        }
        let breaker = self.breakers.entry(service.clone()).or_insert(Breaker {
            failures: 0,
            open: None,
            probe: None,
        });
        breaker.failures = breaker.failures.saturating_add(1);
        match breaker.open {
            None if most > 0 && breaker.failures >= most => {
                breaker.open = Some((now + FIRST_WAIT, FIRST_WAIT));
            }
            Some((_, wait)) if breaker.probe == Some(number) => {
                let wait = (2 * wait).min(LONGEST_WAIT);
                breaker.open = Some((now + wait, wait));
                breaker.probe = None;
            }
            // One from before it opened.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISK: Bytes = Bytes::from_static(b"risk");

    fn at(seconds: f64) -> Time {
        Time::from_secs_f64(seconds)
    }

    fn refusal(failures: u32, seconds: f64) -> Verdict {
        let wait = at(seconds);
        Verdict::Refuse { failures, wait }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_probes_its_way_back() {
        let mut breakers = Breakers::default();
        for number in 0..3 {
            assert_eq!(
                breakers.check(&RISK, number, at(0.0), |_| true),
                Verdict::Pass
            );
            breakers.failed(&RISK, number, 3, at(0.0));
        }
        assert_eq!(breakers.open(), 1);
        assert_eq!(breakers.check(&RISK, 3, at(0.5), |_| true), refusal(3, 0.5));
        // One tries, the others do not wait for it.
        assert_eq!(breakers.check(&RISK, 4, at(1.0), |_| true), Verdict::Pass);
        assert_eq!(
            breakers.check(&RISK, 5, at(1.0), |it| it == 4),
            refusal(3, 0.0)
        );
        breakers.failed(&RISK, 4, 3, at(2.0));
        assert_eq!(breakers.check(&RISK, 6, at(3.0), |_| true), refusal(4, 1.0));
        assert_eq!(breakers.check(&RISK, 7, at(4.0), |_| true), Verdict::Pass);
        breakers.succeeded(&RISK);
        assert_eq!(breakers.check(&RISK, 8, at(4.0), |_| true), Verdict::Pass);
        assert_eq!(breakers.open(), 0);
    }

    #[test]
    fn a_probe_whose_asker_has_gone_is_followed_by_another() {
        let mut breakers = Breakers::default();
        breakers.failed(&RISK, 1, 1, at(0.0));
        assert_eq!(breakers.check(&RISK, 2, at(1.0), |_| true), Verdict::Pass);
        assert_eq!(breakers.check(&RISK, 3, at(1.0), |_| false), Verdict::Pass);
    }

    #[test]
    fn an_answer_between_failures_begins_the_count_anew() {
        let mut breakers = Breakers::default();
        for number in 0..10 {
            breakers.failed(&RISK, number, 2, at(0.0));
            breakers.succeeded(&RISK);
        }
        assert_eq!(breakers.open(), 0);
        // 0 is never.
        (0..100).for_each(|number| breakers.failed(&RISK, number, 0, at(0.0)));
        assert_eq!(breakers.open(), 0);
    }
}
