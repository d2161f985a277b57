use l7::record::{DnsOutcome, Seen};
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::*;
use crate::enrich::enrich;
use crate::export::otlp::tests::{SECOND, called, get, names_of, spoken, value};
use crate::records::Record as Packet;
use crate::sample::{API, Shop, opened};

/// Counts a request between ends of a packet.
fn count(meter: &Meter, ends: &Packet, record: Record) {
    let spoken = spoken(ends, record);
    meter.said(&enrich(spoken.packet(), &Shop), &spoken);
}

fn told(meter: &Meter, metric: Metric) -> Vec<(Vec<KeyValue>, Series)> {
    let all = meter.take(metric, 1010 * SECOND);
    all.into_iter()
        .map(|(attributes, series)| (attributes.into_proto(), series))
        .collect()
}

fn histogram(series: &Series) -> &Histogram {
    match &series.count {
        Count::Histogram(of) => of,
        Count::Sum(_) => panic!("{series:?}"),
    }
}

/// The same ends, one of which is on another node.
fn elsewhere(client: bool, server: bool) -> Packet {
    let mut ends = opened();
    if client {
        ends.source.endpoint = 0;
    }
    if server {
        ends.destination.endpoint = 0;
    }
    ends
}

#[test]
fn a_request_counts_at_each_end_that_is_here() {
    for (client, server, wanted) in [
        (false, false, [1, 1]),
        (true, false, [0, 1]),
        (false, true, [1, 0]),
    ] {
        let meter = Meter::default();
        count(
            &meter,
            &elsewhere(client, server),
            Record::Http(Box::new(get())),
        );
        let counts = [Metric::HttpClient, Metric::HttpServer].map(|of| told(&meter, of).len());
        assert_eq!(counts, wanted);
        assert!(told(&meter, Metric::RpcClient).is_empty());
    }
}

