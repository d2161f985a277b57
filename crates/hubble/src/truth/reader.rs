//! Takes what the kernel gives on the way on which an agent does: events, entries and samples come in, counts and records come of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use datapath::abi::sample::{Sample, marks};
use l7::record::Record;
use l7::track::Tracker;

use super::{Step, Town};
use crate::history::{History, Place};
use crate::intake::{Intake, LossSource};
use crate::recorder::Recorder;
use crate::records::decode::{Clock, decode};
use crate::records::{Party, protocol};
use crate::ring::{Capacity, Ring};
use crate::rollup::Rollup;
use crate::spoken::Spoken;
use crate::spoken::heard::{self, Heard};

/// Flows in the ring.
const RING: u64 = 4095;

/// Something that was said, by the client's address and port.
pub type Spoke = (Party, Record);

/// A node's user space without a node.
pub struct Reader {
    intake: Intake,
    recorder: Arc<Recorder>,
    history: Option<Arc<History>>,
    tracker: Tracker<Heard>,
    records: Vec<(Heard, Record)>,
    clock: Clock,
    lost: u64,
}

impl Reader {
    /// Begins at `now_ns`, monotonic nanoseconds, which is `wall` seconds after the Unix epoch. Counts and records are kept in the
    /// directory, if there is one, with so many bytes of records.
    pub fn new(directory: Option<(&Path, u64)>, now_ns: u64, wall: u64) -> io::Result<Self> {
        let rollup =
            Rollup::open(directory.map(|(path, _)| path), wall).map_err(io::Error::other)?;
        let recorder = Arc::new(Recorder::new(rollup, now_ns));
        let capacity = Capacity::new(RING).map_err(io::Error::other)?;
        let mut intake = Intake::new(Arc::new(Ring::new(capacity)), Arc::new(Town::default()))
            .counted_by(Arc::clone(&recorder));
        let mut history = None;
        if let Some((directory, bytes)) = directory {
            let directory = directory.join("records");
            let kept = Arc::new(History::open(Place { directory, bytes })?);
            intake = intake.kept_by(Arc::clone(&kept));
            history = Some(kept);
        }
        Ok(Self {
            intake,
            recorder,
            history,
            tracker: Tracker::default(),
            records: Vec::new(),
            clock: Clock::new(now_ns, UNIX_EPOCH + Duration::from_secs(wall)),
            lost: 0,
        })
    }

    /// Where everything comes in.
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Who counts.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Who keeps records, where a directory was given.
    pub fn history(&self) -> Option<&Arc<History>> {
        self.history.as_ref()
    }

    /// What was counted of samples.
    pub fn totals(&self) -> &l7::track::Totals {
        self.tracker.totals()
    }

    /// The wall clock at a moment, nanoseconds since the Unix epoch.
    pub fn wall_ns(&self, at_ns: u64) -> u64 {
        self.clock.wall_ns(at_ns)
    }

    /// Something found no room in its ring: a sample, or an event.
    pub fn loses(&mut self, is_sample: bool) {
        if is_sample {
            self.lost += 1;
        } else {
            self.intake.lost(LossSource::KernelRing, 1);
        }
    }

    /// Takes what came at a moment, monotonic nanoseconds; what was said is given to `each` before it is handed on.
    pub fn take(&mut self, at_ns: u64, step: &Step, mut each: impl FnMut(&Spoke)) {
        match step {
            Step::Event(event, _) => {
                if let Some(record) = decode(event, self.clock) {
                    self.intake.record(record);
                }
            }
            Step::Entry(key, connection, entry, record) => {
                let change = self.recorder.look(key, connection, at_ns, *entry);
                let mut record = **record;
                record.time_ns = self.clock.wall_ns(at_ns);
                if let Some(change) = change {
                    self.intake.changed(record, change);
                }
            }
            Step::Sample(sample, octets) => self.sample(sample, octets),
            Step::Lost => self.lost += 1,
            Step::Second => self.second(at_ns),
        }
        for (connection, record) in self.records.drain(..) {
            let spoke = (connection.ends.client, record);
            each(&spoke);
            self.intake.spoken(Spoken {
                ends: connection.ends,
                record: spoke.1,
                made_ns: at_ns,
                clock: self.clock,
            });
        }
    }

    fn second(&mut self, at_ns: u64) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.tracker.lost();
            self.intake.lost_samples(lost);
        }
        self.tracker.tick(at_ns, &mut self.records);
        let seconds = self.clock.wall_ns(at_ns) / 1_000_000_000;
        if let Err(error) = self.recorder.rollup().tick(seconds) {
            tracing::warn!(%error, "counts are not written");
        }
    }

    fn sample(&mut self, sample: &Sample, octets: &[u8]) {
        let (connection, direction) = (Heard::of(sample), heard::direction(sample));
        let out = &mut self.records;
        if sample.marks & marks::CLOSED != 0 {
            self.tracker.closed(connection, Some(sample.ends), out);
        } else if sample.key.protocol == protocol::TCP {
            let segment = heard::segment(sample, octets);
            let origin = connection.origin(sample);
            self.tracker
                .segment(connection, origin, direction, segment, out);
        } else {
            self.tracker.datagram(
                connection,
                connection.pod(),
                direction,
                octets,
                sample.time_ns,
                out,
            );
        }
    }
}
