use api::hubble::answers::{
    CodeCount, Counters, DnsCounters, Edge, HttpCounters, KafkaCounters, Party, PartyKind, Row,
    TlsCounters,
};

use super::*;

#[test]
fn spans_are_multiples_of_what_nodes_count_in() {
    for (total, seconds) in [
        (1, 10),
        (300, 10),
        (900, 30),
        (3600, 120),
        (3661, 180),
        (21_600, 720),
        (604_800, 20_160),
    ] {
        assert_eq!(step(total, 30), seconds, "{total}");
        for count in [1, 30, 60, 120] {
            assert!(step(total, count) * count >= total, "{total} {count}");
        }
    }
}

#[test]
fn what_came_late_did_not_fail_what_was_cut_did_and_what_came_from_outside_is_told_apart() {
    let row = |name: &str, opened, unanswered, late| Row {
        edge: Some(Edge {
            source: Some(Party {
                name: name.into(),
                kind: PartyKind::Entity.into(),
                ..Party::default()
            }),
            ..Edge::default()
        }),
        counters: Some(Counters {
            opened,
            unanswered,
            late,
            denied: 1,
            cut: 2,
            ..Counters::default()
        }),
        ..Row::default()
    };
    let answer = MapAnswer {
        edges: vec![row("world", 7, 3, 2), row("host", 5, 0, 0)],
        ..MapAnswer::default()
    };
    let expected = Sums {
        since: 60,
        opened: 12,
        failed: 7,
        unanswered: 3,
        denied: 2,
        outside: 7,
        ..Sums::default()
    };
    assert_eq!(sum(60, &answer), expected);
}

#[test]
fn what_is_said_on_edges_is_summed_with_what_of_it_failed() {
    let code = |code, count| CodeCount { code, count };
    let took = |bucket| {
        Some(api::hubble::answers::Sketch {
            bucket: vec![bucket],
            count: vec![1],
        })
    };
    let row = Row {
        http: vec![HttpCounters {
            requests: 10,
            status: vec![code(200, 5), code(404, 2), code(503, 2)],
            unanswered: 1,
            latency: took(500),
            ..HttpCounters::default()
        }],
        dns: vec![DnsCounters {
            questions: 9,
            codes: vec![code(3, 4), code(2, 1)],
            searched: 3,
            timeouts: 1,
            ..DnsCounters::default()
        }],
        kafka: vec![KafkaCounters {
            produces: 3,
            fetches: 2,
            others: 1,
            errors: vec![code(3, 1)],
            ..KafkaCounters::default()
        }],
        tls: vec![TlsCounters {
            handshakes: 8,
            client_alerts: vec![code(48, 2)],
            unfinished: 1,
            ..TlsCounters::default()
        }],
        ..Row::default()
    };
    let answer = MapAnswer {
        edges: vec![row.clone(), row],
        ..MapAnswer::default()
    };
    let sums = sum(60, &answer);
    assert_eq!((sums.requests, sums.request_errors), (20, 10));
    assert_eq!((sums.questions, sums.questions_failed), (18, 6));
    assert_eq!(sums.kafka, 12);
    // Of each: three requests, three questions, one of Kafka, three handshakes.
    assert_eq!(sums.said_failed, 20);
    assert_eq!(sums.request_p95_us, Some(21_813));
    assert_eq!(sums.p95_us, None);
}
