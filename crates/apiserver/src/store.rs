//! Objects on disk: one writer thread, one durable transaction at a time, consistent reads beside it.
//!
//! Every acknowledged write has been committed with an fsync. Writes that wait at the same moment share a transaction;
//! each is still all or nothing, and none sees half of another.

mod history;
mod key;
mod transaction;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

pub(crate) use self::history::{Change, Compacted, Event};
pub(crate) use self::key::Key;
pub(crate) use self::transaction::Transaction;

use self::history::History;
use crate::config::HistoryLimit;
use crate::error::ApiError;
use crate::kinds::{DEFINITIONS, Registry};

const ROWS: TableDefinition<&str, &[u8]> = TableDefinition::new("rows");
const REVISION_ROW: &str = "m/revision";
/// Pages kept in memory.
const CACHE_BYTES: usize = 6 << 20;
/// How long a file that is in use is waited for.
const OPENING: Duration = Duration::from_secs(3);
/// Writes that may share one commit.
const BATCH: usize = 64;

/// The store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the store could not {doing}: {source}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        source: Box<redb::Error>,
    },
    /// The directory could not be made.
    #[error("the data directory {path}: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A row is not what was written.
    #[error("the row {row} does not read: {why}")]
    Row {
        /// Key of the row.
        row: String,
        /// What is wrong.
        why: String,
    },
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    fn database(doing: &'static str) -> impl FnOnce(redb::Error) -> Self {
        move |source| Self::Database {
            doing,
            source: Box::new(source),
        }
    }
}

/// Whether a write lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It is committed.
    Yes,
    /// It is checked and answered, and forgotten.
    DryRun,
}

struct Shared {
    database: Database,
    // A lock rather than a table: readers take a short slice of a ring that one thread appends to.
    history: RwLock<History>,
    registry: RwLock<Arc<Registry>>,
    revision: watch::Sender<u64>,
    broken: AtomicBool,
}

/// The store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

type Finish = Box<dyn FnOnce(Result<(), ApiError>) + Send>;

/// Runs the change; says whether it is to be applied, and how the answer is given once it is.
type Run = Box<dyn FnOnce(&mut Transaction<'_>) -> (Result<(), ()>, Finish) + Send>;

struct Job {
    durable: Durable,
    run: Run,
}

impl Store {
    /// Opens or makes the database in `directory`.
    pub(crate) async fn open(directory: &Path, limit: HistoryLimit) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|source| StoreError::Directory {
            path: directory.display().to_string(),
            source,
        })?;
        let database = database(directory).await?;
        let revision = first_revision(&database)?;
        let shared = Arc::new(Shared {
            database,
            history: RwLock::new(History::new(revision, limit)),
            registry: RwLock::new(Arc::new(Registry::default())),
            revision: watch::Sender::new(revision),
            broken: AtomicBool::new(false),
        });
        shared.reload_registry()?;
        let (jobs, queue) = mpsc::channel();
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.write_all(&queue))
            .map_err(|source| StoreError::Directory {
                path: directory.display().to_string(),
                source,
            })?;
        Ok(Self { shared, jobs })
    }

    /// Runs `change` as one transaction and returns once it is on disk (or, for a dry run, checked).
    pub(crate) async fn write<T, F>(&self, durable: Durable, change: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, ApiError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let run = Box::new(move |transaction: &mut Transaction<'_>| {
            let result = change(transaction);
            let outcome = result.as_ref().map(|_| ()).map_err(|_| ());
            let finish: Finish = Box::new(move |committed| {
                // The client may have gone; what it asked for is done all the same.
                let _ = sender.send(result.and_then(|value| committed.map(|()| value)));
            });
            (outcome, finish)
        });
        self.jobs
            .send(Job { durable, run })
            .map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `look` on a consistent view, off the async threads.
    pub(crate) async fn read<T, F>(&self, look: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, ApiError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || look(&shared.view()?));
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// The kinds known now.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(
            &self
                .shared
                .registry
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The newest revision watchers can see; changes are signalled.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Up to `most` events after `revision`, in order.
    pub(crate) fn events_after(
        &self,
        revision: u64,
        most: usize,
    ) -> Result<Vec<Arc<Event>>, Compacted> {
        self.shared
            .history
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .after(revision, most)
    }

    /// Whether commits still work.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.shared.broken.load(Ordering::Relaxed)
    }
}

/// Opens the file. The one before may still be closing it, so "in use" is final only after a while.
async fn database(directory: &Path) -> Result<Database, StoreError> {
    let path = directory.join("objects.redb");
    let end = tokio::time::Instant::now() + OPENING;
    loop {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        match builder.create(&path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return result.map_err(|e| StoreError::database("open its file")(e.into())),
        }
    }
}

/// The stored revision. A new store starts at the present second, so that a client of an older store in the same
/// place finds its revision compacted and lists anew, instead of silently continuing in another history.
fn first_revision(database: &Database) -> Result<u64, StoreError> {
    let doing = "read its revision";
    let transaction = database
        .begin_write()
        .map_err(|e| StoreError::database(doing)(e.into()))?;
    let revision = {
        let mut table = transaction
            .open_table(ROWS)
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        let found = table
            .get(REVISION_ROW)
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        let found = found.map(|row| parse_revision(row.value())).transpose()?;
        if let Some(revision) = found {
            revision
        } else {
            let revision = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(1);
            let text = revision.to_string();
            table
                .insert(REVISION_ROW, text.as_bytes())
                .map_err(|e| StoreError::database(doing)(e.into()))?;
            revision
        }
    };
    transaction
        .commit()
        .map_err(|e| StoreError::database(doing)(e.into()))?;
    Ok(revision)
}

