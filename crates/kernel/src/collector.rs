//! Takes ended and idle connections out of the tables, each only after its last record was accepted.
//!
//! Openings are walked every second, connections in slices so that a pass takes about ten; both by batch calls. A pass
//! also promotes one-way traffic that goes on, drops the oldest idle entries above 80 % occupancy, and removes aliases
//! whose primary is gone.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use datapath::abi::connection::{Connection, ConnectionKey, flags, kind};

use crate::clock::Clock;
use crate::map::{Map, MapError, Presence, Sweep};
use crate::maps::Maps;

/// How long entries live after the last packet (defaults of upstream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// TCP after the first answer.
    pub tcp: Duration,
    /// TCP before it.
    pub tcp_opening: Duration,
    /// TCP after FIN from both ends, or RST.
    pub tcp_closing: Duration,
    /// Everything else.
    pub other: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            tcp: Duration::from_secs(8000),
            tcp_opening: Duration::from_mins(1),
            tcp_closing: Duration::from_secs(10),
            other: Duration::from_mins(1),
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// FIN from both ends.
    Closed,
    /// RST from either.
    Reset,
    /// Nothing seen for its life time.
    Idle,
    /// No answer within the life time of an opening.
    Unanswered,
    /// The table was too full: among the longest idle.
    Pressure,
}

/// A connection at its end, with its final counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// Key of the primary.
    pub key: ConnectionKey,
    /// Its value, read immediately before removal.
    pub connection: Connection,
    /// Why.
    pub end: End,
}

/// Whether the record of an ended connection is safe with its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Yes: the entry may go.
    Accepted,
    /// No: keep the entry and offer it again at the next pass.
    Refused,
}

/// Who is shown the connections of a sweep.
pub trait Watcher {
    /// One that stays.
    fn alive(&mut self, _key: &ConnectionKey, _connection: &Connection) {}
    /// One that is about to go.
    fn ended(&mut self, ended: &Ended) -> Acceptance;
}

impl<F: FnMut(&Ended) -> Acceptance> Watcher for F {
    fn ended(&mut self, ended: &Ended) -> Acceptance {
        self(ended)
    }
}

/// Entries by family and protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([[usize; 2]; 2]);

impl Kinds {
    fn add(&mut self, key: &ConnectionKey, connection: &Connection) {
        let v6 = usize::from(std::net::IpAddr::from(key.low).is_ipv6());
        let tcp = usize::from(connection.protocol == TCP);
        if let Some(count) = self.0.get_mut(v6).and_then(|of| of.get_mut(tcp)) {
            *count += 1;
        }
    }

    /// Adds what another call found.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }

    /// Family, whether it is TCP, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, bool, usize)> {
        let families = ["ipv4", "ipv6"].into_iter().zip(self.0);
        families.flat_map(|(family, of)| {
            let kinds = [false, true].into_iter().zip(of);
            kinds.map(move |(tcp, count)| (family, tcp, count))
        })
    }
}

/// What one call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that stay, by kind.
    pub alive: Kinds,
    /// Entries removed, by kind.
    pub deleted: Kinds,
    /// Entries looked at.
    pub seen: usize,
    /// Entries removed after their record was accepted.
    pub removed: usize,
    /// Entries that stay because their record was refused.
    pub refused: usize,
    /// One-way flows moved to `connections`.
    pub promoted: usize,
    /// Aliases without a primary removed.
    pub aliases: usize,
    /// Whether a pass over all entries ended with this call.
    pub pass_ended: bool,
}

/// Entries that the kernel is asked for at once: their room is used again for the next.
const SLICE: u32 = 1024;
/// Entries of one endpoint that may be promoted without ever being answered.
const ONE_WAY_QUOTA: usize = 256;
/// Packets and seconds after which a one-way flow counts as lasting.
const ONE_WAY_PACKETS: u64 = 8;
const ONE_WAY_SECONDS: u64 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u32 = 1;
const RST: u32 = 4;

/// The sweeps of one node.
#[derive(Debug)]
pub struct Collector {
    maps: Maps,
    clock: Clock,
    lifetimes: Lifetimes,
    /// Entries of `connections` above which the oldest go.
    target: usize,
    connections: Pass,
    aliases: Option<Sweep<ConnectionKey, datapath::abi::connection::Alias>>,
    /// Aliases found without a primary in the last pass; a new one's primary may still be on its way.
    orphans: HashSet<ConnectionKey>,
    suspects: HashSet<ConnectionKey>,
}

#[derive(Debug, Default)]
struct Pass {
    sweep: Option<Sweep<ConnectionKey, Connection>>,
    seen: usize,
    seen_before: usize,
    /// Idle entries by their last packet, kept only while the table is too full.
    idle: Vec<(u64, ConnectionKey)>,
}

impl Collector {
    /// `capacity` is that of `connections`.
    pub fn new(maps: Maps, clock: Clock, lifetimes: Lifetimes, capacity: u32) -> Self {
        Self {
            maps,
            clock,
            lifetimes,
            target: capacity as usize / 5 * 4,
            connections: Pass::default(),
            aliases: None,
            orphans: HashSet::new(),
            suspects: HashSet::new(),
        }
    }

