//! Metrics of what connections say: requests over HTTP, questions of DNS, requests to Kafka, handshakes of TLS.

use api::hubble::answers::{CodeCount, Edge, Row, Sketch};

use super::{Add, add, histogram};
use crate::answers::words::{dns_code, dns_type, grpc_code, kafka_code};

/// Answers to requests over HTTP, and requests without one.
pub(super) fn http(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.http {
        let labels = [("method", of.method.as_str()), ("path", of.path.as_str())];
        coded(
            to,
            "hubble_http_requests_total",
            &labels,
            "status",
            &of.status,
            |code| code.to_string(),
        );
        let unanswered = [labels[0], labels[1], ("status", "unanswered")];
        add(to, "hubble_http_requests_total", &unanswered, of.unanswered);
    }
}

/// Calls of gRPC.
pub(super) fn grpc(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.http {
        let labels = [("path", of.path.as_str())];
        coded(
            to,
            "hubble_grpc_calls_total",
            &labels,
            "code",
            &of.grpc,
            grpc_code,
        );
    }
}

/// How long answers over HTTP took. Without paths: each would be as many series as there are buckets.
pub(super) fn http_durations(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.http {
        if let Some(latency) = &of.latency {
            let labels = [("method", of.method.as_str())];
            histogram("hubble_http_request_duration_seconds", &labels, latency, to);
        }
    }
}

/// Questions of DNS by what came of them. Names are not told apart: there are too many.
pub(super) fn dns(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.dns {
        let kind = dns_type(of.r#type);
        let named = |rcode: &str, to: &mut Add<'_>, count| {
            let labels = [("qtypes", kind.as_str()), ("rcode", rcode)];
            add(to, "hubble_dns_responses_total", &labels, count);
        };
        for CodeCount { code, count } in &of.codes {
            // That a name of the search list is not there is no failure.
            let searched = if *code == 3 { of.searched } else { 0 };
            named(&dns_code(*code), to, count.saturating_sub(searched));
        }
        named("searched", to, of.searched);
    }
}

/// Questions of DNS that nobody answered.
pub(super) fn dns_unanswered(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.dns {
        let kind = dns_type(of.r#type);
        let count = of.timeouts.saturating_add(of.unanswered);
        add(
            to,
            "hubble_dns_unanswered_total",
            &[("qtypes", &kind)],
            count,
        );
    }
}

/// How long answers of DNS took.
pub(super) fn dns_durations(_: &Edge, row: &Row, to: &mut Add<'_>) {
    durations(
        to,
        "hubble_dns_request_duration_seconds",
        row.dns.iter().map(|of| &of.latency),
    );
}

/// Requests to Kafka, by topic.
pub(super) fn kafka(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.kafka {
        let topic = ("topic", of.topic.as_str());
        for (operation, count) in [
            ("produce", of.produces),
            ("fetch", of.fetches),
            ("other", of.others),
        ] {
            add(
                to,
                "hubble_kafka_requests_total",
                &[topic, ("operation", operation)],
                count,
            );
        }
    }
}

/// Errors of Kafka, by topic.
pub(super) fn kafka_errors(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.kafka {
        let labels = [("topic", of.topic.as_str())];
        coded(
            to,
            "hubble_kafka_errors_total",
            &labels,
            "code",
            &of.errors,
            kafka_code,
        );
    }
}

/// How long producing to Kafka took; fetching takes as long as the client lets it.
pub(super) fn kafka_durations(_: &Edge, row: &Row, to: &mut Add<'_>) {
    durations(
        to,
        "hubble_kafka_produce_duration_seconds",
        row.kafka.iter().map(|of| &of.produce_latency),
    );
}

/// Handshakes of TLS; what follows those that are done is not seen.
pub(super) fn tls(_: &Edge, row: &Row, to: &mut Add<'_>) {
    for of in &row.tls {
        let alerts = |codes: &[CodeCount]| codes.iter().map(|of| of.count).sum();
        let outcomes = [
            ("done", of.done),
            ("client_alert", alerts(&of.client_alerts)),
            ("server_alert", alerts(&of.server_alerts)),
            ("unfinished", of.unfinished),
            ("unknown", of.unknown),
        ];
        for (outcome, count) in outcomes {
            let labels = [
                ("server_name", of.server_name.as_str()),
                ("outcome", outcome),
            ];
            add(to, "hubble_tls_handshakes_total", &labels, count);
        }
    }
}

fn durations<'a>(to: &mut Add<'_>, name: &str, sketches: impl Iterator<Item = &'a Option<Sketch>>) {
    for sketch in sketches.flatten() {
        histogram(name, &[], sketch, to);
    }
}

/// Counts by code, each under the name that `named` gives it.
fn coded(
    to: &mut Add<'_>,
    name: &str,
    labels: &[(&str, &str)],
    label: &str,
    codes: &[CodeCount],
    named: impl Fn(i32) -> String,
) {
    for CodeCount { code, count } in codes {
        let code = named(*code);
        let with_code = labels.iter().copied().chain([(label, code.as_str())]);
        add(to, name, &with_code.collect::<Vec<_>>(), *count);
    }
}
