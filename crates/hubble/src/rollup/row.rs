//! Rows while they are counted, and their sums.

use api::hubble::answers::{
    Cause, CauseKind, Counters, Outsider, Row, Sample, Sketch as Message, Tally, Window,
};

use hashbrown::HashMap;

use super::Counted;
use super::said::Said;
use crate::connections::{Change, End, Outcome, Stall};
use crate::sketch::Sketch;

/// Addresses from outside that are told apart in one row.
const OUTSIDERS: usize = 64;
/// Occurrences that are kept as evidence.
const SAMPLES: usize = 3;
/// Causes of one edge that are told apart, of connections and of what is said on them each.
const CAUSES: usize = 64;

/// A span that is counted in.
#[derive(Clone, Default)]
pub(crate) struct Open {
    rows: HashMap<u32, OpenRow>,
    pub lost: u64,
}

#[derive(Clone, Default)]
struct OpenRow {
    counters: Counters,
    connect: Sketch,
    round_trip: Sketch,
    least_round_trip: Sketch,
    failures: Vec<Tally>,
    outsiders: HashMap<String, u64>,
    said: Said,
    first_ns: u64,
    last_ns: u64,
}

impl Open {
    pub(super) fn count(&mut self, number: u32, counted: Counted, is_outside: bool, now_ns: u64) {
        let row = self.rows.entry(number).or_default();
        row.spans(now_ns, now_ns);
        match counted {
            Counted::Opened { from, led_on } => {
                row.counters.opened += 1;
                if is_outside {
                    row.counters.led_on += u64::from(led_on);
                    row.came_from(from.to_string(), 1);
                }
            }
            Counted::Changed(change, sample) => row.changed(&change, sample, now_ns),
            Counted::Lost(cause, is_new, sample) => row.lost(cause, is_new, sample, now_ns),
            Counted::Said(said) => row.add(*said),
        }
    }

    /// Adds what a closed span has.
    pub(crate) fn add(&mut self, window: Window) {
        self.lost = self.lost.saturating_add(window.lost);
        for row in window.rows {
            self.rows.entry(row.number).or_default().add(row);
        }
    }

    /// The span, closed: rows in the order of their edges' numbers.
    pub(crate) fn into_window(self) -> Window {
        let mut rows: Vec<Row> = self
            .rows
            .into_iter()
            .map(|(number, row)| row.into_row(number))
            .collect();
        rows.sort_unstable_by_key(|row| row.number);
        Window {
            rows,
            lost: self.lost,
        }
    }
}

impl OpenRow {
    fn spans(&mut self, first_ns: u64, last_ns: u64) {
        if self.first_ns == 0 || first_ns < self.first_ns {
            self.first_ns = first_ns;
        }
        self.last_ns = self.last_ns.max(last_ns);
    }

    fn came_from(&mut self, address: String, connections: u64) {
        let has_room = self.outsiders.len() < OUTSIDERS;
        match self.outsiders.get_mut(&address) {
            Some(count) => *count += connections,
            None if has_room => {
                self.outsiders.insert(address, connections);
            }
            None => {}
        }
    }

