//! Answers as rows of text.

use std::collections::BTreeMap;
use std::time::Duration;

use api::hubble::Timestamp;
use api::hubble::answers::{Edge, Exposure, Failure, Fault, Outsider, Party, Row};
use hubble::edges::shown;
use hubble::rollup::{attempts, failed};
use hubble::sketch::Sketch;

use super::ask::Answer;
use super::said::{self, summary};

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Edges with their rates.
    Map,
    /// Edges with the fates of their connections.
    Tcp,
    /// Edges with the times to the first answer.
    Latency,
    /// Destinations by their share of failures.
    Worst,
    /// Failures.
    Failures,
    /// What is reached from outside.
    Exposures,
    /// Requests by the classes of their answers.
    Requests,
    /// Requests with the codes of their answers.
    Errors,
    /// Questions to DNS servers.
    Lookups,
    /// Topics of Kafka.
    Topics,
    /// Who resolved names.
    Resolutions,
}

/// A header and its rows.
pub(super) struct Cells {
    pub header: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

/// The rows of an answer, at most `limit` of them unless that is 0.
pub(super) fn cells(table: Of, answer: &Answer, limit: u32) -> Cells {
    let mut cells = match answer {
        Answer::Map(map) => {
            let seconds = seconds_between(map.since, map.until);
            match table {
                Of::Tcp => tcp(&map.edges),
                Of::Latency => latency(&map.edges),
                Of::Worst => worst(&map.edges),
                _ => edges(&map.edges, seconds),
            }
        }
        Answer::Failing(failing) => failures(&failing.failures),
        Answer::Exposed(exposed) => exposures(&exposed.exposures),
        Answer::Http(of) => {
            let seconds = seconds_between(of.since, of.until);
            said::requests(&of.requests, seconds, table == Of::Errors)
        }
        Answer::Dns(of) => said::lookups(&of.lookups),
        Answer::Kafka(of) => said::topics(&of.topics, seconds_between(of.since, of.until)),
        Answer::Resolved(of) => said::resolutions(&of.resolutions),
    };
    if limit > 0 {
        cells.rows.truncate(limit as usize);
    }
    cells
}

fn edges(rows: &[Row], seconds: f64) -> Cells {
    let row = |row: &Row| {
        let counters = row.counters.unwrap_or_default();
        let bytes = counters.bytes_sent.saturating_add(counters.bytes_received);
        let [source, destination, service, port] = ends(row.edge.as_ref());
        let said = summary(row);
        vec![
            source,
            destination,
            service,
            port,
            rate(counters.opened, seconds),
            bytes_per_second(bytes, seconds),
            share(failed(&counters), attempts(&counters)),
            quantile(row.connect.as_ref(), 0.95),
            said.protocols,
            unless_none(said.requests, rate(said.requests, seconds)),
            unless_none(said.requests, share(said.failed, said.requests)),
            said.latency
                .quantile(0.95)
                .map(duration)
                .unwrap_or_default(),
        ]
    };
    Cells {
        header: vec![
            "SOURCE",
            "DESTINATION",
            "SERVICE",
            "PORT",
            "CONNS/S",
            "BYTES/S",
            "FAILED",
            "CONNECT P95",
            "L7",
            "REQ/S",
            "REQ FAILED",
            "REQ P95",
        ],
        rows: rows.iter().map(row).collect(),
    }
}

fn unless_none(count: u64, text: String) -> String {
    if count == 0 { String::new() } else { text }
}

fn tcp(rows: &[Row]) -> Cells {
    let rows = rows
        .iter()
        .filter(|row| row.edge.as_ref().is_some_and(|of| of.protocol == 6));
    let row = |row: &Row| {
        let of = row.counters.unwrap_or_default();
        let [source, destination, _, port] = ends(row.edge.as_ref());
        let mut cells = vec![source, destination, port];
        let counts = [
            of.opened,
            of.answered,
            of.closed,
            of.refused,
            of.unanswered,
            of.reset_by_client,
            of.reset_by_server,
            of.denied,
            of.syn_retransmits,
        ];
        cells.extend(counts.map(|count| count.to_string()));
        cells.push(share(of.unanswered, of.opened));
        let again = of.retransmits_sent.saturating_add(of.retransmits_received);
        let packets = of.packets_sent.saturating_add(of.packets_received);
        cells.push(share(again, packets));
        cells
    };
    Cells {
        header: vec![
            "SOURCE",
            "DESTINATION",
            "PORT",
            "OPENED",
            "ANSWERED",
            "CLOSED",
            "REFUSED",
            "UNANSWERED",
            "RESET BY CLIENT",
            "BY SERVER",
            "DENIED",
            "SYN AGAIN",
            "UNANSWERED %",
            "SENT AGAIN %",
        ],
        rows: rows.map(row).collect(),
    }
}

fn latency(rows: &[Row]) -> Cells {
    let slow = |row: &Row| {
        let of = |of| sketch(of).quantile(0.95);
        let connections = of(row.connect.as_ref()).max(of(row.round_trip.as_ref()));
        connections.max(summary(row).latency.quantile(0.95))
    };
    let mut rows: Vec<(Option<Duration>, &Row)> = rows
        .iter()
        .map(|row| (slow(row), row))
        .filter(|(slow, _)| slow.is_some())
        .collect();
    rows.sort_by_key(|(slow, _)| std::cmp::Reverse(*slow));
    let row = |(_, row): (_, &Row)| {
        let [source, destination, service, port] = ends(row.edge.as_ref());
        let mut cells = vec![source, destination, service, port];
        cells.push(sketch(row.connect.as_ref()).count().to_string());
        cells.extend([0.5, 0.95, 0.99].map(|of| quantile(row.connect.as_ref(), of)));
        let said = summary(row);
        cells.push(unless_none(said.requests, said.requests.to_string()));
        let of = |share| said.latency.quantile(share).map(duration);
        cells.extend([0.5, 0.95, 0.99].map(|share| of(share).unwrap_or_default()));
        let shares = said.shares.map(|(server, network)| [server, network]);
        let shares = shares.map(|of| of.map(duration));
        cells.extend(shares.unwrap_or_default());
        cells.extend([0.5, 0.95].map(|of| quantile(row.round_trip.as_ref(), of)));
        cells.push(quantile(row.least_round_trip.as_ref(), 0.5));
        cells
    };
    Cells {
        header: vec![
            "SOURCE",
            "DESTINATION",
            "SERVICE",
            "PORT",
            "CONNECTIONS",
            "CONNECT P50",
            "P95",
            "P99",
            "REQUESTS",
            "REQUEST P50",
            "P95",
            "P99",
            "SERVER P50",
            "NETWORK",
            "RTT P50",
            "P95",
            "LEAST RTT",
        ],
        rows: rows.into_iter().map(row).collect(),
    }
}

/// What is known of a destination.
#[derive(Default)]
struct Sum {
    failed: u64,
    attempts: u64,
    connect: Sketch,
    requests_failed: u64,
    requests: u64,
    latency: Sketch,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        let counters = row.counters.unwrap_or_default();
        self.failed += failed(&counters);
        self.attempts += attempts(&counters);
        if let Some(of) = &row.connect {
            self.connect.merge(of);
        }
        let said = summary(row);
        self.requests_failed += said.failed;
        self.requests += said.requests;
        self.latency
            .merge(&api::hubble::answers::Sketch::from(&said.latency));
    }

