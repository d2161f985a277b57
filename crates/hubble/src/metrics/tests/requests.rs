//! Requests: HTTP, DNS, Kafka.

use super::*;

fn l7(kind: pb::L7FlowType, record: pb::layer7::Record) -> pb::Flow {
    pb::Flow {
        event_type: Some(pb::CiliumEventType {
            r#type: 129,
            sub_type: 0,
        }),
        l7: Some(pb::Layer7 {
            r#type: kind.into(),
            latency_ns: 30_000_000,
            record: Some(record),
        }),
        is_reply: Some(pbjson_types::BoolValue {
            value: kind == pb::L7FlowType::Response,
        }),
        traffic_direction: pb::TrafficDirection::Egress.into(),
        ..syn()
    }
}

fn http(kind: pb::L7FlowType) -> pb::Flow {
    let record = pb::layer7::Record::Http(pb::Http {
        code: if kind == pb::L7FlowType::Response {
            503
        } else {
            0
        },
        method: "GET".into(),
        url: "http://api/".into(),
        protocol: "HTTP/1.1".into(),
        headers: Vec::new(),
    });
    l7(kind, record)
}

/// The answer, as it is seen: its sender is whom the request went to.
fn http_response() -> pb::Flow {
    let mut flow = http(pb::L7FlowType::Response);
    std::mem::swap(&mut flow.source, &mut flow.destination);
    flow.trace_context = Some(pb::TraceContext {
        parent: Some(pb::TraceParent {
            trace_id: "4bf92f3577b34da6".into(),
        }),
    });
    flow
}

fn dns(kind: pb::L7FlowType, qtype: &str) -> pb::Flow {
    let is_answer = kind == pb::L7FlowType::Response;
    let record = pb::layer7::Record::Dns(pb::Dns {
        query: "api.test.".into(),
        ips: if is_answer {
            vec!["10.0.0.2".into()]
        } else {
            Vec::new()
        },
        rcode: 0,
        qtypes: vec![qtype.into()],
        rrtypes: if is_answer {
            vec!["CNAME".into(), qtype.into()]
        } else {
            Vec::new()
        },
        ..pb::Dns::default()
    });
    l7(kind, record)
}

#[test]
fn http_counts_requests_and_responses_as_they_are_seen() {
    let flows = [http(pb::L7FlowType::Request), http_response()];
    let text = "http:sourceContext=app;destinationContext=app";
    assert_eq!(
        counted(text, "http_re", &flows)
            .into_iter()
            .filter(|line| !line.contains("_bucket"))
            .collect::<Vec<_>>(),
        [
            r#"http_requests_total{destination="api",method="GET",protocol="HTTP/1.1",reporter="client",source="web"} 1"#,
            r#"http_responses_total{destination="web",method="GET",protocol="HTTP/1.1",reporter="client",source="api",status="503"} 1"#,
            r#"http_request_duration_seconds_sum{destination="web",method="GET",reporter="client",source="api"} 0.03"#,
            r#"http_request_duration_seconds_count{destination="web",method="GET",reporter="client",source="api"} 1"#,
        ]
    );
}

