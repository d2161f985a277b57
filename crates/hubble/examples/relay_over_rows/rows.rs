//! Counts that are made up: edges with rates, which a question's span of time is multiplied with.

use std::time::SystemTime;

use api::hubble::answers::{
    Cause, CauseKind, Counters, Direction, Edge, Outsider, Party, PartyKind, PolicyRef, Question,
    Row, Sample, Sketch, Tally,
};
use hubble::answers::{Gathered, Rows};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::said::{self, Said};

/// Seconds of what nodes know: a day.
const KNOWN: u64 = 86_400;
/// Seconds between two values of the curve.
const STEP: u64 = 10;
/// Buckets of a sketch grow by this factor.
const GROWTH: f64 = 1.01 / 0.99;

/// An edge, and what happens on it in a thousand seconds.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    edge: Edge,
    opened: u64,
    /// Bytes of a connection.
    bytes: u64,
    /// Microseconds to the first answer, the median.
    connect: f64,
    failure: Option<(Cause, u64)>,
    outsiders: Vec<&'static str>,
    said: Vec<Said>,
    /// It began, and ended, as many seconds ago.
    lasts: (u64, u64),
}

/// A node's part of the edges.
pub(crate) struct Told {
    pub(crate) rates: Vec<Rate>,
    /// Records that never came.
    pub(crate) lost: u64,
}

impl Rows for Told {
    async fn rows(&self, question: Question, _: &MetadataMap) -> Result<Gathered, Status> {
        let now = seconds(SystemTime::now().into());
        let until = question.until.map_or(now, seconds).min(now);
        let since = question.since.map_or(0, seconds).max(now - KNOWN);
        let rows: Vec<Row> = self
            .rates
            .iter()
            .filter_map(|rate| {
                let (began, ended) = rate.lasts;
                let (from, to) = (since.max(now - began), until.min(now - ended));
                (from < to).then(|| rate.row(from, to))
            })
            .collect();
        let seen = rows
            .iter()
            .filter_map(|row| row.counters)
            .map(|of| 2 * of.opened);
        Ok(Gathered {
            seen: seen.sum(),
            rows,
            lost: self.lost,
            nodes: 1,
            known_since_ns: (now - KNOWN) * 1_000_000_000,
            ..Gathered::default()
        })
    }
}

fn seconds(time: api::hubble::Timestamp) -> u64 {
    u64::try_from(time.seconds).unwrap_or_default()
}

/// Thousandths of the rate at a time: a day's slow wave, a quick one, and some roughness that is always the same.
fn curve(time: u64, of: u64) -> u64 {
    let wave = |period: u64, height: u64| {
        let at = (time + of * 977) % period;
        let half = period / 2;
        height * at.min(period - at) / half.max(1)
    };
    600 + wave(7200, 400) + wave(600, 250) + (time / STEP).wrapping_mul(2_654_435_761) % 180
}

impl Rate {
    fn row(&self, since: u64, until: u64) -> Row {
        let seed = self.edge.port as u64 + self.opened;
        let sum: u64 = (since / STEP..until / STEP)
            .map(|at| curve(at * STEP, seed))
            .sum();
        // Rates are of 1,000 seconds, the curve's values thousandths of spans of ten.
        let times = |rate: u64| rate * sum / 100_000;
        let opened = times(self.opened);
        let failed = self.failure.as_ref().map_or(0, |(_, rate)| times(*rate));
        let counters = self.counters(opened, failed);
        let failures = match &self.failure {
            Some((cause, _)) if failed > 0 => vec![self.tally(cause, failed, since, until)],
            _ => Vec::new(),
        };
        let outsiders = self
            .outsiders
            .iter()
            .zip(1..)
            .map(|(address, place)| Outsider {
                address: (*address).into(),
                connections: opened / (1 << place),
            });
        let mut row = Row {
            edge: Some(self.edge.clone()),
            connect: (counters.answered > 0).then(|| sketch(self.connect, counters.answered)),
            counters: Some(counters),
            failures,
            outsiders: outsiders.collect(),
            first_ns: since * 1_000_000_000,
            last_ns: until.saturating_sub(3) * 1_000_000_000,
            ..Row::default()
        };
        for of in &self.said {
            let failures = of.say(&mut row, times);
            let tallies = failures
                .iter()
                .map(|(cause, count)| self.tally(cause, *count, since, until));
            row.failures.extend(tallies);
        }
        row
    }

    fn counters(&self, opened: u64, failed: u64) -> Counters {
        let kind = self.failure.as_ref().map(|(cause, _)| cause.kind());
        let of = |wanted: &[CauseKind]| match kind {
            Some(kind) if wanted.contains(&kind) => failed,
            _ => 0,
        };
        let denied = of(&[CauseKind::DeniedByRule, CauseKind::DeniedByDefault]);
        let (refused, unanswered) = (of(&[CauseKind::Refused]), of(&[CauseKind::Unanswered]));
        let opened = opened.max(refused + unanswered);
        let answered = opened - unanswered;
        Counters {
            opened,
            answered,
            closed: answered - refused,
            refused,
            unanswered,
            reset_by_server: of(&[CauseKind::ResetByServer]),
            denied,
            dropped: of(&[CauseKind::Dropped]),
            packets_sent: answered * 6,
            packets_received: answered * 7,
            bytes_sent: answered * self.bytes / 4,
            bytes_received: answered * self.bytes * 3 / 4,
            ..Counters::default()
        }
    }

