use api::hubble::answers::{
    Cause, CauseKind, CodeCount, Counters, Direction, DnsCounters, HttpCounters, KafkaCounters,
    Part, Party, PolicyRef, Sketch, Tally, TlsCounters,
};
use promql::{Limits, Value};

use super::*;

/// A midnight.
const DAY_START: u64 = 1_700_006_400;

fn times() -> Times {
    Times {
        base: DAY_START,
        since: DAY_START + 3600,
        until: DAY_START + 4200,
        seconds: 10,
    }
}

fn edge(side: Side) -> Edge {
    let party = |name: &str| Party {
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    };
    Edge {
        source: Some(party("web")),
        destination: Some(party("db")),
        service: "shop/db".into(),
        port: 5432,
        protocol: 6,
        side: side.into(),
    }
}

fn row(side: Side, counters: Counters) -> Row {
    Row {
        edge: Some(edge(side)),
        number: 3,
        counters: Some(counters),
        ..Row::default()
    }
}

fn span(start: u64, end: u64, row: Row) -> Span {
    let part = Part {
        rows: vec![row],
        ..Part::default()
    };
    Span {
        start,
        end,
        part: Some(part),
    }
}

fn all(spans: Vec<Vec<Span>>) -> Counts {
    let mut counts = Counts::new(times(), FAMILIES.iter().collect());
    for node in spans {
        let mut edges = Edges::default();
        for span in node {
            counts.add(&mut edges, span);
        }
    }
    counts
}

/// The value of the only series of a query at a second after the beginning.
fn value(counts: &Counts, query: &str, second: u64) -> Option<f64> {
    let expr = promql::parse(query).unwrap();
    let time = (times().since + second) as i64 * 1000;
    match promql::instant(&expr, time, counts, &Limits::default()).unwrap() {
        Value::Vector(lines) => {
            assert!(lines.len() < 2, "{lines:?}");
            lines.first().map(|line| line.samples[0].value)
        }
        other => panic!("{other:?}"),
    }
}

fn opened(count: u64) -> Counters {
    Counters {
        opened: count,
        ..Counters::default()
    }
}

#[test]
fn a_counter_goes_on_from_the_days_beginning_and_grows_by_what_each_span_counted() {
    let since = times().since;
    let counts = all(vec![vec![
        span(DAY_START, since, row(Side::Client, opened(1000))),
        span(since, since + 10, row(Side::Client, opened(5))),
        span(since + 20, since + 30, row(Side::Client, opened(7))),
    ]]);
    for (second, expected) in [
        (0, 1000.0),
        (10, 1005.0),
        (20, 1005.0),
        (30, 1012.0),
        (600, 1012.0),
    ] {
        assert_eq!(
            value(&counts, "hubble_connections_total", second),
            Some(expected),
            "{second}"
        );
    }
    assert_eq!(
        value(&counts, "hubble_connections_total{port=\"80\"}", 30),
        None
    );
}

#[test]
fn how_much_was_seen_of_all_nodes_and_how_much_not_is_one_series_each() {
    let since = times().since;
    let span = |seen, lost| Span {
        start: since,
        end: since + 10,
        part: Some(Part {
            seen,
            lost,
            ..Part::default()
        }),
    };
    let counts = all(vec![vec![span(990, 10)], vec![span(10, 0)]]);
    let share = "hubble_lost_records_total / (hubble_records_total + hubble_lost_records_total)";
    assert_eq!(value(&counts, "hubble_records_total", 10), Some(1000.0));
    let share = value(&counts, share, 10).unwrap();
    assert!((share - 10.0 / 1010.0).abs() < 1e-9, "{share}");
    let none = all(vec![vec![span(10, 0)]]);
    assert_eq!(value(&none, "hubble_lost_records_total", 10), Some(0.0));
}

#[test]
fn a_series_that_begins_grows_from_nothing_so_that_its_first_counts_are_an_increase() {
    let since = times().since;
    let counts = all(vec![vec![span(
        since + 300,
        since + 310,
        row(Side::Client, opened(20)),
    )]]);
    assert_eq!(value(&counts, "hubble_connections_total", 290), None);
    assert_eq!(value(&counts, "hubble_connections_total", 300), Some(0.0));
    let increase = value(&counts, "increase(hubble_connections_total[2m])", 360).unwrap();
    assert!((increase - 20.0).abs() < 1e-9, "{increase}");
}