    /// The larger share of failures, in parts of a million.
    fn share(&self) -> u128 {
        let share = |part: u64, all: u64| {
            let part = u128::from(part) * 1_000_000;
            part.checked_div(u128::from(all)).unwrap_or_default()
        };
        let connections = share(self.failed, self.attempts);
        connections.max(share(self.requests_failed, self.requests))
    }
}

/// Destinations, the largest share of failures first.
fn worst(rows: &[Row]) -> Cells {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for row in rows {
        let Some(edge) = &row.edge else { continue };
        let name = if edge.service.is_empty() {
            edge.destination.as_ref().map(shown).unwrap_or_default()
        } else {
            edge.service.clone()
        };
        sums.entry(name).or_default().add(row);
    }
    let mut rows: Vec<(String, Sum)> = sums
        .into_iter()
        .filter(|(_, sum)| sum.attempts > 0 || sum.requests > 0)
        .collect();
    rows.sort_by_key(|(_, sum)| {
        let failures = sum.failed.saturating_add(sum.requests_failed);
        std::cmp::Reverse((sum.share(), failures, sum.attempts))
    });
    let row = |(name, sum): (String, Sum)| {
        let p95 = |of: &Sketch| of.quantile(0.95).map(duration).unwrap_or_default();
        vec![
            name,
            sum.failed.to_string(),
            sum.attempts.to_string(),
            share(sum.failed, sum.attempts),
            p95(&sum.connect),
            unless_none(sum.requests, sum.requests_failed.to_string()),
            unless_none(sum.requests, sum.requests.to_string()),
            unless_none(sum.requests, share(sum.requests_failed, sum.requests)),
            p95(&sum.latency),
        ]
    };
    Cells {
        header: vec![
            "SERVICE OR WORKLOAD",
            "FAILED",
            "ATTEMPTS",
            "FAILED %",
            "CONNECT P95",
            "REQ FAILED",
            "REQUESTS",
            "REQ FAILED %",
            "REQ P95",
        ],
        rows: rows.into_iter().map(row).collect(),
    }
}

