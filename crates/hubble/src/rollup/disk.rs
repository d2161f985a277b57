//! Minutes and hours on disk, in one file: oldest first when they are too old or too many.

use std::path::{Path, PathBuf};

use api::hubble::answers::{Edge, Window};
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::sync::Arc;
use thiserror::Error;

use super::row::Open;

/// Spans: (seconds of the span, its start in seconds since the Unix epoch) to a [`Window`], encoded and compressed with zstd.
const SPANS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("spans");
/// Edges by their numbers.
const EDGES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("edges");
/// Version of what is in the file.
const VERSIONS: TableDefinition<'_, &str, u32> = TableDefinition::new("versions");
/// What this release writes. A file of a later one is put aside; of one before, what is in it stays and is read.
const VERSION: u32 = 2;
/// The first version did not compress spans.
const READABLE: [u32; 2] = [1, VERSION];
/// How hard zstd tries.
const EFFORT: i32 = 3;
/// What begins with these octets is compressed (RFC 8878, section 3.1.1); no message does.
const COMPRESSED: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Minutes are kept for a week.
const MINUTES: u64 = 7 * 24 * 3600;
/// Tens of minutes are kept for two days: they are the ends of a time whose middle is hours.
const TENS_OF_MINUTES: u64 = 2 * 24 * 3600;
/// Hours are kept for ninety days.
const HOURS: u64 = 90 * 24 * 3600;
/// A page of the file. A span has as many as the next power of two has.
const PAGE: usize = 4096;

/// Which span of a level.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// The last.
    Last,
    /// The first from a time on.
    From(u64),
}

/// How long a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Ten seconds.
    Ten,
    /// A minute.
    Minute,
    /// Ten minutes.
    TenMinutes,
    /// An hour.
    Hour,
}

impl Level {
    /// Its seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Ten => 10,
            Self::Minute => 60,
            Self::TenMinutes => 600,
            Self::Hour => 3600,
        }
    }

    /// Seconds for which its spans are kept on disk; those of ten seconds are in memory alone.
    const fn kept(self) -> u64 {
        match self {
            Self::Ten => 0,
            Self::Minute => MINUTES,
            Self::TenMinutes => TENS_OF_MINUTES,
            Self::Hour => HOURS,
        }
    }

    /// Bytes of the pages of all its spans on disk, at most.
    const fn bytes(self) -> usize {
        match self {
            Self::Ten => 0,
            Self::Minute => 128 << 20,
            Self::TenMinutes => 32 << 20,
            Self::Hour => 64 << 20,
        }
    }

    /// The start of the span in which a moment lies, seconds since the Unix epoch.
    pub const fn start(self, at: u64) -> u64 {
        at - at % self.seconds()
    }
}

/// The file of counts cannot be used.
#[derive(Debug, Error)]
#[error("counts in {path}: {source}")]
pub struct DiskError {
    path: String,
    source: Box<redb::Error>,
}

impl DiskError {
    /// Whether what is in the file is the fault. Somebody else may have it open, or the disk may be full.
    fn is_of_the_content(&self) -> bool {
        match &*self.source {
            redb::Error::DatabaseAlreadyOpen => false,
            redb::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            _ => true,
        }
    }
}

/// The file, or memory in its place.
pub(super) struct Disk {
    database: Database,
    path: PathBuf,
}

