use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use l7::conversation::Direction;
use l7::record::{Dns, DnsAnswer, DnsData, Ending, Http, HttpVersion, Kafka, KafkaTopic, Seen};

use super::*;
use crate::enrich::{enrich, flows};
use crate::export::otlp::tests::{called, get, names_of, node, told, value};
use crate::sample::{Shop, denied, opened};

fn body(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn of_request(record: Record) -> LogRecord {
    told(record, request)
}

/// The records of the flows of packets.
fn of_packet(record: crate::records::Record) -> Vec<LogRecord> {
    let all = flows(Arc::new(enrich(record, &Shop))).map(|flow| {
        let edge = crate::edges::edge(flow.enriched());
        let flow = flow.message(&node());
        packet(&Told {
            flow: &flow,
            edge: Some(&edge),
        })
    });
    all.collect()
}

#[test]
fn a_denied_packet_has_both_ends_the_policy_and_the_reason() {
    let records = of_packet(denied());
    let [verdict, drop] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(verdict.event_name, "axoneme.flow");
    assert_eq!(verdict.severity_number(), SeverityNumber::Warn);
    assert_eq!(verdict.time_unix_nano, 1_700_000_000_000_000_000);
    for (key, wanted) in [
        ("source.address", "10.0.0.1"),
        ("source.port", "40000"),
        ("axoneme.source.name", "shop/web"),
        ("axoneme.source.kind", "workload"),
        ("axoneme.source.k8s.namespace.name", "shop"),
        ("axoneme.source.k8s.pod.name", "web-1"),
        ("axoneme.source.k8s.deployment.name", "web"),
        ("axoneme.source.identity", "1000"),
        ("destination.address", "10.0.0.2"),
        ("destination.port", "8080"),
        ("axoneme.destination.k8s.service.name", "api"),
        ("axoneme.destination.dns.names", "api.shop.svc"),
        ("network.transport", "tcp"),
        ("network.type", "ipv4"),
        ("axoneme.direction", "ingress"),
        ("axoneme.verdict", "DROPPED"),
        ("axoneme.flow.type", "policy-verdict"),
        ("axoneme.policies", "shop/p12"),
        ("axoneme.drop.reason", "POLICY_DENIED"),
    ] {
        assert_eq!(value(&verdict.attributes, key), wanted, "{key}");
    }
    assert_eq!(value(&drop.attributes, "axoneme.flow.type"), "drop");
    assert_eq!(
        body(drop),
        "shop/web:40000 → shop/api:8080 DROPPED TCP Flags: SYN (POLICY_DENIED)"
    );
    assert!(drop.trace_id.is_empty());
}

#[test]
fn no_key_comes_twice() {
    let mut records = of_packet(opened());
    records.extend(of_packet(denied()));
    records.push(of_request(Record::Http(Box::new(get()))));
    records.push(of_request(Record::Http(Box::new(called(5)))));
    records.push(of_request(Record::Dns(Box::new(question()))));
    records.push(of_request(Record::Kafka(Box::new(produced()))));
    for record in records {
        let mut names = names_of(&record.attributes);
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{record:?}");
    }
}

#[test]
fn a_request_and_its_answer_are_one_record_from_who_asked() {
    let traced = Http {
        traceparent: Seen::Known("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".into()),
        request_octets: Seen::Known(12),
        ..get()
    };
    let record = of_request(Record::Http(Box::new(traced)));
    assert_eq!(record.event_name, "axoneme.http");
    assert_eq!(record.severity_text, "WARN");
    for (key, wanted) in [
        ("source.address", "10.0.0.1"),
        ("destination.address", "10.0.0.2"),
        ("axoneme.source.name", "shop/web"),
        ("axoneme.destination.name", "shop/api"),
        ("axoneme.destination.k8s.service.name", "api"),
        ("axoneme.vantage", "client"),
        ("http.request.method", "GET"),
        ("url.template", "/carts/*"),
        ("url.path", "/carts/17"),
        ("http.response.status_code", "503"),
        ("error.type", "503"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("server.address", "api.shop"),
        ("http.request.body.size", "12"),
        ("axoneme.duration", "0.007"),
    ] {
        assert_eq!(value(&record.attributes, key), wanted, "{key}");
    }
    // It belongs to the trace whether or not that is recorded.
    assert_eq!(record.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(record.flags, 0);
}

#[test]
fn nothing_of_a_request_is_told_that_flows_do_not_have() {
    // What parsers keep of a target has neither query nor user information.
    let path = l7::redact::path(b"/carts/17?token=hush#here");
    let secret = Http {
        host: Seen::Known(l7::redact::host(b"ann:hush@api.shop:8080")),
        path: Seen::Known(path),
        ..get()
    };
    let record = of_request(Record::Http(Box::new(secret)));
    assert!(!format!("{record:?}").contains("hush"));
    assert_eq!(value(&record.attributes, "server.address"), "api.shop");
}

#[test]
fn a_call_that_is_refused_is_an_error_to_who_called_alone() {
    let record = of_request(Record::Http(Box::new(called(5))));
    assert_eq!(record.event_name, "axoneme.rpc");
    assert_eq!(record.severity_text, "INFO");
    for (key, wanted) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "shop.Carts/Get"),
        ("rpc.status_code", "NOT_FOUND"),
        ("error.type", "NOT_FOUND"),
        ("network.protocol.version", "2"),
    ] {
        assert_eq!(value(&record.attributes, key), wanted, "{key}");
    }
    assert!(!names_of(&record.attributes).contains(&"http.request.method"));
    let unavailable = of_request(Record::Http(Box::new(called(14))));
    assert_eq!(unavailable.severity_text, "WARN");
}

#[test]
fn a_request_without_an_answer_says_how_it_ended() {
    let cut = |ending| {
        let request = Http {
            status: Seen::Absent,
            answer_ns: None,
            version: HttpVersion::Http2,
            ending,
            ..get()
        };
        let record = of_request(Record::Http(Box::new(request)));
        value(&record.attributes, "error.type")
    };
    assert_eq!(cut(Ending::Closed), "closed");
    assert_eq!(cut(Ending::Refused), "refused");
    assert_eq!(cut(Ending::Reset(Direction::ToServer, 8)), "cancelled");
    assert_eq!(cut(Ending::Reset(Direction::ToClient, 2)), "reset");
}

fn question() -> Dns {
    Dns {
        qname: "api.shop.svc".into(),
        qtype: 1,
        outcome: DnsOutcome::Code(0),
        attempts: 1,
        start_ns: 5_000_000_000,
        latency_ns: Some(2_000_000),
        answers: vec![DnsAnswer {
            name: "api.shop.svc".into(),
            ttl_s: 30,
            data: DnsData::Address(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))),
        }],
        all_answers: true,
        truncated: false,
    }
}

