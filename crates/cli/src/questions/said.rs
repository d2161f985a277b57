//! What connections say, as rows of text: requests, questions, topics, names.

use std::time::Duration;

use api::hubble::answers::{
    CodeCount, DnsCounters, HttpCounters, KafkaCounters, Lookup, Requests, Resolution, Row,
    Sketch as Message, Topic, Unread,
};
use hubble::answers::http::counted;
use hubble::answers::{dns, http, kafka, words};
use hubble::edges::shown;
use hubble::sketch::Sketch;

use super::tables::{Cells, bytes_per_second, clock, duration, ends, rate, share};

/// Codes that are named of one row.
const CODES: usize = 4;

fn quantile(of: Option<&Message>, share: f64) -> String {
    let sketch = of.map(Sketch::from).unwrap_or_default();
    sketch.quantile(share).map(duration).unwrap_or_default()
}

/// The most frequent first: `503 (12), no answer (3)`.
fn listed(mut counts: Vec<(String, u64)>) -> String {
    counts.retain(|(_, count)| *count > 0);
    counts.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let more = counts.len().saturating_sub(CODES);
    let mut texts: Vec<String> = counts
        .into_iter()
        .take(CODES)
        .map(|(name, count)| format!("{name} ({count})"))
        .collect();
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

fn named(codes: &[CodeCount], name: impl Fn(i32) -> String) -> Vec<(String, u64)> {
    codes.iter().map(|of| (name(of.code), of.count)).collect()
}

/// Requests by method and path, with classes of status codes or, of `errors`, the codes themselves.
pub(super) fn requests(all: &[Requests], seconds: f64, errors: bool) -> Cells {
    let row = |of: &Requests| {
        let counters = of.counters.clone().unwrap_or_default();
        let mut cells = vec![
            asked(of),
            counters.method.clone(),
            counters.path.clone(),
            rate(counters.requests, seconds),
        ];
        if errors {
            cells.push(share(http::errors(&counters), counters.requests));
            cells.push(codes(&counters));
        } else {
            cells.extend([2, 3, 4, 5].map(|class| {
                let of_class = counted(&counters.status, |code| code / 100 == class);
                of_class.to_string()
            }));
            cells.push(counters.unanswered.to_string());
        }
        cells.extend([0.5, 0.95, 0.99].map(|of| quantile(counters.latency.as_ref(), of)));
        cells.push(callers(of));
        cells
    };
    let mut header = vec!["DESTINATION", "METHOD", "PATH", "REQ/S"];
    header.extend_from_slice(if errors {
        &["ERRORS", "ANSWERS"]
    } else {
        &["2XX", "3XX", "4XX", "5XX", "NO ANSWER"]
    });
    header.extend(["P50", "P95", "P99", "CALLERS"]);
    Cells {
        header,
        rows: all.iter().map(row).collect(),
    }
}

fn asked(of: &Requests) -> String {
    if of.service.is_empty() {
        of.destination.as_ref().map(shown).unwrap_or_default()
    } else {
        of.service.clone()
    }
}

fn codes(of: &HttpCounters) -> String {
    let mut counts = named(&of.status, |code| code.to_string());
    let grpc = of.grpc.iter().filter(|of| of.code != 0);
    counts.extend(grpc.map(|of| (words::grpc_code(of.code), of.count)));
    counts.push(("no answer".to_owned(), of.unanswered));
    listed(counts)
}

fn callers(of: &Requests) -> String {
    let texts = of.callers.iter().map(|of| {
        let name = of.party.as_ref().map(shown).unwrap_or_default();
        format!("{name} ({})", of.requests)
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Questions by who asked whom, and name.
pub(super) fn lookups(all: &[Lookup]) -> Cells {
    let row = |of: &Lookup| {
        let counters = of.counters.clone().unwrap_or_default();
        let [source, server, ..] = ends(of.edge.as_ref());
        vec![
            source,
            server,
            some(&counters.name),
            words::dns_type(counters.r#type),
            counters.questions.to_string(),
            share(dns::failed(&counters), counters.questions),
            answers(&counters),
            quantile(counters.latency.as_ref(), 0.5),
            quantile(counters.latency.as_ref(), 0.95),
            time(counters.first_ns),
            time(counters.last_ns),
        ]
    };
    Cells {
        header: vec![
            "SOURCE", "SERVER", "NAME", "TYPE", "ASKED", "FAILED", "ANSWERS", "P50", "P95",
            "SINCE", "LAST",
        ],
        rows: all.iter().map(row).collect(),
    }
}

fn answers(of: &DnsCounters) -> String {
    let mut counts = named(&of.codes, words::dns_code);
    counts.push(("timeout".to_owned(), of.timeouts));
    counts.push(("no answer".to_owned(), of.unanswered));
    counts.push(("not seen".to_owned(), of.unknown));
    let text = listed(counts);
    match of.searched {
        0 => text,
        searched => format!("{text}; {searched} by search list"),
    }
}

/// What has no name here is of many that are not told apart.
fn some(name: &str) -> String {
    if name.is_empty() {
        "(others)".to_owned()
    } else {
        name.to_owned()
    }
}

fn time(nanoseconds: u64) -> String {
    let time = api::hubble::Timestamp::from_unix_nanos(nanoseconds);
    clock((nanoseconds > 0).then_some(time))
}

/// Who produces to a topic, then who fetches from it.
pub(super) fn topics(all: &[Topic], seconds: f64) -> Cells {
    let rows = all.iter().flat_map(|of| {
        let counters = of.counters.clone().unwrap_or_default();
        let ways = [
            (
                "produces",
                counters.produces,
                counters.produced_octets,
                counters.produce_latency.clone(),
            ),
            (
                "fetches",
                counters.fetches,
                counters.fetched_octets,
                counters.fetch_latency.clone(),
            ),
            ("other", counters.others, 0, None),
        ];
        let ways = ways.into_iter().filter(|(_, requests, ..)| *requests > 0);
        let rows: Vec<Vec<String>> = ways
            .map(|(way, requests, octets, latency)| {
                let [who, broker, ..] = ends(of.edge.as_ref());
                vec![
                    topic(&counters, way),
                    who,
                    way.to_owned(),
                    // Groups fetch.
                    if way == "produces" {
                        String::new()
                    } else {
                        groups(&counters)
                    },
                    broker,
                    rate(requests, seconds),
                    bytes_per_second(octets, seconds),
                    errors(&counters),
                    quantile(latency.as_ref(), 0.5),
                    quantile(latency.as_ref(), 0.95),
                ]
            })
            .collect();
        rows
    });
    Cells {
        header: vec![
            "TOPIC", "WHO", "DOES", "GROUPS", "BROKER", "REQ/S", "BYTES/S", "ERRORS", "P50", "P95",
        ],
        rows: rows.collect(),
    }
}

/// Who produces or fetches does so of some topic, seen or not.
fn topic(of: &KafkaCounters, way: &str) -> String {
    match (of.topic.as_str(), of.id.as_str()) {
        ("", "") if way == "other" => "(none)".to_owned(),
        ("", "") => "(unknown)".to_owned(),
        ("", id) => format!("(id {id})"),
        (name, _) => name.to_owned(),
    }
}

fn groups(of: &KafkaCounters) -> String {
    let names = of.groups.iter().map(|of| of.name.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn errors(of: &KafkaCounters) -> String {
    let mut counts = named(&of.errors, words::kafka_code);
    counts.push(("no answer".to_owned(), of.unanswered));
    listed(counts)
}

/// Of which connections of a service requests are not seen, and why.
pub(super) fn not_seen(of: &Unread) -> String {
    let whom = match (of.service.as_str(), &of.destination) {
        ("", Some(party)) => shown(party),
        ("", None) => "(unknown)".to_owned(),
        (service, _) => service.to_owned(),
    };
    let mut why = Vec::new();
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            why.push(format!("{} {what}", share(count, of.connections)));
        }
    };
    let names: Vec<&str> = of.server_names.iter().map(|of| of.name.as_str()).collect();
    let encrypted = if names.is_empty() {
        "encrypted".to_owned()
    } else {
        format!("encrypted, SNI {}", names.join(", "))
    };
    add(of.encrypted, &encrypted);
    add(of.other, "not understood");
    add(of.host_network, "between networks of nodes: not looked at");
    let (port, connections) = (of.port, of.connections);
    format!(
        "not seen at {whom}:{port}: of {connections} connections {}",
        why.join("; ")
    )
}

/// Names, and who resolved them.
pub(super) fn resolutions(all: &[Resolution]) -> Cells {
    let row = |of: &Resolution| {
        vec![
            of.name.clone(),
            of.source.as_ref().map(shown).unwrap_or_default(),
            of.questions.to_string(),
            of.failures.to_string(),
            of.addresses.join(", "),
            of.connections.to_string(),
            clock(of.first),
            clock(of.last),
        ]
    };
    Cells {
        header: vec![
            "NAME",
            "WHO",
            "ASKED",
            "FAILED",
            "ADDRESSES",
            "CONNECTIONS",
            "FIRST",
            "LAST",
        ],
        rows: all.iter().map(row).collect(),
    }
}

/// What is said on an edge of a map, in sum.
pub(super) struct Summary {
    /// Protocols that were seen.
    pub protocols: String,
    /// Requests and questions.
    pub requests: u64,
    /// Those that came to nothing.
    pub failed: u64,
    /// How long they took.
    pub latency: Sketch,
    /// Of the median of requests over HTTP, what the node of who was asked saw, and the rest.
    pub shares: Option<(Duration, Duration)>,
}

/// Sums up what a row of a map says.
pub(super) fn summary(row: &Row) -> Summary {
    let mut of = Summary {
        protocols: String::new(),
        requests: 0,
        failed: 0,
        latency: Sketch::default(),
        shares: None,
    };
    let mut protocols = Vec::new();
    let mut add = |name, requests, failed, latency: Option<&Message>| {
        protocols.push(name);
        of.requests += requests;
        of.failed += failed;
        if let Some(latency) = latency {
            of.latency.merge(latency);
        }
    };
    for sum in &row.http {
        add(
            "HTTP",
            sum.requests,
            http::failed(sum),
            sum.latency.as_ref(),
        );
    }
    for sum in &row.dns {
        add("DNS", sum.questions, dns::failed(sum), sum.latency.as_ref());
    }
    for sum in &row.kafka {
        let requests = sum.produces + sum.fetches + sum.others;
        let latency = sum.produce_latency.as_ref();
        add("Kafka", requests, kafka::failed(sum), latency);
    }
    if !row.tls.is_empty() {
        protocols.push("TLS");
    }
    of.protocols = protocols.join(", ");
    let median = |of: Option<&Message>| Sketch::from(of?).quantile(0.5);
    let client = median(row.http.first().and_then(|of| of.latency.as_ref()));
    of.shares = median(row.served.as_ref())
        .zip(client)
        .map(|(server, client)| (server, client.saturating_sub(server)));
    of
}

#[cfg(test)]
mod tests;
