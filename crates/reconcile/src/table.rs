//! A table: read by all through cheap snapshots, written by exactly one writer, with a revision for each change.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use tokio::sync::watch;

/// Number of a change; 0 is the empty table, each change takes the next.
pub type Revision = u64;

/// Deletions are remembered while there are at most this many, or as many as a quarter of the live rows. A reader
/// further behind is told to look at everything.
const MIN_TOMBSTONES: usize = 1024;

/// What can be a key of a table.
pub trait Key: Ord + Clone + Debug + Send + Sync + 'static {}
impl<K: Ord + Clone + Debug + Send + Sync + 'static> Key for K {}

/// What can be a row of a table.
pub trait Value: PartialEq + Debug + Send + Sync + 'static {}
impl<V: PartialEq + Debug + Send + Sync + 'static> Value for V {}

#[derive(Debug)]
struct Row<V> {
    value: Arc<V>,
    revision: Revision,
}

impl<V> Clone for Row<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            revision: self.revision,
        }
    }
}

/// The state of a table at one revision. Taking one costs a reference count; it never changes afterwards.
pub struct Snapshot<K, V> {
    content: Arc<Content<K, V>>,
}

struct Content<K, V> {
    revision: Revision,
    rows: OrdMap<K, Row<V>>,
    /// The last change of each live or recently deleted key, in the order of the changes.
    log: OrdMap<Revision, K>,
    tombstones: OrdMap<K, Revision>,
    /// Deletions up to here may have been forgotten.
    horizon: Revision,
    waiting_for: BTreeSet<&'static str>,
}

impl<K, V> Clone for Snapshot<K, V> {
    fn clone(&self) -> Self {
        Self {
            content: Arc::clone(&self.content),
        }
    }
}

impl<K: Key, V: Value> Clone for Content<K, V> {
    fn clone(&self) -> Self {
        Self {
            revision: self.revision,
            rows: self.rows.clone(),
            log: self.log.clone(),
            tombstones: self.tombstones.clone(),
            horizon: self.horizon,
            waiting_for: self.waiting_for.clone(),
        }
    }
}

/// One key that changed, and its row now (`None` = deleted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<K, V> {
    /// The key.
    pub key: K,
    /// The row at the time of the snapshot, not at the time of the change.
    pub value: Option<Arc<V>>,
    /// Revision of the last change of the key.
    pub revision: Revision,
}

/// Answer of [`Snapshot::changes_since`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes<K, V> {
    /// These keys changed, each named once, in the order of their last changes.
    Since(Vec<Change<K, V>>),
    /// The reader is too far behind: it must compare everything it knows with the snapshot.
    Everything,
}

impl<K: Key, V: Value> Snapshot<K, V> {
    /// The revision of this snapshot.
    pub fn revision(&self) -> Revision {
        self.content.revision
    }

    /// The row of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.content.rows.get(key).map(|row| &*row.value)
    }

    /// The row of a key, shared.
    pub fn get_shared(&self, key: &K) -> Option<Arc<V>> {
        self.content.rows.get(key).map(|row| Arc::clone(&row.value))
    }

    /// The revision at which the row of a key was last written.
    pub fn revision_of(&self, key: &K) -> Option<Revision> {
        self.content.rows.get(key).map(|row| row.revision)
    }

    /// All rows in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.content
            .rows
            .iter()
            .map(|(key, row)| (key, &*row.value))
    }

    /// The rows from `start` on, in key order.
    pub fn iter_from<'a>(
        &'a self,
        start: &K,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        self.content
            .rows
            .range(start.clone()..)
            .map(|(key, row)| (key, &*row.value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.content.rows.keys()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.content.rows.len()
    }

    /// Whether there are no rows. Says nothing about [`Self::is_initialized`]: unknown is not empty.
    pub fn is_empty(&self) -> bool {
        self.content.rows.is_empty()
    }

    /// Whether every source of the table has delivered its first complete state.
    pub fn is_initialized(&self) -> bool {
        self.content.waiting_for.is_empty()
    }

    /// The sources that have not yet delivered their first complete state.
    pub fn waiting_for(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.content.waiting_for.iter().copied()
    }

    /// What changed after revision `since`, up to this snapshot.
    pub fn changes_since(&self, since: Revision) -> Changes<K, V> {
        let content = &*self.content;
        // Revision 0 knows nothing, so it cannot have missed a deletion.
        if since > content.revision || (since > 0 && since < content.horizon) {
            return Changes::Everything;
        }
        let changes = content
            .log
            .range(since + 1..)
            .map(|(&revision, key)| Change {
                key: key.clone(),
                value: content.rows.get(key).map(|row| Arc::clone(&row.value)),
                revision,
            });
        Changes::Since(changes.collect())
    }
}

