//! Smoothed round-trip time of one member, as TCP keeps it (RFC 6298).

use core::time::Duration;

/// Nothing until the first probe has been answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    estimate: Option<(Duration, Duration)>,
}

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.estimate = Some(match self.estimate {
            None => (rtt, rtt / 2),
            Some((smoothed, variation)) => (
                (smoothed * 7 + rtt) / 8,
                (variation * 3 + smoothed.abs_diff(rtt)) / 4,
            ),
        });
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|(smoothed, _)| smoothed)
    }

    /// How long an answer may take: smoothed + 4 × variation within the bounds, the upper bound
    /// for a member that never answered yet.
    pub(crate) fn timeout(&self, shortest: Duration, longest: Duration) -> Duration {
        self.estimate.map_or(longest, |(smoothed, variation)| {
            (smoothed + variation * 4).clamp(shortest, longest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_round_trip_within_its_bounds() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(ms(80), ms(200)), ms(200));
        (0..50).for_each(|_| rtt.sample(ms(1)));
        assert_eq!(rtt.timeout(ms(80), ms(200)), ms(80));
        (0..50).for_each(|_| rtt.sample(ms(500)));
        assert_eq!(rtt.timeout(ms(80), ms(200)), ms(200));
    }
}
