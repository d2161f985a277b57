//! Keys of this node: kept in etcd as a table wants them, most under a lease that ends when the node does.
//!
//! The lease is prolonged as long as we live. When it is lost, when etcd has another history, or when somebody deletes one of
//! the keys, they are written again. A former lease of this node, also one of a former run, is ended once everything stands
//! under the new one: what is wanted no more goes with it, and nothing that is wanted is ever away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use reconcile::{Backoff, Snapshot, Table};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Error, Etcd, Loss};
use super::operations::{delete_op, get_op, has_lease, is_absent, put_op};
use super::proto::{RequestOp, response_op};

/// Pauses after failures.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// Keys in one request: etcd takes up to 128 operations.
const BATCH: usize = 64;
/// It is looked so often whether all keys are there: upstream's period for the same.
const VERIFY: Duration = Duration::from_mins(5);

/// What a key is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// This, for as long as this node lives.
    Leased(String),
    /// This, unless it is there and holds something else; it stays when it is not wanted any more.
    Protected(String),
}

/// The lease of this node's keys, as others that write such keys need it.
#[derive(Clone, Debug)]
pub struct SharedLease(watch::Receiver<i64>);

impl SharedLease {
    /// The lease; waits for one.
    pub async fn get(&self) -> i64 {
        let mut lease = self.0.clone();
        let found = lease.wait_for(|lease| *lease != 0).await;
        found.map_or(0, |lease| *lease)
    }
}

/// Keeps a node's keys.
pub struct Owned {
    etcd: Etcd,
    wanted: Table<Arc<str>, Own>,
    ttl: Duration,
    /// Where the leases of this node are remembered over a restart.
    file: PathBuf,
    lease: watch::Sender<i64>,
    granted: Instant,
    prolonged: Instant,
    former: BTreeSet<i64>,
    wrote: BTreeMap<Arc<str>, Own>,
}

impl Owned {
    /// Keeps the keys of `wanted`, which takes no key away before it is initialized. A lease lives for `ttl` without us.
    pub fn new(etcd: Etcd, wanted: Table<Arc<str>, Own>, ttl: Duration, file: PathBuf) -> Self {
        let former = std::fs::read_to_string(&file).unwrap_or_default();
        Self {
            etcd,
            wanted,
            ttl,
            file,
            lease: watch::Sender::new(0),
            granted: Instant::now(),
            prolonged: Instant::now(),
            former: former.lines().filter_map(|id| id.parse().ok()).collect(),
            wrote: BTreeMap::new(),
        }
    }

    /// The lease of these keys.
    pub fn lease(&self) -> SharedLease {
        SharedLease(self.lease.subscribe())
    }