    fn changed(&mut self, change: &Change, sample: Option<Sample>, now_ns: u64) {
        let counters = &mut self.counters;
        if let Some(waited) = change.answered {
            counters.answered += 1;
            counters.late += u64::from(change.late);
            self.connect.add(waited);
        }
        if let Some(measured) = change.round_trip {
            self.round_trip.add(measured.smoothed);
            self.least_round_trip.add(measured.least);
        }
        counters.packets_sent += change.sent.packets;
        counters.bytes_sent += change.sent.bytes;
        counters.packets_received += change.received.packets;
        counters.bytes_received += change.received.bytes;
        counters.syn_retransmits += change.syn_retransmits;
        counters.retransmits_sent += change.sent.retransmits;
        counters.retransmits_received += change.received.retransmits;
        if let Some(stall) = change.stalled {
            let (cause, packets) = (cause_of(stall), change.sent.packets);
            self.fails(once(cause, packets, sample.clone(), now_ns));
        }
        let counters = &mut self.counters;
        let (counter, kind) = match change.outcome {
            None => return,
            Some(Outcome::Closed) => (&mut counters.closed, None),
            Some(Outcome::Idle) => (&mut counters.idle, None),
            Some(Outcome::Refused) => (&mut counters.refused, Some(CauseKind::Refused)),
            Some(Outcome::Unanswered) => (&mut counters.unanswered, Some(CauseKind::Unanswered)),
            Some(Outcome::ResetByClient) => (
                &mut counters.reset_by_client,
                Some(CauseKind::ResetByClient),
            ),
            Some(Outcome::ResetByServer) => (
                &mut counters.reset_by_server,
                Some(CauseKind::ResetByServer),
            ),
            Some(Outcome::CutByServer) => {
                counters.cut += 1;
                (&mut counters.reset_by_server, Some(CauseKind::CutByServer))
            }
        };
        *counter += 1;
        if let Some(kind) = kind {
            let cause = Cause {
                kind: kind.into(),
                delivered: change.delivered && kind == CauseKind::Unanswered,
                ..Cause::default()
            };
            self.fails(once(cause, change.sent.packets, sample, now_ns));
        }
    }

    fn lost(&mut self, cause: Cause, is_new: bool, sample: Sample, now_ns: u64) {
        let count = u64::from(is_new);
        match cause.kind() {
            CauseKind::DeniedByRule | CauseKind::DeniedByDefault => self.counters.denied += count,
            _ => self.counters.dropped += 1,
        }
        self.fails(Tally {
            cause: Some(cause),
            count,
            packets: 1,
            first_ns: now_ns,
            last_ns: now_ns,
            samples: vec![sample],
            excused: 0,
        });
    }

    fn fails(&mut self, tally: Tally) {
        fails(&mut self.failures, tally);
    }

    fn add(&mut self, mut row: Row) {
        self.said.take(&mut row);
        self.spans(row.first_ns, row.last_ns);
        if let Some(counters) = &row.counters {
            add(&mut self.counters, counters);
        }
        for (into, of) in [
            (&mut self.connect, &row.connect),
            (&mut self.round_trip, &row.round_trip),
            (&mut self.least_round_trip, &row.least_round_trip),
        ] {
            if let Some(of) = of {
                into.merge(of);
            }
        }
        for tally in row.failures {
            self.fails(tally);
        }
        for outsider in row.outsiders {
            self.came_from(outsider.address, outsider.connections);
        }
    }

    fn into_row(self, number: u32) -> Row {
        let outsiders = self.outsiders.into_iter();
        let mut outsiders: Vec<Outsider> = outsiders
            .map(|(address, connections)| Outsider {
                address,
                connections,
            })
            .collect();
        sort(&mut outsiders);
        let told = |of: &Sketch| (of.count() > 0).then(|| Message::from(of));
        let mut row = Row {
            number,
            counters: Some(self.counters),
            connect: told(&self.connect),
            round_trip: told(&self.round_trip),
            least_round_trip: told(&self.least_round_trip),
            failures: self.failures,
            outsiders,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            ..Row::default()
        };
        self.said.give(&mut row);
        row
    }
}

fn once(cause: Cause, packets: u64, sample: Option<Sample>, now_ns: u64) -> Tally {
    Tally {
        cause: Some(cause),
        count: 1,
        packets,
        first_ns: now_ns,
        last_ns: now_ns,
        samples: sample.into_iter().collect(),
        excused: 0,
    }
}

fn cause_of(stall: Stall) -> Cause {
    let (kind, delivered) = match stall {
        Stall::Unacknowledged { at, delivered } => match at {
            End::Server => (CauseKind::StalledAtServer, delivered),
            End::Client => (CauseKind::StalledAtClient, delivered),
        },
        // Who says it himself.
        Stall::Full(End::Server) => (CauseKind::FullAtServer, false),
        Stall::Full(End::Client) => (CauseKind::FullAtClient, false),
        Stall::Unclosed => (CauseKind::UnclosedAtServer, false),
    };
    Cause {
        kind: kind.into(),
        delivered,
        ..Cause::default()
    }
}