#[test]
fn counts_of_a_long_span_come_evenly() {
    let since = times().since;
    let counts = all(vec![vec![span(
        since,
        since + 60,
        row(Side::Client, opened(60)),
    )]]);
    for second in [0_u32, 10, 30, 60] {
        assert_eq!(
            value(&counts, "hubble_connections_total", second.into()),
            Some(f64::from(second))
        );
    }
}

#[test]
fn a_call_through_a_service_counts_once_though_the_other_node_knows_none() {
    let since = times().since;
    let known = row(Side::Client, opened(5));
    let mut unknown = row(Side::Server, opened(5));
    unknown.edge.as_mut().unwrap().service = String::new();
    let spans = |row: &Row| vec![span(since, since + 10, row.clone())];
    let both = all(vec![spans(&unknown), spans(&known)]);
    assert_eq!(value(&both, "sum(hubble_connections_total)", 10), Some(5.0));
    let alone = all(vec![spans(&unknown)]);
    assert_eq!(
        value(&alone, "sum(hubble_connections_total)", 10),
        Some(5.0)
    );
}

#[test]
fn of_two_sides_the_clients_counts_unless_each_counts_its_own() {
    let since = times().since;
    let denial = Tally {
        cause: Some(Cause {
            kind: CauseKind::DeniedByRule.into(),
            direction: Direction::Ingress.into(),
            policies: vec![PolicyRef {
                namespace: "shop".into(),
                name: "db".into(),
                ..PolicyRef::default()
            }],
            ..Cause::default()
        }),
        count: 2,
        ..Tally::default()
    };
    let client = row(Side::Client, opened(5));
    let server = Row {
        failures: vec![denial],
        ..row(Side::Server, opened(4))
    };
    let both = all(vec![
        vec![span(since, since + 10, client)],
        vec![span(since, since + 10, server.clone())],
    ]);
    assert_eq!(value(&both, "hubble_connections_total", 10), Some(5.0));
    assert_eq!(
        value(
            &both,
            "hubble_denied_connections_total{policy=\"shop/db\", direction=\"ingress\", by=\"rule\"}",
            10
        ),
        Some(2.0)
    );
    let one = all(vec![vec![span(since, since + 10, server)]]);
    assert_eq!(
        value(&one, "hubble_connections_total", 10),
        Some(4.0),
        "nobody saw the client's side"
    );
}

#[test]
fn nodes_that_see_the_same_edge_are_added_up() {
    let since = times().since;
    let node = || vec![span(since, since + 10, row(Side::Client, opened(3)))];
    assert_eq!(
        value(&all(vec![node(), node()]), "hubble_connections_total", 10),
        Some(6.0)
    );
}

#[test]
fn a_sketch_is_a_histogram_of_which_quantiles_can_be_had() {
    let since = times().since;
    // Bucket 345 holds about a millisecond, 576 about 0.1 s.
    let connect = Sketch {
        bucket: vec![345, 576],
        count: vec![90, 10],
    };
    let of = row(Side::Client, Counters::default());
    let counts = all(vec![vec![span(
        since,
        since + 10,
        Row {
            connect: Some(connect),
            ..of
        },
    )]]);
    let name = "hubble_tcp_connect_duration_seconds";
    assert_eq!(value(&counts, &format!("{name}_count"), 10), Some(100.0));
    assert_eq!(
        value(&counts, &format!("{name}_bucket{{le=\"0.0005\"}}"), 10),
        Some(0.0)
    );
    assert_eq!(
        value(&counts, &format!("{name}_bucket{{le=\"0.0025\"}}"), 10),
        Some(90.0)
    );
    assert_eq!(
        value(&counts, &format!("{name}_bucket{{le=\"+Inf\"}}"), 10),
        Some(100.0)
    );
    let median = value(
        &counts,
        &format!("histogram_quantile(0.5, {name}_bucket)"),
        10,
    )
    .unwrap();
    assert!((0.0005..0.0025).contains(&median), "{median}");
}

#[test]
fn outcomes_of_a_connect_are_told_apart() {
    let since = times().since;
    let of = Counters {
        answered: 10,
        refused: 3,
        unanswered: 2,
        denied: 1,
        ..Counters::default()
    };
    let counts = all(vec![vec![span(since, since + 10, row(Side::Client, of))]]);
    for (outcome, expected) in [
        ("established", 7.0),
        ("refused", 3.0),
        ("unanswered", 2.0),
        ("denied", 1.0),
    ] {
        assert_eq!(
            value(
                &counts,
                &format!("hubble_tcp_connects_total{{outcome=\"{outcome}\"}}"),
                10
            ),
            Some(expected)
        );
    }
}

