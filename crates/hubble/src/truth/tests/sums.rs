//! Sums of what was sent, beside those that were counted and are answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::hubble::answers::answers_server::Answers as _;
use api::hubble::answers::{
    Cause, CauseKind, CodeCount, Counters, DnsCounters, Edge, Failure, HttpCounters, KafkaCounters,
    NameCount, Question, Row, Sketch as Message, TlsCounters,
};
use l7::conversation::Direction;
use l7::record::{Dns, DnsOutcome, Ending, Http, Kafka, Record as Said, Seen, Tls, TlsEnding};
use tonic::Request;

use crate::answers::{Answers, OwnNode};
use crate::connections::RoundTrip;
use crate::recorder::Recorder;
use crate::sketch::Sketch;
use crate::truth::Case;

/// A counted thing and how long each took.
type Timed<T> = (T, Vec<Duration>);
/// By cause, written out: count, packets, and those that were excused.
type Failures = HashMap<String, (u64, u64, u64)>;

/// What is true of an edge.
#[derive(Default)]
struct Sum {
    counters: Counters,
    connects: Vec<Duration>,
    round_trips: Vec<RoundTrip>,
    failures: Failures,
    http: BTreeMap<(String, String), Timed<HttpCounters>>,
    dns: BTreeMap<String, Timed<DnsCounters>>,
    kafka: BTreeMap<String, KafkaCounters>,
    tls: BTreeMap<String, Timed<TlsCounters>>,
}

/// What is true of all edges.
#[derive(Default)]
pub(super) struct Sums {
    edges: HashMap<Edge, Sum>,
    /// Searches of which something was lost: whether they are known as such depends on what.
    vague: u64,
}

fn count(codes: &mut Vec<CodeCount>, code: impl Into<i32>) {
    let code = code.into();
    match codes.iter_mut().find(|of| of.code == code) {
        Some(of) => of.count += 1,
        None => codes.push(CodeCount { code, count: 1 }),
    }
    codes.sort_by_key(|of| of.code);
}

fn text(of: &Seen<String>) -> String {
    of.known().cloned().unwrap_or_default()
}

fn took(start: Option<u64>, end: Option<u64>) -> Option<Duration> {
    Some(Duration::from_nanos(end? - start?))
}

impl Sums {
    /// Adds a connection, and what was told of what was said on it.
    pub(super) fn add(&mut self, case: &Case, told: &[Said]) {
        let sum = self.edges.entry(case.edge.clone()).or_default();
        add(&mut sum.counters, &case.counters);
        sum.connects.extend(case.connect);
        sum.round_trips.extend(case.round_trip);
        if let Some((cause, packets)) = &case.failure {
            let of = sum.failures.entry(format!("{cause:?}")).or_default();
            of.0 += 1;
            of.1 += packets;
        }
        self.heard(&case.edge, told);
        if case.searched > 0 && case.lost > 0 {
            self.vague += 1;
        } else if case.searched > 0
            && let Some(Said::Dns(missing)) = told.first()
        {
            let cause = cause(CauseKind::DnsNoSuchName, missing.qname.clone(), 3);
            let sum = self.edges.entry(case.edge.clone()).or_default();
            sum.failures.entry(format!("{cause:?}")).or_default().2 += 1;
            if let Some(of) = sum.dns.get_mut(&missing.qname) {
                of.0.searched += 1;
            }
        }
    }

    /// Adds what was told.
    pub(super) fn heard(&mut self, edge: &Edge, told: &[Said]) {
        let sum = self.edges.entry(edge.clone()).or_default();
        for said in told {
            for cause in causes(said) {
                sum.failures.entry(format!("{cause:?}")).or_default().0 += 1;
            }
            match said {
                Said::Http(of) => sum.http(of),
                Said::Dns(of) => sum.dns(of),
                Said::Kafka(of) => sum.kafka(of),
                Said::Tls(of) => sum.tls(of),
            }
        }
    }

