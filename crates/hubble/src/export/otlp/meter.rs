//! Counts for a collector, where records come in: nothing is missed, whatever the ring forgets.
//!
//! Counts rise from the first of a series on (cumulative): a message that is lost costs no counts, the next one has them. Each
//! metric tells a bounded number of series apart; what is beyond counts as one, under the attribute that conventions have for it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use l7::record::{Dns, Http, Record};

use super::attributes::{Attributes, DESTINATION, EndKeys, SOURCE, seconds};
use super::logs::kind;
use super::request::{self, Vantage};
use super::spans::{TraceParent, trace_of};
use crate::connections::{Change, Traffic};
use crate::edges::{edge, shown};
use crate::enrich::Enriched;
use crate::recorder::is_nobodys;
use crate::records::{Record as Packet, protocol};
use crate::series::BOUNDS;
use crate::spoken::Spoken;
use api::hubble::answers::{Edge, Party, Side};

/// Series of one metric of durations, and of that of edges, which has no buckets.
const DURATIONS: usize = 2_000;
const EDGES: usize = 8_000;
/// A series that counted nothing for so long is not told any more.
const KEPT: Duration = Duration::from_hours(1);

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    HttpClient,
    HttpServer,
    RpcClient,
    RpcServer,
    DnsLookup,
    EdgeIo,
}

impl Metric {
    pub(super) const ALL: [Self; 6] = [
        Self::HttpClient,
        Self::HttpServer,
        Self::RpcClient,
        Self::RpcServer,
        Self::DnsLookup,
        Self::EdgeIo,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::HttpClient => "http.client.request.duration",
            Self::HttpServer => "http.server.request.duration",
            Self::RpcClient => "rpc.client.call.duration",
            Self::RpcServer => "rpc.server.call.duration",
            Self::DnsLookup => "dns.lookup.duration",
            Self::EdgeIo => "axoneme.edge.network.io",
        }
    }

    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::HttpClient => "Requests over HTTP as seen at who asked",
            Self::HttpServer => "Requests over HTTP as seen at who was asked",
            Self::RpcClient => "Calls of gRPC as seen at who called",
            Self::RpcServer => "Calls of gRPC as seen at who was called",
            Self::DnsLookup => "Questions of DNS",
            Self::EdgeIo => "Bytes at the IP layer between two ends",
        }
    }

    const fn series(self) -> usize {
        match self {
            Self::EdgeIo => EDGES,
            _ => DURATIONS,
        }
    }
}

/// A measurement and its trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exemplar {
    pub(super) seconds: f64,
    pub(super) time_ns: u64,
    pub(super) trace: TraceParent,
}

/// A distribution of durations.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// How many fell into each bucket of [`BOUNDS`].
    pub(super) counts: [u64; BOUNDS.len()],
    /// Seconds.
    pub(super) sum: f64,
    /// The newest of each bucket since they were last told, by the bucket's number.
    pub(super) exemplars: Vec<(usize, Exemplar)>,
}

impl Histogram {
    fn add(&mut self, exact: Exact) {
        let seconds = seconds(exact.took_ns);
        let bucket = BOUNDS.iter().position(|(bound, _)| seconds <= *bound);
        let bucket = bucket.unwrap_or(BOUNDS.len() - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += seconds;
        if let Some(trace) = exact.trace {
            let exemplar = Exemplar {
                seconds,
                time_ns: exact.time_ns,
                trace,
            };
            match self.exemplars.iter_mut().find(|(of, _)| *of == bucket) {
                Some((_, known)) => *known = exemplar,
                None => self.exemplars.push((bucket, exemplar)),
            }
        }
    }
}

/// One duration.
#[derive(Clone, Copy)]
struct Exact {
    took_ns: u64,
    time_ns: u64,
    trace: Option<TraceParent>,
}

/// What a series counts.
#[derive(Clone, Debug)]
pub(super) enum Count {
    Sum(u64),
    Histogram(Box<Histogram>),
}

/// A series.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// From when and until when it counted, nanoseconds since the Unix epoch.
    pub(super) start_ns: u64,
    changed_ns: u64,
    pub(super) count: Count,
}

