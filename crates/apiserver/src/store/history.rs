//! The recent past in memory: what a watch that resumes is told.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::Key;
use crate::config::HistoryLimit;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It came.
    Added,
    /// It changed.
    Modified,
    /// It went.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Revision of the change; unique, growing.
    pub(crate) revision: u64,
    /// Which object.
    pub(crate) key: Key,
    /// What happened.
    pub(crate) change: Change,
    /// The object after it; on deletion its last state with the revision of the deletion.
    pub(crate) object: Bytes,
    /// The object before it, where there was one: whether it left a selector is judged by this.
    pub(crate) previous: Option<Bytes>,
}

impl Event {
    fn weight(&self) -> usize {
        self.object.len() + self.previous.as_ref().map_or(0, Bytes::len) + 128
    }
}

/// The revision asked for is no longer in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// The oldest revision a watch can start from.
    pub(crate) oldest: u64,
}

/// A ring of events, bounded in number and bytes.
pub(super) struct History {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Newest revision that is no longer held.
    compacted: u64,
    limit: HistoryLimit,
}

impl History {
    pub(super) fn new(revision: u64, limit: HistoryLimit) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            compacted: revision,
            limit,
        }
    }

    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.bytes += event.weight();
            self.events.push_back(Arc::new(event));
        }
        while self.events.len() > self.limit.events || self.bytes > self.limit.bytes {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.weight();
            self.compacted = oldest.revision;
        }
    }

    pub(super) fn after(&self, revision: u64, most: usize) -> Result<Vec<Arc<Event>>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted {
                oldest: self.compacted,
            });
        }
        let start = self
            .events
            .partition_point(|event| event.revision <= revision);
        Ok(self.events.iter().skip(start).take(most).cloned().collect())
    }
}