    /// The rows are these sums, field by field.
    pub(super) fn are_those_of(&self, rows: &[Row]) {
        assert_eq!(rows.len(), self.edges.len());
        let mut vague = 0;
        for row in rows {
            let edge = row.edge.as_ref().expect("an edge");
            let sum = self.edges.get(edge).expect("an edge that was used");
            assert_eq!(row.counters, Some(sum.counters), "{edge:?}");
            alike(row.connect.as_ref(), &sum.connects);
            let times = |of: fn(&RoundTrip) -> Duration| -> Vec<_> {
                sum.round_trips.iter().map(of).collect()
            };
            alike(row.round_trip.as_ref(), &times(|of| of.smoothed));
            alike(row.least_round_trip.as_ref(), &times(|of| of.least));
            let from_outside: u64 = row.outsiders.iter().map(|of| of.connections).sum();
            let is_outside = edge.source.as_ref().is_some_and(crate::rollup::is_outside);
            let opened = if is_outside { sum.counters.opened } else { 0 };
            assert_eq!(from_outside, opened, "{edge:?}");
            vague += sum.has_failures_of(row);
            vague += sum.has_said_of(row);
        }
        // A search is one in the failures and one in the questions.
        assert!(
            vague <= 2 * self.vague,
            "{vague} of {} searches",
            self.vague
        );
    }

    /// The answers are these sums.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) async fn are_answered(&self, recorder: &Arc<Recorder>, lost: u64) {
        let answers = Answers::new(Arc::new(OwnNode(Arc::clone(recorder))));
        let ask = || {
            Request::new(Question {
                resets: true,
                ..Question::default()
            })
        };
        let map = answers.map(ask()).await.unwrap().into_inner();
        for row in &map.edges {
            let sum = &self.edges[row.edge.as_ref().expect("an edge")];
            assert_eq!(row.counters, Some(sum.counters));
        }
        let completeness = map.completeness.unwrap_or_default();
        let said: u64 = self.edges.values().map(Sum::said).sum();
        assert_eq!((completeness.said, completeness.lost), (said, lost));
        let of_connections = self.edges.values().map(|sum| {
            let of = &sum.counters;
            of.opened + of.denied + of.answered + of.unanswered
        });
        let seen = (said + of_connections.sum::<u64>()) as f64;
        let share = seen / (seen + lost as f64);
        assert!(
            (completeness.share - share).abs() < 1e-9,
            "{completeness:?}"
        );
        let failing = answers.failing(ask()).await.unwrap().into_inner();
        self.failures_are_answered(failing.failures);
        self.http_is_answered(&answers.http(ask()).await.unwrap().into_inner().requests);
        let lookups = answers.dns(ask()).await.unwrap().into_inner().lookups;
        let questions: u64 = lookups
            .iter()
            .filter_map(|of| Some(of.counters.as_ref()?.questions))
            .sum();
        let asked = self.edges.values().flat_map(|sum| sum.dns.values());
        assert_eq!(questions, asked.map(|of| of.0.questions).sum::<u64>());
        let topics = answers.kafka(ask()).await.unwrap().into_inner().topics;
        for topic in &topics {
            let mut told = topic.counters.clone().unwrap();
            (told.produce_latency, told.fetch_latency) = (None, None);
            let sum = &self.edges[topic.edge.as_ref().expect("an edge")];
            // An answer names the groups of a client with each topic that it fetches.
            let mut expected = sum.kafka[&told.topic].clone();
            (expected.groups, told.groups) = (Vec::new(), Vec::new());
            assert_eq!(told, expected);
        }
        let all: usize = self.edges.values().map(|sum| sum.kafka.len()).sum();
        assert_eq!(topics.len(), all);
    }

    fn failures_are_answered(&self, failures: Vec<Failure>) {
        let mut failed: HashMap<(Edge, String), u64> = HashMap::new();
        for failure in failures {
            let (edge, cause) = (failure.edge.unwrap(), failure.cause.unwrap());
            failed.insert((edge, format!("{cause:?}")), failure.count);
        }
        for (edge, sum) in &self.edges {
            for (cause, (count, _, excused)) in &sum.failures {
                let key = (edge.clone(), cause.clone());
                let is_vague = cause.contains("DnsNoSuchName") && self.vague > 0;
                let answered = failed.remove(&key).unwrap_or_default();
                let is_right = answered == count - excused || is_vague && answered <= *count;
                assert!(is_right, "{answered} of {key:?}");
            }
        }
        assert!(failed.is_empty(), "{failed:?}");
    }

    fn http_is_answered(&self, requests: &[api::hubble::answers::Requests]) {
        let mut sums: HashMap<(String, String, String, String), u64> = HashMap::new();
        for (edge, sum) in &self.edges {
            let name = edge.destination.clone().unwrap_or_default().name;
            for ((method, path), (counters, _)) in &sum.http {
                let key = (
                    name.clone(),
                    edge.service.clone(),
                    method.clone(),
                    path.clone(),
                );
                *sums.entry(key).or_default() += counters.requests;
            }
        }
        for of in requests {
            let counters = of.counters.clone().unwrap_or_default();
            let name = of.destination.clone().unwrap_or_default().name;
            let key = (name, of.service.clone(), counters.method, counters.path);
            assert_eq!(sums.remove(&key), Some(counters.requests), "{key:?}");
        }
        assert!(sums.is_empty(), "{sums:?}");
    }
}