impl<K: Key, V: Value> Debug for Snapshot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

struct Shared<K, V> {
    name: &'static str,
    current: ArcSwap<Content<K, V>>,
    revision: watch::Receiver<u64>,
}

/// The readers' end of a table; clone it freely.
pub struct Table<K, V> {
    shared: Arc<Shared<K, V>>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// The writer's end. It is not `Clone`: two writers of one table cannot be written down.
pub struct TableWriter<K, V> {
    shared: Arc<Shared<K, V>>,
    /// Only the writer holds it, so that readers see when the writer is gone.
    revision: watch::Sender<u64>,
}

/// Whether a write changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The row is new, different or gone.
    Changed,
    /// The table already said so; no revision was spent.
    Unchanged,
}

impl<K: Key, V: Value> Table<K, V> {
    /// An empty table. It counts as initialized once every one of `sources` was marked; without sources, at once.
    pub fn new(name: &'static str, sources: &[&'static str]) -> (TableWriter<K, V>, Table<K, V>) {
        let content = Content {
            revision: 0,
            rows: OrdMap::new(),
            log: OrdMap::new(),
            tombstones: OrdMap::new(),
            horizon: 0,
            waiting_for: sources.iter().copied().collect(),
        };
        let (sender, revision) = watch::channel(0);
        let shared = Arc::new(Shared {
            name,
            current: ArcSwap::from_pointee(content),
            revision,
        });
        (
            TableWriter {
                shared: Arc::clone(&shared),
                revision: sender,
            },
            Table { shared },
        )
    }

    /// The table's name, as commands and metrics show it.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// The state now.
    pub fn snapshot(&self) -> Snapshot<K, V> {
        Snapshot {
            content: self.shared.current.load_full(),
        }
    }

    /// The revision now.
    pub fn revision(&self) -> Revision {
        self.shared.current.load().revision
    }

    /// The row of a key now.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.shared
            .current
            .load()
            .rows
            .get(key)
            .map(|row| Arc::clone(&row.value))
    }

    /// Wakes its owner after changes. It starts at "changed", so the first wait returns at once.
    pub fn subscribe(&self) -> Subscription {
        let mut receiver = self.shared.revision.clone();
        receiver.mark_changed();
        Subscription { receiver }
    }

    /// Waits until every source has delivered its first complete state, or the writer is gone.
    pub async fn until_initialized(&self) -> Snapshot<K, V> {
        let mut subscription = self.subscribe();
        loop {
            let snapshot = self.snapshot();
            if snapshot.is_initialized() || subscription.changed().await == Wake::WriterGone {
                return snapshot;
            }
        }
    }
}

/// Why a wait for a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something changed since the last wait: a row, or a source became initialized.
    Changed,
    /// The writer was dropped: there will be no more changes.
    WriterGone,
}

/// One reader's wait for changes; it carries no data, so changes coalesce and none is missed.
#[derive(Debug, Clone)]
pub struct Subscription {
    receiver: watch::Receiver<u64>,
}

impl Subscription {
    /// Returns when something changed after the last return. Cancel-safe.
    pub async fn changed(&mut self) -> Wake {
        match self.receiver.changed().await {
            Ok(()) => Wake::Changed,
            Err(_) => Wake::WriterGone,
        }
    }
}

