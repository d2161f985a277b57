//! A map of the kernel as a typed table: single entries, whole dumps, slices of a sweep, and sums over CPUs.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use datapath::abi::Plain;

use crate::fake::Memory;
use crate::operations::{Operation, Operations};
use crate::sys;

mod sweep;

pub use sweep::Sweep;

/// A map operation that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} map '{map}': {source}")]
pub struct MapError {
    /// Name of the map, as in the ABI.
    pub map: &'static str,
    /// What was attempted.
    pub operation: &'static str,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl MapError {
    /// Whether the map has no room for another entry.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.raw_os_error(),
            Some(libc::E2BIG | libc::ENOSPC | libc::ENOMEM)
        )
    }
}

/// Shorthand of this module.
pub type Result<T> = std::result::Result<T, MapError>;

/// Whether an operation found the entry that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was there.
    Present,
    /// It was not.
    Absent,
}

/// Where the entries are.
#[derive(Debug)]
enum Backing {
    Kernel(OwnedFd),
    /// In this process, for tests, see [`crate::fake`].
    Memory(Memory),
}

/// A handle to a map with one value per key. Cloning shares the descriptor.
#[derive(Debug)]
pub struct Map<K, V> {
    backing: Arc<Backing>,
    operations: Arc<Operations>,
    name: &'static str,
    entry: PhantomData<fn(K) -> V>,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self {
            backing: Arc::clone(&self.backing),
            operations: Arc::clone(&self.operations),
            name: self.name,
            entry: PhantomData,
        }
    }
}

/// Entries that one batch call asks for at first; grown when a bucket of the hash holds more.
const BATCH: u32 = 1024;

impl<K: Plain, V: Plain> Map<K, V> {
    /// Takes a descriptor whose key and value sizes the caller has checked against `K` and `V`.
    pub(crate) fn from_fd(fd: OwnedFd, name: &'static str) -> Self {
        Self {
            backing: Arc::new(Backing::Kernel(fd)),
            operations: Arc::default(),
            name,
            entry: PhantomData,
        }
    }

    /// A table in this process.
    pub(crate) fn in_memory(memory: Memory, name: &'static str) -> Self {
        Self {
            backing: Arc::new(Backing::Memory(memory)),
            operations: Arc::default(),
            name,
            entry: PhantomData,
        }
    }

    /// Name of the map, as in the ABI.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How often its entries were read and written through this handle and its clones.
    pub fn operations(&self) -> &Arc<Operations> {
        &self.operations
    }

    fn error(&self, operation: &'static str, source: io::Error) -> MapError {
        MapError {
            map: self.name,
            operation,
            source,
        }
    }

    /// The value of `key`. In an LRU table this does not count as a use.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let mut value = vec![0u8; size_of::<V>()];
        let found = match &*self.backing {
            Backing::Kernel(fd) => sys::lookup(fd.as_fd(), key.as_bytes(), &mut value),
            Backing::Memory(memory) => memory.lookup(key.as_bytes(), &mut value),
        };
        self.operations.add(Operation::Lookup, 1, &found);
        let found = found.map_err(|error| self.error("read", error))?;
        Ok(found.and_then(|()| V::from_bytes(&value)))
    }

    fn update(&self, key: &K, value: &V, flags: u64) -> io::Result<()> {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let result = match &*self.backing {
            Backing::Kernel(fd) => sys::update(fd.as_fd(), key, value, flags),
            Backing::Memory(memory) => memory.update(key, value, flags == sys::CREATE),
        };
        // An entry that is there already is an answer, and no refusal.
        let there = |error: &io::Error| error.raw_os_error() == Some(libc::EEXIST);
        if !result.as_ref().is_err_and(there) {
            self.operations.add(Operation::Update, 1, &result);
        }
        result
    }

    /// Creates or replaces the entry of `key`.
    pub fn set(&self, key: &K, value: &V) -> Result<()> {
        self.update(key, value, sys::ANY)
            .map_err(|error| self.error("write", error))
    }

    /// Creates the entry of `key` unless there is one; says whether there was.
    pub fn create(&self, key: &K, value: &V) -> Result<Presence> {
        match self.update(key, value, sys::CREATE) {
            Ok(()) => Ok(Presence::Absent),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(Presence::Present),
            Err(error) => Err(self.error("create an entry of", error)),
        }
    }

    /// Removes the entry of `key`; says whether there was one.
    pub fn remove(&self, key: &K) -> Result<Presence> {
        let removed = match &*self.backing {
            Backing::Kernel(fd) => sys::delete(fd.as_fd(), key.as_bytes()),
            Backing::Memory(memory) => memory.delete(key.as_bytes()),
        };
        self.operations.add(Operation::Delete, 1, &removed);
        let removed = removed.map_err(|error| self.error("delete from", error))?;
        Ok(removed.map_or(Presence::Absent, |()| Presence::Present))
    }

    /// Creates or replaces many entries; after an error a prefix of them is in the map.
    pub fn set_all(&self, entries: &[(K, V)]) -> Result<()> {
        let Backing::Kernel(fd) = &*self.backing else {
            return entries
                .iter()
                .try_for_each(|(key, value)| self.set(key, value));
        };
        for slice in entries.chunks(BATCH as usize) {
            let keys = in_a_row(slice.iter().map(|(key, _)| key));
            let values = in_a_row(slice.iter().map(|(_, value)| value));
            let (_, result) = sys::update_batch(fd.as_fd(), &keys, &values, slice.len() as u32);
            if let Err(error) = result {
                if !batch_is_unsupported(&error) {
                    self.operations.add(Operation::Update, 1, &Err::<(), _>(()));
                    return Err(self.error("write", error));
                }
                slice
                    .iter()
                    .try_for_each(|(key, value)| self.set(key, value))?;
            } else {
                let entries = slice.len();
                self.operations
                    .add(Operation::Update, entries, &Ok::<_, ()>(()));
            }
        }
        Ok(())
    }

    /// Removes many entries; one that is already gone is fine.
    pub fn remove_all(&self, keys: &[K]) -> Result<()> {
        let Backing::Kernel(fd) = &*self.backing else {
            return keys.iter().try_for_each(|key| self.remove(key).map(drop));
        };
        let mut rest = keys;
        while !rest.is_empty() {
            let slice = &rest[..rest.len().min(BATCH as usize)];
            let bytes = in_a_row(slice.iter());
            let (done, result) = sys::delete_batch(fd.as_fd(), &bytes, slice.len() as u32);
            let count = |entries, result| self.operations.add(Operation::Delete, entries, &result);
            let advance = match result {
                Ok(()) => {
                    count(slice.len(), Ok::<_, ()>(()));
                    slice.len()
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    count(done as usize, Ok(()));
                    done as usize + 1
                }
                Err(error) if batch_is_unsupported(&error) => {
                    slice
                        .iter()
                        .try_for_each(|key| self.remove(key).map(drop))?;
                    slice.len()
                }
                Err(error) => {
                    count(1, Err(()));
                    return Err(self.error("delete from", error));
                }
            };
            rest = rest.get(advance.min(slice.len())..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// All entries. Entries that come or go meanwhile may be missed.
    pub fn dump(&self) -> Result<Vec<(K, V)>> {
        let mut all = Vec::new();
        let mut sweep = self.sweep();
        while let Some(slice) = sweep.next_slice(BATCH)? {
            all.extend(slice);
        }
        Ok(all)
    }

    /// Starts a walk in slices.
    pub fn sweep(&self) -> Sweep<K, V> {
        Sweep::new(self.clone())
    }

    /// Number of entries, by walking keys.
    pub fn count(&self) -> Result<usize> {
        let mut count = 0;
        let mut sweep = self.sweep();
        while let Some(slice) = sweep.next_slice(BATCH)? {
            count += slice.len();
        }
        Ok(count)
    }
}

/// The octets of these, one after another, as batch calls take them.
fn in_a_row<'a, T: Plain + 'a>(all: impl ExactSizeIterator<Item = &'a T>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(all.len() * size_of::<T>());
    for one in all {
        octets.extend_from_slice(one.as_bytes());
    }
    octets
}

/// Errors by which a kernel says that this type of map has no batch calls.
fn batch_is_unsupported(error: &io::Error) -> bool {
    // 524 is ENOTSUPP, which the kernel lets out although it is not a user space error.
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | 524 | libc::EINVAL)
    )
}