impl Sum {
    fn said(&self) -> u64 {
        let http = self.http.values().map(|of| of.0.requests);
        let dns = self.dns.values().map(|of| of.0.questions);
        let kafka = self
            .kafka
            .values()
            .map(|of| of.produces + of.fetches + of.others);
        let tls = self.tls.values().map(|of| of.0.handshakes);
        http.chain(dns).chain(kafka).chain(tls).sum()
    }

    /// Returns of how many searches it is not known here whether they are some.
    fn has_failures_of(&self, row: &Row) -> u64 {
        let mut vague = 0;
        assert_eq!(
            row.failures.len(),
            self.failures.len(),
            "{:#?}",
            row.failures
        );
        for tally in &row.failures {
            let cause = tally.cause.clone().unwrap_or_default();
            let (count, packets, excused) = self.failures[&format!("{cause:?}")];
            assert_eq!((tally.count, tally.packets), (count, packets), "{cause:?}");
            assert!((excused..=count).contains(&tally.excused), "{cause:?}");
            vague += tally.excused - excused;
            assert!((1..=3).contains(&tally.samples.len()), "{tally:?}");
        }
        vague
    }

    fn has_said_of(&self, row: &Row) -> u64 {
        assert_eq!(row.http.len(), self.http.len());
        for of in &row.http {
            let (expected, times) = &self.http[&(of.method.clone(), of.path.clone())];
            alike(of.latency.as_ref(), times);
            let latency = None;
            assert_eq!(
                HttpCounters {
                    latency,
                    ..of.clone()
                },
                *expected
            );
        }
        assert_eq!(row.kafka.len(), self.kafka.len());
        for of in &row.kafka {
            let (produce_latency, fetch_latency) = (None, None);
            let told = KafkaCounters {
                produce_latency,
                fetch_latency,
                ..of.clone()
            };
            assert_eq!(told, self.kafka[&of.topic]);
        }
        assert_eq!(row.tls.len(), self.tls.len());
        for of in &row.tls {
            let (expected, times) = &self.tls[&of.server_name];
            alike(of.latency.as_ref(), times);
            let latency = None;
            assert_eq!(
                TlsCounters {
                    latency,
                    ..of.clone()
                },
                *expected
            );
        }
        assert_eq!(row.dns.len(), self.dns.len());
        let mut vague = 0;
        for of in &row.dns {
            let (expected, times) = &self.dns[&of.name];
            alike(of.latency.as_ref(), times);
            vague += of.searched - expected.searched;
            let told = DnsCounters {
                latency: None,
                addresses: Vec::new(),
                first_ns: 0,
                last_ns: 0,
                searched: expected.searched,
                ..of.clone()
            };
            assert_eq!(told, *expected);
        }
        vague
    }

