//! Status: for each key whether it is in force, and if not why, since when and after how many tries.

use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::table::{Key, Revision};

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// A step for it waits or is under way.
    Pending,
    /// The real state is the desired one.
    Done,
    /// The last step failed; it will be tried again.
    Failed {
        /// What the target said.
        message: Arc<str>,
    },
}

/// Status of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// Where it stands.
    pub state: State,
    /// Since when it has stood there; a repeated failure keeps the time of the first.
    pub since: Instant,
    /// Failed tries since the last success.
    pub retries: u32,
}

/// Status of one reconciler, as one value.
#[derive(Clone)]
pub struct Status<K> {
    /// Name of the reconciler.
    pub name: &'static str,
    /// One row per desired key, and per key whose deletion is not done.
    pub keys: OrdMap<K, KeyStatus>,
    /// Changes of the desired table up to here are reflected in `keys`.
    pub seen: Revision,
    /// Number of keys in [`State::Pending`].
    pub pending: usize,
    /// Number of keys in [`State::Failed`].
    pub failed: usize,
    /// Complete reads of the real state so far; nothing is changed before the first.
    pub fetches: u64,
    /// Keys that a later read found different from what was believed.
    pub drifted: u64,
    /// Why the last read failed; `None` = it did not.
    pub fetch_error: Option<Arc<str>>,
    /// Whether deletions are allowed: the desired table is initialized.
    pub initialized: bool,
}

impl<K: Key> Status<K> {
    /// Status of a reconciler that has not started.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            keys: OrdMap::new(),
            seen: 0,
            pending: 0,
            failed: 0,
            fetches: 0,
            drifted: 0,
            fetch_error: None,
            initialized: false,
        }
    }

    /// Whether everything desired at `revision` is in force.
    pub fn is_settled(&self, revision: Revision) -> bool {
        self.fetches > 0 && self.seen >= revision && self.pending == 0 && self.failed == 0
    }

    /// Whether `key` as desired at `revision` is in force.
    pub fn is_done(&self, key: &K, revision: Revision) -> bool {
        let done = self
            .keys
            .get(key)
            .is_none_or(|status| status.state == State::Done);
        self.fetches > 0 && self.seen >= revision && done
    }

    fn count(&mut self, state: &State) -> Option<&mut usize> {
        match state {
            State::Pending => Some(&mut self.pending),
            State::Failed { .. } => Some(&mut self.failed),
            State::Done => None,
        }
    }

    /// Notes where a key stands.
    pub(crate) fn set(&mut self, key: &K, state: State, retries: u32, now: Instant) {
        let old = self.keys.get(key).cloned();
        if old
            .as_ref()
            .is_some_and(|old| old.state == state && old.retries == retries)
        {
            return;
        }
        let same_kind =
            |old: &KeyStatus| std::mem::discriminant(&old.state) == std::mem::discriminant(&state);
        let since = old
            .as_ref()
            .filter(|old| same_kind(old))
            .map_or(now, |old| old.since);
        if let Some(n) = old.and_then(|old| self.count(&old.state)) {
            *n -= 1;
        }
        if let Some(n) = self.count(&state) {
            *n += 1;
        }
        self.keys.insert(
            key.clone(),
            KeyStatus {
                state,
                since,
                retries,
            },
        );
    }

    /// Forgets a key that is neither desired nor there.
    pub(crate) fn clear(&mut self, key: &K) {
        let old = self.keys.remove(key);
        if let Some(n) = old.and_then(|old| self.count(&old.state)) {
            *n -= 1;
        }
    }

    /// The form in which commands and the REST API show it.
    pub fn report(&self, now: Instant) -> Report {
        let rows = self.keys.iter().map(|(key, status)| ReportRow {
            key: format!("{key:?}"),
            state: status.state.clone(),
            age_ms: u64::try_from(now.saturating_duration_since(status.since).as_millis())
                .unwrap_or(u64::MAX),
            retries: status.retries,
        });
        Report {
            name: self.name,
            initialized: self.initialized,
            seen: self.seen,
            done: self.keys.len() - self.pending - self.failed,
            pending: self.pending,
            failed: self.failed,
            fetches: self.fetches,
            drifted: self.drifted,
            fetch_error: self.fetch_error.clone(),
            rows: rows.collect(),
        }
    }
}