/// A handle to a map with one value per key and CPU.
#[derive(Clone, Debug)]
pub struct PerCpuMap<K, V> {
    fd: Arc<OwnedFd>,
    name: &'static str,
    cpus: usize,
    entry: PhantomData<fn(K) -> V>,
}

impl<K: Plain, V: Plain> PerCpuMap<K, V> {
    /// As [`Map::from_fd`]; `cpus` is the number of possible CPUs.
    pub(crate) fn from_fd(fd: OwnedFd, name: &'static str, cpus: usize) -> Self {
        Self {
            fd: Arc::new(fd),
            name,
            cpus,
            entry: PhantomData,
        }
    }

    fn error(&self, operation: &'static str, source: io::Error) -> MapError {
        MapError {
            map: self.name,
            operation,
            source,
        }
    }

    /// Bytes of one CPU's value: the kernel rounds up to eight.
    fn stride() -> usize {
        size_of::<V>().next_multiple_of(8)
    }

    /// The values of `key`, one per possible CPU; empty if there is no entry.
    pub fn get(&self, key: &K) -> Result<Vec<V>> {
        let mut values = vec![0u8; Self::stride() * self.cpus];
        let found = sys::lookup(self.fd.as_fd(), key.as_bytes(), &mut values)
            .map_err(|error| self.error("read", error))?;
        Ok(found.map_or_else(Vec::new, |()| Self::split(&values)))
    }

    fn split(values: &[u8]) -> Vec<V> {
        values
            .chunks_exact(Self::stride())
            .filter_map(|value| V::from_bytes(value.get(..size_of::<V>())?))
            .collect()
    }

    /// Removes the entry of `key`; says whether there was one.
    pub fn remove(&self, key: &K) -> Result<Presence> {
        let removed = sys::delete(self.fd.as_fd(), key.as_bytes())
            .map_err(|error| self.error("delete from", error))?;
        Ok(removed.map_or(Presence::Absent, |()| Presence::Present))
    }

    /// Sets the value of every CPU.
    pub fn set(&self, key: &K, value: &V) -> Result<()> {
        let mut one = value.as_bytes().to_vec();
        one.resize(Self::stride(), 0);
        sys::update(
            self.fd.as_fd(),
            key.as_bytes(),
            &one.repeat(self.cpus),
            sys::ANY,
        )
        .map_err(|error| self.error("write", error))
    }

    /// All entries, with their values per CPU.
    pub fn dump(&self) -> Result<Vec<(K, Vec<V>)>> {
        let mut all = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut next = vec![0u8; size_of::<K>()];
            let found = sys::next_key(self.fd.as_fd(), last.as_deref(), &mut next)
                .map_err(|error| self.error("walk", error))?;
            if found.is_none() {
                return Ok(all);
            }
            if let Some(key) = K::from_bytes(&next) {
                let values = self.get(&key)?;
                if !values.is_empty() {
                    all.push((key, values));
                }
            }
            last = Some(next);
        }
    }
}
