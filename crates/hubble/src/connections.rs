//! Follows connections from look to look, and tells what was added to each since the one before.
//!
//! Counters and times are in the connections' entries; nothing is sent for a packet. An entry is looked at when its ends
//! close it, when it has waited for an answer for long, every ten seconds or so while it lives, and before it is removed.

use std::hash::BuildHasher;
use std::time::Duration;

use datapath::abi::connection::{self, Connection, ConnectionKey, Direction};
use datapath::wire::tcp::flags::{ACK, FIN, PSH, RST, SYN};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::records::protocol;

/// A connection without an answer for this long counts as unanswered.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// A connection that its client has closed is told when its server has sent nothing for so long. By then Linux has forgotten what its
/// client closed altogether (`tcp_fin_timeout`).
pub const UNCLOSED: Duration = Duration::from_mins(1);
/// A connection that lives is told for the first time at this age: most have ended by then, and are told once.
const SETTLED: Duration = Duration::from_secs(10);

/// Octets of the longest headers: IPv6, and TCP with all its options.
const HEADERS: u64 = 40 + 60;

/// A connection that nobody looked at for so long has no entry any more: the kernel let it go to make room.
const FORGOTTEN: Duration = Duration::from_mins(10);

/// Whether an entry stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It does, and will be looked at again.
    Stays,
    /// It does, and the kernel has just said that its ends closed it.
    Closes,
    /// It is about to be removed.
    Goes,
}

/// How a connection turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Both ends closed it.
    Closed,
    /// Nothing was heard of it for its life time.
    Idle,
    /// The answer was a reset.
    Refused,
    /// There was no answer for [`PATIENCE`]. It may come yet.
    Unanswered,
    /// Reset by who began.
    ResetByClient,
    /// Reset by who was asked.
    ResetByServer,
    /// Reset by who was asked, before it had said anything, and while the other still waited.
    CutByServer,
}

/// Packets, bytes (at the IP layer) and retransmitted segments of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Segments with payload that had been seen before, or were overtaken.
    pub retransmits: u64,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Who began.
    Client,
    /// Who was asked.
    Server,
}

/// An established connection that does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stall {
    /// From one look to the next segments were sent again in vain.
    Unacknowledged {
        /// Who acknowledges nothing.
        at: End,
        /// He is a pod of this node, to which the packets were handed.
        delivered: bool,
    },
    /// From one look to the next the window of this end was closed: the program there does not read.
    Full(End),
    /// The client has closed it, and for [`UNCLOSED`] the server has sent nothing and not closed it: the program there keeps it.
    /// The other way about is how programs keep connections that their servers may close.
    Unclosed,
}

/// How long octets of an established connection and their acknowledgement take, by the kernel of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Smoothed (RFC 6298). It has in it what an acknowledgement waits for an answer to go with.
    pub smoothed: Duration,
    /// The shortest of the last minutes: that of the way alone.
    pub least: Duration,
}

/// What was added to a connection since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// It got its first answer, after this time.
    pub answered: Option<Duration>,
    /// It had been told as unanswered before its answer came.
    pub late: bool,
    /// It turned out so.
    pub outcome: Option<Outcome>,
    /// Its ends have closed it, or its entry goes; told once.
    pub ended: bool,
    /// From who began.
    pub sent: Traffic,
    /// From who was asked.
    pub received: Traffic,
    /// SYN segments beyond the first.
    pub syn_retransmits: u64,
    /// What its ends measure, if anything was sent.
    pub round_trip: Option<RoundTrip>,
    /// Its packets were handed to who was asked, a pod of this node.
    pub delivered: bool,
    /// It does not go on, and did when it was last told.
    pub stalled: Option<Stall>,
}

impl Change {
    /// Whether something went wrong.
    pub(crate) const fn is_failure(&self) -> bool {
        let failed = match self.outcome {
            None | Some(Outcome::Closed | Outcome::Idle) => false,
            Some(
                Outcome::Refused
                | Outcome::Unanswered
                | Outcome::ResetByClient
                | Outcome::ResetByServer
                | Outcome::CutByServer,
            ) => true,
        };
        failed || self.stalled.is_some()
    }
}