#[test]
fn spans_are_as_long_as_the_time_that_is_asked_for_allows() {
    let now = DAY_START + 40 * DAY + 1234;
    let length = |back: u64, until: u64| {
        let times = Times::new((now - back) as i64 * 1000, (now - until) as i64 * 1000, now);
        times.map(|times| times.seconds)
    };
    assert_eq!(length(600, 0), Some(10));
    assert_eq!(length(5000, 0), Some(60));
    assert_eq!(length(DAY, 0), Some(60));
    assert_eq!(length(5 * DAY, 5 * DAY - 3600), Some(60));
    assert_eq!(length(2 * DAY, 0), Some(3600));
    assert_eq!(length(8 * DAY, 8 * DAY - 600), Some(3600));
    let later = Times::new((now + 100) as i64 * 1000, (now + 200) as i64 * 1000, now);
    assert_eq!(later, None, "nothing is over yet");
}

#[test]
fn only_families_that_a_query_may_mean_are_made() {
    let names = |query: &str| {
        let expr = promql::parse(query).unwrap();
        let families = wanted(&promql::selectors(&expr));
        families
            .iter()
            .map(|family| family.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("rate(hubble_tcp_connect_duration_seconds_bucket[5m])"),
        ["hubble_tcp_connect_duration_seconds"]
    );
    assert_eq!(
        names("hubble_edge_bytes_total + hubble_edge_packets_total").len(),
        2
    );
    assert_eq!(names("{port=\"80\"}").len(), FAMILIES.len());
    assert!(names("up").is_empty());
}

#[test]
fn what_connections_say_is_counted_by_what_was_answered() {
    let since = times().since;
    let codes = |all: &[(i32, u64)]| {
        let each = all.iter();
        each.map(|(code, count)| CodeCount {
            code: *code,
            count: *count,
        })
        .collect::<Vec<_>>()
    };
    let said = Row {
        http: vec![HttpCounters {
            method: "GET".into(),
            path: "/items/*".into(),
            status: codes(&[(200, 90), (503, 8)]),
            unanswered: 2,
            latency: Some(Sketch {
                bucket: vec![345],
                count: vec![98],
            }),
            ..HttpCounters::default()
        }],
        dns: vec![DnsCounters {
            r#type: 28,
            codes: codes(&[(0, 5), (3, 7)]),
            searched: 6,
            timeouts: 4,
            ..DnsCounters::default()
        }],
        kafka: vec![KafkaCounters {
            topic: "orders".into(),
            produces: 11,
            errors: codes(&[(3, 1)]),
            ..KafkaCounters::default()
        }],
        tls: vec![TlsCounters {
            server_name: "pay.example".into(),
            handshakes: 9,
            done: 6,
            client_alerts: codes(&[(48, 2), (42, 1)]),
            ..TlsCounters::default()
        }],
        ..row(Side::Client, Counters::default())
    };
    let counts = all(vec![vec![span(since, since + 10, said)]]);
    let expected = [
        (
            "hubble_http_requests_total{method=\"GET\", path=\"/items/*\", status=\"503\"}",
            8.0,
        ),
        (
            "sum(hubble_http_requests_total{status=~\"5..|unanswered\"})",
            10.0,
        ),
        (
            "hubble_http_request_duration_seconds_count{method=\"GET\"}",
            98.0,
        ),
        ("sum(hubble_dns_responses_total{qtypes=\"AAAA\"})", 12.0),
        ("hubble_dns_responses_total{rcode=\"searched\"}", 6.0),
        ("hubble_dns_unanswered_total", 4.0),
        (
            "hubble_kafka_requests_total{topic=\"orders\", operation=\"produce\"}",
            11.0,
        ),
        ("sum(hubble_kafka_errors_total)", 1.0),
        (
            "hubble_tls_handshakes_total{server_name=\"pay.example\", outcome=\"client_alert\"}",
            3.0,
        ),
        ("sum(hubble_tls_handshakes_total)", 9.0),
    ];
    for (query, expected) in expected {
        assert_eq!(value(&counts, query, 10), Some(expected), "{query}");
    }
}
