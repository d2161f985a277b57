//! Numbers of this node's own: one per key, counted, kept over restarts, and not given to another while anyone remembers them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// What giving a use back meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Others use it.
    InUse,
    /// That was the last use. The number stays with its key until [`Numbers::forget`].
    Unused,
    /// There was no use to give back.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: u32,
    uses: u32,
}

/// Hands out numbers, one per key: to the label sets of CIDR identities, to peers, to backends.
#[derive(Debug, Clone)]
pub struct Numbers<K> {
    range: RangeInclusive<u32>,
    by_key: BTreeMap<K, Entry>,
    by_id: BTreeMap<u32, K>,
    /// Where the search for a free number begins: after the last one given, so that a number rests before it is reused.
    next: u32,
}

/// No number is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {size} local numbers from {first:#x} are in use")]
pub struct Exhausted {
    /// First number of the range.
    pub first: u32,
    /// How many there are.
    pub size: u32,
}

impl<K: Ord + Clone> Numbers<K> {
    /// No number given yet. `range` is that of [`crate::identity::IdentityScope::numbers`], or of any other id space.
    pub fn new(range: RangeInclusive<u32>) -> Self {
        let next = *range.start();
        Self {
            range,
            by_key: BTreeMap::new(),
            by_id: BTreeMap::new(),
            next,
        }
    }

    /// Takes numbers over from before a restart, before any is given. They have no use yet: those that are not acquired
    /// again are to be [`Self::forget`]ten once all inputs are known. Numbers out of range or named twice are left out.
    pub fn restore(&mut self, numbers: impl IntoIterator<Item = (u32, K)>) {
        for (id, key) in numbers {
            if self.range.contains(&id)
                && !self.by_id.contains_key(&id)
                && !self.by_key.contains_key(&key)
            {
                self.by_id.insert(id, key.clone());
                self.by_key.insert(key, Entry { id, uses: 0 });
                self.next = self.next.max(id.saturating_add(1));
            }
        }
    }

    /// The next number given is higher than `number`, if that is one of the range.
    pub fn begin_after(&mut self, number: u32) {
        if self.range.contains(&number) {
            self.next = self.next.max(number.saturating_add(1));
        }
    }

    /// Takes a use of the number of a key; it gets one if it has none.
    pub fn acquire(&mut self, key: &K) -> Result<u32, Exhausted> {
        if let Some(entry) = self.by_key.get_mut(key) {
            entry.uses += 1;
            return Ok(entry.id);
        }
        let (first, last) = self.range.clone().into_inner();
        let start = if self.range.contains(&self.next) {
            self.next
        } else {
            first
        };
        let free = |id: &u32| !self.by_id.contains_key(id);
        let id = (start..=last).chain(first..start).find(free);
        let id = id.ok_or(Exhausted {
            first,
            size: last - first + 1,
        })?;
        self.next = id + 1;
        self.by_id.insert(id, key.clone());
        self.by_key.insert(key.clone(), Entry { id, uses: 1 });
        Ok(id)
    }

    /// Gives a use back. An unused number stays with its key, so that nobody who still remembers it is misled.
    pub fn release(&mut self, key: &K) -> Release {
        match self.by_key.get_mut(key) {
            Some(entry) if entry.uses > 0 => {
                entry.uses -= 1;
                if entry.uses == 0 {
                    Release::Unused
                } else {
                    Release::InUse
                }
            }
            _ => Release::Unknown,
        }
    }

    /// Frees an unused number, when no map and no record names it any more. Returns its key; `None` = it is in use again.
    pub fn forget(&mut self, id: u32) -> Option<K> {
        let key = self.by_id.get(&id)?;
        if self.by_key.get(key).is_some_and(|entry| entry.uses > 0) {
            return None;
        }
        let key = self.by_id.remove(&id)?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// The number of a key, used or not.
    pub fn get(&self, key: &K) -> Option<u32> {
        self.by_key.get(key).map(|entry| entry.id)
    }

    /// The numbers of `first` and of the keys after it, in order of the keys.
    pub fn from<'a>(&'a self, first: &K) -> impl Iterator<Item = (u32, &'a K)> + use<'a, K> {
        let entries = self.by_key.range(first..);
        entries.map(|(key, entry)| (entry.id, key))
    }

    /// The key of a number, used or not.
    pub fn key(&self, id: u32) -> Option<&K> {
        self.by_id.get(&id)
    }

    /// Whether somebody uses a number.
    pub fn is_used(&self, id: u32) -> bool {
        let key = self.by_id.get(&id);
        let entry = key.and_then(|key| self.by_key.get(key));
        entry.is_some_and(|entry| entry.uses > 0)
    }

    /// The numbers that nobody uses.
    pub fn unused(&self) -> BTreeSet<u32> {
        self.by_key
            .values()
            .filter(|entry| entry.uses == 0)
            .map(|entry| entry.id)
            .collect()
    }

    /// All numbers with their keys and uses, by number; what has to be saved for [`Self::restore`].
    pub fn iter(&self) -> impl Iterator<Item = (u32, &K, u32)> {
        self.by_id
            .iter()
            .map(|(id, key)| (*id, key, self.by_key.get(key).map_or(0, |entry| entry.uses)))
    }
}

#[cfg(test)]
mod tests;
