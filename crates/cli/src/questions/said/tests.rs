use api::hubble::answers::{Caller, Edge, NameCount, Party};

use super::*;

fn party(name: &str) -> Party {
    Party {
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    }
}

fn edge(source: &str, destination: &str) -> Edge {
    Edge {
        source: Some(party(source)),
        destination: Some(party(destination)),
        port: 80,
        protocol: 6,
        ..Edge::default()
    }
}

fn codes(of: &[(i32, u64)]) -> Vec<CodeCount> {
    let codes = of.iter().copied();
    codes
        .map(|(code, count)| CodeCount { code, count })
        .collect()
}

/// Of a duration of about so many milliseconds.
fn took(millis: u64, count: u64) -> Message {
    let mut sketch = Sketch::default();
    for _ in 0..count {
        sketch.add(Duration::from_millis(millis));
    }
    Message::from(&sketch)
}

fn carts() -> HttpCounters {
    HttpCounters {
        method: "GET".into(),
        path: "/carts/*".into(),
        requests: 100,
        status: codes(&[(200, 80), (302, 5), (404, 7), (503, 6)]),
        grpc: codes(&[(0, 80), (14, 1)]),
        unanswered: 2,
        latency: Some(took(30, 98)),
        ..HttpCounters::default()
    }
}

/// The rows, each in one line.
fn lines(cells: &Cells) -> Vec<String> {
    for row in &cells.rows {
        assert_eq!(row.len(), cells.header.len());
    }
    cells.rows.iter().map(|row| row.join(" | ")).collect()
}

#[test]
fn requests_have_classes_of_answers_times_and_callers_and_errors_have_codes() {
    let requests_of = Requests {
        destination: Some(party("api")),
        service: "shop/api".into(),
        counters: Some(carts()),
        callers: vec![Caller {
            party: Some(party("web")),
            requests: 100,
        }],
        ..Requests::default()
    };
    let all = [requests_of];
    assert_eq!(
        lines(&requests(&all, 50.0, false)),
        [
            "shop/api | GET | /carts/* | 2.00 | 80 | 5 | 7 | 6 | 2 | 30.0ms | 30.0ms | 30.0ms | shop/web (100)"
        ]
    );
    assert_eq!(
        lines(&requests(&all, 50.0, true)),
        [
            "shop/api | GET | /carts/* | 2.00 | 16.0% | 200 (80), 404 (7), 503 (6), 302 (5), 2 more | 30.0ms | 30.0ms | 30.0ms | shop/web (100)"
        ]
    );
}

#[test]
fn questions_say_how_they_were_answered_and_what_a_search_list_made() {
    let counters = DnsCounters {
        name: "db.shop".into(),
        r#type: 28,
        questions: 10,
        codes: codes(&[(0, 4), (2, 1), (3, 4)]),
        timeouts: 1,
        searched: 3,
        latency: Some(took(2, 9)),
        ..DnsCounters::default()
    };
    let lookup = |counters| Lookup {
        edge: Some(edge("web", "dns")),
        counters: Some(counters),
    };
    let others = DnsCounters {
        questions: 3,
        ..DnsCounters::default()
    };
    assert_eq!(
        lines(&lookups(&[lookup(counters), lookup(others)])),
        [
            "shop/web | shop/dns | db.shop | AAAA | 10 | 30.0% | NOERROR (4), NXDOMAIN (4), SERVFAIL (1), timeout (1); 3 by search list | 2.02ms | 2.02ms |  | ",
            "shop/web | shop/dns | (others) |  | 3 | 0% |  |  |  |  | ",
        ]
    );
}