#[test]
fn a_series_is_of_one_edge_and_one_kind_of_answer() {
    let meter = Meter::default();
    for status in [200, 200, 404] {
        let answered = Http {
            status: Seen::Known(status),
            ..get()
        };
        count(&meter, &opened(), Record::Http(Box::new(answered)));
    }
    let servers = told(&meter, Metric::HttpServer);
    assert_eq!(servers.len(), 2);
    let (attributes, series) = servers
        .iter()
        .find(|(of, _)| value(of, "http.response.status_code") == "200")
        .unwrap();
    for (key, wanted) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.template", "/carts/*"),
        ("network.protocol.version", "1.1"),
        ("axoneme.source.name", "shop/web"),
        ("axoneme.destination.name", "shop/api"),
        ("axoneme.destination.k8s.service.name", "api"),
    ] {
        assert_eq!(value(attributes, key), wanted, "{key}");
    }
    // Paths, pods and addresses are too many.
    for key in ["url.path", "axoneme.source.k8s.pod.name", "source.address"] {
        assert!(!names_of(attributes).contains(&key), "{key}");
    }
    // 7 ms lie above 5 and up to 10.
    let of = histogram(series);
    assert_eq!(of.counts.iter().sum::<u64>(), 2);
    let bucket = BOUNDS.iter().position(|(_, text)| *text == "0.01").unwrap();
    assert_eq!(of.counts[bucket], 2);
    assert!((of.sum - 0.014).abs() < 1e-9);
    // That it is not there is an error to who asked, and not to who was asked.
    let missing = |metric| {
        let all = told(&meter, metric);
        let found = all
            .into_iter()
            .find(|(of, _)| value(of, "http.response.status_code") == "404");
        found.unwrap().0
    };
    assert_eq!(value(&missing(Metric::HttpClient), "error.type"), "404");
    assert!(!names_of(&missing(Metric::HttpServer)).contains(&"error.type"));
    assert_eq!(
        value(&missing(Metric::HttpClient), "server.address"),
        "api.shop"
    );
    assert_eq!(value(&missing(Metric::HttpClient), "server.port"), "80");
}

#[test]
fn calls_are_no_requests_and_unanswered_ones_count_as_long_as_they_were_waited_for() {
    let meter = Meter::default();
    count(&meter, &opened(), Record::Http(Box::new(called(14))));
    assert!(told(&meter, Metric::HttpServer).is_empty());
    let calls = told(&meter, Metric::RpcServer);
    assert_eq!(value(&calls[0].0, "rpc.method"), "shop.Carts/Get");
    assert_eq!(value(&calls[0].0, "error.type"), "UNAVAILABLE");

    let unanswered = Http {
        status: Seen::Absent,
        answer_ns: None,
        end_ns: None,
        ..get()
    };
    count(&meter, &opened(), Record::Http(Box::new(unanswered)));
    let all = told(&meter, Metric::HttpServer);
    // From second 5 to 9, when the record was made.
    assert!((histogram(&all[0].1).sum - 4.0).abs() < 1e-9);
    let unseen = Http {
        status: Seen::Unknown,
        answer_ns: None,
        ..get()
    };
    let meter = Meter::default();
    count(&meter, &opened(), Record::Http(Box::new(unseen)));
    assert!(told(&meter, Metric::HttpServer).is_empty());
}

#[test]
fn a_bucket_remembers_the_newest_trace_until_it_is_told() {
    let meter = Meter::default();
    let traced = |last: &str, took_ns: u64| Http {
        traceparent: Seen::Known(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{last}-01")),
        answer_ns: Some(5 * SECOND + took_ns),
        ..get()
    };
    for (span, took_ns) in [
        ("00000000000000a1", 7_000_000),
        ("00000000000000a2", 8_000_000),
        ("00000000000000b1", 2_000_000_000),
    ] {
        let request = traced(span, took_ns);
        count(&meter, &opened(), Record::Http(Box::new(request)));
    }
    count(&meter, &opened(), Record::Http(Box::new(get())));
    let (_, series) = told(&meter, Metric::HttpServer).remove(0);
    let exemplars = &histogram(&series).exemplars;
    let mut spans: Vec<u8> = exemplars
        .iter()
        .map(|(_, of)| of.trace.span_id[7])
        .collect();
    spans.sort_unstable();
    assert_eq!(spans, [0xa2, 0xb1]);
    let (_, series) = told(&meter, Metric::HttpServer).remove(0);
    assert!(histogram(&series).exemplars.is_empty());
    assert_eq!(histogram(&series).counts.iter().sum::<u64>(), 4);
}

fn question(outcome: DnsOutcome, latency_ns: Option<u64>) -> Record {
    Record::Dns(Box::new(Dns {
        qname: "api.shop.svc".into(),
        qtype: 1,
        outcome,
        attempts: 1,
        start_ns: 5 * SECOND,
        latency_ns,
        answers: Vec::new(),
        all_answers: true,
        truncated: false,
    }))
}

#[test]
fn a_question_counts_once_on_the_node_of_who_asks() {
    let meter = Meter::default();
    count(
        &meter,
        &opened(),
        question(DnsOutcome::Code(0), Some(3_000_000)),
    );
    count(
        &meter,
        &opened(),
        question(DnsOutcome::Code(3), Some(3_000_000)),
    );
    count(&meter, &opened(), question(DnsOutcome::Timeout, None));
    count(&meter, &opened(), question(DnsOutcome::Unknown, None));
    count(
        &meter,
        &elsewhere(true, false),
        question(DnsOutcome::Code(0), Some(1)),
    );
    let all = told(&meter, Metric::DnsLookup);
    let error = |of: &[KeyValue]| {
        let is_error = names_of(of).contains(&"error.type");
        if is_error {
            value(of, "error.type")
        } else {
            String::new()
        }
    };
    let mut errors: Vec<_> = all.iter().map(|(of, _)| error(of)).collect();
    errors.sort_unstable();
    assert_eq!(errors, ["", "NXDOMAIN", "timeout"]);
    let late = all.iter().find(|(of, _)| error(of) == "timeout").unwrap();
    assert!((histogram(&late.1).sum - 4.0).abs() < 1e-9);
    assert_eq!(value(&late.0, "dns.question.name"), "api.shop.svc");
}

#[test]
fn bytes_of_an_edge_are_told_by_the_way_they_went() {
    let meter = Meter::default();
    let change = |sent, received| Change {
        sent: Traffic {
            packets: 1,
            bytes: sent,
            ..Traffic::default()
        },
        received: Traffic {
            packets: 1,
            bytes: received,
            ..Traffic::default()
        },
        ..Change::default()
    };
    for (sent, received) in [(100, 0), (50, 7)] {
        meter.changed(&enrich(opened(), &Shop), &change(sent, received));
    }
    // On the other node they are counted as well.
    meter.changed(&enrich(elsewhere(true, false), &Shop), &change(9, 9));
    meter.changed(&enrich(opened(), &Shop), &Change::default());
    let mut sums: Vec<_> = told(&meter, Metric::EdgeIo)
        .into_iter()
        .map(|(of, series)| match series.count {
            Count::Sum(sum) => (value(&of, "network.io.direction"), sum),
            Count::Histogram(_) => panic!("{series:?}"),
        })
        .collect();
    sums.sort();
    assert_eq!(
        sums,
        [("receive".to_owned(), 7), ("transmit".to_owned(), 150)]
    );
}

#[test]
fn series_beyond_the_bound_are_one_and_idle_ones_go() {
    let meter = Meter::default();
    for number in 0..DURATIONS + 3 {
        let name = format!("name-{number}.example");
        let question = Dns {
            qname: name,
            qtype: 1,
            outcome: DnsOutcome::Code(0),
            attempts: 1,
            start_ns: 5 * SECOND,
            latency_ns: Some(1_000_000),
            answers: Vec::new(),
            all_answers: true,
            truncated: false,
        };
        count(&meter, &opened(), Record::Dns(Box::new(question)));
    }
    let all = told(&meter, Metric::DnsLookup);
    assert_eq!(all.len(), DURATIONS + 1);
    let rest = all
        .iter()
        .find(|(of, _)| names_of(of).contains(&"otel.metric.overflow"))
        .unwrap();
    assert_eq!(histogram(&rest.1).counts.iter().sum::<u64>(), 3);
    let later = 1010 * SECOND + 3600 * SECOND;
    assert_eq!(meter.take(Metric::DnsLookup, later).len(), DURATIONS + 1);
    assert!(meter.take(Metric::DnsLookup, later).is_empty());
}

#[test]
fn a_client_that_asks_an_address_asks_for_its_service() {
    let host = |host: &str| {
        let meter = Meter::default();
        let request = Http {
            host: Seen::Known(host.into()),
            ..get()
        };
        count(&meter, &opened(), Record::Http(Box::new(request)));
        value(&told(&meter, Metric::HttpClient)[0].0, "server.address")
    };
    assert_eq!(host("api.shop:80"), "api.shop");
    assert_eq!(host(&format!("{API}:8080")), "api.shop");
    assert_eq!(host("[fd00::1]:8080"), "api.shop");
}
