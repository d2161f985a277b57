//! What a leader does in etcd: its heartbeat, by which agents know that etcd can still be written, and the collection of
//! numbers that nobody uses. While a cluster moves between etcd and objects it counts what one of them lacks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::CiliumIdentity;
use store::etcd::{Collected, Etcd, Stale, layout};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::collect::identities::in_use;
use crate::leader::Leader;
use crate::lease::Term;
use crate::metrics::{self, Metrics, Outcome};

/// Upstream writes the heartbeat in this form (Go's `time.RFC1123`).
const FORM: &str = "%a, %d %b %Y %H:%M:%S UTC";

/// Writes the heartbeat each `period` while this operator leads, until `stop`.
pub async fn beat(etcd: Etcd, term: Term, period: Duration, stop: CancellationToken) {
    let mut failures = 0_u32;
    while term.holds() {
        let now = jiff::Timestamp::now().strftime(FORM).to_string();
        match etcd.put(layout::HEARTBEAT, &now).await {
            Ok(()) => failures = 0,
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "the heartbeat cannot be written, trying again");
                }
                failures += 1;
            }
        }
        // Agents wait for two periods only.
        let pause = if failures > 0 { period / 10 } else { period };
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return;
        }
    }
    stop.cancelled().await;
}

/// Collects numbers.
#[derive(Clone)]
pub struct Numbers {
    etcd: Etcd,
    leader: Leader,
    /// Between two removals.
    pause: Duration,
    // A table would not do: nobody but the collection reads it.
    stale: Arc<Mutex<Stale>>,
    metrics: Arc<Metrics>,
}

impl Numbers {
    /// A collection of so many in a second, at most.
    pub fn new(etcd: Etcd, leader: Leader, per_second: f64, metrics: Arc<Metrics>) -> Self {
        Self {
            etcd,
            leader,
            pause: Duration::from_secs_f64(1.0 / per_second.max(0.001)),
            stale: Arc::default(),
            metrics,
        }
    }

    /// One round.
    pub async fn collect(self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let result = self.round().await;
        let outcome = Outcome::of(&result);
        let collected = result.as_ref().ok();
        let collected = collected.map(|Collected { alive, deleted }| metrics::Collected {
            alive: *alive,
            deleted: *deleted,
        });
        self.metrics.numbers(outcome, begun.elapsed(), collected);
        result.map(drop)
    }

    async fn round(&self) -> anyhow::Result<Collected> {
        let mut stale = self.stale.lock().await;
        let used = in_use(&self.leader).await?;
        let kept = used.iter().filter_map(|name| name.parse().ok()).collect();
        let may = || self.leader.term().holds();
        Ok(stale.collect(&self.etcd, &kept, self.pause, may).await?)
    }
}

/// The two stores are compared so often: upstream's period.
pub const COMPARED: Duration = Duration::from_mins(1);

/// Compares the identities of two stores, while agents write to both.
#[derive(Clone)]
pub struct Doubles {
    etcd: Etcd,
    leader: Leader,
    metrics: Arc<Metrics>,
}

impl Doubles {
    /// Of etcd and objects.
    pub fn new(etcd: Etcd, leader: Leader, metrics: Arc<Metrics>) -> Self {
        Self {
            etcd,
            leader,
            metrics,
        }
    }

    /// Counts them once. What is made between the two lists is counted as missing until the next time.
    pub async fn compare(self) -> anyhow::Result<()> {
        let number = |of: CiliumIdentity| of.metadata.name.parse().ok();
        let objects = self.leader.list(number).await?;
        let objects: BTreeSet<u32> = objects.into_iter().flatten().collect();
        let keys = self.etcd.list(layout::IDENTITIES, true).await?;
        let keys = keys.iter().filter_map(|pair| layout::number_of(&pair.key));
        self.metrics.doubles(&objects, &keys.collect());
        Ok(())
    }
}
