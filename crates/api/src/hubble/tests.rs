use prost::Message;

use super::{Timestamp, flow, observer};

#[allow(clippy::too_many_lines, reason = "one value with every kind of field")]
fn flow() -> flow::Flow {
    #[allow(deprecated, reason = "old readers still read the deprecated fields")]
    flow::Flow {
        time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 5_000_000,
        }),
        verdict: flow::Verdict::Dropped.into(),
        drop_reason: 133,
        ip: Some(flow::Ip {
            source: "10.0.0.1".into(),
            destination: "fd00::2".into(),
            ip_version: flow::IpVersion::IPv6.into(),
            encrypted: true,
            source_xlated: "192.0.2.1".into(),
        }),
        l4: Some(flow::Layer4 {
            protocol: Some(flow::layer4::Protocol::Tcp(flow::Tcp {
                source_port: 40000,
                destination_port: 80,
                flags: Some(flow::TcpFlags {
                    syn: true,
                    ack: true,
                    ..Default::default()
                }),
            })),
        }),
        source: Some(flow::Endpoint {
            id: 7,
            identity: 1000,
            cluster_name: "default".into(),
            namespace: "shop".into(),
            labels: vec!["k8s:app=web".into()],
            pod_name: "web-1".into(),
            workloads: vec![flow::Workload {
                name: "web".into(),
                kind: "Deployment".into(),
            }],
        }),
        r#type: flow::FlowType::L3L4.into(),
        node_name: "default/n1".into(),
        event_type: Some(flow::CiliumEventType {
            r#type: 1,
            sub_type: 133,
        }),
        traffic_direction: flow::TrafficDirection::Ingress.into(),
        drop_reason_desc: flow::DropReason::PolicyDenied.into(),
        is_reply: Some(pbjson_types::BoolValue { value: false }),
        interface: Some(flow::NetworkInterface {
            index: 3,
            name: "lxc1".into(),
        }),
        socket_cookie: 1 << 40,
        uuid: "u".into(),
        emitter: Some(flow::Emitter {
            name: "Hubble".into(),
            version: "1".into(),
        }),
        ingress_denied_by: vec![flow::Policy {
            name: "p".into(),
            revision: 2,
            ..Default::default()
        }],
        summary: "TCP Flags: SYN, ACK".into(),
        ..Default::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The golden bytes were put together from the numbers of the definitions, so a changed number fails here.
#[test]
fn a_flow_has_these_bytes_on_the_wire() {
    let mut golden = String::new();
    golden.push_str("0a0b08 80e2cfaa06 10c096b102"); // 1 time
    golden.push_str("1002 188501"); // 2 verdict, 3 drop_reason
    golden.push_str(
        "2a22 0a08 31302e302e302e31 1207 666430303a3a32 1802 2001 2a09 3139322e302e322e31",
    ); // 5 IP
    golden.push_str("320e 0a0c 08c0b802 1050 1a04 1001 2801"); // 6 l4.TCP
    golden.push_str("423b 0807 10e807 1a04 73686f70 220b 6b38733a6170703d776562 2a05 7765622d31"); // 8 source
    golden.push_str("3211 0a03 776562 120a 4465706c6f796d656e74 3a07 64656661756c74");
    golden.push_str("5001 5a0a 64656661756c742f6e31"); // 10 Type, 11 node_name
    golden.push_str("9a0105 0801 108501 b00101 c80185 01"); // 19 event_type, 22 direction, 25 drop_reason_desc
    golden.push_str("d20100 e20108 0803 1204 6c786331"); // 26 is_reply, 28 interface
    golden.push_str("8002808080808020 920201 75"); // 32 socket_cookie, 34 uuid
    golden.push_str("ca020b 0a06 487562626c65 1201 31"); // 41 emitter
    golden.push_str("ea a00a 05 0a01 70 2002"); // 21005 ingress_denied_by
    golden.push_str("82ea30 13 54435020466c6167733a2053594e2c2041434b"); // 100000 Summary
    let golden = golden.replace(' ', "");
    assert_eq!(hex(&flow().encode_to_vec()), golden);
}

#[test]
fn json_is_canonical_with_the_names_of_the_definitions() {
    let response = observer::GetFlowsResponse {
        node_name: "default/n1".into(),
        time: None,
        response_types: Some(observer::get_flows_response::ResponseTypes::Flow(flow())),
    };
    let text = serde_json::to_string(&response).unwrap();
    for part in [
        r#""time":"2023-11-14T22:13:20.005Z""#,
        r#""verdict":"DROPPED""#,
        r#""IP":{"source":"10.0.0.1""#,
        r#""Type":"L3_L4""#,
        r#""is_reply":false"#,
        r#""socket_cookie":"1099511627776""#,
        r#""drop_reason_desc":"POLICY_DENIED""#,
        r#""Summary":"TCP Flags: SYN, ACK""#,
        r#""ID":7"#,
        r#""flags":{"SYN":true,"ACK":true}"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let back: observer::GetFlowsResponse = serde_json::from_str(&text).unwrap();
    assert_eq!(back, response);
}

#[test]
fn numbers_without_a_name_survive_json() {
    let flow = flow::Flow {
        verdict: 42,
        drop_reason_desc: 250,
        ..Default::default()
    };
    let text = serde_json::to_string(&flow).unwrap();
    assert_eq!(text, r#"{"verdict":42,"drop_reason_desc":250}"#);
    assert_eq!(serde_json::from_str::<flow::Flow>(&text).unwrap(), flow);
    let filter = flow::FlowFilter {
        verdict: vec![2, 42],
        ..Default::default()
    };
    let text = serde_json::to_string(&filter).unwrap();
    assert_eq!(text, r#"{"verdict":["DROPPED",42]}"#);
    assert_eq!(
        serde_json::from_str::<flow::FlowFilter>(&text).unwrap(),
        filter
    );
}

#[test]
fn a_filter_is_read_under_both_spellings_and_refuses_a_misspelt_field() {
    let proto: flow::FlowFilter = serde_json::from_str(r#"{"source_pod":["shop/"]}"#).unwrap();
    let camel: flow::FlowFilter = serde_json::from_str(r#"{"sourcePod":["shop/"]}"#).unwrap();
    assert_eq!(proto, camel);
    let error =
        serde_json::from_str::<flow::FlowFilter>(r#"{"source_pods":["shop/"]}"#).unwrap_err();
    assert!(error.to_string().contains("source_pods"), "{error}");
}

#[test]
fn a_flow_of_a_newer_server_is_read_without_what_is_unknown() {
    let flow: flow::Flow = serde_json::from_str(r#"{"node_name":"a/b","newer":{"x":1}}"#).unwrap();
    assert_eq!(flow.node_name, "a/b");
}

#[test]
fn a_time_has_as_many_digits_as_it_needs_in_threes() {
    for (nanos, text) in [
        (0, "2023-11-14T22:13:20Z"),
        (500_000_000, "2023-11-14T22:13:20.500Z"),
        (1_000, "2023-11-14T22:13:20.000001Z"),
        (1, "2023-11-14T22:13:20.000000001Z"),
    ] {
        let time = Timestamp {
            seconds: 1_700_000_000,
            nanos,
        };
        assert_eq!(serde_json::to_value(time).unwrap(), text);
        assert_eq!(
            serde_json::from_value::<Timestamp>(text.into()).unwrap(),
            time
        );
    }
    let offset: Timestamp = serde_json::from_str("\"2023-11-14T23:13:20+01:00\"").unwrap();
    assert_eq!(offset.seconds, 1_700_000_000);
}
