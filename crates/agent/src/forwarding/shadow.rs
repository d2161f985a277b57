//! One table of the kernel with what is known of its content and what it should be, so that only differences are touched.
//!
//! What an entry should be is told when it changes ([`Shadow::want`]). Entries that are not yet so are *pending*; all others are
//! as they should be, so a commit looks at the pending ones only. What the kernel held when the table was opened is pending
//! removal until somebody wants it. An entry whose write failed may have its old value or the new one: it is in doubt, and
//! written or removed again whatever is wanted by then.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use datapath::abi::Plain;
use kernel::{Map, MapError};

/// How one table differs from what is desired.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TablePlan {
    /// Name of the table.
    pub table: &'static str,
    /// Entries in the kernel.
    pub entries: usize,
    /// Entries to be written.
    pub write: usize,
    /// Entries to be removed.
    pub remove: usize,
}

/// An entry that the kernel refused; it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// Name of the table.
    pub table: &'static str,
    /// Key of the entry.
    pub key: String,
    /// The kernel's answer.
    pub error: String,
}

impl Failure {
    /// Of an entry of a table.
    pub fn of(key: &impl Debug, error: &MapError) -> Self {
        Self {
            table: error.map,
            key: format!("{key:?}"),
            error: error.to_string(),
        }
    }
}

/// How entries leave a table.
enum Leaving<V> {
    /// A hash or trie: they are removed.
    Removed,
    /// An array: they become what this makes of them.
    Becoming(fn(&V) -> V),
}

/// A table, its content as last written or read, and what differs from that.
pub struct Shadow<K, V> {
    map: Map<K, V>,
    rows: HashMap<K, V>,
    /// What entries should be that are not, or not for sure; `None` = not there.
    pending: HashMap<K, Option<V>>,
    doubtful: HashSet<K>,
    leaving: Leaving<V>,
    /// How often somebody said what an entry should be, since the last commit.
    told: usize,
}

impl<K: Plain + Eq + Hash + Debug, V: Plain + PartialEq + Default> Shadow<K, V> {
    /// Reads a hash or trie.
    pub fn hash(map: Map<K, V>) -> Result<Self, MapError> {
        let rows = map.dump()?.into_iter().collect();
        Ok(Self::adopting(map, rows, Leaving::Removed))
    }

    /// Reads an array, whose zero entries are free; an entry that is not wanted becomes what `empty` makes of it.
    pub fn array(map: Map<K, V>, empty: fn(&V) -> V) -> Result<Self, MapError> {
        let rows = map
            .dump()?
            .into_iter()
            .filter(|(_, value)| *value != V::default())
            .collect();
        Ok(Self::adopting(map, rows, Leaving::Becoming(empty)))
    }

    fn adopting(map: Map<K, V>, rows: HashMap<K, V>, leaving: Leaving<V>) -> Self {
        let keys: Vec<K> = rows.keys().copied().collect();
        let mut shadow = Self {
            map,
            rows,
            pending: HashMap::new(),
            doubtful: HashSet::new(),
            leaving,
            told: 0,
        };
        for key in keys {
            shadow.want(key, None);
        }
        shadow
    }

    /// The content.
    pub fn rows(&self) -> &HashMap<K, V> {
        &self.rows
    }

    /// Says what an entry should be, `None` = not there; the next commit brings it about.
    pub fn want(&mut self, key: K, value: Option<V>) {
        self.told += 1;
        if self.is_so(&key, value.as_ref()) {
            self.pending.remove(&key);
        } else {
            self.pending.insert(key, value);
        }
    }

    /// Whether the kernel has it so for sure.
    fn is_so(&self, key: &K, value: Option<&V>) -> bool {
        if self.doubtful.contains(key) {
            return false;
        }
        match (self.rows.get(key), value, &self.leaving) {
            (None, None, _) => true,
            (Some(row), None, Leaving::Becoming(empty)) => empty(row) == *row,
            (row, value, _) => row == value,
        }
    }

