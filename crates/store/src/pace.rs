//! A bound on the rate of requests, so that an outage does not end in a storm.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// A token bucket: `rate` requests a second on average, `burst` at once.
pub struct Pace {
    rate: f64,
    burst: f64,
    // A table would not do: taking a token must read and write in one step, in the order of arrival.
    state: Mutex<(f64, Instant)>,
}

impl Pace {
    /// A full bucket.
    pub fn new(rate: f64, burst: f64) -> Self {
        Self {
            rate: rate.max(0.001),
            burst: burst.max(1.0),
            state: Mutex::new((burst.max(1.0), Instant::now())),
        }
    }

    /// Returns when the caller may go on; callers go in the order in which they came.
    pub async fn wait(&self) {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let refilled =
            (state.0 + now.duration_since(state.1).as_secs_f64() * self.rate).min(self.burst);
        if refilled < 1.0 {
            tokio::time::sleep(Duration::from_secs_f64((1.0 - refilled) / self.rate)).await;
            *state = (0.0, Instant::now());
        } else {
            *state = (refilled - 1.0, now);
        }
    }
}
