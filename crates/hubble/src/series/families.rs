//! The metrics that are made of counts per edge: one entry each. A new one is a line in [`FAMILIES`] and a function.

mod requests;
mod tcp;

use api::hubble::answers::{
    CauseKind, Counters, Direction, Edge, Party, PartyKind, Row, Sketch, Tally,
};
use datapath::abi::drop::Drop;
use promql::{Labels, NAME};

use crate::edges::shown;
use crate::rollup::is_outside;
use crate::sketch;

/// Takes the name of a series, its labels besides those of the edge, and what is added to it.
pub(crate) type Add<'a> = dyn FnMut(&str, &[(&str, &str)], f64) + 'a;

/// A metric.
pub(crate) struct Family {
    /// Its name, without what a histogram adds to it.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// A histogram and no counter.
    pub is_histogram: bool,
    /// Both nodes of a connection count apart from each other, as what each of them denies; else both see the same.
    pub is_of_both: bool,
    /// What a row adds to its series.
    pub of: fn(&Edge, &Row, &mut Add<'_>),
}

impl Family {
    /// The names of its series.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let endings: &[&str] = if self.is_histogram {
            &["_bucket", "_count", "_sum"]
        } else {
            &[""]
        };
        endings
            .iter()
            .map(|ending| format!("{}{ending}", self.name))
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    of: fn(&Edge, &Row, &mut Add<'_>),
) -> Family {
    Family {
        name,
        help,
        is_histogram: false,
        is_of_both: false,
        of,
    }
}

/// All metrics.
pub(crate) static FAMILIES: &[Family] = &[
    counter(
        "hubble_connections_total",
        "Connections that began, of all protocols",
        connections,
    ),
    counter(
        "hubble_tcp_connects_total",
        "TCP connections by how their beginning turned out",
        connects,
    ),
    Family {
        is_histogram: true,
        ..counter(
            "hubble_tcp_connect_duration_seconds",
            "From the first packet of a TCP connection to its first answer",
            durations,
        )
    },
    Family {
        is_histogram: true,
        ..counter(
            "hubble_tcp_rtt_seconds",
            "Round trips of established connections, smoothed by the kernel of one end",
            tcp::round_trips,
        )
    },
    Family {
        is_histogram: true,
        ..counter(
            "hubble_tcp_least_rtt_seconds",
            "The shortest round trip of established connections within five minutes",
            tcp::least_round_trips,
        )
    },
    counter(
        "hubble_tcp_closes_total",
        "TCP connections by how they ended",
        tcp::closes,
    ),
    counter(
        "hubble_tcp_syn_retransmits_total",
        "SYN segments beyond the first of each connection",
        tcp::retransmits,
    ),
    counter(
        "hubble_tcp_retransmits_total",
        "TCP segments with payload that were sent again, or overtaken on their way",
        tcp::segments_again,
    ),
    counter(
        "hubble_tcp_stalls_total",
        "Open TCP connections on which one end took nothing more, by which one and why",
        tcp::stalls,
    ),
    counter("hubble_edge_bytes_total", "Bytes at the IP layer", octets),
    counter("hubble_edge_packets_total", "Packets", packets),
    Family {
        is_of_both: true,
        ..counter(
            "hubble_denied_connections_total",
            "Attempts that a policy denied",
            denied,
        )
    },
    Family {
        is_of_both: true,
        ..counter(
            "hubble_dropped_packets_total",
            "Packets dropped for another reason than policy",
            dropped,
        )
    },
    counter(
        "hubble_from_world_connections_total",
        "Connections that began outside of the cluster",
        from_world,
    ),
    counter(
        "hubble_http_requests_total",
        "Requests over HTTP by the status of their answer",
        requests::http,
    ),
    counter(
        "hubble_grpc_calls_total",
        "Calls of gRPC by code",
        requests::grpc,
    ),
    Family {
        is_histogram: true,
        ..counter(
            "hubble_http_request_duration_seconds",
            "From the first octet of a request to that of its answer",
            requests::http_durations,
        )
    },
    counter(
        "hubble_dns_responses_total",
        "Answers of DNS by code",
        requests::dns,
    ),
    counter(
        "hubble_dns_unanswered_total",
        "Questions of DNS without an answer",
        requests::dns_unanswered,
    ),
    Family {
        is_histogram: true,
        ..counter(
            "hubble_dns_request_duration_seconds",
            "From a question of DNS to its answer",
            requests::dns_durations,
        )
    },
    counter(
        "hubble_kafka_requests_total",
        "Requests to Kafka by topic",
        requests::kafka,
    ),
    counter(
        "hubble_kafka_errors_total",
        "Answers of Kafka with an error",
        requests::kafka_errors,
    ),
    Family {
        is_histogram: true,
        ..counter(
            "hubble_kafka_produce_duration_seconds",
            "From a produce request to its answer",
            requests::kafka_durations,
        )
    },
    counter(
        "hubble_tls_handshakes_total",
        "Handshakes of TLS by the server's name and how they ended",
        requests::tls,
    ),
    // Of nodes and not of edges: what a span says beside its rows.
    counter(RECORDS, "Records that came, of all kinds", |_, _, _| {}),
    counter(LOST_RECORDS, "Records that never came", |_, _, _| {}),
];

/// Metrics of how much was seen.
pub(crate) const RECORDS: &str = "hubble_records_total";
pub(crate) const LOST_RECORDS: &str = "hubble_lost_records_total";

/// Upper bounds of the buckets of a histogram, seconds, in order.
pub(crate) const BOUNDS: &[(f64, &str)] = &[
    (0.0001, "0.0001"),
    (0.00025, "0.00025"),
    (0.0005, "0.0005"),
    (0.001, "0.001"),
    (0.0025, "0.0025"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (5.0, "5"),
    (10.0, "10"),
    (30.0, "30"),
    (60.0, "60"),
    (f64::INFINITY, "+Inf"),
];

/// The labels of an edge.
const LABELS: &[&str] = &[
    "source",
    "source_cluster",
    "source_namespace",
    "source_workload",
    "source_kind",
    "destination",
    "destination_cluster",
    "destination_namespace",
    "destination_workload",
    "destination_kind",
    "service",
    "port",
    "protocol",
];

/// Whether a label is one of the edge.
pub(crate) fn is_of_edge(name: &str) -> bool {
    name != NAME && LABELS.contains(&name)
}

/// The labels of an edge; those without a value are not there.
pub(crate) fn labels(edge: &Edge) -> Labels {
    let none = Party::default();
    let [source, destination] =
        [&edge.source, &edge.destination].map(|party| party.as_ref().unwrap_or(&none));
    let port = if edge.port == 0 {
        String::new()
    } else {
        edge.port.to_string()
    };
    let values = of_party(source)
        .into_iter()
        .chain(of_party(destination))
        .chain([edge.service.clone(), port, protocol(edge.protocol)]);
    LABELS.iter().copied().zip(values).collect()
}

fn of_party(party: &Party) -> [String; 5] {
    let (kind, workload) = match party.kind() {
        PartyKind::Workload => ("workload", party.name.as_str()),
        PartyKind::Entity => ("entity", ""),
        PartyKind::DnsName => ("dns", ""),
        PartyKind::Address => ("address", ""),
    };
    [
        shown(party),
        party.cluster.clone(),
        party.namespace.clone(),
        workload.into(),
        kind.into(),
    ]
}

fn protocol(number: u32) -> String {
    match number {
        1 => "ICMP".into(),
        TCP => "TCP".into(),
        17 => "UDP".into(),
        58 => "ICMPv6".into(),
        132 => "SCTP".into(),
        other => other.to_string(),
    }
}

/// IP protocol number of TCP.
const TCP: u32 = 6;

#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn add(to: &mut Add<'_>, name: &str, labels: &[(&str, &str)], count: u64) {
    if count > 0 {
        to(name, labels, count as f64);
    }
}

fn counters(row: &Row) -> Counters {
    row.counters.unwrap_or_default()
}

fn connections(_: &Edge, row: &Row, to: &mut Add<'_>) {
    add(to, "hubble_connections_total", &[], counters(row).opened);
}

fn connects(edge: &Edge, row: &Row, to: &mut Add<'_>) {
    if edge.protocol != TCP {
        return;
    }
    let of = counters(row);
    let outcomes = [
        ("established", of.answered.saturating_sub(of.refused)),
        ("refused", of.refused),
        ("unanswered", of.unanswered),
        ("denied", of.denied),
    ];
    for (outcome, count) in outcomes {
        add(
            to,
            "hubble_tcp_connects_total",
            &[("outcome", outcome)],
            count,
        );
    }
}

fn durations(edge: &Edge, row: &Row, to: &mut Add<'_>) {
    if edge.protocol == TCP
        && let Some(sketch) = &row.connect
    {
        histogram("hubble_tcp_connect_duration_seconds", &[], sketch, to);
    }
}

/// The series of a histogram. All buckets are there, also those that counted nothing: a quantile lies between two bounds.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn histogram(name: &str, labels: &[(&str, &str)], sketch: &Sketch, to: &mut Add<'_>) {
    let durations = sketch
        .bucket
        .iter()
        .zip(&sketch.count)
        .map(|(bucket, count)| (sketch::seconds(*bucket), *count as f64));
    let (mut all, mut sum) = (0.0, 0.0);
    let mut counts = vec![0.0; BOUNDS.len()];
    for (seconds, count) in durations {
        all += count;
        sum += seconds * count;
        for ((bound, _), below) in BOUNDS.iter().zip(&mut counts) {
            if seconds <= *bound {
                *below += count;
            }
        }
    }
    if all == 0.0 {
        return;
    }
    let bucket = format!("{name}_bucket");
    for ((_, bound), below) in BOUNDS.iter().zip(counts) {
        let with_bound: Vec<_> = labels.iter().copied().chain([("le", *bound)]).collect();
        to(&bucket, &with_bound, below);
    }
    to(&format!("{name}_count"), labels, all);
    to(&format!("{name}_sum"), labels, sum);
}