type Family = HashMap<Attributes, Series>;

/// Counts of all metrics.
#[derive(Default)]
pub struct Meter {
    // Written where records come in, read by who tells them; nobody needs their history, so they are no tables.
    families: [Mutex<Family>; Metric::ALL.len()],
}

impl Meter {
    fn family(&self, metric: Metric) -> MutexGuard<'_, Family> {
        let family = self.families[metric as usize].lock();
        family.unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was said on a connection.
    pub(crate) fn said(&self, enriched: &Enriched, spoken: &Spoken) {
        if is_nobodys(&enriched.record) {
            return;
        }
        match &spoken.record {
            Record::Http(of) => self.http(enriched, spoken, of),
            Record::Dns(of) => self.dns(enriched, spoken, of),
            Record::Kafka(_) | Record::Tls(_) => {}
        }
    }

    /// At whose interface it was seen; where both are here, at both.
    fn http(&self, enriched: &Enriched, spoken: &Spoken, of: &Http) {
        let Some(took_ns) = request::http_duration(of, spoken.made_ns) else {
            return;
        };
        let record = &enriched.record;
        let is_client = record.source.endpoint != 0;
        let is_server = record.destination.endpoint != 0 || !is_client;
        let metrics = if request::is_rpc(of) {
            [Metric::RpcClient, Metric::RpcServer]
        } else {
            [Metric::HttpClient, Metric::HttpServer]
        };
        let edge = edge(enriched);
        for (metric, at, is_here) in [
            (metrics[0], Vantage::Client, is_client),
            (metrics[1], Vantage::Server, is_server),
        ] {
            if !is_here {
                continue;
            }
            let mut attributes = Attributes::default();
            request::http(of, at, &mut attributes);
            if at == Vantage::Client {
                attributes.text("server.address", asked(record, of, &edge));
                let port = record
                    .asked
                    .map_or(record.destination.port, |asked| asked.port());
                attributes.number("server.port", port);
            }
            put(&edge, &mut attributes);
            let exact = Exact {
                took_ns,
                time_ns: record.time_ns,
                trace: trace_of(of),
            };
            self.add(metric, attributes, record.time_ns, Added::Duration(exact));
        }
    }

    /// Each question counts on one node: who asks is there, or has no agent of his own.
    fn dns(&self, enriched: &Enriched, spoken: &Spoken, of: &Dns) {
        let edge = edge(enriched);
        let took_ns = request::dns_duration(of, spoken.made_ns);
        let (Some(took_ns), Side::Client) = (took_ns, edge.side()) else {
            return;
        };
        let mut attributes = Attributes::default();
        request::dns(of, &mut attributes);
        put(&edge, &mut attributes);
        let time_ns = enriched.record.time_ns;
        let exact = Exact {
            took_ns,
            time_ns,
            trace: None,
        };
        self.add(
            Metric::DnsLookup,
            attributes,
            time_ns,
            Added::Duration(exact),
        );
    }

    /// Counts what was added to a connection, on one node as well.
    pub(crate) fn changed(&self, enriched: &Enriched, change: &Change) {
        let ways = [("transmit", change.sent), ("receive", change.received)];
        if ways
            .iter()
            .all(|(_, traffic)| *traffic == Traffic::default())
            || is_nobodys(&enriched.record)
        {
            return;
        }
        let edge = edge(enriched);
        if edge.side() != Side::Client {
            return;
        }
        for (way, traffic) in ways.into_iter().filter(|(_, traffic)| traffic.bytes > 0) {
            let mut attributes = Attributes::default();
            attributes.text("network.io.direction", way);
            attributes.text("network.transport", transport(enriched.record.protocol));
            if edge.port != 0 {
                attributes.number("server.port", edge.port);
            }
            put(&edge, &mut attributes);
            let time_ns = enriched.record.time_ns;
            self.add(
                Metric::EdgeIo,
                attributes,
                time_ns,
                Added::Bytes(traffic.bytes),
            );
        }
    }

