use l7::record::DnsAnswer;

use super::*;

const NOW: u64 = 1_700_000_000_000_000_000;

fn known<T: Clone>(of: &T) -> Seen<T> {
    Seen::Known(of.clone())
}

fn text(of: &str) -> Seen<String> {
    Seen::Known(of.to_owned())
}

fn get(status: Seen<u16>) -> Http {
    Http {
        method: text("GET"),
        path: text("/carts/17"),
        template: text("/carts/*"),
        status,
        request_octets: Seen::Known(0),
        response_octets: Seen::Known(120),
        start_ns: Some(1_000_000),
        answer_ns: Some(4_000_000),
        ending: Ending::Whole,
        ..Http::default()
    }
}

fn row_of(record: &Record) -> Row {
    row(record, Sample::default, NOW)
}

/// Kind, name and code of the failures.
fn failures(row: &Row) -> Vec<(CauseKind, String, i32)> {
    let causes = row.failures.iter().filter_map(|of| of.cause.as_ref());
    causes
        .map(|of| (of.kind(), of.name.clone(), of.code))
        .collect()
}

#[test]
fn a_request_counts_for_its_method_and_template_with_status_size_and_time() {
    let row = row_of(&Record::Http(Box::new(get(Seen::Known(200)))));
    let [of] = row.http.as_slice() else {
        panic!("{row:?}");
    };
    assert_eq!((of.method.as_str(), of.path.as_str()), ("GET", "/carts/*"));
    assert_eq!((of.requests, of.response_octets), (1, 120));
    assert_eq!(of.status, one(200));
    let latency = sketch::Sketch::from(of.latency.as_ref().unwrap());
    let median = latency.quantile(0.5).unwrap().as_secs_f64();
    assert!((median / 0.003 - 1.0).abs() < 0.01, "{median}");
    assert_eq!(failures(&row), []);
}

#[test]
fn a_server_that_fails_is_told_from_a_client_that_does_and_from_what_was_not_seen() {
    let of = |http: Http| failures(&row_of(&Record::Http(Box::new(http))));
    let name = "GET /carts/*".to_owned();
    assert_eq!(
        of(get(Seen::Known(503))),
        [(CauseKind::HttpError, name.clone(), 503)]
    );
    assert_eq!(of(get(Seen::Known(404))), []);
    let closed = Http {
        ending: Ending::Closed,
        ..get(Seen::Absent)
    };
    assert_eq!(of(closed), [(CauseKind::NoAnswer, name.clone(), 0)]);
    let overdue = Http {
        ending: Ending::Overdue,
        ..get(Seen::Absent)
    };
    assert_eq!(of(overdue), [(CauseKind::Overdue, name, 0)]);
    let given_up = Http {
        ending: Ending::Reset(Direction::ToServer, 8),
        ..get(Seen::Absent)
    };
    assert_eq!(of(given_up), []);
    assert_eq!(of(get(Seen::Unknown)), []);
    let unseen = row_of(&Record::Http(Box::default()));
    assert_eq!(
        (unseen.http[0].unknown, unseen.http[0].path.as_str()),
        (1, "")
    );
}

#[test]
fn a_call_of_grpc_is_called_by_service_and_method_and_fails_by_its_own_status() {
    let call = |status: u32| Http {
        template: text("/shop.Carts/*"),
        grpc: Seen::Known(Grpc {
            service: text("shop.Carts"),
            method: text("Get2"),
            status: Seen::Known(status),
        }),
        ..get(Seen::Known(200))
    };
    let row = row_of(&Record::Http(Box::new(call(14))));
    assert_eq!(row.http[0].path, "/shop.Carts/Get2");
    assert_eq!(row.http[0].grpc, one(14));
    let name = "GET /shop.Carts/Get2".to_owned();
    assert_eq!(failures(&row), [(CauseKind::GrpcError, name, 14)]);
    let not_found = row_of(&Record::Http(Box::new(call(5))));
    assert_eq!(failures(&not_found), []);
}

fn question(outcome: DnsOutcome) -> Dns {
    Dns {
        qname: "api.shop.svc.cluster.local".into(),
        qtype: 1,
        outcome,
        attempts: 3,
        start_ns: 0,
        latency_ns: Some(2_000_000),
        answers: vec![DnsAnswer {
            name: "api.shop.svc.cluster.local".into(),
            ttl_s: 30,
            data: DnsData::Address("10.0.0.2".parse().unwrap()),
        }],
        all_answers: true,
        truncated: false,
    }
}

