//! How often each map was read and written by this process, and how often the kernel refused.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was done with an entry, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was read.
    Lookup,
    /// It was created or replaced.
    Update,
    /// It was removed.
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lookup, Self::Update, Self::Delete];

    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Counts of one map since the start; entries of a batch count one by one, walks do not count.
#[derive(Debug, Default)]
pub struct Operations {
    done: [AtomicU64; 3],
    refused: [AtomicU64; 3],
}

impl Operations {
    pub(crate) fn add<T, E>(&self, operation: Operation, entries: usize, result: &Result<T, E>) {
        let (counts, number) = match result {
            Ok(_) => (&self.done, entries),
            Err(_) => (&self.refused, 1),
        };
        if let Some(count) = counts.get(operation as usize) {
            count.fetch_add(number as u64, Ordering::Relaxed);
        }
    }

    /// Entries with which it was done, and refusals.
    pub fn of(&self, operation: Operation) -> (u64, u64) {
        let read = |counts: &[AtomicU64; 3]| {
            let count = counts.get(operation as usize);
            count.map_or(0, |count| count.load(Ordering::Relaxed))
        };
        (read(&self.done), read(&self.refused))
    }
}
