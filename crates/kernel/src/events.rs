//! The ring of events.

use datapath::abi::{Plain, event::Event};

use crate::maps::Maps;
use crate::ring::{Ring, RingError};

/// The reader of the ring of events; there can be one per node.
pub struct Events(Ring);

impl Events {
    /// Opens the ring. Events lost before this moment are not reported.
    pub fn open(maps: &Maps) -> Result<Self, RingError> {
        Ring::open(&maps.events, &maps.lost_events).map(Self)
    }

    /// Appends up to `limit` waiting events to `into`; says how many. Does not wait.
    pub fn read(&mut self, limit: usize, into: &mut Vec<Event>) -> usize {
        let before = into.len();
        let events = std::iter::from_fn(|| self.0.next(Event::from_bytes));
        into.extend(events.take(limit));
        into.len() - before
    }

    /// How many events found no room in the ring since the last call.
    pub fn lost(&mut self) -> Result<u64, RingError> {
        self.0.lost()
    }

    /// Records of another size than this release's, which were skipped.
    pub fn malformed(&self) -> u64 {
        self.0.malformed()
    }
}
