//! What the ring forgets: records with the names of their moment, in segments on disk. The oldest go when there are too many, and
//! of what is healthy a part is left out, and counted, where a day of it would have no room.
//!
//! A record is in memory until its segment is written, a minute at most: that is what a killed agent loses.

mod file;
mod flat;
mod keep_rate;
mod past;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::hubble::{Timestamp, flow as pb};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::enrich::Enriched;
use crate::flow::said;
use crate::spoken::Spoken;
pub use file::FileError;
use file::{SUFFIX, write};
pub(crate) use flat::holds;
use keep_rate::{Room, choose};
pub(crate) use past::{Past, Want};

/// A segment is written when it has so many rows …
const ROWS: usize = 32_768;
/// … or when its first row is so old.
const AGE: Duration = Duration::from_mins(1);
/// Rows that wait while a segment is written; what comes beyond is lost, and counted.
const WAITING: usize = 4 * ROWS;
/// Segments that are kept: a week of minutes, so that a quiet node has no more files than its agent reads the names of at once
/// when it starts.
const SEGMENTS: usize = 7 * 24 * 60;

/// What is kept.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// A record of the data plane.
    Record(Arc<Enriched>),
    /// What was said on a connection, and whose it is; see [`holds`].
    Said(Arc<Enriched>, Arc<Spoken>),
    /// A flow that came as a message.
    Message(Arc<pb::Flow>),
}

/// A record and where it was in the ring.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Position of its first flow in the ring of its run.
    pub(crate) position: u64,
    /// What it is.
    pub(crate) kept: Kept,
    /// It is the end of a connection that failed. Files do not say so.
    pub(crate) is_failure: bool,
    /// Rows after it that were left out.
    pub(crate) left_out: u32,
}

impl Row {
    /// A row of what went well, or of which nobody knows.
    pub(crate) const fn new(position: u64, kept: Kept) -> Self {
        Self {
            position,
            kept,
            is_failure: false,
            left_out: 0,
        }
    }

    /// When its first and its last flow were, nanoseconds since the Unix epoch.
    fn span(&self) -> (u64, u64) {
        let time = match &self.kept {
            Kept::Record(enriched) => enriched.record.time_ns,
            Kept::Message(flow) => nanoseconds(flow.time.unwrap_or_default()),
            Kept::Said(_, spoken) => return said::span(spoken).unwrap_or_default(),
        };
        (time, time)
    }
}

/// Times before 1970 do not come.
fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.unix_nanos()).unwrap_or_default()
}

/// Where records are kept, and how many.
#[derive(Clone, Debug)]
pub struct Place {
    /// Directory of the segments.
    pub directory: PathBuf,
    /// Bytes of all of them together.
    pub bytes: u64,
}

/// Records of before, of one node.
pub struct History {
    place: Place,
    // Written for each record and read for questions about the past; nobody needs its own history, so it is no table. Nobody
    // waits for a disk while he holds it.
    state: Mutex<State>,
    full: Notify,
}

struct State {
    open: Vec<Row>,
    /// What is being written.
    sealing: Arc<Vec<Row>>,
    segments: VecDeque<Segment>,
    room: Room,
    lost: u64,
    left_out: u64,
}

/// A segment that is written.
#[derive(Clone, Debug)]
struct Segment {
    path: PathBuf,
    first_ns: u64,
    last_ns: u64,
    bytes: u64,
    run: Run,
}

/// Whose positions the rows of a segment have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// Those of this run's ring.
    Now,
    /// Those of a ring that is gone.
    Before,
}

