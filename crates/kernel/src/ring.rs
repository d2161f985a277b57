//! A ring of the programs and its one reader: read on a timer, since the programs wake nobody.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::map::{MapError, PerCpuMap};
use crate::sys;

mod mapped;

use mapped::{Records, Written};

/// Why a ring cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The ring could not be mapped.
    #[error("cannot map the ring: {0}")]
    Io(#[from] io::Error),
    /// The counter of lost records could not be read.
    #[error(transparent)]
    Lost(#[from] MapError),
}

/// The reader of one ring; there can be one per node.
pub(crate) struct Ring {
    records: Records,
    lost: PerCpuMap<u32, u64>,
    lost_before: u64,
    malformed: u64,
}

impl Ring {
    /// Opens a ring, with the counter of what found no room in it. What was lost before this moment is not reported.
    pub(crate) fn open(ring: &OwnedFd, lost: &PerCpuMap<u32, u64>) -> Result<Self, RingError> {
        let size = sys::map_info(ring.as_fd())?.max_entries as usize;
        let mut opened = Self {
            records: Records::map(ring.as_fd(), size)?,
            lost: lost.clone(),
            lost_before: 0,
            malformed: 0,
        };
        opened.lost()?;
        Ok(opened)
    }

    /// Gives the next record that `read` understands; `None` when none waits. Does not wait.
    pub(crate) fn next<T>(&mut self, mut read: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            match self.records.next(&mut read)? {
                Some(found) => return Some(found),
                None => self.malformed += 1,
            }
        }
    }

    /// Up to where it was read; see [`Backlog::written`].
    pub(crate) fn position(&self) -> usize {
        self.records.position()
    }

    /// How many records found no room since the last call.
    pub(crate) fn lost(&mut self) -> Result<u64, RingError> {
        let total: u64 = self.lost.get(&0)?.iter().sum();
        let new = total.saturating_sub(self.lost_before);
        self.lost_before = total;
        Ok(new)
    }

    /// Records of another shape than this release's, which were skipped.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// Whether anything waits in a ring, for somebody who does not read it.
pub struct Backlog(Written);

impl Backlog {
    pub(crate) fn open(ring: &OwnedFd) -> Result<Self, RingError> {
        Ok(Self(Written::map(ring.as_fd())?))
    }

    /// Up to where the programs have written, in octets since the ring was made; wraps around.
    pub fn written(&self) -> usize {
        self.0.position()
    }
}
