//! One table of the kernel with what is known of its content, so that only differences are written.
//!
//! An entry whose write failed may have its old value or the new one: it is in doubt, and written or removed again
//! whatever the desired value is by then.

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

/// A table and its content as last written or read.
pub struct Shadow<K, V> {
    map: Map<K, V>,
    rows: HashMap<K, V>,
    doubtful: HashSet<K>,
    leaving: Leaving<V>,
}

impl<K: Plain + Eq + Hash + Debug, V: Plain + PartialEq + Default> Shadow<K, V> {
    /// Reads a hash or trie.
    pub fn hash(map: Map<K, V>) -> Result<Self, MapError> {
        let rows = map.dump()?.into_iter().collect();
        Ok(Self {
            map,
            rows,
            doubtful: HashSet::new(),
            leaving: Leaving::Removed,
        })
    }

    /// Reads an array, whose zero entries are free; an entry that is not desired becomes what `empty` makes of it.
    pub fn array(map: Map<K, V>, empty: fn(&V) -> V) -> Result<Self, MapError> {
        let rows = map
            .dump()?
            .into_iter()
            .filter(|(_, value)| *value != V::default())
            .collect();
        Ok(Self {
            map,
            rows,
            doubtful: HashSet::new(),
            leaving: Leaving::Becoming(empty),
        })
    }

    /// The content.
    pub fn rows(&self) -> &HashMap<K, V> {
        &self.rows
    }

    /// Whether the kernel has this value for sure.
    pub fn holds(&self, key: &K, value: &V) -> bool {
        self.rows.get(key) == Some(value) && !self.doubtful.contains(key)
    }

    /// Writes one entry.
    pub fn set(&mut self, key: K, value: V) -> Result<(), MapError> {
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

    fn missing<'a>(&'a self, desired: &'a HashMap<K, V>) -> impl Iterator<Item = (K, V)> + 'a {
        desired
            .iter()
            .filter(|(key, value)| !self.holds(key, value))
            .map(|(key, value)| (*key, *value))
    }

    /// What is not desired, with what it becomes.
    fn stale<'a>(
        &'a self,
        desired: &'a HashMap<K, V>,
    ) -> impl Iterator<Item = (K, Option<V>)> + 'a {
        let unsure = self
            .doubtful
            .iter()
            .filter(|key| !self.rows.contains_key(key));
        let keys = self.rows.keys().chain(unsure);
        keys.filter(|key| !desired.contains_key(key))
            .filter_map(|key| match self.leaving {
                Leaving::Removed => Some((*key, None)),
                Leaving::Becoming(empty) => {
                    let value = empty(&self.rows.get(key).copied().unwrap_or_default());
                    (!self.holds(key, &value)).then_some((*key, Some(value)))
                }
            })
    }

    /// Writes what is missing or different; says how many entries that were. One that is refused stops no other.
    pub fn add(&mut self, desired: &HashMap<K, V>, failures: &mut Vec<Failure>) -> usize {
        let missing: Vec<(K, V)> = self.missing(desired).collect();
        if self.map.set_all(&missing).is_ok() {
            for (key, value) in &missing {
                self.note(*key, *value);
            }
            return missing.len();
        }
        // A batch ends at the first refusal.
        let mut written = 0;
        for (key, value) in missing {
            match self.set(key, value) {
                Ok(()) => written += 1,
                Err(error) => failures.push(Failure::of(&key, &error)),
            }
        }
        written
    }

    /// Removes what is not desired; says how many entries that were.
    pub fn prune(&mut self, desired: &HashMap<K, V>, failures: &mut Vec<Failure>) -> usize {
        let stale: Vec<(K, Option<V>)> = self.stale(desired).collect();
        let mut removed = 0;
        for (key, becomes) in stale {
            let result = match becomes {
                Some(value) => self.set(key, value),
                None => self.remove(key),
            };
            match result {
                Ok(()) => removed += 1,
                Err(error) => failures.push(Failure::of(&key, &error)),
            }
        }
        removed
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

    /// How the table differs from `desired`.
    pub fn summary(&self, desired: &HashMap<K, V>) -> TablePlan {
        TablePlan {
            table: self.map.name(),
            entries: self.rows.len(),
            write: self.missing(desired).count(),
            remove: self.stale(desired).count(),
        }
    }
}
