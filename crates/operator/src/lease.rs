//! Leading: one operator at a time, by a Lease that all of them know.
//!
//! No two clocks are compared: who does not lead measures by his own clock how long the lease has stayed as it is, and who
//! leads counts from the moment at which he asked for his last renewal. A leader that cannot renew stops to write
//! ([`Term::holds`]) before anybody else may begin. What two leaders must never do, even where that fails, is guarded by
//! the note: a text on the lease itself, which only its holder can change, and which his successor finds
//! (docs/decisions/0010).

mod record;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api::kubernetes::{Lease, ObjectMeta};
use rand::Rng;
use store::{Client, Error};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use record::{Watch, held_by, released, renewed, taken};

/// Name of the lease, upstream's.
pub const NAME: &str = "cilium-operator-resource-lock";
/// The annotation that holds the note.
pub const NOTE: &str = "ipam.axoneme.io/claims";
/// Requests of the lease wait for no others.
const REQUESTS_PER_SECOND: f64 = 50.0;

/// Times of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Others may lead so long after the last renewal that they saw. Whole seconds.
    pub lease: Duration,
    /// A leader that could not renew for so long leads no more.
    pub renew: Duration,
    /// Pause between two renewals, and between two tries.
    pub retry: Duration,
}

/// This operator does not lead any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator does not lead any more")]
pub struct NotLeading;

struct Ask {
    note: String,
    done: oneshot::Sender<()>,
}

/// A time in which this operator leads.
#[derive(Clone)]
pub struct Term {
    until: watch::Receiver<Instant>,
    lost: CancellationToken,
    asks: mpsc::Sender<Ask>,
}

impl Term {
    /// Whether this operator may write now.
    pub fn holds(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.until.borrow()
    }

    /// Returns when the term is over.
    pub async fn over(&self) {
        self.lost.cancelled().await;
    }

    /// Puts a note on the lease, and returns when it is there: from then on every later leader finds it. Tries until it
    /// is there or the term is over.
    pub async fn note(&self, note: String) -> Result<(), NotLeading> {
        let (done, noted) = oneshot::channel();
        let sent = self.asks.send(Ask { note, done }).await;
        sent.map_err(|_| NotLeading)?;
        noted.await.map_err(|_| NotLeading)
    }
}

/// Keeps the lease of a term.
pub struct Keeper {
    client: Client,
    times: Times,
    holder: String,
    /// As it was last written or read.
    lease: Lease,
    note: String,
    waiting: Vec<oneshot::Sender<()>>,
    until: watch::Sender<Instant>,
    lost: CancellationToken,
    asks: mpsc::Receiver<Ask>,
}

enum Failure {
    /// Somebody else holds the lease.
    Lost,
    /// Nothing is known; to be tried again.
    Again(String),
}

/// Waits until this operator leads. Gives the term, and the note that the leader before left.
pub async fn campaign(
    client: &Client,
    namespace: &str,
    holder: &str,
    times: Times,
) -> (Term, Keeper, String) {
    let client = client.at_pace(REQUESTS_PER_SECOND, REQUESTS_PER_SECOND);
    let mut watch = Watch::default();
    loop {
        let begun = Instant::now();
        match timeout_at(
            begun + times.renew,
            run_for(&client, namespace, holder, times, &mut watch),
        )
        .await
        {
            Ok(Ok(Some(lease))) => return begin(client, holder, times, lease, begun),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be taken, trying again"),
            Err(_) => tracing::warn!("the lease cannot be taken in time, trying again"),
        }
        let pause = times.retry.mul_f64(rand::rng().random_range(1.0..1.2));
        sleep(pause).await;
    }
}

/// One try.
async fn run_for(
    client: &Client,
    namespace: &str,
    holder: &str,
    times: Times,
    watch: &mut Watch,
) -> Result<Option<Lease>, Error> {
    let found = match client.get::<Lease>(Some(namespace), NAME).await {
        Err(error) if error.is_not_found() => {
            let mut lease = taken(&Lease::default(), holder, times.lease);
            lease.metadata = ObjectMeta {
                name: NAME.to_owned(),
                namespace: namespace.to_owned(),
                ..ObjectMeta::default()
            };
            return unless_quicker(client.create(&lease).await);
        }
        found => found?,
    };
    if !watch.is_free(&found.spec, holder, times.lease, Instant::now()) {
        return Ok(None);
    }
    unless_quicker(client.replace(&taken(&found, holder, times.lease)).await)
}