    /// What an entry should be.
    pub fn wanted(&self, key: &K) -> Option<&V> {
        match self.pending.get(key) {
            Some(value) => value.as_ref(),
            None => self.rows.get(key),
        }
    }

    /// Whether an entry is as it should be.
    pub fn is_settled(&self, key: &K) -> bool {
        !self.pending.contains_key(key)
    }

    /// Writes one entry at once, whatever is wanted.
    pub(super) fn set(&mut self, key: K, value: V) -> Result<(), MapError> {
        if let Err(error) = self.map.set(&key, &value) {
            self.doubtful.insert(key);
            return Err(error);
        }
        self.note(key, value);
        Ok(())
    }

    fn note(&mut self, key: K, value: V) {
        self.doubtful.remove(&key);
        if matches!(self.leaving, Leaving::Becoming(_)) && value == V::default() {
            self.rows.remove(&key);
        } else {
            self.rows.insert(key, value);
        }
    }

    /// Entries to be written.
    pub(super) fn missing(&self) -> impl Iterator<Item = (K, V)> {
        let pending = self.pending.iter();
        pending.filter_map(|(key, value)| Some((*key, (*value)?)))
    }

    /// Entries that are there, perhaps, and not wanted.
    pub(super) fn stale(&self) -> impl Iterator<Item = K> {
        let pending = self.pending.iter();
        pending.filter_map(|(key, value)| value.is_none().then_some(*key))
    }

    /// Writes what is missing or different; says how many entries that were. One that is refused stops no other.
    pub(super) fn add(&mut self, failures: &mut Vec<Failure>) -> usize {
        let missing: Vec<(K, V)> = self.missing().collect();
        if self.map.set_all(&missing).is_ok() {
            for (key, value) in &missing {
                self.note(*key, *value);
                self.pending.remove(key);
            }
            return missing.len();
        }
        // A batch ends at the first refusal.
        let mut written = 0;
        for (key, value) in missing {
            match self.set(key, value) {
                Ok(()) => {
                    self.pending.remove(&key);
                    written += 1;
                }
                Err(error) => failures.push(Failure::of(&key, &error)),
            }
        }
        written
    }

    /// Removes what is not wanted; says how many entries that were.
    pub(super) fn prune(&mut self, failures: &mut Vec<Failure>) -> usize {
        let stale: Vec<K> = self.stale().collect();
        let mut removed = 0;
        for key in stale {
            let result = match self.leaving {
                Leaving::Becoming(empty) => {
                    let value = empty(&self.rows.get(&key).copied().unwrap_or_default());
                    self.set(key, value)
                }
                Leaving::Removed => self.remove(key),
            };
            match result {
                Ok(()) => {
                    self.pending.remove(&key);
                    removed += 1;
                }
                Err(error) => failures.push(Failure::of(&key, &error)),
            }
        }
        if self.pending.is_empty() {
            // As many as at the start are never pending again.
            self.pending.shrink_to(64);
        }
        removed
    }

    /// Removes one entry at once.
    pub(super) fn forget(&mut self, key: K) -> Result<(), MapError> {
        self.want(key, None);
        self.remove(key)?;
        self.pending.remove(&key);
        Ok(())
    }

    fn remove(&mut self, key: K) -> Result<(), MapError> {
        if let Err(error) = self.map.remove(&key) {
            self.doubtful.insert(key);
            return Err(error);
        }
        self.doubtful.remove(&key);
        self.rows.remove(&key);
        Ok(())
    }

    /// How many entries a commit has to do with: those that were told since the last, or are still pending from before.
    pub(super) fn take_told(&mut self) -> usize {
        std::mem::take(&mut self.told).max(self.pending.len())
    }

    /// How far the table is from what it should be.
    pub(super) fn summary(&self) -> TablePlan {
        let write = self.missing().count();
        TablePlan {
            table: self.map.name(),
            entries: self.rows.len(),
            write,
            remove: self.pending.len() - write,
        }
    }
}
