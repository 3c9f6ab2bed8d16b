//! How late answers come: where they take seconds, silence for a second means nothing.
//!
//! Over TCP a lost packet is no gap but a pause of 200 ms, twice as long each time it is lost
//! again, for everything behind it. Where a quarter of all packets is lost a connection stands
//! still for 1.4 s once in 64 packets.

use core::time::Duration;

use crate::id::NodeId;

/// A long time is forgotten at this rate: by one part in so many with each answer.
const FADING: u32 = 128;
/// And at this rate once no answer was late any more for the time below: a cut or a stop that has
/// ended makes answers late once, a network that loses packets again and again.
const FADING_AFTER_ONE: u32 = 8;
const AGAIN: Duration = Duration::from_secs(6);
/// Late is an answer that took at least this part of the longest time.
const LATE: u32 = 16;

/// The longest time that an answer took lately, and the longest of anybody else's than that member:
/// one that is slow must not make this node patient with all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    worst: Option<(NodeId, Duration)>,
    others: Duration,
    /// When an answer was late last.
    late_at: Duration,
}

impl Lateness {
    /// An answer has come now, after this time.
    pub(crate) fn sample(&mut self, id: NodeId, took: Duration, now: Duration) {
        let again = now <= self.late_at + AGAIN;
        let fading = if again { FADING } else { FADING_AFTER_ONE };
        self.others -= self.others / fading;
        let Some((worst, longest)) = &mut self.worst else {
            self.worst = Some((id, took));
            return;
        };
        *longest -= *longest / fading;
        if took * LATE >= *longest {
            self.late_at = now;
        }
        if *worst == id {
            *longest = took.max(*longest);
        } else {
            self.others = self.others.max(took.min(*longest));
            if took > *longest {
                (*worst, *longest) = (id, took);
            }
        }
    }

    /// How late an answer of this member may be.
    pub(crate) fn of(&self, id: NodeId) -> Duration {
        match self.worst {
            Some((worst, longest)) if worst == id => longest,
            _ => self.others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_slow_member_is_given_time_and_the_others_are_not() {
        let [a, b, c] = [1, 2, 3].map(|byte| NodeId([byte; 16]));
        let mut lateness = Lateness::default();
        lateness.sample(a, ms(1), SECOND);
        lateness.sample(b, ms(2000), SECOND);
        lateness.sample(c, ms(2), SECOND);
        assert!(lateness.of(b) > ms(1900));
        assert!(lateness.of(a) < ms(3) && lateness.of(c) < ms(3));
        lateness.sample(a, ms(1000), SECOND);
        assert!(lateness.of(a) > ms(900) && lateness.of(c) > ms(900));
    }

    /// Answers of two members for so many seconds, four a second. Two in 16 take long.
    fn answers(lateness: &mut Lateness, from: u64, seconds: u64, long: Duration) -> Duration {
        let members = [1, 2].map(|byte| NodeId([byte; 16]));
        for nth in 0..4 * seconds {
            let took = if nth % 16 < 2 { long } else { ms(1) };
            let now = ms(1000 * from + 250 * nth);
            lateness.sample(members[nth as usize % 2], took, now);
        }
        members.map(|id| lateness.of(id)).into_iter().max().unwrap()
    }

    #[test]
    fn what_was_late_once_is_forgotten_and_what_often_is_is_not() {
        let mut lateness = Lateness::default();
        assert!(answers(&mut lateness, 0, 4, ms(3000)) > ms(2500));
        assert!(answers(&mut lateness, 4, 2, ms(1)) > ms(2500), "too soon");
        assert!(answers(&mut lateness, 6, 8, ms(1)) < ms(500));
        assert!(answers(&mut lateness, 14, 60, ms(1400)) > ms(1200));
    }
}
