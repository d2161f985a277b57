//! What was counted, edge by edge, in spans of ten seconds, a minute, ten minutes and an hour: bounded in memory and on disk, and the
//! same after a restart but for the span that was open.

mod disk;
mod row;
mod said;
mod spans;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use api::hubble::answers::{Cause, Counters, Edge, Part, Party, PartyKind, Row, Sample, Window};
use hashbrown::{DefaultHashBuilder, HashTable};
use prost::Message;

use crate::connections::Change;
use crate::edges::EdgeKey;
use disk::Disk;
pub use disk::{DiskError, Level};
use row::Open;
pub(crate) use row::{is_said, merge, sort};
pub(crate) use said::{merge_addresses, sum};

/// Edges that are told apart; what is beyond is counted as one.
const EDGES: usize = 16_384;
/// Spans of ten seconds that are kept, in memory.
const TENS: usize = 360;

/// Something to be counted for an edge.
#[derive(Clone, Debug)]
pub enum Counted {
    /// A connection that began.
    Opened {
        /// From this address.
        from: IpAddr,
        /// If it came from outside, it was led on from this node's address.
        led_on: bool,
    },
    /// What was added to a connection, and who had it; nobody asks that of one that is well.
    Changed(Change, Option<Sample>),
    /// A packet that was denied or dropped: why, whether it is another attempt than those before, and whose it was.
    Lost(Cause, bool, Sample),
    /// What was said on a connection, as the row that it alone would make.
    Said(Box<Row>),
}

/// The counts of a node.
pub struct Rollup {
    // Written for each connection and read for each question; nobody needs its history, so it is no table. Nobody waits for a
    // disk while he holds it.
    state: Mutex<State>,
    disk: Disk,
}

struct State {
    /// Numbers of edges, by what tells them apart.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    edges: Vec<Arc<Edge>>,
    /// How many edges are on disk.
    saved: usize,
    /// Start of the open span of ten seconds, seconds since the Unix epoch.
    start: u64,
    open: Open,
    tens: VecDeque<Ten>,
    /// From when spans of ten seconds were closed.
    tens_since: u64,
    /// From when anything is known.
    since: u64,
}

/// Start of a closed span of ten seconds, and the encoded [`Window`].
type Ten = (u64, Arc<[u8]>);

/// What is to be written of a minute that is over.
struct Minute {
    start: u64,
    window: Window,
    /// Edges that are not on disk yet, and the number of the first.
    edges: (usize, Vec<Arc<Edge>>),
}