impl<K: Key, V: Value> TableWriter<K, V> {
    /// A readers' end.
    pub fn table(&self) -> Table<K, V> {
        Table {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The state now.
    pub fn snapshot(&self) -> Snapshot<K, V> {
        self.table().snapshot()
    }

    /// Writes one row.
    pub fn set(&mut self, key: K, value: V) -> Effect {
        self.write(|batch| batch.set(key, value))
    }

    /// Deletes one row.
    pub fn remove(&mut self, key: &K) -> Effect {
        self.write(|batch| batch.remove(key))
    }

    /// Makes the rows exactly `rows`: others are deleted, equal ones keep their revision.
    pub fn replace(&mut self, rows: impl IntoIterator<Item = (K, V)>) {
        self.write(|batch| {
            let mut stale: BTreeSet<K> = batch.content.rows.keys().cloned().collect();
            for (key, value) in rows {
                stale.remove(&key);
                batch.set(key, value);
            }
            for key in &stale {
                batch.remove(key);
            }
        });
    }

    /// States that `source` has delivered its first complete state. The mark is never taken back.
    pub fn mark_initialized(&mut self, source: &'static str) {
        self.write(|batch| batch.mark_initialized(source));
    }

    /// Several writes that readers see as one.
    pub fn write<R>(&mut self, f: impl FnOnce(&mut Batch<K, V>) -> R) -> R {
        let mut batch = Batch {
            content: Content::clone(&self.shared.current.load()),
            marked: false,
        };
        let before = batch.content.revision;
        let result = f(&mut batch);
        if batch.content.revision == before && !batch.marked {
            return result;
        }
        batch.content.forget_old_deletions();
        let revision = batch.content.revision;
        self.shared.current.store(Arc::new(batch.content));
        self.revision.send_modify(|r| *r = revision);
        result
    }
}

/// Writes in progress; published together when the closure of [`TableWriter::write`] returns.
pub struct Batch<K, V> {
    content: Content<K, V>,
    marked: bool,
}

impl<K: Key, V: Value> Batch<K, V> {
    /// The row of a key, as written so far.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.content.rows.get(key).map(|row| &*row.value)
    }

    /// Writes one row.
    pub fn set(&mut self, key: K, value: V) -> Effect {
        self.set_shared(key, Arc::new(value))
    }

    /// Writes one row that others hold as well.
    pub fn set_shared(&mut self, key: K, value: Arc<V>) -> Effect {
        let content = &mut self.content;
        let old = content.rows.get(&key);
        if old.is_some_and(|row| row.value == value) {
            return Effect::Unchanged;
        }
        let superseded = old
            .map(|row| row.revision)
            .or_else(|| content.tombstones.get(&key).copied());
        if let Some(revision) = superseded {
            content.log.remove(&revision);
            content.tombstones.remove(&key);
        }
        content.revision += 1;
        content.log.insert(content.revision, key.clone());
        content.rows.insert(
            key,
            Row {
                value,
                revision: content.revision,
            },
        );
        Effect::Changed
    }

    /// Deletes one row.
    pub fn remove(&mut self, key: &K) -> Effect {
        let content = &mut self.content;
        let Some(old) = content.rows.remove(key) else {
            return Effect::Unchanged;
        };
        content.log.remove(&old.revision);
        content.revision += 1;
        content.log.insert(content.revision, key.clone());
        content.tombstones.insert(key.clone(), content.revision);
        Effect::Changed
    }

    /// States that `source` has delivered its first complete state.
    pub fn mark_initialized(&mut self, source: &'static str) {
        self.marked |= self.content.waiting_for.remove(source);
    }
}

impl<K: Key, V: Value> Content<K, V> {
    fn forget_old_deletions(&mut self) {
        let keep = MIN_TOMBSTONES.max(self.rows.len() / 4);
        if self.tombstones.len() <= keep * 2 {
            return;
        }
        let mut by_age: Vec<(Revision, K)> = self
            .tombstones
            .iter()
            .map(|(key, &at)| (at, key.clone()))
            .collect();
        by_age.sort_unstable_by_key(|(at, _)| *at);
        by_age.truncate(self.tombstones.len() - keep);
        for (at, key) in by_age {
            self.log.remove(&at);
            self.tombstones.remove(&key);
            self.horizon = at;
        }
    }
}

#[cfg(test)]
mod tests;