/// Somebody else was quicker: no harm.
fn unless_quicker(result: Result<Lease, Error>) -> Result<Option<Lease>, Error> {
    match result {
        Err(error) if error.is_conflict() => Ok(None),
        result => result.map(Some),
    }
}

fn begin(
    client: Client,
    holder: &str,
    times: Times,
    lease: Lease,
    begun: Instant,
) -> (Term, Keeper, String) {
    let note = lease.metadata.annotations.get(NOTE).cloned();
    let note = note.unwrap_or_default();
    let (until, held_until) = watch::channel(begun + times.renew);
    let (ask, asks) = mpsc::channel(1);
    let lost = CancellationToken::new();
    let term = Term {
        until: held_until,
        lost: lost.clone(),
        asks: ask,
    };
    let keeper = Keeper {
        client,
        times,
        holder: holder.to_owned(),
        lease,
        note: note.clone(),
        waiting: Vec::new(),
        until,
        lost,
        asks,
    };
    (term, keeper, note)
}

impl Keeper {
    /// Renews until `stop`, and gives the lease back then; or until it is lost.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut next = Instant::now() + self.times.retry;
        loop {
            let until = *self.until.borrow();
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(next.min(until)) => {}
                Some(ask) = self.asks.recv() => {
                    self.note = ask.note;
                    self.waiting.push(ask.done);
                }
            }
            match self.renew().await {
                Ok(()) => {
                    next = Instant::now() + self.times.retry;
                    for done in self.waiting.drain(..) {
                        let _ = done.send(());
                    }
                }
                Err(Failure::Lost) => {
                    tracing::error!("somebody else leads");
                    self.lost.cancel();
                    return;
                }
                Err(Failure::Again(error)) => {
                    tracing::warn!(error, "the lease cannot be renewed, trying again");
                    next = Instant::now() + self.times.retry / 4;
                }
            }
            if Instant::now() >= *self.until.borrow() {
                tracing::error!("the lease could not be renewed in time");
                self.lost.cancel();
                return;
            }
        }
        self.lost.cancel();
        self.release().await;
    }

    async fn renew(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut wanted = renewed(&self.lease, self.times.lease);
        let annotations = &mut wanted.metadata.annotations;
        if self.note.is_empty() {
            annotations.remove(NOTE);
        } else {
            annotations.insert(NOTE.to_owned(), self.note.clone());
        }
        let until = *self.until.borrow();
        let limit = until.min(begun + self.times.renew / 2);
        let written = timeout_at(limit, self.client.replace(&wanted)).await;
        match written {
            Ok(Ok(lease)) => {
                self.lease = lease;
                self.until.send_replace(begun + self.times.renew);
                Ok(())
            }
            Ok(Err(error)) if error.is_conflict() || error.is_not_found() => {
                self.look(limit).await?;
                Err(Failure::Again(error.to_string()))
            }
            Ok(Err(error)) => Err(Failure::Again(error.to_string())),
            Err(_) => Err(Failure::Again("no answer in time".to_owned())),
        }
    }

    /// What a try without an answer may have done, or somebody else.
    async fn look(&mut self, limit: Instant) -> Result<(), Failure> {
        let again = |error: String| Err(Failure::Again(error));
        let metadata = &self.lease.metadata;
        let read = self
            .client
            .get::<Lease>(Some(&metadata.namespace), &metadata.name);
        match timeout_at(limit, read).await {
            Ok(Ok(lease)) if held_by(&lease.spec, &self.holder) => {
                self.lease = lease;
                Ok(())
            }
            Ok(Ok(_)) => Err(Failure::Lost),
            Ok(Err(error)) if error.is_not_found() => Err(Failure::Lost),
            Ok(Err(error)) => again(error.to_string()),
            Err(_) => again("no answer in time".to_owned()),
        }
    }

    /// Best effort: without it the next one waits until the lease has run out.
    async fn release(mut self) {
        let limit = Instant::now() + self.times.retry;
        while Instant::now() < limit {
            let wanted = released(&self.lease);
            let written = self.client.replace(&wanted);
            match timeout_at(limit, written).await {
                Ok(Err(error)) if error.is_conflict() => {
                    if self.look(limit).await.is_err() {
                        return;
                    }
                }
                Ok(Err(_)) => sleep(self.times.retry / 8).await,
                _ => return,
            }
        }
    }
}
