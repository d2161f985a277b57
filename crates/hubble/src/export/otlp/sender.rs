//! Sends batches of one kind, one after the other, as often as it takes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use reconcile::Backoff;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::client::{Again, Client, NotTaken};
use crate::export::Counts;

/// Batches that wait for a collector; what comes when they are as many is dropped.
pub(super) const BATCHES: usize = 16;
/// How long a batch is tried: what is older is dropped for what is newer.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// How long the batch under way, and then all others, may take when the agent ends.
const LAST: Duration = Duration::from_secs(2);

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Logs,
    Spans,
    Metrics,
}

impl Signal {
    /// By which name it is counted.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Logs => "otlp-logs",
            Self::Spans => "otlp-spans",
            Self::Metrics => "otlp-metrics",
        }
    }

    /// The method that takes it.
    const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Spans => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

/// An encoded message, and how many items are in it.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) message: Bytes,
    pub(super) items: u64,
}

/// Where batches wait.
pub(super) struct Queue {
    pub(super) batches: mpsc::Sender<Batch>,
    pub(super) counts: Arc<Counts>,
}

impl Queue {
    /// Appends a batch, or counts it as lost where there is no room.
    pub(super) fn push(&self, batch: Batch) {
        let items = batch.items;
        if self.batches.try_send(batch).is_err() {
            self.counts.lost.fetch_add(items, Ordering::Relaxed);
        }
    }
}

/// Sends what is of one kind.
pub(super) struct Sender {
    pub(super) signal: Signal,
    pub(super) client: Client,
    pub(super) counts: Arc<Counts>,
}

impl Sender {
    /// Empties a queue until `stop`, and then what is left in it.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Batch>, stop: CancellationToken) {
        let mut last = None;
        while let Some(batch) = waiting.recv().await {
            if stop.is_cancelled() {
                let last = *last.get_or_insert_with(|| Instant::now() + LAST);
                self.deliver_once(batch, last).await;
            } else {
                self.deliver(batch, PATIENCE, &stop).await;
            }
        }
        stop.cancelled().await;
    }

    /// Sends a batch, again and again for so long; counts what became of it.
    pub(super) async fn deliver(
        &mut self,
        batch: Batch,
        patience: Duration,
        stop: &CancellationToken,
    ) {
        let until = Instant::now() + patience;
        let mut rng = StdRng::from_os_rng();
        let mut failures = 0;
        loop {
            let sending = self
                .client
                .export(self.signal.path(), batch.message.clone());
            let sent = tokio::select! {
                sent = sending => sent,
                // Whoever ends waits for the others as well.
                () = async { stop.cancelled().await; tokio::time::sleep(LAST).await } => {
                    return self.lose(batch.items);
                }
            };
            let failure = match sent {
                Ok(partial) => return self.taken(&batch, partial.rejected, &partial.message),
                Err(failure) => failure,
            };
            failures += 1;
            let wait = match failure.again {
                Again::Never => None,
                Again::Soon => Some(BACKOFF.after(failures, &mut rng)),
                Again::After(wait) => Some(wait),
            };
            let next = wait.map(|wait| Instant::now() + wait);
            let next = next.filter(|next| *next < until);
            self.tell(&failure, failures, next.is_none());
            let Some(next) = next else {
                return self.lose(batch.items);
            };
            tokio::select! {
                () = stop.cancelled() => return self.lose(batch.items),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Sends a batch if it is taken at once.
    pub(super) async fn deliver_once(&mut self, batch: Batch, until: Instant) {
        let sending = self
            .client
            .export(self.signal.path(), batch.message.clone());
        match tokio::time::timeout_at(until, sending).await {
            Ok(Ok(partial)) => self.taken(&batch, partial.rejected, &partial.message),
            Ok(Err(_)) | Err(_) => self.lose(batch.items),
        }
    }

    fn taken(&self, batch: &Batch, rejected: i64, message: &str) {
        let rejected = u64::try_from(rejected).unwrap_or_default().min(batch.items);
        if rejected > 0 || !message.is_empty() {
            let signal = self.signal.name();
            tracing::warn!(signal, rejected, message, "the collector took not all");
        }
        self.lose(rejected);
        let written = &self.counts.written;
        written.fetch_add(batch.items - rejected, Ordering::Relaxed);
    }

    fn lose(&self, items: u64) {
        self.counts.lost.fetch_add(items, Ordering::Relaxed);
    }

    /// Logs the first failure of a batch, and that it is given up.
    fn tell(&self, failure: &NotTaken, failures: u32, given_up: bool) {
        let (signal, reason) = (self.signal.name(), &failure.reason);
        if failures == 1 || given_up {
            tracing::warn!(
                signal,
                reason,
                failures,
                given_up,
                "a collector takes nothing"
            );
        } else {
            tracing::debug!(signal, reason, failures, "a collector still takes nothing");
        }
    }
}
