//! How late answers come: where they take seconds, silence for a second means nothing.
//!
//! Over TCP a lost packet is no gap but a pause of 200 ms, twice as long each time it is lost
//! again, for everything behind it. Where a quarter of all packets is lost a connection stands
//! still for 1.4 s once in 64 packets.

use core::time::Duration;

use crate::id::NodeId;

/// The longest time is forgotten at this rate: by one part in so many with each answer.
const FADING: u32 = 128;

/// The longest time that an answer took lately, and the longest of anybody else's than that member:
/// one that is slow must not make this node patient with all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    worst: Option<(NodeId, Duration)>,
    others: Duration,
}

impl Lateness {
    /// An answer came after this time.
    pub(crate) fn sample(&mut self, id: NodeId, took: Duration) {
        self.others -= self.others / FADING;
        let Some((worst, longest)) = &mut self.worst else {
            self.worst = Some((id, took));
            return;
        };
        *longest -= *longest / FADING;
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

    #[test]
    fn one_slow_member_is_given_time_and_the_others_are_not() {
        let ms = Duration::from_millis;
        let [a, b, c] = [1, 2, 3].map(|byte| NodeId([byte; 16]));
        let mut lateness = Lateness::default();
        lateness.sample(a, ms(1));
        lateness.sample(b, ms(2000));
        lateness.sample(c, ms(2));
        assert!(lateness.of(b) > ms(1900));
        assert!(lateness.of(a) < ms(3) && lateness.of(c) < ms(3));
        lateness.sample(a, ms(1000));
        assert!(lateness.of(a) > ms(900) && lateness.of(c) > ms(900));
    }

    #[test]
    fn what_was_late_once_is_forgotten() {
        let ms = Duration::from_millis;
        let [a, b] = [1, 2].map(|byte| NodeId([byte; 16]));
        let mut lateness = Lateness::default();
        for id in [a, b] {
            lateness.sample(id, ms(3000));
        }
        for _ in 0..1000 {
            lateness.sample(a, ms(1));
            lateness.sample(b, ms(1));
        }
        assert!(lateness.of(a).max(lateness.of(b)) < ms(10));
    }
}