    /// The clock that entries are stamped with.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Entries seen in the last complete pass over `connections`.
    pub fn occupancy(&self) -> usize {
        self.connections.seen_before
    }

    /// Walks all of `openings`; call every second.
    pub fn sweep_openings(&mut self, watcher: &mut dyn Watcher) -> Result<Swept, CollectError> {
        let now = self.clock.now()?;
        let mut swept = Swept {
            pass_ended: true,
            ..Swept::default()
        };
        let mut one_way: BTreeMap<u16, usize> = BTreeMap::new();
        for (key, connection) in self.maps.openings.dump()? {
            swept.seen += 1;
            let end = self.end_of_opening(&connection, now);
            if end.is_none() {
                watcher.alive(&key, &connection);
            }
            if let Some(end) = end {
                self.finish(&self.maps.openings, key, end, now, watcher, &mut swept)?;
            } else if self.lasts(&connection, now) {
                let quota = one_way.entry(connection.source_endpoint).or_default();
                if *quota < ONE_WAY_QUOTA {
                    *quota += 1;
                    self.promote(&key)?;
                    swept.promoted += 1;
                }
            } else {
                swept.alive.add(&key, &connection);
            }
        }
        Ok(swept)
    }

    /// Walks about `count` entries of `connections` and of `aliases`; call so often that a pass takes ten seconds.
    pub fn sweep_connections(
        &mut self,
        count: u32,
        watcher: &mut dyn Watcher,
    ) -> Result<Swept, CollectError> {
        let now = self.clock.now()?;
        let mut swept = Swept::default();
        let mut sweep = self
            .connections
            .sweep
            .take()
            .unwrap_or_else(|| self.maps.connections.sweep());
        let mut has_begun = false;
        while let Some(entries) = sweep.next_slice(SLICE)? {
            has_begun = true;
            for (key, connection) in entries {
                swept.seen += 1;
                if let Some(end) = end(&connection, now, &self.clock, &self.lifetimes) {
                    self.finish(&self.maps.connections, key, end, now, watcher, &mut swept)?;
                } else {
                    self.stays(key, &connection, watcher, &mut swept);
                }
            }
            if swept.seen >= count as usize {
                break;
            }
        }
        if has_begun {
            self.connections.sweep = Some(sweep);
        } else {
            self.relieve(now, watcher, &mut swept)?;
            self.connections.seen_before = std::mem::take(&mut self.connections.seen);
            swept.pass_ended = true;
        }
        self.sweep_aliases(count, &mut swept)?;
        Ok(swept)
    }

    /// Shows an entry that has not ended, and counts it.
    fn stays(
        &mut self,
        key: ConnectionKey,
        connection: &Connection,
        watcher: &mut dyn Watcher,
        swept: &mut Swept,
    ) {
        watcher.alive(&key, connection);
        swept.alive.add(&key, connection);
        self.connections.seen += 1;
        if self.connections.seen_before > self.target {
            self.connections.idle.push((last_seen(connection), key));
        }
    }

    /// Drops the longest idle entries until the table is at its target.
    fn relieve(
        &mut self,
        now: u64,
        watcher: &mut dyn Watcher,
        swept: &mut Swept,
    ) -> Result<(), CollectError> {
        let mut idle = std::mem::take(&mut self.connections.idle);
        let excess = idle.len().saturating_sub(self.target);
        idle.sort_unstable_by_key(|(last, _)| *last);
        for (_, key) in idle.into_iter().take(excess) {
            self.finish(
                &self.maps.connections,
                key,
                End::Pressure,
                now,
                watcher,
                swept,
            )?;
        }
        Ok(())
    }

    /// Reads the entry once more, offers its record, and removes it with its alias when that was accepted.
    fn finish(
        &self,
        table: &Map<ConnectionKey, Connection>,
        key: ConnectionKey,
        end: End,
        now: u64,
        watcher: &mut dyn Watcher,
        swept: &mut Swept,
    ) -> Result<(), CollectError> {
        let Some(connection) = table.get(&key)? else {
            return Ok(());
        };
        // A packet that came meanwhile gives it a new life, unless the table is too full.
        let idle = matches!(end, End::Idle | End::Unanswered);
        if idle && now.saturating_sub(last_seen(&connection)) < u64::from(self.clock.hz()) {
            return Ok(());
        }
        let ended = Ended {
            key,
            connection,
            end,
        };
        if watcher.ended(&ended) == Acceptance::Refused {
            swept.refused += 1;
            return Ok(());
        }
        if table.remove(&key)? == Presence::Present {
            swept.removed += 1;
            swept.deleted.add(&key, &connection);
        }
        if let Some(alias) = alias_key(&key, &connection) {
            let _ = self.maps.aliases.remove(&alias)?;
        }
        Ok(())
    }