/// What was told of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    created_ns: u64,
    looked_ns: u64,
    sent: Traffic,
    received: Traffic,
    syn_retransmits: u32,
    answered: bool,
    unanswered: bool,
    /// Its end, or that it was refused or reset.
    end: bool,
    /// How what the client, and the server, sent was taken.
    takings: [Taking; 2],
    stalled: bool,
    /// Since when the server neither sends anything nor closes what its client has closed, monotonic; 0 where that is not so.
    unclosed_ns: u64,
}

/// How one end takes what the other sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taking {
    /// Up to where he acknowledged.
    acknowledged: u32,
    /// Up to where he sent something himself.
    said: u32,
    /// More was sent than he acknowledged.
    waits: bool,
    /// His window is closed.
    full: bool,
}

/// Follows all connections of a node.
pub struct Follower {
    /// Connections that began before are as they were then: what became of them so far was told by somebody else.
    began_ns: u64,
    /// By the hash of the key: a node may have half a million of them.
    told: HashMap<u64, Told>,
    hasher: DefaultHashBuilder,
    /// When those without an entry were last looked for.
    cleared_ns: u64,
}

impl Follower {
    /// A follower that begins at this moment, monotonic nanoseconds.
    pub fn new(began_ns: u64) -> Self {
        Self {
            began_ns,
            told: HashMap::new(),
            hasher: DefaultHashBuilder::default(),
            cleared_ns: began_ns,
        }
    }

    /// Connections that are remembered.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What is new of a connection at `now_ns` (monotonic); none where there is nothing to tell yet.
    pub fn look(
        &mut self,
        key: &ConnectionKey,
        connection: &Connection,
        now_ns: u64,
        entry: Entry,
    ) -> Option<Change> {
        self.clear(now_ns);
        let hash = self.hasher.hash_one(key);
        let age = Duration::from_nanos(now_ns.saturating_sub(connection.created_ns));
        let outcome = outcome(connection, age, entry);
        let before = self
            .told
            .get(&hash)
            .filter(|told| told.created_ns == connection.created_ns)
            .copied();
        if before.is_none() && connection.created_ns < self.began_ns {
            let known = Told::of(connection, outcome, Told::default());
            self.remember(hash, known, now_ns, entry);
            return end_of_former(connection, outcome, entry);
        }
        let is_due = entry == Entry::Goes || outcome.is_some() || age >= SETTLED;
        if !is_due {
            return None;
        }
        let before = before.unwrap_or_default();
        let mut after = Told::of(connection, outcome, before);
        after.unclosed_ns = unclosed_since(connection, &before, now_ns);
        let stall = stall(connection, &before).or_else(|| after.unclosed(now_ns));
        after.stalled = stall.is_some() || (before.stalled && after.is_stuck_since(&before));
        self.remember(hash, after, now_ns, entry);
        let is_used = after.sent != before.sent || after.received != before.received;
        let change = Change {
            answered: (after.answered && !before.answered).then(|| waited(connection)),
            late: after.answered && !before.answered && before.unanswered,
            outcome: outcome
                .filter(|_| (after.end && !before.end) || (after.unanswered && !before.unanswered)),
            ended: !before.end && (after.end || entry == Entry::Goes),
            sent: after.sent.since(before.sent),
            received: after.received.since(before.received),
            syn_retransmits: after
                .syn_retransmits
                .saturating_sub(before.syn_retransmits)
                .into(),
            round_trip: is_used.then(|| round_trip(connection)).flatten(),
            delivered: false,
            stalled: stall.filter(|_| !before.stalled),
        };
        (change != Change::default()).then_some(Change {
            delivered: connection.destination_endpoint != 0,
            ..change
        })
    }

    /// Forgets, now and then, what has no entry any more.
    fn clear(&mut self, now_ns: u64) {
        let is_long = |since: u64| u128::from(now_ns.saturating_sub(since)) >= FORGOTTEN.as_nanos();
        if is_long(self.cleared_ns) {
            self.cleared_ns = now_ns;
            self.told.retain(|_, told| !is_long(told.looked_ns));
        }
    }

