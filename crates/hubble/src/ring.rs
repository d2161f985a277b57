//! The newest flows and agent events in memory: fixed size, one slot lock at a time, exact counts of what a slow
//! reader missed.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use api::hubble::{Timestamp, flow as pb};
use thiserror::Error;
use tokio::sync::Notify;

use crate::flow::{Node, Observed};

/// What a slot holds.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A flow, compact.
    Flow(Observed),
    /// A flow that came as a message, e.g. of a proxy.
    Message(Arc<pb::Flow>),
    /// Records that were lost before they came here.
    Lost(Arc<Lost>),
    /// Something the agent did.
    Agent(Arc<AgentEntry>),
}

/// Records lost at a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// When it was noticed.
    pub time: Timestamp,
    /// The count and where.
    pub event: pb::LostEvent,
}

/// An agent event and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentEntry {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub event: pb::AgentEvent,
}

impl Entry {
    /// When it happened.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Flow(flow) => flow.time(),
            Self::Message(flow) => flow.time.unwrap_or_default(),
            Self::Lost(lost) => lost.time,
            Self::Agent(agent) => agent.time,
        }
    }

    /// The flow in it, if it is one.
    pub fn flow(&self, node: &Node) -> Option<pb::Flow> {
        match self {
            Self::Flow(flow) => Some(flow.message(node)),
            Self::Message(flow) => Some(pb::Flow::clone(flow)),
            Self::Lost(_) | Self::Agent(_) => None,
        }
    }
}

/// A capacity that a ring can have: 2^n − 1, from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity(u32);

/// A number of events that no ring holds.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "hubble-event-buffer-capacity: {0} is not one of 1, 3, 7, … 65535 (a power of two, less one)"
)]
pub struct InvalidCapacity(pub u64);

impl Capacity {
    /// Checks a configured number of events.
    pub fn new(events: u64) -> Result<Self, InvalidCapacity> {
        match u32::try_from(events) {
            Ok(n) if (1..=65535).contains(&n) && (n + 1).is_power_of_two() => Ok(Self(n)),
            _ => Err(InvalidCapacity(events)),
        }
    }

    /// Number of events.
    pub fn events(self) -> u64 {
        self.0.into()
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self(4095)
    }
}

/// What reading one position gave.
#[derive(Clone, Debug)]
pub enum Read {
    /// The entry.
    Entry(Entry),
    /// It and those after it were overwritten: this many are gone, reading goes on at `next`.
    Lost {
        /// Number of entries overwritten.
        count: u64,
        /// The oldest that is still there.
        next: u64,
    },
    /// Nothing has been written there yet.
    Head,
}

struct Slot {
    /// Position of the entry, counted from the first ever written.
    position: u64,
    entry: Option<Entry>,
    /// The latest time of all entries up to this one.
    reached: Timestamp,
}

/// The ring. Positions count entries from the first ever written, so a position never means two entries.
pub struct Ring {
    // A lock per slot and not a table: a table keeps every version for its readers, a ring forgets. Held for the copy
    // of one entry, so writer and readers only meet on the same slot.
    slots: Box<[Mutex<Slot>]>,
    // Serialises writers (records, agent events, losses come from different tasks); never taken by readers. Holds the latest time
    // of all entries: those of requests are written with their answers, so that times do not rise with positions.
    writer: Mutex<Timestamp>,
    written: AtomicU64,
    flows: AtomicU64,
    missed: AtomicU64,
    changed: Notify,
}

impl Ring {
    /// An empty ring.
    pub fn new(capacity: Capacity) -> Self {
        // One slot more than can be read: the one being written.
        let slots = (0..=capacity.0)
            .map(|_| {
                Mutex::new(Slot {
                    position: u64::MAX,
                    entry: None,
                    reached: Timestamp::default(),
                })
            })
            .collect();
        Self {
            slots,
            writer: Mutex::new(Timestamp::default()),
            written: AtomicU64::new(0),
            flows: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Appends an entry, over the oldest one when full. Returns its position.
    pub fn push(&self, entry: Entry) -> u64 {
        let flow = matches!(entry, Entry::Flow(_) | Entry::Message(_));
        let time = entry.time();
        let mut reached = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if time > *reached {
            *reached = time;
        }
        let position = self.written.load(Ordering::Relaxed);
        let old = {
            let mut slot = self
                .slot(position)
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            slot.position = position;
            slot.reached = *reached;
            slot.entry.replace(entry)
        };
        self.written.store(position + 1, Ordering::Release);
        if flow {
            self.flows.fetch_add(1, Ordering::Relaxed);
        }
        drop(reached);
        // Freed outside of the locks.
        drop(old);
        self.changed.notify_waiters();
        position
    }

    /// Position that the next entry will get.
    pub fn head(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Oldest position that can be read.
    pub fn oldest(&self) -> u64 {
        self.head().saturating_sub(self.capacity())
    }

    /// Number of entries that can be read when it is full.
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64 - 1
    }

    /// Number of entries that can be read.
    pub fn len(&self) -> u64 {
        self.head() - self.oldest()
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.head() == 0
    }

    /// Number of flows ever written.
    pub fn seen_flows(&self) -> u64 {
        self.flows.load(Ordering::Relaxed)
    }

    /// Number of entries that were overwritten before a reader came to them, counted for each reader.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Reads a position.
    pub fn read(&self, position: u64) -> Read {
        let head = self.head();
        if position >= head {
            return Read::Head;
        }
        let oldest = head.saturating_sub(self.capacity());
        if position >= oldest {
            let slot = self
                .slot(position)
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let (true, Some(entry)) = (slot.position == position, &slot.entry) {
                return Read::Entry(entry.clone());
            }
        }
        // Overwritten, perhaps while we looked: the head has moved on, so `oldest` is beyond `position` by now, or by
        // the end of the write under way.
        let next = self.oldest().max(position + 1);
        self.missed.fetch_add(next - position, Ordering::Relaxed);
        Read::Lost {
            count: next - position,
            next,
        }
    }

    /// The latest time of all entries up to this one, those included that are overwritten; none if it cannot be read.
    pub fn reached(&self, position: u64) -> Option<Timestamp> {
        let slot = self.slot(position).lock();
        let slot = slot.unwrap_or_else(PoisonError::into_inner);
        (slot.position == position).then_some(slot.reached)
    }

    /// Waits until `position` has been written.
    pub async fn written(&self, position: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.head() > position {
                return;
            }
            changed.await;
        }
    }

    fn slot(&self, position: u64) -> &Mutex<Slot> {
        // The number of slots is a power of two, so the index is always in range.
        &self.slots[(position & (self.slots.len() as u64 - 1)) as usize]
    }
}

#[cfg(test)]
mod tests;
