//! Numbers of services that survive a restart: found again by the frontends that the kernel holds.

use std::collections::{BTreeMap, BTreeSet};

use super::{FrontendAddress, Row, RowKey};

/// Gives each row a number above 0. Backends get theirs from a [`crate::numbers::Numbers`] keyed by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceIds {
    by_key: BTreeMap<RowKey, u32>,
    used: BTreeSet<u32>,
    /// What the kernel held at the start and no row has taken over yet.
    restored: BTreeMap<FrontendAddress, u32>,
    last: u32,
}

impl ServiceIds {
    /// Takes over what the kernel holds, before any number is given.
    pub fn restore(&mut self, frontends: impl IntoIterator<Item = (FrontendAddress, u32)>) {
        self.restored.extend(frontends);
        self.used.extend(self.restored.values().copied());
        self.last = self.used.last().copied().unwrap_or(0).max(self.last);
    }

    /// The number of a row: the one it has, else the one that one of its frontends has in the kernel, else a new one.
    /// `None` = all four billion are in use.
    pub fn assign(&mut self, key: &RowKey, row: &Row) -> Option<u32> {
        if let Some(id) = self.by_key.get(key) {
            return Some(*id);
        }
        let kernel = row
            .frontends
            .iter()
            .find_map(|frontend| self.restored.get(&frontend.address).copied());
        let id = match kernel {
            Some(id) => {
                // Taken once only: if frontends that shared it are now of two rows, the other gets a new one.
                self.restored.retain(|_, of| *of != id);
                id
            }
            None => self.free()?,
        };
        self.used.insert(id);
        self.by_key.insert(key.clone(), id);
        Some(id)
    }

    fn free(&mut self) -> Option<u32> {
        // After the last one given, so that a number rests before it is used again.
        let last = self.last;
        let mut candidates = (last.saturating_add(1)..=u32::MAX).chain(1..=last);
        let id = candidates.find(|id| *id != 0 && !self.used.contains(id))?;
        self.last = id;
        Some(id)
    }

    /// The number of a row that has one.
    pub fn get(&self, key: &RowKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Takes the number of a row back, once the kernel no longer holds anything under it.
    pub fn release(&mut self, key: &RowKey) -> Option<u32> {
        let id = self.by_key.remove(key)?;
        self.used.remove(&id);
        Some(id)
    }

    /// Frees what no row has taken over, once all services are known and the kernel was pruned.
    pub fn forget_restored(&mut self) {
        for id in std::mem::take(&mut self.restored).into_values() {
            self.used.remove(&id);
        }
    }

    /// All rows with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&RowKey, u32)> {
        self.by_key.iter().map(|(key, id)| (key, *id))
    }
}