/// The most connections first.
pub(crate) fn sort(outsiders: &mut [Outsider]) {
    outsiders.sort_by(|a, b| {
        let by_count = b.connections.cmp(&a.connections);
        by_count.then_with(|| a.address.cmp(&b.address))
    });
}

/// Adds a tally to those of the same cause; where there are too many causes, to one without a name, or to a nameless one.
fn fails(tallies: &mut Vec<Tally>, mut tally: Tally) {
    let is_said = |of: &Tally| of.cause.as_ref().is_some_and(is_said);
    let is_known = |tally: &Tally, tallies: &[Tally]| {
        let mut known = tallies.iter();
        known.any(|of| of.cause == tally.cause)
    };
    let of_said = is_said(&tally);
    let alike = tallies.iter().filter(|of| is_said(of) == of_said).count();
    if alike >= CAUSES && !is_known(&tally, tallies) {
        if let (true, Some(cause)) = (of_said, &mut tally.cause) {
            cause.name.clear();
        }
        if !of_said || (alike >= 2 * CAUSES && !is_known(&tally, tallies)) {
            tally.cause = Some(Cause::default());
        }
    }
    match tallies.iter_mut().find(|of| of.cause == tally.cause) {
        Some(into) => {
            into.count = into.count.saturating_add(tally.count);
            into.packets = into.packets.saturating_add(tally.packets);
            into.excused = into.excused.saturating_add(tally.excused);
            into.first_ns = into.first_ns.min(tally.first_ns);
            into.last_ns = into.last_ns.max(tally.last_ns);
            into.samples.append(&mut tally.samples);
            into.samples.sort_by_key(|of| std::cmp::Reverse(of.time_ns));
            into.samples.truncate(SAMPLES);
        }
        None => tallies.push(tally),
    }
}

/// Whether a cause is of what was said on connections, not of connections themselves.
pub(crate) fn is_said(cause: &Cause) -> bool {
    match cause.kind() {
        CauseKind::CauseUnknown
        | CauseKind::DeniedByRule
        | CauseKind::DeniedByDefault
        | CauseKind::Dropped
        | CauseKind::Refused
        | CauseKind::Unanswered
        | CauseKind::ResetByClient
        | CauseKind::ResetByServer
        | CauseKind::CutByServer
        | CauseKind::StalledAtServer
        | CauseKind::StalledAtClient
        | CauseKind::FullAtServer
        | CauseKind::FullAtClient
        | CauseKind::UnclosedAtServer => false,
        CauseKind::DnsTimeout
        | CauseKind::DnsError
        | CauseKind::DnsNoSuchName
        | CauseKind::HttpError
        | CauseKind::GrpcError
        | CauseKind::NoAnswer
        | CauseKind::Overdue
        | CauseKind::KafkaError
        | CauseKind::TlsAlertByClient
        | CauseKind::TlsAlertByServer
        | CauseKind::TlsUnfinished => true,
    }
}

/// Adds a row to one of the same edge.
pub(crate) fn merge(into: &mut Row, row: Row) {
    let mut sum = OpenRow::default();
    let (edge, number) = (into.edge.take(), into.number);
    sum.add(std::mem::take(into));
    sum.add(row);
    *into = sum.into_row(number);
    into.edge = edge;
}

/// Adds counters, none of which overflows.
pub(crate) fn add(into: &mut Counters, of: &Counters) {
    macro_rules! sum {
        ($($field:ident)+) => { Counters { $($field: into.$field.saturating_add(of.$field)),+ } };
    }
    *into = sum!(opened answered late closed idle refused unanswered reset_by_client reset_by_server denied dropped
        syn_retransmits packets_sent packets_received bytes_sent bytes_received cut retransmits_sent retransmits_received led_on);
}