fn octets(_: &Edge, row: &Row, to: &mut Add<'_>) {
    let of = counters(row);
    add(
        to,
        "hubble_edge_bytes_total",
        &[("direction", "sent")],
        of.bytes_sent,
    );
    add(
        to,
        "hubble_edge_bytes_total",
        &[("direction", "received")],
        of.bytes_received,
    );
}

fn packets(_: &Edge, row: &Row, to: &mut Add<'_>) {
    let of = counters(row);
    add(
        to,
        "hubble_edge_packets_total",
        &[("direction", "sent")],
        of.packets_sent,
    );
    add(
        to,
        "hubble_edge_packets_total",
        &[("direction", "received")],
        of.packets_received,
    );
}

fn denied(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for tally in &row.failures {
        let cause = tally.cause.clone().unwrap_or_default();
        let rule = match cause.kind() {
            CauseKind::DeniedByRule => "rule",
            CauseKind::DeniedByDefault => "default",
            _ => continue,
        };
        let direction = match cause.direction() {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
            Direction::Unknown => "",
        };
        let names = cause.policies.iter().map(|policy| {
            if policy.namespace.is_empty() {
                policy.name.clone()
            } else {
                format!("{}/{}", policy.namespace, policy.name)
            }
        });
        let policy = names.collect::<Vec<_>>().join(",");
        let labels = [
            ("direction", direction),
            ("policy", policy.as_str()),
            ("by", rule),
        ];
        add(to, "hubble_denied_connections_total", &labels, tally.count);
    }
}

fn dropped(_: &Edge, row: &Row, to: &mut Add<'_>) {
    let is_drop = |tally: &&Tally| {
        tally
            .cause
            .as_ref()
            .is_some_and(|cause| cause.kind() == CauseKind::Dropped)
    };
    for tally in row.failures.iter().filter(is_drop) {
        let number = tally.cause.as_ref().map_or(0, |cause| cause.drop_reason);
        let reason = u8::try_from(number)
            .ok()
            .and_then(Drop::from_number)
            .map_or("unknown reason", Drop::text);
        add(
            to,
            "hubble_dropped_packets_total",
            &[("reason", reason)],
            tally.packets,
        );
    }
}

fn from_world(edge: &Edge, row: &Row, to: &mut Add<'_>) {
    if edge.source.as_ref().is_some_and(is_outside) {
        add(
            to,
            "hubble_from_world_connections_total",
            &[],
            counters(row).opened,
        );
    }
}
