//! One table of the kernel with what is known of its content, so that only differences are written.

use std::collections::HashMap;
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

/// A table and its content as last written or read.
pub struct Shadow<K, V> {
    map: Map<K, V>,
    rows: HashMap<K, V>,
}

impl<K: Plain + Eq + Hash, V: Plain + PartialEq + Default> Shadow<K, V> {
    /// Reads a hash or trie.
    pub fn hash(map: Map<K, V>) -> Result<Self, MapError> {
        let rows = map.dump()?.into_iter().collect();
        Ok(Self { map, rows })
    }

    /// Reads an array, whose zero entries are free.
    pub fn array(map: Map<K, V>) -> Result<Self, MapError> {
        let rows = map
            .dump()?
            .into_iter()
            .filter(|(_, value)| *value != V::default())
            .collect();
        Ok(Self { map, rows })
    }

    /// The content.
    pub fn rows(&self) -> &HashMap<K, V> {
        &self.rows
    }

    /// Writes one entry.
    pub fn set(&mut self, key: K, value: V) -> Result<(), MapError> {
        self.map.set(&key, &value)?;
        self.rows.insert(key, value);
        Ok(())
    }

    /// Writes what is missing or different; says how many entries that were.
    pub fn add(&mut self, desired: &HashMap<K, V>) -> Result<usize, MapError> {
        let missing: Vec<(K, V)> = desired
            .iter()
            .filter(|(key, value)| self.rows.get(key) != Some(value))
            .map(|(k, v)| (*k, *v))
            .collect();
        self.map.set_all(&missing)?;
        let count = missing.len();
        self.rows.extend(missing);
        Ok(count)
    }

    /// Removes what is not desired.
    pub fn prune(&mut self, desired: &HashMap<K, V>) -> Result<usize, MapError> {
        let stale: Vec<K> = self
            .rows
            .keys()
            .filter(|key| !desired.contains_key(key))
            .copied()
            .collect();
        self.map.remove_all(&stale)?;
        for key in &stale {
            self.rows.remove(key);
        }
        Ok(stale.len())
    }

    /// The same for an array: what is not desired becomes what `empty` makes of it.
    pub fn clear(
        &mut self,
        desired: &HashMap<K, V>,
        empty: impl Fn(&V) -> V,
    ) -> Result<usize, MapError> {
        let stale: Vec<(K, V)> = self
            .rows
            .iter()
            .filter(|(key, _)| !desired.contains_key(key))
            .map(|(k, v)| (*k, empty(v)))
            .collect();
        let mut cleared = 0;
        for (key, value) in stale {
            if self.rows.get(&key) != Some(&value) {
                self.set(key, value)?;
                cleared += 1;
            }
        }
        Ok(cleared)
    }

    /// How the table differs from `desired`.
    pub fn summary(&self, desired: &HashMap<K, V>) -> TablePlan {
        TablePlan {
            table: self.map.name(),
            entries: self.rows.len(),
            write: desired
                .iter()
                .filter(|(key, value)| self.rows.get(key) != Some(value))
                .count(),
            remove: self
                .rows
                .keys()
                .filter(|key| !desired.contains_key(key))
                .count(),
        }
    }
}
