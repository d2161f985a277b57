//! From the data plane's ring of samples to the parsers, and what comes of it: records for the flow server, and for the kernel
//! how it goes on with each connection (docs/decisions/0017).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datapath::abi::connection::ConnectionKey;
use datapath::abi::sample::{Sample, marks, mode};
use datapath::wire::tcp::flags::{ACK, SYN};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use hubble::intake::Intake;
use hubble::metrics::Captured;
use hubble::records::protocol;
use hubble::spoken::heard::{self, Heard};
use hubble::spoken::{Ends, Spoken};
use kernel::map::{Map, MapError};
use kernel::samples::Samples;
use l7::record::Record;
use l7::track::{Tracker, Want};
use tokio_util::sync::CancellationToken;

use super::topics::Topics;
use super::{HeardUpTo, NamesNow, clock_now, monotonic_ns};

/// The programs wake nobody. At this pace a ring of 4 MiB overflows above 250,000 samples of 512 octets a second.
const READ_EVERY: Duration = Duration::from_millis(25);
/// Samples read before what came of them is handed on.
const BATCH: usize = 4096;
/// What time alone brings is looked for this often.
const TICK_NS: u64 = 1_000_000_000;

/// Says whether nobody may look at what the pod with this address says.
type IsPrivate = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The parsers, and what came of a batch of samples.
struct Listener {
    is_private: IsPrivate,
    tracker: Tracker<Heard>,
    records: Vec<(Heard, Record)>,
    /// What the kernel is to be told about connections.
    telling: HashMap<ConnectionKey, Telling>,
    /// What the kernel was told about connections that are over.
    over: Vec<ConnectionKey>,
}

/// How the kernel is to go on with a connection.
struct Telling {
    mode: u8,
    /// It may have been told something about this connection before.
    again: bool,
}

/// Reads the ring until `stop`, on its thread, as [`super::follow_ring`] does.
pub fn follow_samples(
    mut samples: Samples,
    followed: &Map<ConnectionKey, u32>,
    intake: &Intake,
    names: Arc<NamesNow>,
    heard: &HeardUpTo,
    mut topics: Topics,
    stop: &CancellationToken,
) {
    // What an agent before this one said was of connections that may be others by now.
    let forgotten = followed.dump().and_then(|told| {
        let keys: Vec<_> = told.into_iter().map(|(key, _)| key).collect();
        followed.remove_all(&keys)
    });
    if let Err(error) = forgotten {
        tracing::warn!(%error, "what was said about connections is not forgotten");
    }
    let mut listener = Listener::new(Box::new(move |address| names.is_private(address)));
    topics.teach(listener.tracker.topics());
    let (mut lost, mut ticked_ns) = (0, monotonic_ns());
    loop {
        let mut left = BATCH;
        while left > 0
            && samples
                .next(|sample, octets| listener.take(sample, octets))
                .is_some()
        {
            left -= 1;
        }
        listener.hand_on(followed, intake);
        heard.store(samples.position(), Ordering::Release);
        if stop.is_cancelled() {
            return;
        }
        if left == 0 {
            // What waits for an answer may have it in what waits in the ring.
            continue;
        }
        let now_ns = monotonic_ns();
        if now_ns.saturating_sub(ticked_ns) >= TICK_NS {
            ticked_ns = now_ns;
            match samples.lost() {
                Ok(more) => {
                    lost += more;
                    listener.lost(more, intake);
                }
                Err(error) => tracing::warn!(%error, "lost samples cannot be counted"),
            }
            listener.tracker.tick(now_ns, &mut listener.records);
            listener.hand_on(followed, intake);
            topics.tell(listener.tracker.topics());
            intake.metrics().captured(Captured {
                lost: lost + samples.malformed(),
                totals: listener.tracker.totals().clone(),
            });
        }
        std::thread::sleep(READ_EVERY);
    }
}

impl Listener {
    fn new(is_private: IsPrivate) -> Self {
        Self {
            is_private,
            tracker: Tracker::default(),
            records: Vec::new(),
            telling: HashMap::new(),
            over: Vec::new(),
        }
    }