fn failures(all: &[Failure]) -> Cells {
    let row = |of: &Failure| {
        let [source, destination, _, port] = ends(of.edge.as_ref());
        vec![
            of.count.to_string(),
            share(of.count, of.attempts),
            source,
            destination,
            port,
            of.layer.clone(),
            fault(of.fault()).to_owned(),
            of.sentence.clone(),
            clock(of.first),
            clock(of.last),
        ]
    };
    Cells {
        header: vec![
            "COUNT",
            "SHARE",
            "SOURCE",
            "DESTINATION",
            "PORT",
            "LAYER",
            "FAULT",
            "CAUSE",
            "SINCE",
            "LAST",
        ],
        rows: all.iter().map(row).collect(),
    }
}

fn exposures(all: &[Exposure]) -> Cells {
    let row = |of: &Exposure| {
        let named = |of: &Outsider| format!("{} ({})", of.address, of.connections);
        let outsiders: Vec<String> = of.outsiders.iter().map(named).collect();
        vec![
            of.destination.as_ref().map(shown).unwrap_or_default(),
            of.service.clone(),
            port(of.port, of.protocol),
            of.connections.to_string(),
            of.denied.to_string(),
            outsiders.join(", "),
            clock(of.last),
        ]
    };
    Cells {
        header: vec![
            "DESTINATION",
            "SERVICE",
            "PORT",
            "CONNECTIONS",
            "DENIED",
            "FROM",
            "LAST",
        ],
        rows: all.iter().map(row).collect(),
    }
}

/// Source, destination, service and port.
pub(super) fn ends(edge: Option<&Edge>) -> [String; 4] {
    let Some(edge) = edge else {
        return Default::default();
    };
    let named = |party: &Option<Party>| party.as_ref().map(shown).unwrap_or_default();
    [
        named(&edge.source),
        named(&edge.destination),
        edge.service.clone(),
        port(edge.port, edge.protocol),
    ]
}

fn port(number: u32, protocol: u32) -> String {
    let protocol = match protocol {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        132 => "SCTP".to_owned(),
        other => other.to_string(),
    };
    match number {
        0 => protocol,
        number => format!("{number}/{protocol}"),
    }
}

fn fault(of: Fault) -> &'static str {
    match of {
        Fault::Unknown => "?",
        Fault::Client => "client",
        Fault::Server => "server",
        Fault::Network => "network",
        Fault::Policy => "policy",
        Fault::Dns => "DNS",
    }
}

fn sketch(of: Option<&api::hubble::answers::Sketch>) -> Sketch {
    of.map(Sketch::from).unwrap_or_default()
}

fn quantile(all: Option<&api::hubble::answers::Sketch>, of: f64) -> String {
    sketch(all).quantile(of).map(duration).unwrap_or_default()
}

/// Three digits and a unit.
pub(super) fn duration(of: Duration) -> String {
    let micros = of.as_secs_f64() * 1e6;
    match micros {
        micros if micros < 1e3 => format!("{micros:.0}us"),
        micros if micros < 1e4 => format!("{:.2}ms", micros / 1e3),
        micros if micros < 1e5 => format!("{:.1}ms", micros / 1e3),
        micros if micros < 1e6 => format!("{:.0}ms", micros / 1e3),
        micros => format!("{:.2}s", micros / 1e6),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(super) fn rate(count: u64, seconds: f64) -> String {
    let rate = count as f64 / seconds;
    match rate {
        rate if rate >= 100.0 => format!("{rate:.0}"),
        rate if rate >= 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(super) fn bytes_per_second(bytes: u64, seconds: f64) -> String {
    let mut rate = bytes as f64 / seconds;
    for unit in ["B", "kB", "MB", "GB"] {
        if rate < 1000.0 {
            return format!("{rate:.1}{unit}");
        }
        rate /= 1000.0;
    }
    format!("{rate:.1}TB")
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(super) fn share(part: u64, whole: u64) -> String {
    match (part, whole) {
        (0, _) => "0%".to_owned(),
        (_, 0) => String::new(),
        _ => {
            let percent = part as f64 / whole as f64 * 100.0;
            // Something is not nothing, and not everything is all.
            let percent = if part < whole {
                percent.clamp(0.1, 99.9)
            } else {
                percent
            };
            format!("{percent:.1}%")
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a span for rates")]
fn seconds_between(since: Option<Timestamp>, until: Option<Timestamp>) -> f64 {
    let seconds = |of: Timestamp| of.seconds as f64 + f64::from(of.nanos) / 1e9;
    match (since, until) {
        (Some(since), Some(until)) => (seconds(until) - seconds(since)).max(1.0),
        _ => 1.0,
    }
}

/// Time of day where the reader is.
pub(super) fn clock(time: Option<Timestamp>) -> String {
    let time = time.and_then(|of| jiff::Timestamp::new(of.seconds, of.nanos).ok());
    let zone = jiff::tz::TimeZone::system();
    time.map(|of| of.to_zoned(zone).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}
