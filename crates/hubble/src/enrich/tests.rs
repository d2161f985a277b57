use api::hubble::flow as pb;

use super::*;
use crate::{
    flow::Node,
    names::NoNames,
    records::{Point, Way},
    sample::{Shop, denied, opened},
};

fn messages(record: Record) -> Vec<pb::Flow> {
    let node = Node {
        name: "default/n1".into(),
        labels: vec!["zone=a".into()],
    };
    flows(Arc::new(enrich(record, &Shop)))
        .map(|flow| flow.message(&node))
        .collect()
}

fn outline(flow: &pb::Flow) -> (i32, i32, &'static str, &'static str, Option<bool>) {
    let event = flow.event_type.as_ref().unwrap();
    (
        event.r#type,
        event.sub_type,
        flow.verdict().as_str_name(),
        flow.traffic_direction().as_str_name(),
        flow.is_reply.as_ref().map(|reply| reply.value),
    )
}

#[test]
fn a_new_connection_is_a_verdict_per_side_and_one_trace() {
    let flows = messages(opened());
    let outlines: Vec<_> = flows.iter().map(outline).collect();
    assert_eq!(
        outlines,
        [
            (5, 0, "FORWARDED", "EGRESS", Some(false)),
            (5, 0, "FORWARDED", "INGRESS", Some(false)),
            (4, 0, "FORWARDED", "INGRESS", Some(false)),
        ]
    );
    let [egress, ingress, trace] = flows.as_slice() else {
        panic!("three flows")
    };
    assert_eq!(egress.egress_allowed_by[0].name, "p11");
    assert_eq!(ingress.ingress_allowed_by[0].name, "p12");
    assert!(egress.ingress_allowed_by.is_empty() && trace.ingress_allowed_by.is_empty());
    assert_eq!(egress.policy_match_type, 2);
    assert_eq!(
        trace.trace_observation_point(),
        pb::TraceObservationPoint::ToEndpoint
    );
    assert_eq!(trace.trace_reason(), pb::TraceReason::New);
    let mut ids: Vec<_> = flows.iter().map(|flow| flow.uuid.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_denial_is_a_verdict_and_a_drop_with_the_policy_that_denied() {
    let flows = messages(denied());
    let outlines: Vec<_> = flows.iter().map(outline).collect();
    assert_eq!(
        outlines,
        [
            (5, 0, "DROPPED", "INGRESS", None),
            (1, 133, "DROPPED", "INGRESS", None)
        ]
    );
    for flow in &flows {
        assert_eq!(flow.drop_reason_desc(), pb::DropReason::PolicyDenied);
        #[allow(deprecated, reason = "old exporters read it")]
        let number = flow.drop_reason;
        assert_eq!(number, 133);
    }
    assert_eq!(flows[0].ingress_denied_by[0].name, "p12");
    assert!(flows[1].ingress_denied_by.is_empty());
}

#[test]
fn a_close_is_one_trace_whose_direction_turns_with_the_reply() {
    for (point, way, direction, reason) in [
        (
            Point::ToEndpoint,
            Way::Forward,
            "INGRESS",
            pb::TraceReason::Established,
        ),
        (
            Point::ToEndpoint,
            Way::Reply,
            "EGRESS",
            pb::TraceReason::Reply,
        ),
        (
            Point::ToNetwork,
            Way::Forward,
            "EGRESS",
            pb::TraceReason::Established,
        ),
        (
            Point::ToNetwork,
            Way::Reply,
            "INGRESS",
            pb::TraceReason::Reply,
        ),
    ] {
        let flows = messages(Record {
            what: What::Closed { point, way },
            ..opened()
        });
        let [flow] = flows.as_slice() else {
            panic!("one flow")
        };
        let raw = if point == Point::ToEndpoint { 0 } else { 11 };
        let is_reply = Some(way == Way::Reply);
        assert_eq!(outline(flow), (4, raw, "FORWARDED", direction, is_reply));
        assert_eq!(flow.trace_reason(), reason);
    }
}

#[test]
fn a_close_of_unknown_way_claims_no_direction() {
    let what = What::Closed {
        point: Point::ToStack,
        way: Way::Unknown,
    };
    let flows = messages(Record { what, ..opened() });
    assert_eq!(
        outline(&flows[0]),
        (4, 3, "FORWARDED", "TRAFFIC_DIRECTION_UNKNOWN", None)
    );
    assert_eq!(flows[0].trace_reason(), pb::TraceReason::Unknown);
}

#[test]
fn other_drops_are_blamed_on_the_local_end() {
    for (source, destination, direction) in [
        (7, 8, "EGRESS"),
        (0, 8, "INGRESS"),
        (0, 0, "TRAFFIC_DIRECTION_UNKNOWN"),
    ] {
        let mut record = Record {
            what: What::Dropped {
                side: None,
                reason: 132,
            },
            ..opened()
        };
        record.source.endpoint = source;
        record.destination.endpoint = destination;
        let flows = messages(record);
        assert_eq!(flows.len(), 1);
        assert_eq!(outline(&flows[0]), (1, 132, "DROPPED", direction, None));
    }
}

#[test]
fn audited_and_redirected_verdicts_say_so() {
    let mut record = opened();
    let What::New {
        point,
        egress,
        ingress,
    } = record.what
    else {
        panic!("new")
    };
    record.what = What::New {
        point,
        egress: egress.map(|j| Judgement {
            mode: crate::records::Mode::Audited,
            ..j
        }),
        ingress: ingress.map(|j| Judgement {
            proxy_port: 10001,
            ..j
        }),
    };
    let verdicts: Vec<_> = messages(record)
        .iter()
        .map(|f| f.verdict().as_str_name())
        .collect();
    assert_eq!(verdicts, ["AUDIT", "REDIRECTED", "FORWARDED"]);
}

#[test]
fn an_end_without_names_has_the_label_of_its_reserved_identity() {
    let mut record = opened();
    record.destination.identity = 2;
    let enriched = enrich(record, &NoNames);
    assert_eq!(
        enriched.destination.unwrap().labels,
        ["reserved:world".into()]
    );
    assert_eq!(enriched.source, None);
}

#[test]
fn a_call_that_was_translated_at_the_socket_has_the_service_of_its_backend() {
    let service = |change: fn(&mut Record)| {
        let mut record = Record {
            asked: None,
            ..opened()
        };
        change(&mut record);
        let service = enrich(record, &Shop).destination_service;
        service.map(|service| format!("{}/{}", service.namespace, service.name))
    };
    assert_eq!(service(|_| {}).as_deref(), Some("shop/api"));
    assert_eq!(
        service(|of| of.source.endpoint = 0),
        None,
        "no client of this node"
    );
    assert_eq!(service(|of| of.destination.port = 9090), None);
    assert_eq!(service(|of| of.protocol = 17), None);
}

#[test]
fn a_call_to_a_port_of_a_node_has_its_service() {
    let service = |asked: &str| {
        let mut record = Record {
            asked: Some(asked.parse().unwrap()),
            ..opened()
        };
        record.source.endpoint = 0;
        let service = enrich(record, &Shop).destination_service;
        service.map(|service| format!("{}/{}", service.namespace, service.name))
    };
    assert_eq!(service("172.30.0.12:30080").as_deref(), Some("shop/api"));
    assert_eq!(service("172.30.0.12:30081"), None);
    assert_eq!(service("[fd00::12]:30080"), None, "of the other family");
}