impl Disk {
    /// Opens or makes the file in a directory; without one everything stays in memory. One that cannot be read, or is of another
    /// release, is put aside.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self, DiskError> {
        let Some(directory) = directory else {
            let path = PathBuf::from("memory");
            let backend = redb::backends::InMemoryBackend::new();
            let database = Database::builder().create_with_backend(backend);
            let database = database.map_err(|error| failed(&path, error))?;
            return Self { database, path }.prepared();
        };
        let path = directory.join("counts.redb");
        let opened = || {
            let database = Database::builder()
                .set_cache_size(1 << 20)
                .create(&path)
                .map_err(|error| failed(&path, error))?;
            let path = path.clone();
            Self { database, path }.prepared()
        };
        match opened() {
            Ok(disk) => Ok(disk),
            Err(error) if !error.is_of_the_content() => Err(error),
            Err(error) => {
                let aside = path.with_extension("unreadable");
                tracing::warn!(%error, aside = %aside.display(), "counts of before are put aside");
                let _ = std::fs::rename(&path, &aside);
                opened()
            }
        }
    }

    fn prepared(self) -> Result<Self, DiskError> {
        let found = self.change(|tables| {
            let mut versions = tables.open_table(VERSIONS)?;
            let found = versions.get("version")?.map(|version| version.value());
            let found = found.unwrap_or(VERSION);
            if READABLE.contains(&found) {
                versions.insert("version", VERSION)?;
            }
            tables.open_table(SPANS)?;
            tables.open_table(EDGES)?;
            Ok(found)
        })?;
        if !READABLE.contains(&found) {
            let text = format!("version {found}, this program reads {VERSION}");
            let error = redb::Error::Corrupted(text);
            return Err(failed(&self.path, error));
        }
        Ok(self)
    }

    fn change<T>(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, DiskError> {
        let done = || {
            let mut transaction = self.database.begin_write()?;
            // An agent that was killed must not read the whole file before it starts.
            transaction.set_quick_repair(true);
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        done().map_err(|error: redb::Error| failed(&self.path, error))
    }

    fn look<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, DiskError> {
        let done = || work(&self.database.begin_read()?);
        done().map_err(|error: redb::Error| failed(&self.path, error))
    }

    /// All edges in the order of their numbers.
    pub(super) fn edges(&self) -> Result<Vec<Edge>, DiskError> {
        self.look(|tables| {
            let table = tables.open_table(EDGES)?;
            let mut edges = Vec::new();
            for row in table.iter()? {
                edges.push(Edge::decode(row?.1.value()).unwrap_or_default());
            }
            Ok(edges)
        })
    }

    /// Start of the oldest span.
    pub(super) fn oldest(&self) -> Result<Option<u64>, DiskError> {
        let minute = self.edge_of(Level::Minute, Bound::From(0))?;
        let hour = self.edge_of(Level::Hour, Bound::From(0))?;
        Ok([minute, hour].into_iter().flatten().min())
    }

    /// Writes a span, and edges from a number on.
    pub(super) fn write(
        &self,
        level: Level,
        start: u64,
        window: &Window,
        (first, edges): (usize, &[Arc<Edge>]),
    ) -> Result<(), DiskError> {
        if edges.is_empty() && *window == Window::default() {
            return Ok(());
        }
        self.change(|tables| {
            let mut table = tables.open_table(EDGES)?;
            for (edge, number) in edges.iter().zip(first..) {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                table.insert(number, edge.encode_to_vec().as_slice())?;
            }
            let mut spans = tables.open_table(SPANS)?;
            let key = (level.seconds(), start);
            spans.insert(key, packed(window)?.as_slice())?;
            Ok(())
        })
    }

    /// A span, if it is there.
    pub(super) fn read(&self, level: Level, start: u64) -> Result<Option<Window>, DiskError> {
        self.look(|tables| {
            let table = tables.open_table(SPANS)?;
            let found = table.get((level.seconds(), start))?;
            found.map(|of| unpacked(of.value())).transpose()
        })
    }

    /// Writes all spans of a level before `now` that have minutes and are not written yet: also those that ended while no agent
    /// ran.
    pub(super) fn close(&self, level: Level, now: u64) -> Result<(), DiskError> {
        let last = self.edge_of(level, Bound::Last)?;
        let mut from = last.map_or(0, |last| last + level.seconds());
        from = from.max(level.start(now.saturating_sub(level.kept())));
        while let Some(minute) = self.edge_of(Level::Minute, Bound::From(from))? {
            let start = level.start(minute);
            if start >= level.start(now) {
                break;
            }
            self.close_span(level, start)?;
            from = start + level.seconds();
        }
        Ok(())
    }

    /// Start of the last span of a level, or of the first that does not begin before a time.
    fn edge_of(&self, level: Level, bound: Bound) -> Result<Option<u64>, DiskError> {
        self.look(|tables| {
            let table = tables.open_table(SPANS)?;
            let from = match bound {
                Bound::Last => 0,
                Bound::From(from) => from,
            };
            let mut spans = table.range((level.seconds(), from)..(level.seconds() + 1, 0))?;
            let found = match bound {
                Bound::Last => spans.next_back(),
                Bound::From(_) => spans.next(),
            };
            Ok(found.transpose()?.map(|(key, _)| key.value().1))
        })
    }

    /// Writes a span out of its minutes.
    fn close_span(&self, level: Level, start: u64) -> Result<(), DiskError> {
        let mut sum = Open::default();
        let mut minute = start;
        while minute < start + level.seconds() {
            if let Some(window) = self.read(Level::Minute, minute)? {
                sum.add(window);
            }
            minute += Level::Minute.seconds();
        }
        self.write(level, start, &sum.into_window(), (0, &[]))
    }

    /// Removes what is too old, and the oldest of what is too much.
    pub(super) fn prune(&self, now: u64) -> Result<(), DiskError> {
        self.change(|tables| {
            let mut spans = tables.open_table(SPANS)?;
            for level in [Level::Minute, Level::TenMinutes, Level::Hour] {
                let all = (level.seconds(), 0)..(level.seconds() + 1, 0);
                let (mut bytes, mut gone) = (0, Vec::new());
                for row in spans.range(all)?.rev() {
                    let (key, value) = row?;
                    bytes += value.value().len().next_power_of_two().max(PAGE);
                    if bytes > level.bytes() || key.value().1 + level.kept() < now {
                        gone.push(key.value());
                    }
                }
                for key in gone {
                    spans.remove(key)?;
                }
            }
            Ok(())
        })
    }
}

fn packed(window: &Window) -> Result<Vec<u8>, redb::Error> {
    Ok(zstd::bulk::compress(&window.encode_to_vec(), EFFORT)?)
}

fn unpacked(octets: &[u8]) -> Result<Window, redb::Error> {
    let window = if octets.starts_with(&COMPRESSED) {
        Window::decode(zstd::decode_all(octets)?.as_slice())
    } else {
        Window::decode(octets)
    };
    window.map_err(|error| redb::Error::Corrupted(error.to_string()))
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> DiskError {
    DiskError {
        path: path.display().to_string(),
        source: Box::new(error.into()),
    }
}