    fn add(&self, metric: Metric, attributes: Attributes, time_ns: u64, added: Added) {
        let mut family = self.family(metric);
        let is_full = family.len() >= metric.series() && !family.contains_key(&attributes);
        let attributes = if is_full { overflow() } else { attributes };
        let series = family.entry(attributes).or_insert_with(|| Series {
            start_ns: time_ns,
            changed_ns: time_ns,
            count: match added {
                Added::Bytes(_) => Count::Sum(0),
                Added::Duration(_) => Count::Histogram(Box::default()),
            },
        });
        series.changed_ns = series.changed_ns.max(time_ns);
        match (&mut series.count, added) {
            (Count::Sum(sum), Added::Bytes(bytes)) => *sum = sum.saturating_add(bytes),
            (Count::Histogram(of), Added::Duration(exact)) => of.add(exact),
            (Count::Sum(_), Added::Duration(_)) | (Count::Histogram(_), Added::Bytes(_)) => {}
        }
    }

    /// The series of a metric. Those that counted nothing for long are told a last time, and exemplars but once.
    pub(super) fn take(&self, metric: Metric, now_ns: u64) -> Vec<(Attributes, Series)> {
        let mut family = self.family(metric);
        let all = family.iter_mut().map(|(attributes, series)| {
            let told = (attributes.clone(), series.clone());
            if let Count::Histogram(of) = &mut series.count {
                of.exemplars.clear();
            }
            told
        });
        let all = all.collect();
        let kept = u64::try_from(KEPT.as_nanos()).unwrap_or(u64::MAX);
        family.retain(|_, series| now_ns.saturating_sub(series.changed_ns) < kept);
        all
    }
}

/// What is added to a series.
#[derive(Clone, Copy)]
enum Added {
    Bytes(u64),
    Duration(Exact),
}

/// The attribute of the series of those that are too many.
fn overflow() -> Attributes {
    let mut attributes = Attributes::default();
    attributes.truth("otel.metric.overflow");
    attributes
}

/// By which name a client asks: a host that it sends is one unless it is an address.
fn asked(record: &Packet, of: &Http, edge: &Edge) -> String {
    let host = request::host(of);
    let is_address = host
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok();
    if !host.is_empty() && !is_address {
        return host.to_owned();
    }
    if let Some((namespace, name)) = edge.service.split_once('/') {
        return format!("{name}.{namespace}");
    }
    let address = record
        .asked
        .map_or(record.destination.address, |asked| asked.ip());
    address.to_string()
}

fn transport(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".into(),
        protocol::UDP => "udp".into(),
        protocol::SCTP => "sctp".into(),
        protocol::ICMP => "icmp".into(),
        protocol::ICMPV6 => "icmpv6".into(),
        other => other.to_string(),
    }
}

/// Adds both ends, by the names that the counts per edge have.
fn put(edge: &Edge, to: &mut Attributes) {
    let none = Party::default();
    let mut end = |keys: &EndKeys, party: Option<&Party>| {
        let party = party.unwrap_or(&none);
        to.text(keys.name, shown(party));
        to.text(keys.kind, kind(party));
        to.text(keys.cluster, party.cluster.as_str());
        to.text(keys.namespace, party.namespace.as_str());
    };
    end(&SOURCE, edge.source.as_ref());
    end(&DESTINATION, edge.destination.as_ref());
    if let Some((namespace, name)) = edge.service.split_once('/') {
        to.text(DESTINATION.service, name);
        to.text(DESTINATION.service_namespace, namespace);
    }
}

#[cfg(test)]
mod tests;