    fn take(&mut self, sample: &Sample, octets: &[u8]) {
        let (connection, direction) = (Heard::of(sample), heard::direction(sample));
        if sample.marks & marks::CLOSED != 0 {
            self.forget(connection);
            self.tracker
                .closed(connection, Some(sample.ends), &mut self.records);
            return;
        }
        let is_tcp = sample.key.protocol == protocol::TCP;
        let Ends { client, server, .. } = &connection.ends;
        let before = self.tracker.wants(connection);
        let is_new = before.is_none();
        if is_new && ((self.is_private)(client.address) || (self.is_private)(server.address)) {
            if is_tcp {
                self.say(sample, mode::OPAQUE, true);
            }
            return;
        }
        if !is_tcp {
            self.tracker.datagram(
                connection,
                connection.pod(),
                direction,
                octets,
                sample.time_ns,
                &mut self.records,
            );
            return;
        }
        let syn = sample.tcp_flags & SYN != 0;
        if syn && sample.tcp_flags & ACK == 0 && !is_new {
            // The same ports again, or the same SYN, about which nothing was said yet.
            self.forget(connection);
        }
        let wanted = self.tracker.segment(
            connection,
            connection.origin(sample),
            direction,
            heard::segment(sample, octets),
            &mut self.records,
        );
        // Of one that there is no room for nobody remembers what was said.
        let again = before.map_or(wanted == Want::Nothing, |before| before != Want::Beginning);
        self.say(sample, mode_of(wanted), again);
    }

    /// Tells the kernel how to go on, unless it does so; `again` if it may have been told something before.
    fn say(&mut self, sample: &Sample, mode: u8, again: bool) {
        if mode == mode::UNDECIDED || mode == sample.mode {
            return;
        }
        match self.telling.entry(sample.key) {
            Entry::Occupied(telling) => telling.into_mut().mode = mode,
            Entry::Vacant(room) => {
                room.insert(Telling { mode, again });
            }
        }
    }

    /// The connection is over: what was said of it is not to be found by the next one with its ports. Of one that was over before
    /// anything was said of it the kernel knows nothing.
    fn forget(&mut self, connection: Heard) {
        let was_told = match self.telling.remove(&connection.key) {
            Some(telling) => telling.again,
            None => self.tracker.wants(connection) != Some(Want::Beginning),
        };
        if was_told {
            self.over.push(connection.key);
        }
    }

    /// So many samples found no room. Before time-outs are told: what waits for an answer may have had one.
    fn lost(&mut self, samples: u64, intake: &Intake) {
        if samples > 0 {
            self.tracker.lost();
            intake.lost_samples(samples);
        }
    }

    /// Tells the kernel how it goes on, and the flow server what was said.
    fn hand_on(&mut self, followed: &Map<ConnectionKey, u32>, intake: &Intake) {
        if let Err(error) = self.tell(followed) {
            tracing::warn!(%error, "the kernel is not told what to sample");
        }
        let (clock, made_ns) = (clock_now(), monotonic_ns());
        for (connection, record) in self.records.drain(..) {
            intake.spoken(Spoken {
                ends: connection.ends,
                record,
                made_ns,
                clock,
            });
        }
    }

    fn tell(&mut self, followed: &Map<ConnectionKey, u32>) -> Result<(), MapError> {
        followed.remove_all(&std::mem::take(&mut self.over))?;
        // Not drained: the room that many took once would be walked each time.
        let telling = std::mem::take(&mut self.telling).into_iter();
        let modes: Vec<_> = telling.map(|(key, of)| (key, of.mode.into())).collect();
        followed.set_all(&modes)
    }
}

/// How the kernel is to go on.
const fn mode_of(want: Want) -> u8 {
    match want {
        Want::Beginning => mode::UNDECIDED,
        Want::Nothing => mode::OPAQUE,
        Want::Heads => mode::HEADS,
        Want::Frames => mode::FRAMES,
    }
}

#[cfg(test)]
mod tests;
