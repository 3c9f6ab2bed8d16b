//! Local health: how much this node distrusts its own accusations (Lifeguard, section IV.A).

use core::time::Duration;

/// 0 is full trust. Each step stretches the timeouts of probes once more by their own length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    score: u32,
    worst: u32,
}

impl Health {
    pub(crate) fn new(worst: u32) -> Self {
        Self { score: 0, worst }
    }

    pub(crate) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    pub(crate) fn worse(&mut self) {
        self.score = (self.score + 1).min(self.worst);
    }

    pub(crate) fn is_good(self) -> bool {
        self.score == 0
    }

    pub(crate) fn score(self) -> u64 {
        self.score.into()
    }

    pub(crate) fn stretch(self, timeout: Duration) -> Duration {
        timeout * (1 + self.score)
    }
}