    fn http(&mut self, of: &Http) {
        let (method, path) = (text(&of.method), text(&of.template));
        let (sum, times) = self.http.entry((method.clone(), path.clone())).or_default();
        (sum.method, sum.path) = (method, path);
        sum.requests += 1;
        match of.status {
            Seen::Known(code) => count(&mut sum.status, code),
            Seen::Absent => sum.unanswered += 1,
            Seen::Unknown => sum.unknown += 1,
        }
        sum.request_octets += of.request_octets.known().copied().unwrap_or_default();
        sum.response_octets += of.response_octets.known().copied().unwrap_or_default();
        times.extend(took(of.start_ns, of.answer_ns));
    }

    fn dns(&mut self, of: &Dns) {
        let (sum, times) = self.dns.entry(of.qname.clone()).or_default();
        (sum.name, sum.r#type) = (of.qname.clone(), 1);
        sum.questions += 1;
        match of.outcome {
            DnsOutcome::Code(code) => count(&mut sum.codes, code),
            DnsOutcome::Timeout => sum.timeouts += 1,
            DnsOutcome::Closed => sum.unanswered += 1,
            DnsOutcome::Unknown => sum.unknown += 1,
        }
        sum.repeats += u64::from(of.attempts.saturating_sub(1));
        times.extend(of.latency_ns.map(Duration::from_nanos));
    }

    fn kafka(&mut self, of: &Kafka) {
        let nothing = (String::new(), 0, of.error.known().copied());
        let topics = of.topics.iter().map(|topic| {
            let octets = topic.octets.known().copied().unwrap_or_default();
            (text(&topic.name), octets, topic.error.known().copied())
        });
        let mut topics: Vec<_> = topics.collect();
        if topics.is_empty() {
            topics.push(nothing);
        }
        for (name, octets, error) in topics {
            let sum = self.kafka.entry(name.clone()).or_default();
            sum.topic = name;
            match of.api {
                0 => {
                    sum.produces += 1;
                    sum.produced_octets += octets;
                }
                1 => {
                    sum.fetches += 1;
                    sum.fetched_octets += octets;
                }
                _ => sum.others += 1,
            }
            if let Some(code) = error.filter(|code| *code != 0) {
                count(&mut sum.errors, code);
            }
            sum.unanswered += u64::from(of.ending == Ending::Closed);
            sum.unknown += u64::from(of.ending == Ending::Unknown);
            if let Some(group) = of.group.known() {
                match sum.groups.first_mut() {
                    Some(of) => of.count += 1,
                    None => sum.groups.push(NameCount {
                        name: group.clone(),
                        count: 1,
                    }),
                }
            }
        }
    }

    fn tls(&mut self, of: &Tls) {
        let name = text(&of.server_name);
        let (sum, times) = self.tls.entry(name.clone()).or_default();
        sum.server_name = name;
        sum.handshakes += 1;
        match of.ending {
            TlsEnding::Done => sum.done += 1,
            TlsEnding::Alert(Direction::ToServer, code) => count(&mut sum.client_alerts, code),
            TlsEnding::Alert(Direction::ToClient, code) => count(&mut sum.server_alerts, code),
            TlsEnding::Closed => sum.unfinished += 1,
            TlsEnding::Unknown => sum.unknown += 1,
        }
        if let Some(version) = of.version.known() {
            count(&mut sum.versions, *version);
        }
        if of.alpn_offered.known().is_some() {
            match sum.protocols.first_mut() {
                Some(of) => of.count += 1,
                None => sum.protocols.push(NameCount {
                    name: "h2".to_owned(),
                    count: 1,
                }),
            }
        }
        times.extend(took(of.start_ns, of.hello_ns));
    }
}

/// The sketch has each of these, and its quantiles are theirs, with an error of at most 1 %.
fn alike(told: Option<&Message>, times: &[Duration]) {
    let told = told.map(Sketch::from).unwrap_or_default();
    assert_eq!(told.count(), times.len() as u64);
    let mut times = times.to_vec();
    times.sort_unstable();
    for (quantile, of_hundred) in [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
        let rank = (times.len() * of_hundred).div_ceil(100).max(1) - 1;
        let Some(exact) = times.get(rank) else { return };
        let told = told.quantile(quantile).expect("a quantile");
        // A rank is a product that may be rounded up.
        let next = times.get(rank + 1).unwrap_or(exact);
        let is_near = exact.mul_f64(0.9899) <= told && told <= next.mul_f64(1.0101);
        assert!(is_near, "p{of_hundred}: {told:?}, not {exact:?}");
    }
}

fn cause(kind: CauseKind, name: String, code: i32) -> Cause {
    Cause {
        kind: kind.into(),
        name,
        code,
        ..Cause::default()
    }
}

/// Why what was said failed.
fn causes(said: &Said) -> Vec<Cause> {
    match said {
        Said::Http(of) => {
            let name = format!("{} {}", text(&of.method), text(&of.template));
            let name = name.trim().to_owned();
            match of.status {
                Seen::Known(code) if code >= 500 => {
                    vec![cause(CauseKind::HttpError, name, code.into())]
                }
                Seen::Absent => vec![cause(CauseKind::NoAnswer, name, 0)],
                _ => Vec::new(),
            }
        }
        Said::Dns(of) => {
            let (kind, code) = match of.outcome {
                DnsOutcome::Code(0) | DnsOutcome::Unknown => return Vec::new(),
                DnsOutcome::Code(3) => (CauseKind::DnsNoSuchName, 3),
                DnsOutcome::Code(code) => (CauseKind::DnsError, code.into()),
                DnsOutcome::Timeout => (CauseKind::DnsTimeout, 0),
                DnsOutcome::Closed => (CauseKind::NoAnswer, 0),
            };
            vec![cause(kind, of.qname.clone(), code)]
        }
        Said::Kafka(of) if of.ending == Ending::Closed => {
            let first = of.topics.first().map(|topic| text(&topic.name));
            vec![cause(CauseKind::NoAnswer, first.unwrap_or_default(), 0)]
        }
        Said::Kafka(of) => {
            let of_topic = of.topics.iter().filter_map(|topic| {
                let code = topic.error.known().copied().filter(|code| *code != 0)?;
                Some(cause(CauseKind::KafkaError, text(&topic.name), code.into()))
            });
            let of_topic: Vec<Cause> = of_topic.collect();
            match of.error.known() {
                Some(code) if *code != 0 && of_topic.is_empty() => {
                    vec![cause(CauseKind::KafkaError, String::new(), (*code).into())]
                }
                _ => of_topic,
            }
        }
        Said::Tls(of) => match of.ending {
            TlsEnding::Alert(Direction::ToClient, code) => {
                let name = text(&of.server_name);
                vec![cause(CauseKind::TlsAlertByServer, name, code.into())]
            }
            TlsEnding::Closed => vec![cause(CauseKind::TlsUnfinished, text(&of.server_name), 0)],
            _ => Vec::new(),
        },
    }
}

fn add(into: &mut Counters, of: &Counters) {
    into.opened += of.opened;
    into.answered += of.answered;
    into.late += of.late;
    into.closed += of.closed;
    into.idle += of.idle;
    into.refused += of.refused;
    into.unanswered += of.unanswered;
    into.reset_by_client += of.reset_by_client;
    into.reset_by_server += of.reset_by_server;
    into.denied += of.denied;
    into.dropped += of.dropped;
    into.syn_retransmits += of.syn_retransmits;
    into.packets_sent += of.packets_sent;
    into.packets_received += of.packets_received;
    into.bytes_sent += of.bytes_sent;
    into.bytes_received += of.bytes_received;
    into.cut += of.cut;
    into.retransmits_sent += of.retransmits_sent;
    into.retransmits_received += of.retransmits_received;
}
