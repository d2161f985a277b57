//! From the data plane's ring and its closed connections to the flow server, with names as of that moment.

pub mod doings;
mod gone;
mod names;
mod samples;
pub mod topics;
mod waiting;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use datapath::abi::connection::{Connection, ConnectionKey, Decision, flags, kind};
use datapath::abi::endpoint::{Hop, hop_kind};
use datapath::abi::event::{self, Event};
use datapath::wire::tcp::flags::RST;
use hashbrown::HashMap;
use hubble::connections::Entry;
use hubble::intake::{Intake, LossSource};
use hubble::records::decode::{Clock, decode, has_ports, initiator_first, point};
use hubble::records::{Party, Record, Way, What, protocol};
use kernel::collector::{Acceptance, Collector, Ended, Watcher};
use kernel::events::Events;
use kernel::map::{Map, MapError};
use tokio_util::sync::CancellationToken;

pub use gone::forget_pods;
pub use names::NamesNow;
pub use samples::follow_samples;
pub use waiting::{HeardUpTo, Unheard};
use waiting::{Waiting, positions};

use crate::metrics::{Metrics, Outcome, Walk};

/// Events taken from the ring at once, and so many times before it is looked at what is due.
const BATCH: usize = 4096;
const BATCHES: usize = 4;
/// The programs wake nobody, because that costs more than the event: the ring is read on a timer. At this pace a ring of
/// 1 MiB overflows above 200,000 events a second, and what overflows is counted.
const READ_EVERY: Duration = Duration::from_millis(25);
/// What found no room in the ring is counted with every so many of these reads.
const COUNT_EVERY: u32 = 20;
/// Entries of the table of answered connections looked at each time; all of them about every ten seconds.
const SLICE: u32 = 8192;

/// Reads the ring until `stop`. A connection that its ends close is looked at while its entry is there: its ports may be used
/// for another one soon. One that was closed in good order is looked at with the events that are read next, when its last
/// acknowledgement has come. What is read waits until the samples of before are heard; `unheard` is none where nobody hears them.
///
/// It sleeps on its thread: a runtime that is woken so often for nothing wakes others of its threads in turn.
pub fn follow_ring(
    mut events: Events,
    maps: &kernel::Maps,
    unheard: Option<&Unheard>,
    intake: &Intake,
    stop: &CancellationToken,
) {
    let mut waiting = Waiting::default();
    let mut closing = Vec::new();
    let mut rounds = 0_u32;
    loop {
        std::thread::sleep(READ_EVERY);
        let is_over = stop.is_cancelled();
        for _ in 0..BATCHES {
            let mut batch = waiting.room();
            let read = events.read(BATCH, &mut batch);
            waiting.push(monotonic_ns(), positions(unheard), batch);
            if read == 0 {
                break;
            }
        }
        let clock = clock_now();
        let now_ns = if is_over { u64::MAX } else { monotonic_ns() };
        let mut watch = Watch::new(&maps.hops, intake);
        for event in closing.drain(..) {
            watch.closing(&event, maps);
        }
        while let Some(batch) = waiting.due(now_ns, positions(unheard)) {
            for event in &batch {
                if let Some(record) = decode(event, clock) {
                    intake.record(record);
                } else if event.kind == event::kind::CLOSING {
                    if is_over || event.tcp_flags & RST != 0 {
                        watch.closing(event, maps);
                    } else {
                        closing.push(*event);
                    }
                }
            }
            waiting.leave(batch);
        }
        rounds = rounds.wrapping_add(1);
        if is_over || rounds.is_multiple_of(COUNT_EVERY) {
            match events.lost() {
                Ok(lost) => intake.lost(LossSource::KernelRing, lost),
                Err(error) => tracing::warn!(%error, "lost events cannot be counted"),
            }
        }
        if is_over {
            return;
        }
    }
}

/// Sweeps connections until `stop`; each that ends becomes a record before its entry goes.
pub async fn collect(
    mut collector: Collector,
    hops: Map<u32, Hop>,
    intake: Option<Arc<Intake>>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let (mut walk, mut took, mut passed) = (Walk::default(), Duration::ZERO, Instant::now());
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let mut silent = |_: &Ended| Acceptance::Accepted;
        let mut watch = intake.as_deref().map(|intake| Watch::new(&hops, intake));
        let watcher: &mut dyn Watcher = match &mut watch {
            Some(watch) => watch,
            None => &mut silent,
        };
        let slices = (collector.occupancy() as u32 / SLICE / 10).max(1);
        let begun = Instant::now();
        let result = collector.sweep_openings(watcher).and_then(|openings| {
            let mut ended = false;
            for _ in 0..slices {
                let swept = collector.sweep_connections(SLICE, watcher)?;
                walk.note(&swept);
                ended |= swept.pass_ended;
            }
            Ok((openings, ended))
        });
        took += begun.elapsed();
        match result {
            Ok((openings, ended)) => {
                metrics.holds(collector.occupancy(), openings.seen);
                if ended {
                    walk.note(&openings);
                    walk.every = std::mem::replace(&mut passed, Instant::now()).elapsed();
                    let whole = (std::mem::take(&mut walk), std::mem::take(&mut took));
                    metrics.swept(Outcome::Success, &whole.0, whole.1);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "connections are not swept, trying again");
                let failed = (std::mem::take(&mut walk), std::mem::take(&mut took));
                metrics.swept(Outcome::Failure, &failed.0, failed.1);
            }
        }
    }
}