impl History {
    /// What is in a directory, and what comes.
    pub fn open(place: Place) -> io::Result<Self> {
        std::fs::create_dir_all(&place.directory)?;
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(&place.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "part") {
                // Somebody was killed over it.
                let _ = std::fs::remove_file(&path);
            } else if let Some((first_ns, last_ns)) = span(&path) {
                segments.push(Segment {
                    bytes: std::fs::metadata(&path)?.len(),
                    path,
                    first_ns,
                    last_ns,
                    run: Run::Before,
                });
            }
        }
        segments.sort_by_key(|segment| (segment.first_ns, segment.last_ns));
        let state = State {
            open: Vec::new(),
            sealing: Arc::default(),
            segments: segments.into(),
            room: Room::new(place.bytes),
            lost: 0,
            left_out: 0,
        };
        Ok(Self {
            place,
            state: Mutex::new(state),
            full: Notify::new(),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a row. Call it when its flows are in the ring.
    pub(crate) fn push(&self, row: Row) {
        let rows = self.with(|state| {
            if state.open.len() < WAITING {
                state.open.push(row);
            } else {
                state.lost += 1;
            }
            state.open.len()
        });
        if rows >= ROWS {
            self.full.notify_one();
        }
    }

    /// Records that could not be kept since the start.
    pub fn lost(&self) -> u64 {
        self.with(|state| state.lost)
    }

    /// Records of what was healthy that were left out since the start.
    pub fn left_out(&self) -> u64 {
        self.with(|state| state.left_out)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.with(|state| state.segments.iter().map(|segment| segment.bytes).sum())
    }

    /// Writes segments until `stop`, and the last one then.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut failing, mut told, mut leaves_out) = (false, 0, false);
        loop {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.full.notified() => {}
                () = tokio::time::sleep(AGE) => {}
            }
            let history = Arc::clone(&self);
            match spawn_blocking(move || history.seal()).await {
                Ok(Ok(())) => failing = false,
                Ok(Err(error)) => {
                    // Once, and not each minute.
                    if !failing {
                        tracing::warn!(%error, "records are not kept");
                    }
                    failing = true;
                }
                Err(error) => tracing::warn!(%error, "records are not kept"),
            }
            let lost = self.lost();
            if lost > told {
                tracing::warn!(records = lost - told, "records of flows were lost");
                told = lost;
            }
            if !leaves_out && self.left_out() > 0 {
                tracing::info!("a day of records has no room: of what goes well a part is kept");
                leaves_out = true;
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Writes what came as a segment, and removes the oldest of what is too much.
    pub fn seal(&self) -> Result<(), FileError> {
        let rows = self.with(|state| {
            state.sealing = Arc::new(std::mem::take(&mut state.open));
            Arc::clone(&state.sealing)
        });
        let spans = rows.iter().map(Row::span);
        let all = |(a, b): (u64, u64), (first, last): (u64, u64)| (a.min(first), b.max(last));
        let Some((first_ns, last_ns)) = spans.reduce(all) else {
            return Ok(());
        };
        let room = self.with(|state| state.room.rows(first_ns, last_ns));
        let chosen = choose(&rows, room);
        let chosen = chosen.as_ref().unwrap_or(&rows);
        let name = format!("records-{first_ns:020}-{last_ns:020}");
        let written = write(&self.place.directory, &name, chosen);
        let gone = self.with(|state| {
            state.sealing = Arc::default();
            match &written {
                Ok((path, bytes)) => {
                    state.segments.push_back(Segment {
                        path: path.clone(),
                        first_ns,
                        last_ns,
                        bytes: *bytes,
                        run: Run::Now,
                    });
                    state.room.written(last_ns, chosen.len(), *bytes);
                    state.left_out += (rows.len() - chosen.len()) as u64;
                }
                Err(_) => state.lost += rows.len() as u64,
            }
            state.too_much(self.place.bytes)
        });
        for segment in gone {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                tracing::warn!(%error, path = %segment.path.display(), "an old segment stays");
            }
        }
        written.map(|_| ())
    }

    /// When the oldest record was, nanoseconds since the Unix epoch.
    pub fn since_ns(&self) -> Option<u64> {
        self.with(|state| {
            let segments = state.segments.iter().map(|segment| segment.first_ns);
            let waiting = state.sealing.iter().chain(&state.open);
            let waiting = waiting.map(|row| row.span().0);
            segments.chain(waiting.take(1)).min()
        })
    }
}

impl State {
    /// Takes out the oldest segments, until the others have at most so many bytes and are not too many.
    fn too_much(&mut self, bytes: u64) -> Vec<Segment> {
        let mut have: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let mut gone = Vec::new();
        while (have > bytes || self.segments.len() > SEGMENTS)
            && let Some(oldest) = self.segments.pop_front()
        {
            have -= oldest.bytes;
            gone.push(oldest);
        }
        gone
    }
}

/// Times of the first and of the last record, by the name of the file.
fn span(path: &Path) -> Option<(u64, u64)> {
    if path.extension()? != SUFFIX {
        return None;
    }
    let name = path.file_stem()?.to_str()?.strip_prefix("records-")?;
    let (first, rest) = name.split_once('-')?;
    let (last, _sum) = rest.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
pub(crate) mod tests;
