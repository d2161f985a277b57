//! The ring of samples: payload of connections, read on a timer like the ring of events.

use std::io;

use aya::maps::{Map as AyaMap, MapData, MapError as AyaMapError, RingBuf};
use datapath::abi::{Plain, sample::Sample};

use crate::map::{MapError, PerCpuMap};
use crate::maps::Maps;

/// Why the ring cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// The descriptor could not be copied.
    #[error("cannot open the ring of samples: {0}")]
    Io(#[from] io::Error),
    /// The ring could not be mapped.
    #[error("cannot map the ring of samples: {0}")]
    Ring(#[from] AyaMapError),
    /// The counter of lost samples could not be read.
    #[error(transparent)]
    Lost(#[from] MapError),
}

/// The reader of the ring; there can be one per node.
pub struct Samples {
    ring: RingBuf<MapData>,
    lost: PerCpuMap<u32, u64>,
    lost_before: u64,
    malformed: u64,
}

impl Samples {
    /// Opens the ring. Samples lost before this moment are not reported.
    pub fn open(maps: &Maps) -> Result<Self, SamplesError> {
        let data = MapData::from_fd(maps.samples.try_clone()?)?;
        let ring = RingBuf::try_from(AyaMap::from_map_data(data)?)?;
        let mut samples = Self {
            ring,
            lost: maps.lost_samples.clone(),
            lost_before: 0,
            malformed: 0,
        };
        samples.lost_before = samples.lost_total()?;
        Ok(samples)
    }

    /// Gives the next sample that waits, with its octets of payload; `None` when there is none. Does not wait.
    pub fn next<T>(&mut self, read: impl FnOnce(&Sample, &[u8]) -> T) -> Option<T> {
        loop {
            let record = self.ring.next()?;
            match parse(&record) {
                Some((sample, octets)) => return Some(read(&sample, octets)),
                None => self.malformed += 1,
            }
        }
    }

    /// How many samples found no room in the ring since the last call.
    pub fn lost(&mut self) -> Result<u64, SamplesError> {
        let total = self.lost_total()?;
        let new = total.saturating_sub(self.lost_before);
        self.lost_before = total;
        Ok(new)
    }

    /// Records of another shape than this release's, which were skipped.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn lost_total(&self) -> Result<u64, MapError> {
        Ok(self.lost.get(&0)?.iter().sum())
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
