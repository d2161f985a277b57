//! A walk over a map in slices.

use std::os::fd::AsFd;

use datapath::abi::Plain;

use super::{Backing, Map, Result, batch_is_unsupported};
use crate::sys::{self, BatchEnd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SweepState {
    Start,
    Inside,
    /// Without batch calls: key after key.
    Stepping,
    End,
}

/// A walk over a map in slices; entries that come or go meanwhile may be missed or, rarely, seen twice.
#[derive(Debug)]
pub struct Sweep<K, V> {
    map: Map<K, V>,
    cursor: Vec<u8>,
    state: SweepState,
    /// Where the kernel writes keys and values: as large as the largest slice so far, and used again.
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl<K: Plain, V: Plain> Sweep<K, V> {
    pub(super) fn new(map: Map<K, V>) -> Self {
        Self {
            map,
            cursor: vec![0; size_of::<K>().max(4)],
            state: SweepState::Start,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// About `count` more entries (a hash returns whole buckets only); `None` at the end.
    pub fn next_slice(&mut self, count: u32) -> Result<Option<Vec<(K, V)>>> {
        match self.state {
            SweepState::End => Ok(None),
            SweepState::Stepping => self.step(count),
            SweepState::Start | SweepState::Inside => self.batch(count),
        }
    }

    fn batch(&mut self, mut count: u32) -> Result<Option<Vec<(K, V)>>> {
        let map = self.map.clone();
        let Backing::Kernel(fd) = &*map.backing else {
            self.state = SweepState::Stepping;
            self.cursor.clear();
            return self.step(count);
        };
        loop {
            fit(&mut self.keys, count as usize * size_of::<K>());
            fit(&mut self.values, count as usize * size_of::<V>());
            let first = self.state == SweepState::Start;
            let result = sys::lookup_batch(
                fd.as_fd(),
                first,
                &mut self.cursor,
                &mut self.keys,
                &mut self.values,
                count,
            );
            let (found, end) = match result {
                Ok(found) => found,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && count < 1 << 20 => {
                    count *= 2;
                    continue;
                }
                Err(error) if first && batch_is_unsupported(&error) => {
                    self.state = SweepState::Stepping;
                    self.cursor.clear();
                    return self.step(count);
                }
                Err(error) => return Err(self.map.error("walk", error)),
            };
            self.state = match end {
                BatchEnd::More => SweepState::Inside,
                BatchEnd::Done => SweepState::End,
            };
            let values = self.values.chunks_exact(size_of::<V>());
            let entries: Vec<_> = self
                .keys
                .chunks_exact(size_of::<K>())
                .zip(values)
                .take(found as usize)
                .filter_map(|(key, value)| Some((K::from_bytes(key)?, V::from_bytes(value)?)))
                .collect();
            return Ok(if entries.is_empty() && end == BatchEnd::Done {
                None
            } else {
                Some(entries)
            });
        }
    }

    fn step(&mut self, count: u32) -> Result<Option<Vec<(K, V)>>> {
        let mut entries = Vec::new();
        while entries.len() < count as usize {
            let mut next = vec![0u8; size_of::<K>()];
            let after = (!self.cursor.is_empty()).then_some(self.cursor.as_slice());
            let value = match self.next_entry(after, &mut next)? {
                Entry::End => {
                    self.state = SweepState::End;
                    break;
                }
                Entry::Gone => None,
                Entry::There(value) => Some(value),
            };
            entries.extend(K::from_bytes(&next).zip(value));
            self.cursor = next;
        }
        Ok((!entries.is_empty()).then_some(entries))
    }

    fn next_entry(&self, after: Option<&[u8]>, key: &mut [u8]) -> Result<Entry<V>> {
        let mut value = vec![0u8; size_of::<V>()];
        let found = match &*self.map.backing {
            Backing::Memory(memory) => memory.next_entry(after, key, &mut value),
            Backing::Kernel(fd) => match sys::next_key(fd.as_fd(), after, key) {
                Ok(Some(())) => match sys::lookup(fd.as_fd(), key, &mut value) {
                    Ok(None) => return Ok(Entry::Gone),
                    found => found,
                },
                end => end,
            },
        };
        Ok(
            match found.map_err(|error| self.map.error("walk", error))? {
                None => Entry::End,
                Some(()) => V::from_bytes(&value).map_or(Entry::Gone, Entry::There),
            },
        )
    }
}

/// Makes room for so many octets, where there is less.
fn fit(room: &mut Vec<u8>, octets: usize) {
    if room.len() < octets {
        room.resize(octets, 0);
    }
}

/// What comes next on a walk.
enum Entry<V> {
    /// Nothing.
    End,
    /// Something that was removed meanwhile.
    Gone,
    /// A value.
    There(V),
}
