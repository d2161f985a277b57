//! Which part of the ring a request asks for, and the walk through it.

use std::sync::Arc;

use api::hubble::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::ring::{Entry, Read, Ring};

/// After how many entries a walk lets other tasks run.
const YIELD_EVERY: u64 = 256;

/// Whether a stream goes on at the head of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Head,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Oldest,
    Newest,
}

/// The part of the ring that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    number: u64,
    start: Start,
    end: End,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Span {
    pub(super) fn new(
        number: u64,
        first: bool,
        follow: bool,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Self, &'static str> {
        if first && follow {
            return Err("first and follow exclude each other");
        }
        Ok(Self {
            number,
            start: if first { Start::Oldest } else { Start::Newest },
            end: if follow { End::Never } else { End::Head },
            since,
            until,
        })
    }

    pub(super) fn follows(&self) -> bool {
        self.end == End::Never
    }

    /// The position to read from; `counts` says which entries count towards `number`.
    pub(super) async fn start(&self, ring: &Ring, counts: impl Fn(&Entry) -> bool) -> u64 {
        let head = ring.head();
        let oldest = ring.oldest();
        match (self.since, self.start, self.end) {
            (Some(since), ..) => {
                // Times do not rise with positions: where it ends, all before was earlier.
                let ended = |position| ring.reached(position).is_none_or(|time| time < since);
                back(ring, head, |position| {
                    if ended(position) {
                        Walk::Stop
                    } else {
                        Walk::On
                    }
                })
                .await
            }
            (None, Start::Oldest, _) => oldest,
            (None, Start::Newest, End::Never) if self.number == 0 => head,
            (None, Start::Newest, _) if self.number == 0 => oldest,
            (None, Start::Newest, _) => {
                let mut missing = self.number;
                back(ring, head, |position| {
                    let Read::Entry(entry) = ring.read(position) else {
                        return Walk::Stop;
                    };
                    if !self.ended(&entry) && counts(&entry) {
                        missing -= 1;
                    }
                    if missing == 0 { Walk::Last } else { Walk::On }
                })
                .await
            }
        }
    }

    /// The times of what is wanted, if some of it may be from before what the ring holds.
    pub(super) fn before(&self, ring: &Ring) -> Option<(Timestamp, Option<Timestamp>)> {
        let since = self.since?;
        let reached = ring.reached(ring.oldest());
        reached
            .is_none_or(|time| time >= since)
            .then_some((since, self.until))
    }

    fn ended(&self, entry: &Entry) -> bool {
        self.until.is_some_and(|until| entry.time() > until)
    }
}

enum Walk {
    On,
    /// This entry is the last one wanted.
    Last,
    /// The one after it was.
    Stop,
}

/// Walks back from the newest entry; the position of the last one wanted.
async fn back(ring: &Ring, head: u64, mut visit: impl FnMut(u64) -> Walk) -> u64 {
    let mut start = head;
    while start > ring.oldest() {
        match visit(start - 1) {
            Walk::On => start -= 1,
            Walk::Last => return start - 1,
            Walk::Stop => return start,
        }
        if start.is_multiple_of(YIELD_EVERY) {
            tokio::task::yield_now().await;
        }
    }
    start
}

/// What the walk came to.
pub(super) enum Step {
    /// An entry within the span of time.
    Entry(Entry),
    /// This many entries were overwritten before they could be read.
    Lost(u64),
    /// Nothing more for now.
    Idle,
    /// The end.
    End,
}

/// A walk through the ring.
pub(super) struct Reader {
    ring: Arc<Ring>,
    span: Span,
    next: u64,
    /// Where a walk that does not follow ends.
    stop: u64,
    delivered: u64,
    steps: u64,
    shutdown: CancellationToken,
}

impl Reader {
    pub(super) fn new(
        ring: Arc<Ring>,
        span: Span,
        start: u64,
        shutdown: CancellationToken,
    ) -> Self {
        let stop = match span.end {
            End::Head => ring.head(),
            End::Never => u64::MAX,
        };
        Self {
            ring,
            span,
            next: start,
            stop,
            delivered: 0,
            steps: 0,
            shutdown,
        }
    }

    /// Tells that an entry was delivered, for requests of a number of them.
    pub(super) fn delivered(&mut self) {
        self.delivered += 1;
    }

    /// Whether nothing more is wanted, whatever comes.
    pub(super) fn has_enough(&self) -> bool {
        let enough = self.span.number > 0
            && self.span.end == End::Head
            && self.delivered >= self.span.number;
        enough || self.shutdown.is_cancelled()
    }

    /// Positions that were overwritten before they were read, from and below; the walk goes on after them.
    pub(super) fn overtaken(&mut self) -> Option<(u64, u64)> {
        let (from, below) = (self.next, self.ring.oldest().min(self.stop));
        if from >= below {
            return None;
        }
        self.next = below;
        Some((from, below))
    }

    /// The next step, without waiting.
    pub(super) async fn step(&mut self) -> Step {
        loop {
            if self.has_enough() || self.next >= self.stop {
                return Step::End;
            }
            self.steps += 1;
            if self.steps.is_multiple_of(YIELD_EVERY) {
                tokio::task::yield_now().await;
            }
            match self.ring.read(self.next) {
                Read::Entry(entry) => {
                    self.next += 1;
                    let ended = self.span.ended(&entry);
                    // Up to the head there may be earlier ones yet; what comes after it need not be waited for.
                    if ended && self.span.follows() {
                        self.stop = 0;
                        return Step::End;
                    }
                    if !ended && self.span.since.is_none_or(|since| entry.time() >= since) {
                        return Step::Entry(entry);
                    }
                }
                Read::Lost { next, .. } => {
                    // What was written after the call is not asked for, so it is not missed either.
                    let next = next.min(self.stop);
                    let count = next - self.next;
                    self.next = next;
                    return Step::Lost(count);
                }
                Read::Head => return Step::Idle,
            }
        }
    }

    /// Waits for more, at most until `deadline`.
    pub(super) async fn wait(&self, deadline: Option<tokio::time::Instant>) {
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.ring.written(self.next) => {}
            () = self.shutdown.cancelled() => {}
            () = timer => {}
        }
    }
}