fn parse_revision(row: &[u8]) -> Result<u64, StoreError> {
    let text = String::from_utf8_lossy(row);
    text.parse().map_err(|_| StoreError::Row {
        row: REVISION_ROW.to_owned(),
        why: format!("{text} is no number"),
    })
}

/// A consistent look at the store.
pub(crate) struct View {
    table: redb::ReadOnlyTable<&'static str, &'static [u8]>,
}

impl View {
    /// The revision this view is of.
    pub(crate) fn revision(&self) -> Result<u64, StoreError> {
        let row = self
            .table
            .get(REVISION_ROW)
            .map_err(|e| StoreError::database("read its revision")(e.into()))?;
        row.map_or(Ok(0), |row| parse_revision(row.value()))
    }

    /// One object, as stored.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let row = self
            .table
            .get(key.row().as_str())
            .map_err(|e| StoreError::database("read an object")(e.into()))?;
        Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
    }

    /// All objects of a resource (in a namespace), in order of namespace and name.
    pub(crate) fn scan(
        &self,
        resource: &Arc<str>,
        namespace: Option<&str>,
        mut each: impl FnMut(Key, &[u8]),
    ) -> Result<(), StoreError> {
        let (from, to) = Key::range(resource, namespace);
        let doing = "list objects";
        let rows = self
            .table
            .range(from.as_str()..to.as_str())
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        for row in rows {
            let (key, value) = row.map_err(|e| StoreError::database(doing)(e.into()))?;
            if let Some(key) = Key::parse(resource, key.value()) {
                each(key, value.value());
            }
        }
        Ok(())
    }
}

impl Shared {
    fn view(&self) -> Result<View, StoreError> {
        let doing = "begin a read";
        let transaction = self
            .database
            .begin_read()
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        let table = transaction
            .open_table(ROWS)
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        Ok(View { table })
    }

    fn reload_registry(&self) -> Result<(), StoreError> {
        let mut definitions: Vec<Value> = Vec::new();
        self.view()?.scan(&DEFINITIONS.into(), None, |_, bytes| {
            definitions.extend(serde_json::from_slice(bytes));
        })?;
        *self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(Registry::new(&definitions));
        Ok(())
    }

    /// The writer: until all senders are gone.
    fn write_all(&self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            batch.extend(queue.try_iter().take(BATCH - 1));
            let mut finished = Vec::with_capacity(batch.len());
            let committed = self.commit(batch, &mut finished);
            if let Err(error) = &committed {
                tracing::error!("{error}");
                self.broken.store(true, Ordering::Relaxed);
            }
            let committed = committed.map_err(ApiError::from);
            for finish in finished {
                finish(committed.clone());
            }
        }
    }

    /// One transaction for a batch; answers wait in `finished` until it is on disk.
    fn commit(&self, batch: Vec<Job>, finished: &mut Vec<Finish>) -> Result<(), StoreError> {
        let doing = "commit";
        let mut write = self
            .database
            .begin_write()
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        write
            .set_durability(redb::Durability::Immediate)
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        let mut events = Vec::new();
        {
            let mut table = write
                .open_table(ROWS)
                .map_err(|e| StoreError::database(doing)(e.into()))?;
            let mut revision = *self.revision.borrow();
            for job in batch {
                let mut transaction = Transaction::new(&table, revision);
                let (outcome, finish) = (job.run)(&mut transaction);
                finished.push(finish);
                if outcome.is_ok() && job.durable == Durable::Yes {
                    let done = transaction.finish();
                    revision = done.revision;
                    apply(&mut table, done.rows)?;
                    events.extend(done.events);
                }
            }
            let text = revision.to_string();
            table
                .insert(REVISION_ROW, text.as_bytes())
                .map_err(|e| StoreError::database(doing)(e.into()))?;
        }
        if events.is_empty() {
            return write
                .abort()
                .map_err(|e| StoreError::database("end a transaction")(e.into()));
        }
        write
            .commit()
            .map_err(|e| StoreError::database(doing)(e.into()))?;
        self.publish(events)
    }

    /// Makes committed events visible to watchers.
    fn publish(&self, events: Vec<Event>) -> Result<(), StoreError> {
        let newest = events.last().map(|event| event.revision);
        if events
            .iter()
            .any(|event| &*event.key.resource == DEFINITIONS)
        {
            self.reload_registry()?;
        }
        self.history
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(events);
        if let Some(revision) = newest {
            self.revision.send_replace(revision);
        }
        Ok(())
    }
}

fn apply(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    rows: BTreeMap<String, Option<Vec<u8>>>,
) -> Result<(), StoreError> {
    for (row, value) in rows {
        let result = match value {
            Some(value) => table.insert(row.as_str(), value.as_slice()).map(|_| ()),
            None => table.remove(row.as_str()).map(|_| ()),
        };
        result.map_err(|e| StoreError::database("write a row")(e.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
