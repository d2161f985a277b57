use std::time::{Duration as Span, UNIX_EPOCH};

use api::hubble::flow::{L7FlowType, Verdict, layer7};
use l7::record::{DnsAnswer, Ending};

use super::*;
use crate::enrich::enrich;
use crate::flow::Node;
use crate::records::decode::Clock;
use crate::sample::{Shop, opened};
use crate::spoken::Ends;

const SECOND: u64 = 1_000_000_000;

/// The messages of a record's flows; the boot was at second 1,000.
fn told(record: Record) -> Vec<pb::Flow> {
    let spoken = Spoken {
        ends: Ends::from(&opened()),
        record,
        made_ns: 9 * SECOND,
        clock: Clock::new(0, UNIX_EPOCH + Span::from_secs(1000)),
    };
    let enriched = enrich(spoken.packet(), &Shop);
    let node = Node {
        name: "default/n1".into(),
        labels: Vec::new(),
    };
    let flows = flows(&enriched, &Arc::new(spoken));
    flows.iter().map(|flow| flow.message(&node)).collect()
}

fn text(of: &str) -> Seen<String> {
    Seen::Known(of.to_owned())
}

fn get() -> Http {
    Http {
        method: text("GET"),
        path: text("/carts/17"),
        host: text("api.shop"),
        status: Seen::Known(503),
        traceparent: text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        start_ns: Some(5 * SECOND),
        answer_ns: Some(5 * SECOND + 7_000_000),
        ending: Ending::Whole,
        ..Http::default()
    }
}

#[allow(deprecated, reason = "clients print the deprecated summary")]
#[test]
fn a_request_and_its_answer_are_two_flows_in_opposite_directions() {
    let flows = told(Record::Http(Box::new(get())));
    let [request, answer] = flows.as_slice() else {
        panic!("{flows:?}");
    };
    for flow in [request, answer] {
        assert_eq!(flow.r#type(), pb::FlowType::L7);
        assert_eq!(flow.verdict(), Verdict::Forwarded);
        assert_eq!(flow.event_type.as_ref().unwrap().r#type, 129);
        assert_eq!(flow.traffic_direction(), pb::TrafficDirection::Egress);
        assert_eq!(flow.node_name, "default/n1");
        let parent = flow.trace_context.as_ref().unwrap().parent.as_ref();
        assert_eq!(parent.unwrap().trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    }
    let pod = |end: &Option<pb::Endpoint>| end.as_ref().unwrap().pod_name.clone();
    assert_eq!(
        (pod(&request.source), pod(&request.destination)),
        ("web-1".into(), "api-1".into())
    );
    assert_eq!(
        (pod(&answer.source), pod(&answer.destination)),
        ("api-1".into(), "web-1".into())
    );
    assert_eq!(request.destination_service.as_ref().unwrap().name, "api");
    assert_eq!(answer.source_service.as_ref().unwrap().name, "api");
    assert!(!request.is_reply.as_ref().unwrap().value);
    assert!(answer.is_reply.as_ref().unwrap().value);
    assert_eq!(request.summary, "HTTP/1.1 GET http://api.shop/carts/17");
    assert_eq!(
        answer.summary,
        "HTTP/1.1 503 7ms (GET http://api.shop/carts/17)"
    );
    let time = |flow: &pb::Flow| flow.time.unwrap();
    assert_eq!((time(request).seconds, time(request).nanos), (1005, 0));
    assert_eq!(time(answer).nanos, 7_000_000);
    let l7 = |flow: &pb::Flow| {
        let l7 = flow.l7.clone().unwrap();
        let Some(layer7::Record::Http(http)) = l7.record.clone() else {
            panic!("{l7:?}");
        };
        (l7.r#type(), l7.latency_ns, http.code)
    };
    assert_eq!(l7(request), (L7FlowType::Request, 0, 0));
    assert_eq!(l7(answer), (L7FlowType::Response, 7_000_000, 503));
    let Some(pb::layer4::Protocol::Tcp(tcp)) = &answer.l4.as_ref().unwrap().protocol else {
        panic!("{answer:?}");
    };
    assert_eq!((tcp.source_port, tcp.destination_port), (8080, 40000));
}

#[test]
fn what_was_not_seen_has_no_flow() {
    let unanswered = Http {
        status: Seen::Unknown,
        ..get()
    };
    assert_eq!(told(Record::Http(Box::new(unanswered))).len(), 1);
    let unasked = Http {
        method: Seen::Unknown,
        ..get()
    };
    assert_eq!(told(Record::Http(Box::new(unasked))).len(), 1);
    assert_eq!(told(Record::Tls(Box::default())), []);
}

fn question(outcome: DnsOutcome) -> Record {
    let answer = |data| DnsAnswer {
        name: "api.shop".into(),
        ttl_s: 30,
        data,
    };
    Record::Dns(Box::new(Dns {
        qname: "api.shop".into(),
        qtype: 1,
        outcome,
        attempts: 1,
        start_ns: 5 * SECOND,
        latency_ns: Some(2_000_000),
        answers: vec![
            answer(DnsData::Alias("a.shop".into())),
            answer(DnsData::Address("10.0.0.2".parse().unwrap())),
        ],
        all_answers: true,
        truncated: false,
    }))
}

#[allow(deprecated, reason = "clients print the deprecated summary")]
#[test]
fn a_question_and_its_answer_have_names_types_and_addresses() {
    let flows = told(question(DnsOutcome::Code(0)));
    let summaries: Vec<&str> = flows.iter().map(|of| of.summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "DNS Query api.shop. A",
            "DNS Answer \"10.0.0.2\" CNAMEs: \"a.shop.\" TTL: 30 (Passive api.shop. A)"
        ]
    );
    let Some(layer7::Record::Dns(dns)) = flows[1].l7.clone().unwrap().record else {
        panic!("{flows:?}");
    };
    assert_eq!(dns.rrtypes, ["CNAME", "A"]);
    assert_eq!((dns.rcode, dns.ttl), (0, 30));
    let failed = told(question(DnsOutcome::Code(2)));
    assert!(
        failed[1].summary.contains("RCode: Server Failure"),
        "{failed:?}"
    );
    assert_eq!(told(question(DnsOutcome::Timeout)).len(), 1);
}

#[allow(deprecated, reason = "Kafka is seen by us")]
#[test]
fn a_request_to_kafka_has_a_flow_for_each_topic_with_its_error() {
    let topic = |name: &str, error| KafkaTopic {
        name: text(name),
        error: Seen::Known(error),
        ..KafkaTopic::default()
    };
    let produce = Kafka {
        topics: vec![topic("orders", 0), topic("gone", 3)],
        start_ns: 5 * SECOND,
        end_ns: Some(5 * SECOND + 1_000_000),
        ending: Ending::Whole,
        ..Kafka::default()
    };
    let flows = told(Record::Kafka(Box::new(produce)));
    let short: Vec<(String, String, i32, u64)> = flows
        .iter()
        .map(|flow| {
            let l7 = flow.l7.clone().unwrap();
            let Some(layer7::Record::Kafka(kafka)) = l7.record else {
                panic!("{flow:?}");
            };
            (kafka.api_key, kafka.topic, kafka.error_code, l7.latency_ns)
        })
        .collect();
    let of = |topic: &str, error| ("produce".to_owned(), topic.to_owned(), error, 1_000_000);
    assert_eq!(short, [of("orders", 0), of("gone", 3)]);
}