impl Rollup {
    /// Counts that go on from those of a directory, or of a node that has none. `now` in seconds since the Unix epoch.
    pub fn open(directory: Option<&Path>, now: u64) -> Result<Self, DiskError> {
        let disk = Disk::open(directory)?;
        let mut state = State {
            numbers: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            saved: 0,
            edges: Vec::new(),
            start: Level::Ten.start(now),
            open: Open::default(),
            tens: VecDeque::new(),
            tens_since: Level::Ten.start(now),
            since: disk.oldest()?.unwrap_or(now).min(now),
        };
        for edge in disk.edges()? {
            state.add(edge);
        }
        state.saved = state.edges.len();
        Ok(Self {
            state: Mutex::new(state),
            disk,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts something at `now_ns`, nanoseconds since the Unix epoch.
    pub fn count<'a>(&self, edge: impl Into<EdgeKey<'a>>, counted: Counted, now_ns: u64) {
        let edge = edge.into();
        self.with(|state| {
            let number = state.number(edge);
            let is_outside = state.is_from_outside(number);
            state.open.count(number, counted, is_outside, now_ns);
        });
    }

    /// Counts records that never came.
    pub fn lost(&self, records: u64) {
        self.with(|state| state.open.lost = state.open.lost.saturating_add(records));
    }

    /// Closes spans that are over at `now`, seconds since the Unix epoch; call every second. What cannot be written stays in
    /// memory for as long as spans of ten seconds do.
    pub fn tick(&self, now: u64) -> Result<(), DiskError> {
        let Some(minute) = self.with(|state| state.close(now)) else {
            return Ok(());
        };
        let (first, edges) = &minute.edges;
        self.disk
            .write(Level::Minute, minute.start, &minute.window, (*first, edges))?;
        self.with(|state| state.saved = first + edges.len());
        let is_over = |level: Level| level.start(now) != level.start(minute.start);
        if is_over(Level::TenMinutes) {
            self.disk.close(Level::TenMinutes, now)?;
        }
        if is_over(Level::Hour) {
            self.disk.close(Level::Hour, now)?;
            self.disk.prune(now)?;
            let oldest = self.disk.oldest()?;
            self.with(|state| state.since = oldest.unwrap_or(state.since));
        }
        Ok(())
    }

    /// All that was counted from `since` to `until`, seconds since the Unix epoch, spans that lie in them in part included.
    pub fn rows(&self, since: u64, until: u64) -> Result<Part, DiskError> {
        let (start, known, tens, whole, open) = self.with(|state| {
            let open = (until > state.start).then(|| state.open.clone());
            let tens = state.tens.clone();
            (state.start, state.since, tens, state.whole(), open)
        });
        let spans = Spans {
            disk: &self.disk,
            tens: &tens,
            whole,
        };
        let mut sum = open.unwrap_or_default();
        let mut at = Level::Ten.start(since.max(known));
        let until = until.min(start);
        while at < until {
            at = spans.step(at, until, &mut sum)?;
        }
        let mut window = sum.into_window();
        self.with(|state| {
            for row in &mut window.rows {
                let edge = state.edges.get(row.number as usize);
                row.edge = edge.map(|edge| Edge::clone(edge));
            }
        });
        Ok(Part {
            seen: seen(&window.rows),
            rows: window.rows,
            lost: window.lost,
            known_since_ns: known.saturating_mul(1_000_000_000),
            ..Part::default()
        })
    }
}

impl State {
    /// From when memory has all spans of ten seconds.
    fn whole(&self) -> u64 {
        let kept = self.start.saturating_sub(Level::Hour.seconds());
        self.tens_since.max(kept)
    }

    fn number(&mut self, edge: EdgeKey<'_>) -> u32 {
        if let Some(number) = self.find(&edge) {
            return number;
        }
        if self.edges.len() < EDGES {
            return self.add(edge.into_edge());
        }
        let other = other();
        let known = self.find(&EdgeKey::from(&other));
        known.unwrap_or_else(|| self.add(other))
    }

    fn find(&self, edge: &EdgeKey<'_>) -> Option<u32> {
        let hash = self.hasher.hash_one(edge);
        let is_it = |number: &u32| {
            let known = self.edges.get(*number as usize);
            known.is_some_and(|known| EdgeKey::from(&**known) == *edge)
        };
        self.numbers.find(hash, is_it).copied()
    }

    fn add(&mut self, edge: Edge) -> u32 {
        let number = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        let (hasher, edges) = (&self.hasher, &mut self.edges);
        let hash = hasher.hash_one(EdgeKey::from(&edge));
        edges.push(Arc::new(edge));
        self.numbers.insert_unique(hash, number, |number| {
            let known = edges.get(*number as usize);
            known.map_or(0, |known| hasher.hash_one(EdgeKey::from(&**known)))
        });
        number
    }

    fn is_from_outside(&self, number: u32) -> bool {
        let edge = self.edges.get(number as usize);
        edge.and_then(|edge| edge.source.as_ref())
            .is_some_and(is_outside)
    }

    /// Closes the open span if it is over; the minute that ends with it.
    fn close(&mut self, now: u64) -> Option<Minute> {
        let start = Level::Ten.start(now);
        if start == self.start {
            return None;
        }
        let closed = std::mem::replace(&mut self.start, start);
        let window = std::mem::take(&mut self.open).into_window();
        if window != Window::default() {
            self.tens.push_back((closed, window.encode_to_vec().into()));
        }
        let is_old = |(of, _): &Ten| *of + Level::Hour.seconds() < now;
        while self.tens.len() > TENS || self.tens.front().is_some_and(is_old) {
            self.tens.pop_front();
        }
        let minute = Level::Minute.start(closed);
        (Level::Minute.start(start) != minute).then(|| self.minute(minute))
    }

    /// A minute out of its spans of ten seconds.
    fn minute(&self, start: u64) -> Minute {
        let tens = self.tens.iter();
        let inside = tens.filter(|(of, _)| Level::Minute.start(*of) == start);
        let mut sum = Open::default();
        for (_, encoded) in inside {
            sum.add(Window::decode(&**encoded).unwrap_or_default());
        }
        let new = self.edges.get(self.saved..).unwrap_or_default();
        Minute {
            start,
            window: sum.into_window(),
            edges: (self.saved, new.to_vec()),
        }
    }
}

/// Closed spans, in memory and on disk.
struct Spans<'a> {
    disk: &'a Disk,
    tens: &'a VecDeque<Ten>,
    /// From when memory has all spans of ten seconds.
    whole: u64,
}

impl Spans<'_> {
    /// Adds the largest span that begins at `at` and ends before `until`; the time at which it ends.
    fn step(&self, at: u64, until: u64, sum: &mut Open) -> Result<u64, DiskError> {
        for level in [Level::Hour, Level::TenMinutes, Level::Minute] {
            let end = at + level.seconds();
            let is_whole = level.start(at) == at && end <= until;
            // The newest may be in memory in finer spans alone.
            if is_whole && let Some(window) = self.disk.read(level, at)? {
                sum.add(window);
                return Ok(end);
            }
        }
        let tens = self.tens.binary_search_by_key(&at, |(of, _)| *of);
        if let Some((_, encoded)) = tens.ok().and_then(|found| self.tens.get(found)) {
            sum.add(Window::decode(&**encoded).unwrap_or_default());
            return Ok(at + Level::Ten.seconds());
        }
        // Older than what memory has in tens: the minute in which it lies, whole.
        let minute = Level::Minute.start(at);
        if at < self.whole
            && let Some(window) = self.disk.read(Level::Minute, minute)?
        {
            sum.add(window);
            return Ok(minute + Level::Minute.seconds());
        }
        if at < self.whole {
            // Nothing was counted: where a node was idle for weeks, nobody looks for tens of seconds.
            return Ok((minute + Level::Minute.seconds()).min(self.whole));
        }
        Ok(at + Level::Ten.seconds())
    }
}

