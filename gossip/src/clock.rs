//! The machine's own time: that of the driver, less the time in which the process stood still.

use core::time::Duration;

/// Subtracting stalls from the time extends every deadline at once, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    real: Duration,
    lost: Duration,
}

impl Clock {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            real: now,
            lost: Duration::ZERO,
        }
    }

    /// Takes note of the time. `due` is the machine time at which the driver had to call at the
    /// latest; returns by how much it is late. More than `stall` is time in which the process
    /// stood still.
    pub(crate) fn advance(&mut self, now: Duration, due: Duration, stall: Duration) -> Duration {
        let expected = self.to_real(due).max(self.real);
        self.real = self.real.max(now);
        let late = self.real.saturating_sub(expected);
        if late > stall {
            self.lost += late;
        }
        late
    }

    /// The machine time of the last call.
    pub(crate) fn now(&self) -> Duration {
        self.real.saturating_sub(self.lost)
    }

    /// A machine time as the driver counts it.
    pub(crate) fn to_real(self, machine: Duration) -> Duration {
        machine.saturating_add(self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_call_moves_deadlines_and_a_punctual_one_does_not() {
        let seconds = Duration::from_secs;
        let mut clock = Clock::new(seconds(10));
        assert_eq!(
            clock.advance(seconds(11), seconds(11), seconds(1)),
            seconds(0)
        );
        assert_eq!(
            clock.advance(seconds(20), seconds(12), seconds(1)),
            seconds(8)
        );
        assert_eq!(clock.now(), seconds(12));
        assert_eq!(clock.to_real(seconds(13)), seconds(21));
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut clock = Clock::new(Duration::from_secs(10));
        clock.advance(
            Duration::from_secs(3),
            Duration::MAX,
            Duration::from_secs(1),
        );
        assert_eq!(clock.now(), Duration::from_secs(10));
    }
}