#[test]
fn http_v2_tells_of_requests_by_their_responses() {
    let flows = [http(pb::L7FlowType::Request), http_response()];
    let text = "httpV2:sourceContext=app;destinationContext=workload;labelsContext=source_pod,destination_pod";
    let lines = counted(text, "http_re", &flows);
    assert_eq!(
        lines[0],
        concat!(
            r#"http_requests_total{destination="web",destination_pod="api-1",method="GET",protocol="HTTP/1.1","#,
            r#"reporter="client",source="shop/api",source_pod="web-1",status="503"} 1"#
        )
        .replace(r#"destination="web""#, r#"destination="api""#)
        .replace(r#"source="shop/api""#, r#"source="shop/web""#)
    );
    assert!(lines.contains(
        &concat!(
            r#"http_request_duration_seconds_bucket{destination="api",destination_pod="api-1",method="GET","#,
            r#"reporter="client",source="shop/web",source_pod="web-1",le="0.05"} 1"#
        )
        .to_owned()
    ));
    assert!(lines.iter().any(|line| line.contains(r#"le="0.025"} 0"#)));
}

#[test]
fn exemplars_name_the_trace_where_the_format_can() {
    let intake = counting("httpV2:exemplars=true");
    intake.message(http_response());
    let shown = Shown {
        metrics: Arc::clone(intake.metrics()),
        ring: Arc::clone(intake.ring()),
    };
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &page::registry(shown)).unwrap();
    let traced = text
        .lines()
        .filter(|line| line.contains(r#"# {traceID="4bf92f3577b34da6"}"#));
    assert_eq!(traced.count(), 2, "{text}");
    assert!(!counted("httpV2", "http_re", &[http_response()]).is_empty());
    let without = counting("httpV2");
    without.message(http_response());
    assert!(!super::shown(&without).contains("traceID"));
}

#[test]
fn names_are_counted_as_queries_responses_and_types() {
    let mut refused = dns(pb::L7FlowType::Request, "A");
    refused.verdict = pb::Verdict::Dropped.into();
    let flows = [
        dns(pb::L7FlowType::Request, "A"),
        dns(pb::L7FlowType::Response, "A"),
        dns(pb::L7FlowType::Request, "AAAA"),
        refused,
    ];
    assert_eq!(
        counted("dns:query;ignoreAAAA", "dns_", &flows),
        [
            r#"dns_queries_total{ips_returned="0",qtypes="A",query="api.test.",rcode=""} 1"#,
            r#"dns_queries_total{ips_returned="0",qtypes="A",query="api.test.",rcode="Policy denied"} 1"#,
            r#"dns_responses_total{ips_returned="1",qtypes="A",query="api.test.",rcode="No Error"} 1"#,
            r#"dns_response_types_total{qtypes="A",query="api.test.",type="A"} 1"#,
            r#"dns_response_types_total{qtypes="A",query="api.test.",type="CNAME"} 1"#,
        ]
    );
    let plain = counted("dns", "dns_queries_total", &flows);
    assert!(
        plain.contains(
            &r#"dns_queries_total{ips_returned="0",qtypes="AAAA",rcode=""} 1"#.to_owned()
        )
    );
}

#[test]
#[allow(deprecated, reason = "Kafka is seen by us")]
fn kafka_requests_are_counted_by_topic() {
    let record = pb::layer7::Record::Kafka(pb::Kafka {
        error_code: 3,
        api_key: "produce".into(),
        topic: "orders".into(),
        ..pb::Kafka::default()
    });
    let flows = [l7(pb::L7FlowType::Request, record)];
    let lines = counted("kafka", "kafka_re", &flows);
    assert_eq!(
        lines[0],
        r#"kafka_requests_total{api_key="produce",error_code="3",reporter="client",topic="orders"} 1"#
    );
    assert!(lines.contains(
        &r#"kafka_request_duration_seconds_count{api_key="produce",reporter="client",topic="orders"} 1"#.to_owned()
    ));
}

#[test]
fn requests_are_flows_and_verdicts_too() {
    let flows = [
        http(pb::L7FlowType::Request),
        dns(pb::L7FlowType::Response, "A"),
    ];
    assert_eq!(
        counted("flow", "flows_processed_total", &flows),
        [
            r#"flows_processed_total{protocol="DNS",subtype="DNS",type="L7",verdict="FORWARDED"} 1"#,
            r#"flows_processed_total{protocol="HTTP",subtype="HTTP",type="L7",verdict="FORWARDED"} 1"#,
        ]
    );
    assert_eq!(
        counted("policy", "policy_verdicts_total", &flows),
        [
            r#"policy_verdicts_total{action="forwarded",direction="egress",match="l7/dns"} 1"#,
            r#"policy_verdicts_total{action="forwarded",direction="egress",match="l7/http"} 1"#,
        ]
    );
}

#[test]
fn what_connections_say_is_counted() {
    use crate::records::decode::Clock;
    use crate::spoken::{Ends, Spoken};
    use l7::record::{Ending, Http, Record, Seen};

    let intake = counting("httpV2");
    let http = Http {
        method: Seen::Known("GET".into()),
        status: Seen::Known(503),
        start_ns: Some(1),
        answer_ns: Some(30_000_001),
        ending: Ending::Whole,
        ..Http::default()
    };
    intake.spoken(Spoken {
        ends: Ends::from(&opened()),
        record: Record::Http(Box::new(http)),
        made_ns: 40_000_000,
        clock: Clock::new(0, std::time::SystemTime::now()),
    });
    assert_eq!(
        series(&intake, "http_requests_total"),
        [
            "http_requests_total{method=\"GET\",protocol=\"HTTP/1.1\",reporter=\"client\",status=\"503\"} 1"
        ]
    );
}