#[test]
fn topics_have_a_line_for_each_way_and_one_without_a_name_its_number() {
    let orders = KafkaCounters {
        topic: "orders".into(),
        produces: 20,
        fetches: 10,
        produced_octets: 10_000,
        errors: codes(&[(3, 2)]),
        groups: vec![NameCount {
            name: "billing".into(),
            count: 1,
        }],
        produce_latency: Some(took(5, 20)),
        ..KafkaCounters::default()
    };
    let unnamed = KafkaCounters {
        id: "07070707-0707-0707-0707-070707070707".into(),
        fetches: 1,
        ..KafkaCounters::default()
    };
    let of_none = KafkaCounters {
        fetches: 1,
        others: 2,
        ..KafkaCounters::default()
    };
    let topic = |counters| Topic {
        edge: Some(edge("web", "kafka")),
        counters: Some(counters),
    };
    let all = [topic(orders), topic(unnamed), topic(of_none)];
    assert_eq!(
        lines(&topics(&all, 10.0)),
        [
            "orders | shop/web | produces |  | shop/kafka | 2.00 | 1.0kB | UNKNOWN_TOPIC_OR_PARTITION (2) | 4.97ms | 4.97ms",
            "orders | shop/web | fetches | billing | shop/kafka | 1.00 | 0.0B | UNKNOWN_TOPIC_OR_PARTITION (2) |  | ",
            "(id 07070707-0707-0707-0707-070707070707) | shop/web | fetches |  | shop/kafka | 0.10 | 0.0B |  |  | ",
            "(unknown) | shop/web | fetches |  | shop/kafka | 0.10 | 0.0B |  |  | ",
            "(none) | shop/web | other |  | shop/kafka | 0.20 | 0.0B |  |  | ",
        ]
    );
}

#[test]
fn names_have_who_resolved_them_and_their_addresses() {
    let of = Resolution {
        source: Some(party("web")),
        name: "api.example.com".into(),
        questions: 5,
        failures: 1,
        addresses: vec!["203.0.113.7".into(), "2001:db8::7".into()],
        connections: 4,
        ..Resolution::default()
    };
    assert_eq!(
        lines(&resolutions(&[of])),
        ["api.example.com | shop/web | 5 | 1 | 203.0.113.7, 2001:db8::7 | 4 |  | "]
    );
}

#[test]
fn a_row_is_summed_up_with_what_the_server_and_the_network_took_of_its_requests() {
    let row = Row {
        http: vec![carts()],
        dns: vec![DnsCounters {
            questions: 10,
            timeouts: 1,
            ..DnsCounters::default()
        }],
        served: Some(took(20, 98)),
        ..Row::default()
    };
    let of = summary(&row);
    assert_eq!(of.protocols, "HTTP, DNS");
    // 6 answers 503, 1 UNAVAILABLE, 2 without an answer; 1 time-out.
    assert_eq!((of.requests, of.failed), (110, 10));
    assert_eq!(of.latency.count(), 98);
    let (server, network) = of.shares.unwrap();
    let near = |of: Duration, millis: f64| (of.as_secs_f64() * 1e3 / millis - 1.0).abs() < 0.05;
    assert!(
        near(server, 20.0) && near(network, 10.0),
        "{server:?} {network:?}"
    );
}

#[test]
fn what_is_not_seen_has_its_share_and_why() {
    let pay = Unread {
        service: "shop/pay".into(),
        port: 443,
        connections: 100,
        encrypted: 92,
        server_names: ["pay.example.com", "old.example.com"]
            .map(|name| NameCount {
                name: name.into(),
                count: 1,
            })
            .into(),
        ..Unread::default()
    };
    assert_eq!(
        not_seen(&pay),
        "not seen at shop/pay:443: of 100 connections 92.0% encrypted, SNI pay.example.com, old.example.com"
    );
    let db = Unread {
        destination: Some(party("db")),
        port: 5432,
        connections: 8,
        other: 6,
        host_network: 2,
        ..Unread::default()
    };
    assert_eq!(
        not_seen(&db),
        "not seen at shop/db:5432: of 8 connections 75.0% not understood; 25.0% between networks of nodes: not looked at"
    );
}