    fn remember(&mut self, hash: u64, told: Told, now_ns: u64, entry: Entry) {
        match entry {
            Entry::Stays | Entry::Closes => {
                let looked_ns = now_ns;
                self.told.insert(hash, Told { looked_ns, ..told });
            }
            Entry::Goes => {
                self.told.remove(&hash);
            }
        }
        // After a flood the room goes back.
        if self.told.len() < self.told.capacity() / 8 {
            self.told.shrink_to(self.told.len() * 2);
        }
    }
}

impl Told {
    fn of(connection: &Connection, outcome: Option<Outcome>, before: Self) -> Self {
        Self {
            created_ns: connection.created_ns,
            looked_ns: 0,
            sent: Traffic::of(&connection.sent, connection.retransmits_sent),
            received: Traffic::of(&connection.received, connection.retransmits_received),
            syn_retransmits: connection.sent.syn_retransmits,
            answered: is_answered(connection),
            unanswered: before.unanswered || outcome == Some(Outcome::Unanswered),
            end: before.end || outcome.is_some_and(|outcome| outcome != Outcome::Unanswered),
            takings: takings(connection),
            stalled: false,
            unclosed_ns: 0,
        }
    }

    fn unclosed(&self, now_ns: u64) -> Option<Stall> {
        let lasts = Duration::from_nanos(now_ns.saturating_sub(self.unclosed_ns));
        (self.unclosed_ns != 0 && lasts >= UNCLOSED).then_some(Stall::Unclosed)
    }

    fn is_stuck_since(&self, before: &Self) -> bool {
        let mut pairs = self.takings.iter().zip(&before.takings);
        pairs
            .any(|(now, before)| (now.waits || now.full) && now.acknowledged == before.acknowledged)
    }
}

impl Traffic {
    fn of(direction: &Direction, retransmits: u32) -> Self {
        Self {
            packets: direction.packets,
            bytes: direction.bytes,
            retransmits: retransmits.into(),
        }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
            retransmits: self.retransmits.saturating_sub(before.retransmits),
        }
    }
}

const fn is_answered(connection: &Connection) -> bool {
    connection.received.first_ns != 0
}

/// From the first packet to the first answer.
const fn waited(connection: &Connection) -> Duration {
    let from = connection.sent.first_ns;
    Duration::from_nanos(connection.received.first_ns.saturating_sub(from))
}

/// What the client's socket measures or, where that is none of this node, the server's.
fn round_trip(connection: &Connection) -> Option<RoundTrip> {
    let of = |of: connection::RoundTrip| RoundTrip {
        smoothed: Duration::from_micros(of.smoothed_us.into()),
        least: Duration::from_micros(of.least_us.into()),
    };
    let mut ends = [connection.round_trip_sent, connection.round_trip_received].into_iter();
    ends.find(|end| end.smoothed_us != 0).map(of)
}

/// The end of a connection that began before its follower did, and of which nothing else is told. That it closed was told already,
/// unless nobody has read it before.
fn end_of_former(
    connection: &Connection,
    outcome: Option<Outcome>,
    entry: Entry,
) -> Option<Change> {
    let outcome = match (entry, outcome) {
        (Entry::Goes, Some(Outcome::Idle)) | (Entry::Closes, Some(_)) => outcome,
        (Entry::Goes, None | Some(Outcome::Unanswered)) => None,
        (Entry::Goes, Some(_)) | (Entry::Closes, None) | (Entry::Stays, _) => return None,
    };
    Some(Change {
        outcome,
        ended: true,
        delivered: connection.destination_endpoint != 0,
        ..Change::default()
    })
}