#[test]
fn a_question_has_its_name_answers_and_error() {
    let record = of_request(Record::Dns(Box::new(question())));
    assert_eq!(record.event_name, "axoneme.dns");
    for (key, wanted) in [
        ("dns.question.name", "api.shop.svc"),
        ("axoneme.dns.question.type", "A"),
        ("axoneme.dns.response.code", "NOERROR"),
        ("dns.answers", "10.96.0.10"),
        ("axoneme.duration", "0.002"),
    ] {
        assert_eq!(value(&record.attributes, key), wanted, "{key}");
    }
    let late = Dns {
        outcome: DnsOutcome::Timeout,
        latency_ns: None,
        answers: Vec::new(),
        ..question()
    };
    let record = of_request(Record::Dns(Box::new(late)));
    assert_eq!(value(&record.attributes, "error.type"), "timeout");
    assert_eq!(record.severity_text, "WARN");
    assert_eq!(value(&record.attributes, "source.address"), "10.0.0.1");
}

fn produced() -> Kafka {
    Kafka {
        api: 0,
        topics: vec![KafkaTopic {
            name: Seen::Known("orders".into()),
            error: Seen::Known(6),
            ..KafkaTopic::default()
        }],
        start_ns: 5_000_000_000,
        end_ns: Some(5_004_000_000),
        ending: Ending::Whole,
        ..Kafka::default()
    }
}

#[test]
fn a_request_to_kafka_has_its_topic_and_the_error_about_it() {
    let record = of_request(Record::Kafka(Box::new(produced())));
    assert_eq!(record.event_name, "axoneme.kafka");
    assert_eq!(record.severity_text, "WARN");
    for (key, wanted) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.name", "produce"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "orders"),
        ("error.type", "NOT_LEADER_OR_FOLLOWER"),
        ("axoneme.duration", "0.004"),
    ] {
        assert_eq!(value(&record.attributes, key), wanted, "{key}");
    }
}