/// Records that rows are made of: how a connection began, what came of it, and what was said on it.
fn seen(rows: &[Row]) -> u64 {
    rows.iter().fold(0, |sum: u64, row| {
        let of = row.counters.unwrap_or_default();
        let fates = of.answered.saturating_add(of.unanswered);
        let of_connections = attempts(&of).saturating_add(fates);
        sum.saturating_add(of_connections).saturating_add(said(row))
    })
}

/// Requests, questions and handshakes.
fn said(row: &Row) -> u64 {
    let http = row.http.iter().map(|of| of.requests);
    let dns = row.dns.iter().map(|of| of.questions);
    let kafka = row
        .kafka
        .iter()
        .flat_map(|of| [of.produces, of.fetches, of.others]);
    let tls = row.tls.iter().map(|of| of.handshakes);
    let all = http.chain(dns).chain(kafka).chain(tls);
    all.fold(0, u64::saturating_add)
}

/// Attempts that were made, those included that a policy did not let out.
pub fn attempts(counters: &Counters) -> u64 {
    counters.opened.saturating_add(counters.denied)
}

/// Attempts that came to nothing. A reset after both sides spoke may end what was well, and is none.
pub fn failed(counters: &Counters) -> u64 {
    let unanswered = counters.unanswered.saturating_sub(counters.late);
    counters
        .refused
        .saturating_add(counters.cut)
        .saturating_add(unanswered)
        .saturating_add(counters.denied)
}

/// Whether it is outside of the cluster.
pub(crate) fn is_outside(party: &Party) -> bool {
    match party.kind() {
        PartyKind::Entity => party.name == "world",
        PartyKind::DnsName => true,
        PartyKind::Workload | PartyKind::Address => false,
    }
}

/// The edge of all that are too many to be told apart.
fn other() -> Edge {
    let party = Party {
        name: "other".into(),
        kind: PartyKind::Entity.into(),
        ..Party::default()
    };
    Edge {
        source: Some(party.clone()),
        destination: Some(party),
        ..Edge::default()
    }
}

/// Adds up rows of the same edge, of several nodes.
pub(crate) fn by_edge(parts: impl IntoIterator<Item = Row>) -> HashMap<Edge, Row> {
    let mut sum: HashMap<Edge, Row> = HashMap::new();
    for mut row in parts {
        let edge = row.edge.clone().unwrap_or_default();
        if let Some(into) = sum.get_mut(&edge) {
            merge(into, row);
        } else {
            row.number = 0;
            sum.insert(edge, row);
        }
    }
    sum
}

#[cfg(test)]
mod tests;
