//! The ring of events: read on a timer, since the programs wake nobody.

use std::io;

use aya::maps::{Map as AyaMap, MapData, MapError as AyaMapError, RingBuf};
use datapath::abi::{Plain, event::Event};

use crate::map::{MapError, PerCpuMap};
use crate::maps::Maps;

/// Why the ring cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The descriptor could not be copied.
    #[error("cannot open the ring of events: {0}")]
    Io(#[from] io::Error),
    /// The ring could not be mapped.
    #[error("cannot map the ring of events: {0}")]
    Ring(#[from] AyaMapError),
    /// The counter of lost events could not be read.
    #[error(transparent)]
    Lost(#[from] MapError),
}

/// The reader of the ring; there can be one per node.
pub struct Events {
    ring: RingBuf<MapData>,
    lost: PerCpuMap<u32, u64>,
    lost_before: u64,
    malformed: u64,
}

impl Events {
    /// Opens the ring. Events lost before this moment are not reported.
    pub fn open(maps: &Maps) -> Result<Self, EventsError> {
        let data = MapData::from_fd(maps.events.try_clone()?)?;
        let ring = RingBuf::try_from(AyaMap::from_map_data(data)?)?;
        let mut events = Self {
            ring,
            lost: maps.lost_events.clone(),
            lost_before: 0,
            malformed: 0,
        };
        events.lost_before = events.lost_total()?;
        Ok(events)
    }

    /// Appends up to `limit` waiting events to `into`; says how many. Does not wait.
    pub fn read(&mut self, limit: usize, into: &mut Vec<Event>) -> usize {
        let before = into.len();
        while into.len() - before < limit {
            let Some(record) = self.ring.next() else {
                break;
            };
            match Event::from_bytes(&record) {
                Some(event) => into.push(event),
                None => self.malformed += 1,
            }
        }
        into.len() - before
    }

    /// How many events found no room in the ring since the last call.
    pub fn lost(&mut self) -> Result<u64, EventsError> {
        let total = self.lost_total()?;
        let new = total.saturating_sub(self.lost_before);
        self.lost_before = total;
        Ok(new)
    }

    /// Records of another size than this release's, which were skipped.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn lost_total(&self) -> Result<u64, MapError> {
        Ok(self.lost.get(&0)?.iter().sum())
    }
}
