//! How long things took, counted by bounds that all histograms of the core share.

use super::Time;

/// A histogram of times. The bounds reach from a hop on one machine to what a lost host costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    counts: [u64; Times::BOUNDS.len() + 1],
    sum: Time,
}

impl Times {
    /// Upper bounds of the buckets; a last bucket has none.
    pub const BOUNDS: [Time; 16] = [
        Time::from_micros(100),
        Time::from_micros(250),
        Time::from_micros(500),
        Time::from_millis(1),
        Time::from_micros(2500),
        Time::from_millis(5),
        Time::from_millis(10),
        Time::from_millis(25),
        Time::from_millis(50),
        Time::from_millis(100),
        Time::from_millis(250),
        Time::from_millis(500),
        Time::from_secs(1),
        Time::from_millis(2500),
        Time::from_secs(5),
        Time::from_secs(10),
    ];

    /// So many things took this long.
    pub(crate) fn observe(&mut self, time: Time, times: u64) {
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < time);
        self.counts[bucket] += times;
        self.sum = self.sum.saturating_add(time.saturating_mul(
            // 2^32 in one call would be more than a link message can carry.
            u32::try_from(times).unwrap_or(u32::MAX),
        ));
    }

    /// How many took up to each bound and longer than the one before, and, last, longer than all.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The sum of all times.
    pub fn sum(&self) -> Time {
        self.sum
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            counts: [0; Self::BOUNDS.len() + 1],
            sum: Time::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_under_the_first_bound_that_it_does_not_exceed() {
        let mut times = Times::default();
        times.observe(Time::from_micros(100), 2);
        times.observe(Time::from_micros(101), 1);
        times.observe(Time::from_secs(11), 3);
        assert_eq!(times.counts()[..2], [2, 1]);
        assert_eq!(times.counts().last(), Some(&3));
        assert_eq!(times.sum(), Time::from_micros(301 + 33_000_000));
    }
}