/// Who tells the flow server of connections, for a moment.
struct Watch<'a> {
    hops: &'a Map<u32, Hop>,
    /// Kinds of those that were asked for: nearly all connections of a moment lead to the same few.
    kinds: HashMap<u32, u8>,
    intake: &'a Intake,
}

impl Watcher for Watch<'_> {
    fn alive(&mut self, key: &ConnectionKey, connection: &Connection) {
        self.look(key, connection, Entry::Stays);
    }

    fn ended(&mut self, ended: &Ended) -> Acceptance {
        self.look(&ended.key, &ended.connection, Entry::Goes);
        Acceptance::Accepted
    }
}

impl<'a> Watch<'a> {
    fn new(hops: &'a Map<u32, Hop>, intake: &'a Intake) -> Self {
        Self {
            hops,
            kinds: HashMap::new(),
            intake,
        }
    }

    /// Tells what is new of a connection.
    fn look(&mut self, key: &ConnectionKey, connection: &Connection, entry: Entry) {
        let recorder = self.intake.recorder();
        let change = recorder.and_then(|of| of.look(key, connection, monotonic_ns(), entry));
        if let Some(change) = change
            && let Some(record) = self.record(key, connection)
        {
            self.intake.changed(record, change);
        }
    }

    fn record(&mut self, key: &ConnectionKey, connection: &Connection) -> Option<Record> {
        let (hops, decision) = (self.hops, connection.forward);
        let kind = self.kinds.entry(decision.hop());
        let kind = kind.or_insert_with(|| kind_of_hop(hops, decision));
        closed(key, connection, *kind)
    }

    /// Looks at the connection of a segment that closes it.
    fn closing(&mut self, event: &Event, maps: &kernel::Maps) {
        match entry_of(event, maps) {
            Ok(Some((key, connection))) => self.look(&key, &connection, Entry::Closes),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a connection that closes is not found"),
        }
    }
}

/// The entry of a packet's tuple, or of that which its tuple stands for.
fn entry_of(
    event: &Event,
    maps: &kernel::Maps,
) -> Result<Option<(ConnectionKey, Connection)>, MapError> {
    let family = if event.source.is_v4() { 0 } else { kind::V6 };
    let key = |kind| {
        let source = (&event.source, event.source_port);
        let destination = (&event.destination, event.destination_port);
        ConnectionKey::of(source, destination, event.protocol, kind).0
    };
    let find = |key: ConnectionKey| {
        let found = match maps.connections.get(&key)? {
            Some(found) => Some(found),
            None => maps.openings.get(&key)?,
        };
        Ok(found.map(|connection| (key, connection)))
    };
    match find(key(family))? {
        Some(found) => Ok(Some(found)),
        None => match maps.aliases.get(&key(family | kind::ALIAS))? {
            Some(alias) => find(alias.primary),
            None => Ok(None),
        },
    }
}

/// The kind of the hop that a decision leads to; none when the hop is another one by now.
fn kind_of_hop(hops: &Map<u32, Hop>, decision: Decision) -> u8 {
    let (index, incarnation) = (decision.hop() & 0xffff, decision.hop() >> 16);
    match hops.get(&index) {
        Ok(Some(hop)) if u32::from(hop.incarnation) == incarnation => hop.kind,
        Ok(_) => hop_kind::NONE,
        Err(error) => {
            tracing::debug!(%error, "where a connection led to is not known");
            hop_kind::NONE
        }
    }
}

/// The record of a connection that ended, whose packets were sent to a hop of this kind.
fn closed(key: &ConnectionKey, connection: &Connection, hop_kind: u8) -> Option<Record> {
    let (from, to) = initiator_first(key, connection.flags);
    let has = |flag| connection.flags & flag != 0;
    let reached = has(flags::DESTINATION_NAT)
        .then(|| (IpAddr::from(connection.to), connection.to_port))
        .map_or(to, |(address, port)| (address, u16::from_be(port)));
    let has_ports = has_ports(connection.protocol);
    let party = |(address, port): (IpAddr, u16), identity, endpoint| Party {
        address,
        port: if has_ports { port } else { 0 },
        identity,
        endpoint,
    };
    let time_ns = SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?
        .as_nanos();
    let destination = party(
        reached,
        connection.destination_identity,
        connection.destination_endpoint,
    );
    Some(Record {
        time_ns: u64::try_from(time_ns).ok()?,
        source: party(from, connection.source_identity, connection.source_endpoint),
        destination,
        asked: has(flags::DESTINATION_NAT).then(|| SocketAddr::new(to.0, to.1)),
        translated_source: has(flags::SOURCE_NAT).then(|| IpAddr::from(connection.from)),
        protocol: connection.protocol,
        tcp_flags_or_icmp_type: flags_or_type(connection),
        icmp_code: 0,
        interface: connection.ifindex,
        macs: None,
        what: What::Closed {
            point: point(hop_kind, connection.hook, &destination),
            // Told from the initiator to the responder, like its entry.
            way: Way::Forward,
        },
    })
}

/// All TCP flags that were seen; of ICMP the type that began it, which is an echo request for every entry.
fn flags_or_type(connection: &Connection) -> u8 {
    match connection.protocol {
        protocol::ICMP => datapath::wire::icmp::v4::ECHO_REQUEST,
        protocol::ICMPV6 => datapath::wire::icmp::v6::ECHO_REQUEST,
        _ => (connection.sent.tcp_flags | connection.received.tcp_flags) as u8,
    }
}

/// The kernel's monotonic clock beside the wall clock, now.
fn clock_now() -> Clock {
    Clock::new(monotonic_ns(), SystemTime::now())
}

/// The kernel's monotonic clock, now.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests;
