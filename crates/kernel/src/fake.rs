//! Tables in this process that behave like the kernel's, and fail when told to: for tests of whoever writes tables.
//!
//! Every operation has a number. A test can let a share of them fail at random, or let the process "die" at one: from
//! then on everything fails, and what was written until then is what the next process finds.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::layout::{MapKind, MapSpec};

/// One write that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Name of the table.
    pub table: &'static str,
    /// Bytes of the key.
    pub key: Vec<u8>,
    /// Bytes of the value; `None` = removed.
    pub value: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct State {
    /// Of a million operations so many fail.
    share: u32,
    seed: u64,
    /// Writes that may still be done; `None` = any number.
    left: Option<u64>,
    failed: u64,
    written: Vec<Written>,
}

/// What goes wrong, shared by all tables of one [`crate::Maps::in_memory`].
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `percent` of the operations fail, by a sequence that `seed` decides. Half of the writes that fail have
    /// had their effect.
    pub fn fail(&self, percent: u32, seed: u64) {
        let mut state = self.lock();
        state.share = percent * 10_000;
        state.seed = seed | 1;
    }

    /// The process dies after `writes` more writes: from then on every operation fails. `None`: it lives.
    pub fn die_after(&self, writes: Option<u64>) {
        self.lock().left = writes;
    }

    /// How many operations have failed.
    pub fn failures(&self) -> u64 {
        self.lock().failed
    }

    /// The writes since the last call, in order.
    pub fn take_written(&self) -> Vec<Written> {
        std::mem::take(&mut self.lock().written)
    }

    /// Before an operation: whether it fails, and whether it has its effect all the same.
    fn meets(&self) -> Fate {
        let mut state = self.lock();
        if state.left == Some(0) {
            state.failed += 1;
            return Fate::Fails;
        }
        let drawn = state.draw();
        if drawn % 1_000_000 >= u64::from(state.share) {
            return Fate::Succeeds;
        }
        state.failed += 1;
        if drawn >> 32 & 1 == 0 {
            Fate::Fails
        } else {
            Fate::FailsAfterwards
        }
    }

    fn note(&self, written: Written) {
        let mut state = self.lock();
        state.left = state.left.map(|left| left.saturating_sub(1));
        state.written.push(written);
    }
}

impl State {
    /// The next number of an xorshift sequence.
    fn draw(&mut self) -> u64 {
        if self.share == 0 {
            return u64::MAX;
        }
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeds,
    Fails,
    FailsAfterwards,
}

fn injected() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// One table.
#[derive(Debug)]
pub(crate) struct Memory {
    name: &'static str,
    kind: MapKind,
    value_size: usize,
    capacity: usize,
    rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    faults: Faults,
}

impl Memory {
    /// The table `name` of `specs`, empty.
    pub(crate) fn new(specs: &[MapSpec], name: &'static str, faults: &Faults) -> Self {
        let spec = specs.iter().find(|spec| spec.name == name);
        Self {
            name,
            kind: spec.map_or(MapKind::Hash, |spec| spec.kind),
            value_size: spec.map_or(0, |spec| spec.value_size as usize),
            capacity: spec.map_or(0, |spec| spec.max_entries as usize),
            rows: Mutex::default(),
            faults: faults.clone(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every index of an array has a value, zero at first; rows that are zero are not kept.
    fn is_array(&self) -> bool {
        self.kind == MapKind::Array
    }

    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<Option<()>> {
        if self.faults.meets() != Fate::Succeeds {
            return Err(injected());
        }
        match self.rows().get(key) {
            Some(found) => value.copy_from_slice(found),
            None if self.is_array() => value.fill(0),
            None => return Ok(None),
        }
        Ok(Some(()))
    }

    pub(crate) fn update(&self, key: &[u8], value: &[u8], create: bool) -> io::Result<()> {
        let fate = self.faults.meets();
        if fate == Fate::Fails {
            return Err(injected());
        }
        let mut rows = self.rows();
        let there = rows.contains_key(key);
        if create && (there || self.is_array()) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        if !there && !self.is_array() && rows.len() >= self.capacity {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        if self.is_array() && value.iter().all(|byte| *byte == 0) {
            rows.remove(key);
        } else {
            rows.insert(key.to_vec(), value.to_vec());
        }
        self.faults.note(Written {
            table: self.name,
            key: key.to_vec(),
            value: Some(value.to_vec()),
        });
        if fate == Fate::FailsAfterwards {
            return Err(injected());
        }
        Ok(())
    }

    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<Option<()>> {
        let fate = self.faults.meets();
        if fate == Fate::Fails {
            return Err(injected());
        }
        if self.is_array() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let removed = self.rows().remove(key);
        if removed.is_some() {
            self.faults.note(Written {
                table: self.name,
                key: key.to_vec(),
                value: None,
            });
        }
        if fate == Fate::FailsAfterwards {
            return Err(injected());
        }
        Ok(removed.map(drop))
    }

    /// The key after `after`, and its value. Of an array only indices whose value is not zero are walked. A walk is a few calls
    /// for the kernel, however many entries there are; here it fails at its begin or not at all.
    pub(crate) fn next_entry(
        &self,
        after: Option<&[u8]>,
        key: &mut [u8],
        value: &mut [u8],
    ) -> io::Result<Option<()>> {
        if after.is_none() && self.faults.meets() != Fate::Succeeds {
            return Err(injected());
        }
        let rows = self.rows();
        let found = match after {
            None => rows.iter().next(),
            Some(after) => rows
                .range::<[u8], _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
                .next(),
        };
        debug_assert!(rows.values().all(|value| value.len() == self.value_size));
        Ok(found.map(|(found, row)| {
            key.copy_from_slice(found);
            value.copy_from_slice(row);
        }))
    }
}

#[cfg(test)]
mod tests;
