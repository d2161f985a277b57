//! Events that wait until what was said before them is known: the name by which whoever is outside is called is in an answer of
//! DNS, which comes by another ring than the connection that the client makes a moment later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datapath::abi::event::Event;
use kernel::ring::Backlog;

/// As long do events wait for samples, nanoseconds. Whoever reads samples is overwhelmed if he is that late.
const PATIENCE_NS: u64 = 250_000_000;
/// So many events wait, at the most; above that the oldest wait no longer.
const ROOM: usize = 65_536;

/// Up to where samples were heard: position in their ring. Its reader writes it.
pub type HeardUpTo = Arc<AtomicUsize>;

/// What of the samples is not heard yet.
pub struct Unheard {
    written: Backlog,
    heard: HeardUpTo,
}

impl Unheard {
    /// Of this ring, as far as `heard` says.
    pub fn new(written: Backlog, heard: HeardUpTo) -> Self {
        Self { written, heard }
    }
}

/// Positions in the ring of samples, at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Positions {
    pub(super) written: usize,
    pub(super) heard: usize,
}

/// Up to where samples were written and heard; the same where nobody listens.
pub(super) fn positions(unheard: Option<&Unheard>) -> Positions {
    let positions = unheard.map(|unheard| Positions {
        written: unheard.written.written(),
        heard: unheard.heard.load(Ordering::Acquire),
    });
    positions.unwrap_or_default()
}

/// Events that were read at one time.
struct Batch {
    read_ns: u64,
    /// Up to where samples were written by then.
    written: usize,
    events: Vec<Event>,
}

/// Events in their order.
#[derive(Default)]
pub(super) struct Waiting {
    batches: VecDeque<Batch>,
    count: usize,
    /// Room of events that were dealt with.
    room: Vec<Event>,
}

impl Waiting {
    /// Room for events that are to be read: that of those before, where it was left here.
    pub(super) fn room(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.room)
    }

    /// Leaves the room of events that were dealt with.
    pub(super) fn leave(&mut self, mut events: Vec<Event>) {
        events.clear();
        if events.capacity() > self.room.capacity() {
            self.room = events;
        }
    }

    /// Takes events that were in the ring before these positions were looked at.
    pub(super) fn push(&mut self, now_ns: u64, positions: Positions, events: Vec<Event>) {
        if events.is_empty() {
            self.leave(events);
            return;
        }
        self.count += events.len();
        self.batches.push_back(Batch {
            read_ns: now_ns,
            written: positions.written,
            events,
        });
    }

    /// The oldest events, if what was said before them is heard, or they waited long enough, or there are too many.
    pub(super) fn due(&mut self, now_ns: u64, positions: Positions) -> Option<Vec<Event>> {
        let full = self.count > ROOM;
        let batch = self.batches.pop_front_if(|batch| {
            // Positions wrap around.
            let is_heard = positions.heard.wrapping_sub(batch.written).cast_signed() >= 0;
            full || is_heard || now_ns.saturating_sub(batch.read_ns) >= PATIENCE_NS
        })?;
        self.count -= batch.events.len();
        Some(batch.events)
    }
}

#[cfg(test)]
mod tests;