/// A status for people and for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Name of the reconciler.
    pub name: &'static str,
    /// Whether deletions are allowed.
    pub initialized: bool,
    /// Revision of the desired table that is reflected here.
    pub seen: Revision,
    /// Keys in force.
    pub done: usize,
    /// Keys with a step waiting or under way.
    pub pending: usize,
    /// Keys whose last step failed.
    pub failed: usize,
    /// Complete reads of the real state.
    pub fetches: u64,
    /// Keys found different from what was believed.
    pub drifted: u64,
    /// Why the last read failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch_error: Option<Arc<str>>,
    /// One row per key.
    pub rows: Vec<ReportRow>,
}

/// Status of one key for people and for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReportRow {
    /// The key.
    pub key: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// For how long, in milliseconds.
    pub age_ms: u64,
    /// Failed tries since the last success.
    pub retries: u32,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            done,
            pending,
            failed,
            fetches,
            drifted,
            ..
        } = self;
        writeln!(
            f,
            "{name}: {done} done, {pending} pending, {failed} failed; read {fetches} times, {drifted} drifted"
        )?;
        if !self.initialized {
            writeln!(f, "  not initialized: nothing is deleted yet")?;
        }
        if let Some(error) = &self.fetch_error {
            writeln!(f, "  cannot read the real state: {error}")?;
        }
        for row in &self.rows {
            let seconds = row.age_ms / 1000;
            match &row.state {
                State::Done => writeln!(f, "  {} done {seconds} s", row.key)?,
                State::Pending => writeln!(
                    f,
                    "  {} pending {seconds} s, {} retries",
                    row.key, row.retries
                )?,
                State::Failed { message } => {
                    writeln!(
                        f,
                        "  {} failed {seconds} s, {} retries: {message}",
                        row.key, row.retries
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// Reads the status of a reconciler, and waits for it.
pub struct StatusReader<K> {
    current: Arc<ArcSwap<Status<K>>>,
    changes: watch::Receiver<()>,
}

impl<K> Clone for StatusReader<K> {
    fn clone(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
            changes: self.changes.clone(),
        }
    }
}

/// The reconciler's end of a status.
pub(crate) struct StatusWriter<K> {
    current: Arc<ArcSwap<Status<K>>>,
    changes: watch::Sender<()>,
}

pub(crate) fn channel<K: Key>(name: &'static str) -> (StatusWriter<K>, StatusReader<K>) {
    let current = Arc::new(ArcSwap::from_pointee(Status::new(name)));
    let (sender, changes) = watch::channel(());
    (
        StatusWriter {
            current: Arc::clone(&current),
            changes: sender,
        },
        StatusReader { current, changes },
    )
}

impl<K: Key> StatusWriter<K> {
    pub(crate) fn publish(&self, status: &Status<K>) {
        self.current.store(Arc::new(status.clone()));
        self.changes.send_replace(());
    }
}

/// The reconciler ended before what was waited for came true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reconciler has stopped")]
pub struct Stopped;

impl<K: Key> StatusReader<K> {
    /// The status now.
    pub fn status(&self) -> Arc<Status<K>> {
        self.current.load_full()
    }

    /// Waits until `key`, as desired at `revision`, is in force. Put a timeout around it.
    pub async fn until_done(&self, key: &K, revision: Revision) -> Result<(), Stopped> {
        self.until(|status| status.is_done(key, revision))
            .await
            .map(|_| ())
    }

    /// Waits until everything desired at `revision` is in force. Put a timeout around it.
    pub async fn until_settled(&self, revision: Revision) -> Result<(), Stopped> {
        self.until(|status| status.is_settled(revision))
            .await
            .map(|_| ())
    }

    /// Waits for any condition.
    pub async fn until(
        &self,
        condition: impl Fn(&Status<K>) -> bool,
    ) -> Result<Arc<Status<K>>, Stopped> {
        let mut changes = self.changes.clone();
        loop {
            changes.borrow_and_update();
            let status = self.status();
            if condition(&status) {
                return Ok(status);
            }
            changes.changed().await.map_err(|_| Stopped)?;
        }
    }
}
