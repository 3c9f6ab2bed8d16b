//! Local health: how much this node distrusts its own accusations (Lifeguard, section IV.A).

use core::time::Duration;

/// 0 is full trust. Each step stretches the timeouts of probes once more by their own length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health(u32);

impl Health {
    const WORST: u32 = 8;

    pub(crate) fn better(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    pub(crate) fn worse(&mut self) {
        self.0 = (self.0 + 1).min(Self::WORST);
    }

    pub(crate) fn is_good(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn score(self) -> u64 {
        self.0.into()
    }

    pub(crate) fn stretch(self, timeout: Duration) -> Duration {
        timeout * (1 + self.0)
    }
}
