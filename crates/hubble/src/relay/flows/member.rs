//! One node within one request: where its stream is, and what was received of it.

use tokio::time::Instant;

use crate::relay::{link::Link, merge::Time};

/// Where a node's stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is read.
    Streaming,
    /// It broke off; it is asked again at this time, or as soon as there is another connection.
    Paused(Option<Instant>),
    /// It does not answer such requests.
    Refused,
    /// It has sent everything.
    Done,
}

/// One node within one request.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) source: u64,
    pub(super) phase: Phase,
    link: Link,
    /// The newest time that was received, and how many messages had it: several flows have one time.
    last: Option<(Time, u64)>,
    /// Messages of `last` that a repeated stream brings once more.
    repeated: Option<(Time, u64)>,
}

impl Member {
    pub(super) fn new(source: u64, link: &Link) -> Self {
        Self {
            source,
            phase: Phase::Streaming,
            link: link.clone(),
            last: None,
            repeated: None,
        }
    }

    /// It is asked again, for what came from its last message on.
    pub(super) fn again(&mut self, source: u64, link: &Link) {
        self.source = source;
        self.phase = Phase::Streaming;
        self.link = link.clone();
        self.repeated = self.last;
    }

    pub(super) fn last(&self) -> Option<Time> {
        self.last.map(|(time, _)| time)
    }

    /// Notes a message; false if it was received before the stream broke off.
    pub(super) fn is_new(&mut self, time: Time) -> bool {
        if let Some((repeated, count)) = &mut self.repeated
            && *repeated == time
            && *count > 0
        {
            *count -= 1;
            return false;
        }
        match &mut self.last {
            Some((last, count)) if *last == time => *count += 1,
            Some((last, _)) if *last > time => {}
            last => *last = Some((time, 1)),
        }
        true
    }

    /// When it is asked again over the connection that it has.
    pub(super) fn retry(&self) -> Option<Instant> {
        match self.phase {
            Phase::Paused(at) => at,
            _ => None,
        }
    }

    /// There is no connection now: the next one will do at once.
    pub(super) fn await_link(&mut self, now: Instant) {
        if self.retry().is_some_and(|at| at <= now) {
            self.phase = Phase::Paused(None);
        }
    }

    pub(super) fn may_join(&self, link: &Link, now: Instant) -> bool {
        match self.phase {
            Phase::Streaming | Phase::Done => false,
            Phase::Refused => self.link != *link,
            Phase::Paused(at) => self.link != *link || at.is_none_or(|at| at <= now),
        }
    }
}
