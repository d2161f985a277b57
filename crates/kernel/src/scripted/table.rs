//! Any map by its bytes: made, listed, cleared.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::{Result, failed};
use crate::layout::MapKind;
use crate::sys;

/// A map, and what the kernel says of it.
pub(super) struct Table {
    pub(super) fd: OwnedFd,
    pub(super) info: sys::MapInfo,
}

/// Makes a map; `sizes` = key, value, entries, flags.
pub(super) fn table(name: &str, kind: u32, sizes: [u32; 4]) -> Result<Table> {
    sys::map_create_with_flags(name, kind, sizes)
        .map_err(failed(format!("make map '{name}'")))
        .and_then(inspect)
}

pub(super) fn inspect(fd: OwnedFd) -> Result<Table> {
    let info = sys::map_info(fd.as_fd()).map_err(failed("inspect a map"))?;
    Ok(Table { fd, info })
}

impl Table {
    fn is(&self, kinds: &[MapKind]) -> bool {
        kinds.iter().any(|kind| *kind as u32 == self.info.map_type)
    }

    fn is_array(&self) -> bool {
        self.is(&[MapKind::Array, MapKind::PerCpuArray])
    }

    fn is_per_cpu(&self) -> bool {
        self.is(&[MapKind::PerCpuHash, MapKind::PerCpuArray])
    }

    /// Bytes of all values of a key.
    fn value_bytes(&self, cpus: usize) -> usize {
        let size = self.info.value_size as usize;
        if self.is_per_cpu() {
            size.next_multiple_of(8) * cpus
        } else {
            size
        }
    }

    /// Deletes a row, or makes it zero.
    pub(super) fn clear(&self, key: &[u8], cpus: usize) -> io::Result<()> {
        if self.is_array() {
            let zero = vec![0; self.value_bytes(cpus)];
            return sys::update(self.fd.as_fd(), key, &zero, sys::ANY);
        }
        sys::delete(self.fd.as_fd(), key).map(drop)
    }

    /// All rows but those of an array that are zero.
    pub(super) fn rows(&self, cpus: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (key_size, size) = (self.info.key_size as usize, self.value_bytes(cpus));
        let count = self.info.max_entries.min(4096);
        let mut cursor = vec![0; key_size.max(4)];
        let mut keys = vec![0; key_size * count as usize];
        let mut values = vec![0; size * count as usize];
        let (mut rows, mut first) = (Vec::new(), true);
        loop {
            let (found, end) = sys::lookup_batch(
                self.fd.as_fd(),
                first,
                &mut cursor,
                &mut keys,
                &mut values,
                count,
            )?;
            first = false;
            let pairs = keys.chunks_exact(key_size).zip(values.chunks_exact(size));
            for (key, value) in pairs.take(found as usize) {
                if !self.is_array() || value.iter().any(|octet| *octet != 0) {
                    rows.push((key.to_vec(), self.added_up(value)));
                }
            }
            if end == sys::BatchEnd::Done {
                return Ok(rows);
            }
        }
    }

    fn added_up(&self, value: &[u8]) -> Vec<u8> {
        if !self.is_per_cpu() {
            return value.to_vec();
        }
        let size = self.info.value_size as usize;
        let mut sums = vec![0u64; size / 8];
        for one in value.chunks_exact(size.next_multiple_of(8)) {
            for (sum, word) in sums.iter_mut().zip(one.chunks_exact(8)) {
                *sum += word.try_into().map_or(0, u64::from_ne_bytes);
            }
        }
        sums.iter().flat_map(|sum| sum.to_ne_bytes()).collect()
    }
}