    fn tally(&self, cause: &Cause, count: u64, since: u64, until: u64) -> Tally {
        let pod = |party: Option<&Party>, suffix: &str| {
            let of = party.filter(|of| of.kind() == PartyKind::Workload);
            of.map(|of| format!("{}/{}-{suffix}", of.namespace, of.name))
                .unwrap_or_default()
        };
        let edge = &self.edge;
        let sample = |at: u64| Sample {
            time_ns: until.saturating_sub(3 + 7 * at) * 1_000_000_000,
            source_pod: pod(edge.source.as_ref(), "6d4b75cb6d-hx2vq"),
            source: format!("10.244.1.{}:{}", 10 + at, 40_000 + at * 13),
            destination_pod: pod(edge.destination.as_ref(), "5f9c7d8b9c-2tlpm"),
            destination: format!("10.244.2.{}:{}", 20 + at, edge.port),
        };
        Tally {
            cause: Some(cause.clone()),
            count,
            packets: count * 3,
            first_ns: since * 1_000_000_000,
            last_ns: until.saturating_sub(3) * 1_000_000_000,
            samples: (0..count.min(3)).map(sample).collect(),
            excused: 0,
        }
    }
}

/// Durations around a median: half as long to four times as long.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bucket of a known range"
)]
pub(crate) fn sketch(median: f64, count: u64) -> Sketch {
    let shares: [(f64, u64); 6] = [
        (0.5, 10),
        (0.8, 25),
        (1.0, 30),
        (1.3, 25),
        (2.0, 8),
        (4.0, 2),
    ];
    let bucket = |micros: f64| (micros.ln() / GROWTH.ln()).ceil() as u32;
    Sketch {
        bucket: shares.iter().map(|(of, _)| bucket(median * of)).collect(),
        count: shares
            .iter()
            .map(|(_, share)| (count * share).div_ceil(100))
            .collect(),
    }
}

fn workload(name: &str) -> Party {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    Party {
        namespace: namespace.into(),
        name: name.into(),
        ..Party::default()
    }
}

/// NAMESPACE/NAME, a DNS name, or an entity.
fn party(name: &str) -> Party {
    let kind = match name {
        name if name.contains('/') => return workload(name),
        name if name.contains('.') => PartyKind::DnsName,
        _ => PartyKind::Entity,
    };
    Party {
        name: name.into(),
        kind: kind.into(),
        ..Party::default()
    }
}

fn rate(from: &str, to: &str, port: u32, opened: u64, connect: f64) -> Rate {
    let destination = party(to);
    let service = if destination.kind() == PartyKind::Workload {
        to.into()
    } else {
        String::new()
    };
    Rate {
        edge: Edge {
            source: Some(party(from)),
            destination: Some(destination),
            service,
            port,
            protocol: if port == 53 { 17 } else { 6 },
            ..Edge::default()
        },
        opened,
        bytes: 3000 + u64::from(port),
        connect,
        failure: None,
        outsiders: Vec::new(),
        said: said::on(from, to, port),
        lasts: (KNOWN, 0),
    }
}

fn failing(mut rate: Rate, kind: CauseKind, count: u64) -> Rate {
    let cause = Cause {
        kind: kind.into(),
        ..Cause::default()
    };
    rate.failure = Some((cause, count));
    rate
}

fn denied(mut rate: Rate, kind: CauseKind, policy: &str, count: u64) -> Rate {
    let (namespace, name) = policy.split_once('/').unwrap_or(("", policy));
    let cause = Cause {
        kind: kind.into(),
        direction: Direction::Ingress.into(),
        policies: vec![PolicyRef {
            kind: "CiliumNetworkPolicy".into(),
            namespace: namespace.into(),
            name: name.into(),
        }],
        ..Cause::default()
    };
    rate.failure = Some((cause, count));
    rate
}

fn lasting(mut rate: Rate, began: u64, ended: u64) -> Rate {
    rate.lasts = (began, ended);
    rate
}

