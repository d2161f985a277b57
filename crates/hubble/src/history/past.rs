//! A walk through the records of before, block by block, as fast as its reader goes.

use std::collections::VecDeque;
use std::sync::Arc;

use api::hubble::{Timestamp, flow as pb};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::file::{self, FileError};
use super::{History, Kept, Row, Run, Segment, nanoseconds};
use crate::enrich;
use crate::flow::said;
use crate::ring::{Entry, Lost};

/// Which records are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// From when.
    pub(crate) since: Timestamp,
    /// Up to when.
    pub(crate) until: Option<Timestamp>,
    /// Of this run those whose positions in the ring are not smaller …
    pub(crate) from: u64,
    /// … and are smaller than this.
    pub(crate) below: u64,
}

/// A walk.
pub(crate) struct Past {
    want: Want,
    sources: VecDeque<Source>,
    /// Entries of the block that was read last, and their positions.
    entries: std::vec::IntoIter<Entry>,
}

enum Source {
    Segment(Segment),
    /// A segment that is open.
    Open(Box<file::Segment>, Run),
    /// Rows that are in memory yet.
    Rows(Arc<Vec<Row>>),
}

impl History {
    /// The records that are wanted, in the order in which they came.
    pub(crate) fn walk(&self, want: Want) -> Past {
        let since = nanoseconds(want.since);
        let until = want.until.map_or(u64::MAX, nanoseconds);
        let sources = self.with(|state| {
            let segments = state.segments.iter();
            let wanted = segments
                .filter(|of| of.last_ns >= since && of.first_ns <= until)
                .filter(|of| want.from == 0 || of.run == Run::Now)
                .cloned()
                .map(Source::Segment);
            let waiting = [
                Source::Rows(Arc::clone(&state.sealing)),
                Source::Rows(Arc::new(state.open.clone())),
            ];
            wanted.chain(waiting).collect()
        });
        Past {
            want,
            sources,
            entries: Vec::new().into_iter(),
        }
    }
}

impl Past {
    /// The next entry; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            let mut source = self.sources.pop_front()?;
            let want = self.want;
            let read = move || {
                let read = source.read(want);
                (read, source)
            };
            let Ok((read, source)) = spawn_blocking(read).await else {
                continue;
            };
            match read {
                Ok(Some(entries)) => {
                    self.entries = entries.into_iter();
                    self.sources.push_front(source);
                }
                Ok(None) => {}
                // It may be one that became too old meanwhile.
                Err(error) => tracing::debug!(%error, "records are passed over"),
            }
        }
    }
}

impl Source {
    /// Entries of the next block; none after the last.
    fn read(&mut self, want: Want) -> Result<Option<Vec<Entry>>, FileError> {
        if let Self::Segment(segment) = self {
            let opened = file::Segment::open(&segment.path)?;
            *self = Self::Open(Box::new(opened), segment.run);
        }
        match self {
            Self::Segment(_) => Ok(None),
            Self::Open(segment, run) => {
                let rows = segment.read()?;
                Ok(rows.map(|rows| entries(&rows, *run, want)))
            }
            Self::Rows(rows) if rows.is_empty() => Ok(None),
            Self::Rows(rows) => {
                let rows = std::mem::take(rows);
                Ok(Some(entries(&rows, Run::Now, want)))
            }
        }
    }
}

/// The entries of rows that are wanted, and how many of what was healthy were left out between them.
fn entries(rows: &[Row], run: Run, want: Want) -> Vec<Entry> {
    let mut wanted = Vec::new();
    let mut left_out = LeftOut::default();
    for row in rows {
        let before = wanted.len();
        for (entry, position) in row.entries().into_iter().zip(row.position..) {
            let time = entry.time();
            let is_in_time = time >= want.since && want.until.is_none_or(|until| time <= until);
            let is_in_place = match run {
                Run::Now => (want.from..want.below).contains(&position),
                Run::Before => true,
            };
            if is_in_time && is_in_place {
                wanted.push(entry);
            }
        }
        if wanted.len() > before {
            left_out.add(row);
        }
    }
    wanted.extend(left_out.entry());
    wanted
}

/// Records that were left out, and when they were.
#[derive(Default)]
struct LeftOut {
    count: u64,
    first_ns: Option<u64>,
    last_ns: u64,
}

impl LeftOut {
    /// Adds those that came after a row.
    fn add(&mut self, row: &Row) {
        if row.left_out > 0 {
            let (at_ns, _) = row.span();
            self.count += u64::from(row.left_out);
            self.first_ns.get_or_insert(at_ns);
            self.last_ns = at_ns;
        }
    }

    fn entry(self) -> Option<Entry> {
        let first = Timestamp::from_unix_nanos(self.first_ns?);
        let last = Timestamp::from_unix_nanos(self.last_ns);
        let event = pb::LostEvent {
            source: pb::LostEventSource::HubbleRingBuffer.into(),
            num_events_lost: self.count,
            cpu: None,
            first: Some(first),
            last: Some(last),
        };
        Some(Entry::Lost(Arc::new(Lost { time: last, event })))
    }
}

impl Row {
    /// The entries that it was in the ring.
    fn entries(&self) -> Vec<Entry> {
        match &self.kept {
            Kept::Message(flow) => vec![Entry::Message(Arc::clone(flow))],
            Kept::Said(enriched, spoken) => said::flows(enriched, spoken)
                .into_iter()
                .zip(0..)
                .map(|(flow, part)| Entry::Flow(flow.named(self.id(part))))
                .collect(),
            Kept::Record(enriched) => enrich::flows(Arc::clone(enriched))
                .zip(0..)
                .map(|(flow, view)| Entry::Flow(flow.named(self.id(view))))
                .collect(),
        }
    }

    /// An id that is the same whenever it is read (RFC 9562, version 8).
    fn id(&self, view: u8) -> Uuid {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.span().1.to_be_bytes());
        octets[8..].copy_from_slice(&self.position.to_be_bytes());
        octets[8] = view;
        uuid::Builder::from_custom_bytes(octets).into_uuid()
    }
}