#[test]
fn a_question_counts_for_its_name_and_type_with_how_it_was_answered() {
    let row = row_of(&Record::Dns(Box::new(question(DnsOutcome::Code(0)))));
    let of = &row.dns[0];
    assert_eq!(
        (of.name.as_str(), of.r#type),
        ("api.shop.svc.cluster.local", 1)
    );
    assert_eq!((of.questions, of.repeats), (1, 2));
    assert_eq!(of.addresses, ["10.0.0.2"]);
    assert_eq!((of.first_ns, of.last_ns), (NOW, NOW));
    assert_eq!(failures(&row), []);
    for (outcome, kind, code) in [
        (DnsOutcome::Code(2), CauseKind::DnsError, 2),
        (DnsOutcome::Code(3), CauseKind::DnsNoSuchName, 3),
        (DnsOutcome::Timeout, CauseKind::DnsTimeout, 0),
        (DnsOutcome::Closed, CauseKind::NoAnswer, 0),
    ] {
        let row = row_of(&Record::Dns(Box::new(question(outcome))));
        let name = "api.shop.svc.cluster.local".to_owned();
        assert_eq!(failures(&row), [(kind, name, code)]);
    }
    let unseen = row_of(&Record::Dns(Box::new(question(DnsOutcome::Unknown))));
    assert_eq!((unseen.dns[0].unknown, failures(&unseen).len()), (1, 0));
}

#[test]
fn a_request_to_kafka_counts_for_each_of_its_topics_and_an_unknown_one_by_its_number() {
    let topics = vec![
        KafkaTopic {
            name: text("orders"),
            octets: Seen::Known(900),
            error: Seen::Known(0),
            ..KafkaTopic::default()
        },
        KafkaTopic {
            id: Some([7; 16]),
            octets: Seen::Known(100),
            error: Seen::Known(3),
            ..KafkaTopic::default()
        },
    ];
    let produce = Kafka {
        api: 0,
        topics,
        error: known(&3),
        end_ns: Some(5_000_000),
        ending: Ending::Whole,
        ..Kafka::default()
    };
    let row = row_of(&Record::Kafka(Box::new(produce)));
    let [orders, other] = row.kafka.as_slice() else {
        panic!("{row:?}");
    };
    assert_eq!((orders.topic.as_str(), orders.produces), ("orders", 1));
    assert_eq!((orders.produced_octets, orders.fetched_octets), (900, 0));
    assert!(orders.produce_latency.is_some() && orders.errors.is_empty());
    assert_eq!(other.topic, "");
    assert_eq!(other.id, "07070707-0707-0707-0707-070707070707");
    assert_eq!(
        failures(&row),
        [(CauseKind::KafkaError, other.id.clone(), 3)]
    );
}

#[test]
fn a_fetch_of_unknown_topics_is_a_fetch_and_one_of_none_is_not() {
    let fetch = |all_topics| {
        let fetch = Kafka {
            api: FETCH,
            all_topics,
            ending: Ending::Whole,
            ..Kafka::default()
        };
        let row = row_of(&Record::Kafka(Box::new(fetch)));
        (row.kafka[0].fetches, row.kafka[0].others)
    };
    assert_eq!(fetch(false), (1, 0));
    assert_eq!(fetch(true), (0, 1));
}

#[test]
fn what_kafka_says_in_its_ordinary_course_is_no_failure() {
    let heartbeat = |error: i16| Kafka {
        api: 12,
        group: text("billing"),
        error: Seen::Known(error),
        ending: Ending::Whole,
        ..Kafka::default()
    };
    let rebalance = row_of(&Record::Kafka(Box::new(heartbeat(27))));
    assert_eq!(rebalance.kafka[0].errors, one(27));
    assert_eq!(rebalance.kafka[0].groups[0].name, "billing");
    assert_eq!(failures(&rebalance), []);
    let denied = row_of(&Record::Kafka(Box::new(heartbeat(30))));
    assert_eq!(
        failures(&denied),
        [(CauseKind::KafkaError, String::new(), 30)]
    );
}

#[test]
fn what_a_broker_does_not_answer_fails_by_its_topic_whether_the_connection_ends_or_not() {
    for (ending, kind) in [
        (Ending::Overdue, CauseKind::Overdue),
        (Ending::Closed, CauseKind::NoAnswer),
    ] {
        let produce = Kafka {
            api: 0,
            topics: vec![KafkaTopic {
                name: text("orders"),
                ..KafkaTopic::default()
            }],
            ending,
            ..Kafka::default()
        };
        let row = row_of(&Record::Kafka(Box::new(produce)));
        assert_eq!((row.kafka[0].unanswered, row.kafka[0].unknown), (1, 0));
        assert_eq!(failures(&row), [(kind, "orders".to_owned(), 0)]);
    }
}

#[test]
fn a_handshake_counts_for_the_servers_name_with_version_protocol_and_alert() {
    let tls = Tls {
        server_name: text("api.example.com"),
        alpn_offered: Seen::Known(vec!["h2".into(), "http/1.1".into()]),
        version: Seen::Known(0x0304),
        ending: TlsEnding::Alert(Direction::ToServer, 48),
        ..Tls::default()
    };
    let row = row_of(&Record::Tls(Box::new(tls)));
    let of = &row.tls[0];
    assert_eq!((of.handshakes, of.done), (1, 0));
    assert_eq!(of.versions, one(0x0304));
    assert_eq!(of.protocols[0].name, "h2");
    assert_eq!((of.client_alerts.len(), of.server_alerts.len()), (1, 0));
    let name = "api.example.com".to_owned();
    assert_eq!(failures(&row), [(CauseKind::TlsAlertByClient, name, 48)]);
}