fn outside(mut rate: Rate, addresses: &[&'static str]) -> Rate {
    rate.outsiders = addresses.to_vec();
    rate
}

/// What is well in a shop: source, destination, port, connections in a thousand seconds, microseconds to the first answer.
#[rustfmt::skip]
const WELL: &[(&str, &str, u32, u64, f64)] = &[
    ("ingress/gateway", "shop/web", 8080, 9400, 310.0),
    ("shop/web", "shop/api", 8080, 18_000, 280.0),
    ("shop/web", "shop/assets", 8080, 5200, 220.0),
    ("shop/api", "shop/cart", 8080, 6100, 260.0),
    ("shop/api", "data/postgres", 5432, 3100, 480.0),
    ("shop/cart", "data/redis", 6379, 7400, 190.0),
    ("shop/checkout", "data/postgres", 5432, 900, 510.0),
    ("shop/api", "shop/checkout", 8080, 880, 300.0),
    ("shop/checkout", "data/kafka", 9092, 1300, 620.0),
    ("shop/mailer", "data/kafka", 9092, 260, 640.0),
    ("shop/stock", "data/kafka", 9092, 40, 630.0),
    ("shop/mailer", "smtp.example.net", 587, 210, 58_000.0),
    ("lab/notebook", "pypi.example.org", 443, 120, 33_000.0),
    ("monitoring/prometheus", "shop/api", 9102, 400, 350.0),
    ("monitoring/prometheus", "shop/web", 9102, 400, 350.0),
    ("monitoring/prometheus", "data/postgres", 9187, 200, 420.0),
    ("monitoring/grafana", "monitoring/prometheus", 9090, 310, 280.0),
    ("host", "shop/web", 8080, 300, 120.0),
    ("host", "shop/api", 8080, 300, 120.0),
    ("kube-system/coredns", "kube-apiserver", 6443, 40, 700.0),
    ("monitoring/prometheus", "kube-apiserver", 6443, 120, 720.0),
    ("shop/web", "kube-system/coredns", 53, 2400, 330.0),
    ("shop/api", "kube-system/coredns", 53, 2400, 330.0),
    ("shop/cart", "kube-system/coredns", 53, 2400, 330.0),
    ("shop/checkout", "kube-system/coredns", 53, 2400, 330.0),
    ("shop/mailer", "kube-system/coredns", 53, 2400, 330.0),
    ("lab/notebook", "kube-system/coredns", 53, 2400, 330.0),
];

/// A shop with a few things wrong.
pub(crate) fn shop() -> Vec<Rate> {
    let seen = ["203.0.113.7", "198.51.100.23", "203.0.113.91"];
    let well = WELL.iter();
    let mut rates: Vec<Rate> = well
        .map(|(from, to, port, opened, connect)| rate(from, to, *port, *opened, *connect))
        .collect();
    let gateway = |port, opened| rate("world", "ingress/gateway", port, opened, 900.0);
    let none = |from, to, port| rate(from, to, port, 0, 0.0);
    let refused = rate("shop/api", "shop/recommend", 9090, 2100, 410.0);
    let silent = rate("shop/checkout", "payments.example.com", 443, 840, 41_000.0);
    let cut = rate("lab/notebook", "data/warehouse", 8123, 90, 900.0);
    let admin = outside(none("world", "shop/admin", 8443), &seen[..1]);
    let recommend = none("shop/recommend", "data/postgres", 5432);
    let notebook = none("lab/notebook", "data/postgres", 5432);
    let (rule, default) = (CauseKind::DeniedByRule, CauseKind::DeniedByDefault);
    rates.extend([
        outside(gateway(443, 9000), &seen),
        outside(gateway(80, 700), &seen[1..]),
        failing(refused, CauseKind::Refused, 260),
        failing(silent, CauseKind::Unanswered, 22),
        failing(cut, CauseKind::ResetByServer, 6),
        denied(admin, default, "shop/admin-in", 14),
        denied(recommend, rule, "data/postgres-clients", 48),
        denied(notebook, default, "data/postgres-clients", 9),
        lasting(
            rate("shop/checkout", "shop/fraud", 8080, 600, 340.0),
            840,
            0,
        ),
        lasting(
            rate("shop/checkout", "shop/risk", 8080, 500, 340.0),
            KNOWN,
            960,
        ),
        lasting(
            rate("monitoring/grafana", "data/postgres", 5432, 300, 450.0),
            KNOWN,
            870,
        ),
        lasting(
            rate("monitoring/grafana", "data/postgres", 5432, 300, 1900.0),
            870,
            0,
        ),
    ]);
    rates
}

/// 1,000 workloads in 25 namespaces and 5,000 edges, the same each time.
pub(crate) fn crowd() -> Vec<Rate> {
    let name = |number: u64| format!("team-{:02}/service-{number:03}", number % 25);
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut seen = std::collections::HashSet::new();
    let mut rates = Vec::new();
    while rates.len() < 5000 {
        let count = rates.len() as u64;
        let from = if count < 1000 { count } else { next(1000) };
        // Most of what is asked is near: of the same namespace.
        let to = if next(4) > 0 {
            (from + 25 * (1 + next(39))) % 1000
        } else {
            next(1000)
        };
        if from == to || !seen.insert((from, to)) {
            continue;
        }
        let all = rate(
            &name(from),
            &name(to),
            8000 + (to % 5) as u32,
            20 + next(4000),
            200.0 + f64::from(to as u32),
        );
        rates.push(match next(60) {
            0 => failing(all, CauseKind::Refused, 1 + next(40)),
            1 => failing(all, CauseKind::Unanswered, 1 + next(20)),
            2 => denied(
                all,
                CauseKind::DeniedByDefault,
                "team-00/default-deny",
                1 + next(30),
            ),
            _ => all,
        });
    }
    rates
}
