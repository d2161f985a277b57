//! Every field of FlowFilter, by the list of the definitions: each filters, and one that nothing is known of matches nothing.

use std::collections::BTreeSet;

use super::*;
use crate::{
    enrich::{enrich, flows},
    flow::Node,
    records::{Party, Point, Record, Way, What},
    sample::{Shop, VIP, denied, opened},
};

/// Whether flows of the data plane have what a field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// Records have it, so that the first value selects some of their flows and not all.
    Recorded,
    /// Only flows of proxies, encryption or tracing headers have it, which no record tells of: the first value selects none.
    Elsewhere,
}
use Data::{Elsewhere, Recorded};

/// A field, a value that selects what has it, one that does not, and whether records have it.
const CASES: &[(&str, &str, &str, Data)] = &[
    ("source_ip", r#"["10.0.0.1"]"#, r#"["10.9.9.9"]"#, Recorded),
    ("source_pod", r#"["shop/web"]"#, r#"["shop/db"]"#, Recorded),
    (
        "destination_ip",
        r#"["fd00::2","10.0.0.2"]"#,
        r#"["fd00::3"]"#,
        Recorded,
    ),
    (
        "destination_pod",
        r#"["shop/api"]"#,
        r#"["shop/db"]"#,
        Recorded,
    ),
    ("verdict", r#"["FORWARDED"]"#, r#"["ERROR"]"#, Recorded),
    (
        "event_type",
        r#"[{"type":129},{"type":4}]"#,
        r#"[{"type":3}]"#,
        Recorded,
    ),
    (
        "source_fqdn",
        r#"["web.example.org"]"#,
        r#"["db.example.org"]"#,
        Recorded,
    ),
    ("destination_fqdn", r#"["api.*"]"#, r#"["db.*"]"#, Recorded),
    ("http_status_code", r#"["404"]"#, r#"["200"]"#, Elsewhere),
    ("source_label", r#"["app=web"]"#, r#"["app=db"]"#, Recorded),
    (
        "destination_label",
        r#"["app=api"]"#,
        r#"["app=db"]"#,
        Recorded,
    ),
    ("protocol", r#"["tcp"]"#, r#"["sctp"]"#, Recorded),
    ("source_port", r#"["80","40000"]"#, r#"["81"]"#, Recorded),
    ("destination_port", r#"["40000"]"#, r#"["81"]"#, Recorded),
    ("reply", "[true]", "[false]", Recorded),
    (
        "source_service",
        r#"["shop/web","shop/api"]"#,
        r#"["shop/db"]"#,
        Recorded,
    ),
    (
        "destination_service",
        r#"["back/api","shop/api"]"#,
        r#"["shop/db"]"#,
        Recorded,
    ),
    ("dns_query", r#"["api"]"#, r#"["db"]"#, Elsewhere),
    ("source_identity", "[1000]", "[1]", Recorded),
    ("destination_identity", "[1001]", "[1]", Recorded),
    ("http_method", r#"["GET"]"#, r#"["PUT"]"#, Elsewhere),
    ("http_path", r#"["items"]"#, r#"["users"]"#, Elsewhere),
    (
        "tcp_flags",
        r#"[{"SYN":true}]"#,
        r#"[{"URG":true}]"#,
        Recorded,
    ),
    (
        "node_name",
        r#"["east/n1.example"]"#,
        r#"["east/n2"]"#,
        Recorded,
    ),
    ("ip_version", r#"["IPv4"]"#, r#"["IPv6"]"#, Recorded),
    (
        "source_workload",
        r#"[{"name":"web"}]"#,
        r#"[{"name":"db"}]"#,
        Recorded,
    ),
    (
        "destination_workload",
        r#"[{"name":"api"}]"#,
        r#"[{"kind":"Job"}]"#,
        Recorded,
    ),
    ("trace_id", r#"["abc"]"#, r#"["def"]"#, Elsewhere),
    ("uuid", r#"["u1"]"#, r#"["u2"]"#, Elsewhere),
    (
        "traffic_direction",
        r#"["INGRESS"]"#,
        r#"["EGRESS"]"#,
        Recorded,
    ),
    ("http_url", r#"["^http://api"]"#, r#"["^https"]"#, Elsewhere),
    (
        "http_header",
        r#"[{"key":"Host","value":"api"}]"#,
        r#"[{"key":"Host","value":"db"}]"#,
        Elsewhere,
    ),
    (
        "drop_reason_desc",
        r#"["POLICY_DENIED"]"#,
        r#"["POLICY_DENY"]"#,
        Recorded,
    ),
    (
        "source_ip_xlated",
        r#"["192.0.2.1"]"#,
        r#"["192.0.2.2"]"#,
        Recorded,
    ),
    (
        "interface",
        r#"[{"name":"lxc1"}]"#,
        r#"[{"name":"lxc2"}]"#,
        Recorded,
    ),
    ("node_labels", r#"["zone=a"]"#, r#"["zone=b"]"#, Recorded),
    (
        "source_cluster_name",
        r#"["east","default"]"#,
        r#"["west"]"#,
        Recorded,
    ),
    (
        "destination_cluster_name",
        r#"["west","default"]"#,
        r#"["east"]"#,
        Recorded,
    ),
    ("ip_trace_id", r#"["9"]"#, r#"["8"]"#, Elsewhere),
    ("encrypted", "[true]", "[false]", Elsewhere),
    (
        "experimental",
        r#"{"cel_expression":["_flow.IP.source == '10.0.0.1'"]}"#,
        r#"{"cel_expression":["_flow.IP.source == '10.9.9.9'"]}"#,
        Recorded,
    ),
];

/// A flow that has something in every field: the usual one, for some fields changed to a DNS answer or a drop.
fn flow_with(field: &str) -> Flow {
    let mut flow = flow();
    match field {
        "dns_query" => {
            let dns = pb::Dns {
                query: "api.shop.".into(),
                ..pb::Dns::default()
            };
            flow.l7 = Some(pb::Layer7 {
                record: Some(pb::layer7::Record::Dns(dns)),
                ..pb::Layer7::default()
            });
        }
        "drop_reason_desc" => {
            flow.verdict = Verdict::Dropped.into();
            flow.drop_reason_desc = pb::DropReason::PolicyDenied.into();
        }
        _ => {}
    }
    flow
}

/// Flows of records of every kind, as a node with labels tells them.
fn recorded() -> Vec<Flow> {
    let node = Node {
        name: "east/n1.example".into(),
        labels: vec!["zone=a".into()],
    };
    let closed = |way| What::Closed {
        point: Point::ToNetwork,
        way,
    };
    let records = [
        opened(),
        denied(),
        Record {
            what: closed(Way::Forward),
            translated_source: Some([192, 0, 2, 1].into()),
            protocol: 17,
            interface: 4,
            ..opened()
        },
        Record {
            what: closed(Way::Reply),
            source: opened().destination,
            destination: opened().source,
            asked: None,
            ..opened()
        },
        Record {
            source: Party {
                address: [0xfd, 0, 0, 0, 0, 0, 0, 1].into(),
                ..opened().source
            },
            destination: Party {
                address: [0xfd, 0, 0, 0, 0, 0, 0, 2].into(),
                ..opened().destination
            },
            asked: None,
            ..opened()
        },
        Record {
            source: Party {
                address: VIP,
                port: 80,
                ..opened().destination
            },
            ..opened()
        },
    ];
    records
        .into_iter()
        .flat_map(|record| flows(Arc::new(enrich(record, &Shop))))
        .map(|flow| flow.message(&node))
        .collect()
}

fn one(field: &str, value: &str) -> String {
    format!(r#"{{"{field}":{value}}}"#)
}

#[test]
fn every_field_of_the_definition_has_a_case() {
    let fields: BTreeSet<String> = crate::schema::message(".flow.FlowFilter")
        .into_iter()
        .flat_map(|fields| fields.keys().cloned())
        .collect();
    let cases = CASES.iter().map(|(field, ..)| *field);
    let cases: BTreeSet<String> = cases.map(ToOwned::to_owned).collect();
    assert_eq!(fields, cases);
}

#[test]
fn every_field_selects_by_its_value_and_nothing_where_there_is_none() {
    for (field, matching, other, _) in CASES {
        let flow = flow_with(field);
        assert_eq!(ask(&one(field, matching), &flow), Ok(true), "{field}");
        assert_eq!(ask(&one(field, other), &flow), Ok(false), "{field}");
        let empty = Flow::default();
        assert_eq!(ask(&one(field, matching), &empty), Ok(false), "{field}");
    }
}

#[test]
fn what_records_tell_can_be_asked_for_and_what_they_do_not_selects_nothing() {
    let flows = recorded();
    for (field, value, other, data) in CASES {
        let selected = |value| {
            let filter = one(field, value);
            flows
                .iter()
                .filter(|flow| ask(&filter, flow) == Ok(true))
                .count()
        };
        // The names of the sender are only asked of a receiver on this node, whose resolver none of these used.
        let value = if *field == "source_fqdn" {
            r#"["api.shop.svc"]"#
        } else {
            value
        };
        let everything = ["node_name", "node_labels"].contains(field);
        match data {
            Elsewhere => assert_eq!(selected(value), 0, "{field}"),
            Recorded if everything => assert_eq!(selected(value), flows.len(), "{field}"),
            Recorded => assert!((1..flows.len()).contains(&selected(value)), "{field}"),
        }
        if everything {
            assert_eq!(selected(other), 0, "{field}");
        }
    }
    let ids: BTreeSet<&str> = flows.iter().map(|flow| flow.uuid.as_str()).collect();
    assert_eq!(ids.len(), flows.len());
    let filter = format!(r#"{{"uuid":["{}"]}}"#, flows[1].uuid);
    let by_id = flows.iter().filter(|flow| ask(&filter, flow) == Ok(true));
    assert_eq!(by_id.count(), 1, "an id is that of one flow");
}