    fn end_of_opening(&self, connection: &Connection, now: u64) -> Option<End> {
        if (connection.sent.tcp_flags | connection.received.tcp_flags) & RST != 0 {
            return Some(End::Reset);
        }
        let life = if connection.protocol == TCP {
            self.lifetimes.tcp_opening
        } else {
            self.lifetimes.other
        };
        let idle = now.saturating_sub(last_seen(connection));
        (idle > self.clock.ticks(life)).then_some(End::Unanswered)
    }

    /// Whether one-way traffic goes on for so long that a flood of openings must not evict it.
    fn lasts(&self, connection: &Connection, now: u64) -> bool {
        let hz = u64::from(self.clock.hz());
        connection.protocol == UDP
            && connection.sent.packets >= ONE_WAY_PACKETS
            && now.saturating_sub(connection.sent.last_seen) < 2 * hz
            && connection
                .sent
                .last_seen
                .saturating_sub(first_jiffies(connection, now, hz))
                >= ONE_WAY_SECONDS * hz
    }

    fn promote(&self, key: &ConnectionKey) -> Result<(), CollectError> {
        if let Some(connection) = self.maps.openings.get(key)? {
            let _ = self.maps.connections.create(key, &connection)?;
            let _ = self.maps.openings.remove(key)?;
        }
        Ok(())
    }

    /// Removes aliases that had no primary in two passes in a row.
    fn sweep_aliases(&mut self, count: u32, swept: &mut Swept) -> Result<(), CollectError> {
        let mut sweep = self
            .aliases
            .take()
            .unwrap_or_else(|| self.maps.aliases.sweep());
        let mut seen = 0;
        while seen < count as usize
            && let Some(entries) = sweep.next_slice(SLICE)?
        {
            seen += entries.len();
            for (key, alias) in entries {
                self.look_at_alias(key, &alias.primary, swept)?;
            }
        }
        if seen > 0 {
            self.aliases = Some(sweep);
        } else {
            self.orphans = std::mem::take(&mut self.suspects);
        }
        Ok(())
    }

    fn look_at_alias(
        &mut self,
        key: ConnectionKey,
        primary: &ConnectionKey,
        swept: &mut Swept,
    ) -> Result<(), CollectError> {
        let alive = self.maps.connections.get(primary)?.is_some()
            || self.maps.openings.get(primary)?.is_some();
        if alive {
            return Ok(());
        }
        if self.orphans.contains(&key) {
            let _ = self.maps.aliases.remove(&key)?;
            swept.aliases += 1;
        } else {
            self.suspects.insert(key);
        }
        Ok(())
    }
}

/// Why a sweep stopped early; what was removed before stays removed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A map could not be read or changed.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The clock could not be read.
    #[error(transparent)]
    Clock(#[from] crate::clock::ClockError),
}

/// When either end was last heard, jiffies.
fn last_seen(connection: &Connection) -> u64 {
    connection.sent.last_seen.max(connection.received.last_seen)
}

/// The first packet's stamp as jiffies, by its age on the monotonic clock.
fn first_jiffies(connection: &Connection, now: u64, hz: u64) -> u64 {
    let age = monotonic_ns().saturating_sub(connection.created_ns);
    now.saturating_sub((u128::from(age) * u128::from(hz) / 1_000_000_000) as u64)
}

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` has room for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether an answered connection has ended.
fn end(connection: &Connection, now: u64, clock: &Clock, lifetimes: &Lifetimes) -> Option<End> {
    let idle = now.saturating_sub(last_seen(connection));
    if connection.protocol != TCP {
        return (idle > clock.ticks(lifetimes.other)).then_some(End::Idle);
    }
    let (sent, received) = (connection.sent.tcp_flags, connection.received.tcp_flags);
    let closing = clock.ticks(lifetimes.tcp_closing);
    if (sent | received) & RST != 0 && idle > closing {
        return Some(End::Reset);
    }
    if sent & received & FIN != 0 && idle > closing {
        return Some(End::Closed);
    }
    (idle > clock.ticks(lifetimes.tcp)).then_some(End::Idle)
}

/// Key of the alias that leads to a rewritten connection; `None` when nothing is rewritten.
pub fn alias_key(key: &ConnectionKey, connection: &Connection) -> Option<ConnectionKey> {
    let rewritten = flags::DESTINATION_NAT | flags::SOURCE_NAT;
    if connection.flags & rewritten == 0 {
        return None;
    }
    let (low, high) = ((&key.low, key.low_port), (&key.high, key.high_port));
    let (mut source, mut destination) = if connection.flags & flags::INITIATOR_LOW != 0 {
        (low, high)
    } else {
        (high, low)
    };
    if connection.flags & flags::SOURCE_NAT != 0 {
        source = (&connection.from, connection.from_port);
    }
    if connection.flags & flags::DESTINATION_NAT != 0 {
        destination = (&connection.to, connection.to_port);
    }
    let (mut alias, _) =
        ConnectionKey::of(destination, source, key.protocol, key.kind | kind::ALIAS);
    alias.net = key.net;
    Some(alias)
}

#[cfg(test)]
mod tests;