/// How the connection turned out, as far as that can be said.
fn outcome(connection: &Connection, age: Duration, entry: Entry) -> Option<Outcome> {
    let (sent, received) = (connection.sent.tcp_flags, connection.received.tcp_flags);
    let has = |flags: u32, flag: u8| flags & u32::from(flag) != 0;
    if connection.protocol == protocol::TCP {
        if !is_answered(connection) {
            return if has(sent, RST) {
                Some(Outcome::ResetByClient)
            } else {
                (age >= PATIENCE).then_some(Outcome::Unanswered)
            };
        }
        if has(received, RST) {
            let is_first = !has(received, SYN) && has(sent, SYN);
            let has_ended = has(sent, FIN) || has(received, FIN) || has(sent, RST);
            return Some(if is_first {
                Outcome::Refused
            } else if has_ended || has_spoken(&connection.received) {
                Outcome::ResetByServer
            } else {
                Outcome::CutByServer
            });
        }
        if has(sent, RST) {
            return Some(Outcome::ResetByClient);
        }
        if has(sent, FIN) && has(received, FIN) {
            return Some(Outcome::Closed);
        }
    }
    (entry == Entry::Goes).then_some(Outcome::Idle)
}

/// How the server, and the client, take what the other sends. A reset ends all of it.
fn takings(connection: &Connection) -> [Taking; 2] {
    let (sent, received) = (&connection.sent, &connection.received);
    let is_reset = (sent.tcp_flags | received.tcp_flags) & u32::from(RST) != 0;
    if connection.protocol != protocol::TCP || is_reset {
        return <[Taking; 2]>::default();
    }
    [(sent, received), (received, sent)].map(|(speaker, hearer)| {
        let hears = hearer.tcp_flags & u32::from(ACK) != 0;
        let ahead = speaker.seq_end.wrapping_sub(hearer.ack).cast_signed();
        Taking {
            acknowledged: hearer.ack,
            said: hearer.seq_end,
            waits: hears && ahead > 0,
            full: hearer.full != 0,
        }
    })
}

/// Since when the server neither sends anything nor closes what its client has closed; 0 where that is not so.
fn unclosed_since(connection: &Connection, before: &Told, now_ns: u64) -> u64 {
    let (sent, received) = (connection.sent.tcp_flags, connection.received.tcp_flags);
    let is_ended = received & u32::from(FIN) != 0 || (sent | received) & u32::from(RST) != 0;
    if connection.protocol != protocol::TCP || is_ended || sent & u32::from(FIN) == 0 {
        return 0;
    }
    let is_silent = connection.received.packets == before.received.packets;
    if is_silent && before.unclosed_ns != 0 {
        before.unclosed_ns
    } else {
        now_ns
    }
}

/// Whether the connection does not go on since it was last looked at: what waited then waits still, and was sent again; or the
/// window that was closed then is closed still, and was asked about.
fn stall(connection: &Connection, before: &Told) -> Option<Stall> {
    let grown = |now: u64, before: u64| now > before;
    let ends = [
        (
            End::Server,
            connection.destination_endpoint,
            grown(connection.retransmits_sent.into(), before.sent.retransmits),
            grown(connection.sent.packets, before.sent.packets),
        ),
        (
            End::Client,
            connection.source_endpoint,
            grown(
                connection.retransmits_received.into(),
                before.received.retransmits,
            ),
            grown(connection.received.packets, before.received.packets),
        ),
    ];
    let takings = takings(connection).into_iter().zip(before.takings);
    let mut all = ends.into_iter().zip(takings);
    all.find_map(|((at, endpoint, again, asked), (now, before))| {
        let is_closed = now.full && before.full && now.said == before.said && asked;
        let is_waiting = now.waits && before.waits && again;
        let stalled = now.acknowledged == before.acknowledged && (is_closed || is_waiting);
        let how = if is_closed {
            Stall::Full(at)
        } else {
            let delivered = endpoint != 0;
            Stall::Unacknowledged { at, delivered }
        };
        stalled.then_some(how)
    })
}

/// Whether one side sent payload: stacks push the last segment of what a program writes, and headers alone are no longer
/// than IPv6 and TCP with all options.
fn has_spoken(direction: &Direction) -> bool {
    let headers = direction.packets.saturating_mul(HEADERS);
    direction.tcp_flags & u32::from(PSH) != 0 || direction.bytes > headers
}

#[cfg(test)]
mod tests;
