//! The ring of samples: payload of connections.

use datapath::abi::{Plain, sample::Sample};

use crate::maps::Maps;
use crate::ring::{Backlog, Ring, RingError};

/// The reader of the ring of samples; there can be one per node.
pub struct Samples(Ring);

impl Samples {
    /// Opens the ring. Samples lost before this moment are not reported.
    pub fn open(maps: &Maps) -> Result<Self, RingError> {
        Ring::open(&maps.samples, &maps.lost_samples).map(Self)
    }

    /// What is written of it, for somebody who waits until that was read.
    pub fn backlog(maps: &Maps) -> Result<Backlog, RingError> {
        Backlog::open(&maps.samples)
    }

    /// Up to where it was read; see [`Backlog::written`].
    pub fn position(&self) -> usize {
        self.0.position()
    }

    /// Gives the next sample that waits, with its octets of payload; `None` when there is none. Does not wait.
    pub fn next<T>(&mut self, mut read: impl FnMut(&Sample, &[u8]) -> T) -> Option<T> {
        self.0
            .next(|record| parse(record).map(|(sample, octets)| read(&sample, octets)))
    }

    /// How many samples found no room in the ring since the last call.
    pub fn lost(&mut self) -> Result<u64, RingError> {
        self.0.lost()
    }

    /// Records of another shape than this release's, which were skipped.
    pub fn malformed(&self) -> u64 {
        self.0.malformed()
    }
}

/// Head and payload of a record.
pub(crate) fn parse(record: &[u8]) -> Option<(Sample, &[u8])> {
    let (head, rest) = record.split_at_checked(size_of::<Sample>())?;
    let sample = Sample::from_bytes(head)?;
    Some((sample, rest.get(..usize::from(sample.captured))?))
}

#[cfg(test)]
mod tests;
