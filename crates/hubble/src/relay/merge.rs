//! Messages of many nodes in the order of their times: a sort buffer of bounded length and bounded delay.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Seconds and nanoseconds since 1970. A message without a time has that of the one before it.
pub(super) type Time = (i64, i32);

/// Time, then the order of arrival.
type Place = (Time, u64);

/// How far a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// What it sends next may be older than anything here.
    Yes,
    /// It was once so slow that it has nothing old any more, or must not hold up the others.
    No,
}

#[derive(Debug)]
struct Source {
    awaited: Awaited,
    /// Its messages in the buffer.
    held: usize,
}

/// The buffer. What comes out is sorted as far as the buffer reaches: the oldest leaves when the buffer is full and every source
/// that is awaited has something in it, when it has waited for `delay`, or when there is no source any more.
#[derive(Debug)]
pub(super) struct Merge<T> {
    length: usize,
    delay: Duration,
    sources: BTreeMap<u64, Source>,
    messages: BTreeMap<Place, (u64, T)>,
    /// When each message came; those that have left are taken off when they reach the front.
    arrivals: VecDeque<(Instant, Place)>,
    /// Awaited sources without a message here.
    missing: usize,
    next: u64,
}

/// A message that leaves the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sorted<T> {
    pub(super) source: u64,
    pub(super) time: Time,
    pub(super) message: T,
}

impl<T> Merge<T> {
    pub(super) fn new(length: usize, delay: Duration) -> Self {
        Self {
            length: length.max(1),
            delay,
            sources: BTreeMap::new(),
            messages: BTreeMap::new(),
            arrivals: VecDeque::new(),
            missing: 0,
            next: 0,
        }
    }

    /// A source from which messages will come.
    pub(super) fn join(&mut self, source: u64) {
        let fresh = Source {
            awaited: Awaited::Yes,
            held: 0,
        };
        if self.sources.insert(source, fresh).is_none() {
            self.missing += 1;
        }
    }

    /// The source has ended; what it sent stays.
    pub(super) fn leave(&mut self, source: u64) {
        if let Some(Source {
            awaited: Awaited::Yes,
            held: 0,
        }) = self.sources.remove(&source)
        {
            self.missing -= 1;
        }
    }

    /// Nothing older than what is here will come from the source.
    pub(super) fn caught_up(&mut self, source: u64) {
        if let Some(known) = self.sources.get_mut(&source)
            && known.awaited == Awaited::Yes
        {
            known.awaited = Awaited::No;
            if known.held == 0 {
                self.missing -= 1;
            }
        }
    }

    pub(super) fn push(&mut self, source: u64, time: Time, message: T, now: Instant) {
        let place = (time, self.next);
        self.next += 1;
        self.messages.insert(place, (source, message));
        self.arrivals.push_back((now, place));
        if let Some(known) = self.sources.get_mut(&source) {
            if known.held == 0 && known.awaited == Awaited::Yes {
                self.missing -= 1;
            }
            known.held += 1;
        }
    }

    /// Whether a source that has something here should send no more for now.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// When the next message leaves at the latest.
    pub(super) fn due(&mut self) -> Option<Instant> {
        while let Some((_, place)) = self.arrivals.front()
            && !self.messages.contains_key(place)
        {
            self.arrivals.pop_front();
        }
        self.arrivals.front().map(|(came, _)| *came + self.delay)
    }

    /// The oldest message, if it may leave.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Sorted<T>> {
        let free = self.sources.is_empty() || (self.is_full() && self.missing == 0);
        if !free {
            if self.due()? > now {
                return None;
            }
            self.await_no_longer();
        }
        let (place, (source, message)) = self.messages.pop_first()?;
        if let Some(known) = self.sources.get_mut(&source) {
            known.held -= 1;
            if known.held == 0 && known.awaited == Awaited::Yes {
                self.missing += 1;
            }
        }
        Some(Sorted {
            source,
            time: place.0,
            message,
        })
    }

    /// Those that were waited for in vain are not waited for again.
    fn await_no_longer(&mut self) {
        if self.missing == 0 {
            return;
        }
        for source in self.sources.values_mut().filter(|source| source.held == 0) {
            source.awaited = Awaited::No;
        }
        self.missing = 0;
    }
}

/// The newest messages of all, exactly sorted; for answers whose end is known only when every source has ended.
#[derive(Debug)]
pub(super) struct Newest<T> {
    limit: usize,
    messages: BTreeMap<Place, T>,
    next: u64,
}

impl<T> Newest<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            messages: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn push(&mut self, time: Time, message: T) {
        self.messages.insert((time, self.next), message);
        self.next += 1;
        if self.messages.len() > self.limit {
            self.messages.pop_first();
        }
    }

    /// All of them, oldest first; none are left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.messages).into_values()
    }
}

#[cfg(test)]
mod tests;