    /// Works until `stop`; the keys then stay until the lease ends, or the next run takes them over.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut changed = self.wanted.subscribe();
        let mut losses = self.etcd.losses();
        let mut turned = self.etcd.shared.changed.subscribe();
        let mut failures = 0_u32;
        let mut verify = Instant::now() + VERIFY;
        loop {
            let mut again = None;
            match self.bring_about().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    let key = error.key().unwrap_or_default();
                    self.etcd.metrics().failed(key);
                    if failures == 0 {
                        tracing::warn!(%error, "this node's keys are not in etcd yet, trying again");
                    }
                    failures += 1;
                    again = Some(Instant::now() + RETRY.after(failures, &mut rand::rng()));
                }
            }
            let prolong = self.prolonged + self.ttl / 3;
            let next = again.unwrap_or_else(|| verify.min(prolong));
            tokio::select! {
                _ = changed.changed(), if failures == 0 => {}
                _ = turned.changed() => {}
                loss = losses.recv() => self.note(loss),
                () = tokio::time::sleep_until(next) => {
                    if Instant::now() >= verify && failures == 0 {
                        verify = Instant::now() + VERIFY.mul_f64(rand::rng().random_range(0.8..1.2));
                        if let Err(error) = self.verify().await {
                            tracing::debug!(%error, "this node's keys cannot be looked at");
                        }
                    }
                }
            }
        }
    }

    fn note(&mut self, loss: Result<Loss, RecvError>) {
        match loss {
            Ok(Loss::Key(key)) => drop(self.wrote.remove(&key)),
            // Several mirrors see one break; a lease that came after it is of the new history.
            Ok(Loss::History(since)) if self.granted <= since => self.give_up(),
            Err(RecvError::Lagged(_)) => self.wrote.clear(),
            // Closed it is never: we hold a sender ourselves.
            Ok(Loss::History(_)) | Err(RecvError::Closed) => {}
        }
    }

    /// The lease is not ours any more, or stands for keys that we do not know.
    fn give_up(&mut self) {
        let lease = *self.lease.borrow();
        if lease != 0 {
            self.former.insert(lease);
            self.lease.send_replace(0);
        }
        self.wrote.clear();
    }

    async fn bring_about(&mut self) -> Result<(), Error> {
        let lease = self.prolong().await?;
        let wanted = self.wanted.snapshot();
        self.count(&wanted);
        let result = self.write(&wanted, lease).await;
        self.count(&wanted);
        if result.as_ref().is_err_and(Error::is_lease_gone) {
            self.give_up();
        }
        result?;
        if wanted.is_initialized() {
            self.prune(&wanted, lease).await?;
            self.end_former(lease).await?;
        }
        Ok(())
    }

    /// Of the keys that are wanted those are written that are as they should be.
    fn count(&self, wanted: &Snapshot<Arc<str>, Own>) {
        let keys = wanted.iter();
        let keys = keys.map(|(key, own)| (&**key, self.wrote.get(key) == Some(own)));
        self.etcd.metrics().written(keys);
    }

    /// The lease, a new one if there is none.
    async fn prolong(&mut self) -> Result<i64, Error> {
        let lease = *self.lease.borrow();
        if lease != 0 {
            if self.prolonged.elapsed() < self.ttl / 3 {
                return Ok(lease);
            }
            if self.etcd.keep_alive(lease).await? {
                self.prolonged = Instant::now();
                return Ok(lease);
            }
            tracing::warn!("this node's lease in etcd is over, its keys are written again");
            self.give_up();
        }
        let lease = self.etcd.grant(self.ttl).await?;
        self.granted = Instant::now();
        self.prolonged = self.granted;
        self.remember(Some(lease));
        self.lease.send_replace(lease);
        Ok(lease)
    }

    /// What cannot be remembered ends by itself, only later.
    fn remember(&self, lease: Option<i64>) {
        let all = self.former.iter().copied().chain(lease);
        let lines: Vec<String> = all.map(|id| id.to_string()).collect();
        if let Err(error) = std::fs::write(&self.file, lines.join("\n")) {
            let file = self.file.display();
            tracing::warn!(%file, %error, "the lease in etcd cannot be remembered");
        }
    }

    async fn write(&mut self, wanted: &Snapshot<Arc<str>, Own>, lease: i64) -> Result<(), Error> {
        let missing: Vec<(Arc<str>, Own)> = wanted
            .iter()
            .filter(|(key, own)| self.wrote.get(*key) != Some(*own))
            .map(|(key, own)| (Arc::clone(key), own.clone()))
            .collect();
        let (leased, protected): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|(_, own)| matches!(own, Own::Leased(_)));
        for part in leased.chunks(BATCH) {
            let put = part.iter().map(|(key, own)| match own {
                Own::Leased(value) | Own::Protected(value) => put_op(key, value, lease),
            });
            let first = part.first().map_or("", |(key, _)| key);
            self.etcd
                .when("write", first, Vec::new(), put.collect())
                .await?;
            self.wrote.extend(part.iter().cloned());
        }
        for (key, own) in protected {
            let Own::Protected(value) = &own else {
                continue;
            };
            let put = vec![put_op(&key, value, 0)];
            let absent = vec![is_absent(&key)];
            if self
                .etcd
                .when("protect", &key, absent, put)
                .await?
                .succeeded
            {
                tracing::info!(%key, "a key that is in use was missing in etcd");
            }
            self.wrote.insert(key, own);
        }
        Ok(())
    }

    /// Deletes what is wanted no more, unless somebody else has it now.
    async fn prune(&mut self, wanted: &Snapshot<Arc<str>, Own>, lease: i64) -> Result<(), Error> {
        let unwanted = self
            .wrote
            .iter()
            .filter(|(key, _)| wanted.get(key).is_none());
        let unwanted: Vec<(Arc<str>, Own)> = unwanted
            .map(|(key, own)| (Arc::clone(key), own.clone()))
            .collect();
        for (key, own) in unwanted {
            if matches!(own, Own::Leased(_)) {
                let ours = vec![has_lease(&key, lease)];
                let delete = vec![delete_op(&key)];
                self.etcd.when("delete", &key, ours, delete).await?;
            }
            self.wrote.remove(&key);
        }
        Ok(())
    }

    async fn end_former(&mut self, lease: i64) -> Result<(), Error> {
        if self.former.is_empty() {
            return Ok(());
        }
        for id in self.former.clone() {
            if id != lease {
                self.etcd.revoke(id).await?;
            }
            self.former.remove(&id);
        }
        self.remember(Some(lease));
        Ok(())
    }

    /// Forgets that keys were written which are not there, or not as they were written.
    async fn verify(&mut self) -> Result<(), Error> {
        let lease = *self.lease.borrow();
        let written: Vec<(Arc<str>, Own)> = self
            .wrote
            .iter()
            .map(|(key, own)| (Arc::clone(key), own.clone()))
            .collect();
        for part in written.chunks(BATCH) {
            let get: Vec<RequestOp> = part.iter().map(|(key, _)| get_op(key)).collect();
            let first = part.first().map_or("", |(key, _)| key);
            let answer = self.etcd.when("verify", first, Vec::new(), get).await?;
            for ((key, own), answer) in part.iter().zip(answer.responses) {
                let Some(response_op::Response::ResponseRange(found)) = answer.response else {
                    continue;
                };
                let found = found.kvs.first();
                let right = found.is_some_and(|found| match own {
                    Own::Leased(value) => found.lease == lease && found.value == value.as_bytes(),
                    Own::Protected(_) => true,
                });
                if !right {
                    tracing::warn!(%key, "a key of this node is not in etcd as it should be");
                    self.wrote.remove(key);
                }
            }
        }
        Ok(())
    }
}
