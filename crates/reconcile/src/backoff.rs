//! Exponential back-off with jitter, for retries of keys, fetches and connections.

use std::time::Duration;

use rand::Rng;

/// How long to wait before the next try: `base · 2^failures`, at most `max`, of which a random half is cut off
/// so that many that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure, before jitter.
    pub base: Duration,
    /// Longest wait, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// Waits between `base` and `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The wait after `failures` failures in a row (1 = the first), between one half and the whole of the exponential value.
    pub fn after(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        let doubled = self
            .base
            .saturating_mul(1_u32 << failures.saturating_sub(1).min(20));
        doubled.min(self.max).mul_f64(rng.random_range(0.5..=1.0))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(30))
    }
}
