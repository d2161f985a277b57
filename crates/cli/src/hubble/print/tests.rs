//! Golden outputs of one set of responses in every form.

use super::*;

/// One response of each kind that is printed in its own way.
const RESPONSES: &str = include_str!("tests/responses.jsonl");

fn style(format: Format) -> Style {
    Style {
        format,
        color: Show::No,
        names: Names::Translated,
        node_name: Show::No,
        policy_names: Show::No,
        time: TimeFormat::StampMilli,
        zone: TimeZone::UTC,
        envelope: Envelope::Response,
        debug: Show::No,
    }
}

/// Standard output and standard error.
fn print(style: Style) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut printer = Printer::new(style, &mut out, &mut err);
    for line in RESPONSES.lines() {
        printer
            .response(&serde_json::from_str(line).unwrap())
            .unwrap();
    }
    printer.flush().unwrap();
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

#[test]
fn compact_is_one_line_per_flow() {
    let (out, err) = print(style(Format::Compact));
    insta::assert_snapshot!(out);
    assert_eq!(
        err,
        "Nov 24 10:00:09.000 [default/n1]: Error \"boom\" on 2 nodes: a, b\n"
    );
}

#[test]
fn compact_shows_nodes_policies_and_numbers_when_asked() {
    let (out, err) = print(Style {
        names: Names::Addresses,
        node_name: Show::Yes,
        policy_names: Show::Yes,
        time: TimeFormat::RFC3339Nano,
        debug: Show::Yes,
        ..style(Format::Compact)
    });
    insta::assert_snapshot!(out);
    assert!(err.contains("Receiving flows from 1 node: n1"), "{err}");
}

#[test]
fn compact_is_coloured_by_meaning() {
    let (out, _) = print(Style {
        color: Show::Yes,
        ..style(Format::Compact)
    });
    insta::assert_snapshot!(out.replace('\x1b', "ESC"));
}

#[test]
fn dict_is_a_block_per_flow() {
    insta::assert_snapshot!(print(style(Format::Dict)).0);
}

#[test]
fn table_aligns_its_columns() {
    let (out, _) = print(Style {
        node_name: Show::Yes,
        ..style(Format::Table)
    });
    insta::assert_snapshot!(out);
}

#[test]
fn json_is_the_response_again() {
    for format in [Format::Json, Format::Jsonpb] {
        let (out, err) = print(style(format));
        let quiet = |line: &&str| !line.contains("NODE_CONNECTED");
        let expected: Vec<_> = RESPONSES.lines().filter(quiet).collect();
        assert_eq!(out.lines().count(), expected.len());
        for (line, expected) in out.lines().zip(expected) {
            let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(line), value(expected));
        }
        assert!(err.is_empty());
    }
}

#[test]
fn legacy_json_is_the_flow_alone() {
    let (out, _) = print(Style {
        envelope: Envelope::FlowOnly,
        ..style(Format::Json)
    });
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["Summary"], "TCP Flags: SYN");
}

#[test]
fn agent_events_have_a_type_and_details() {
    let response: GetAgentEventsResponse = serde_json::from_str(
        r#"{"agent_event":{"type":"POLICY_UPDATED","policy_update":{"labels":["a=b"],"revision":"3","rule_count":"2"}},"node_name":"default/n1","time":"2026-11-24T10:00:00Z"}"#,
    )
    .unwrap();
    let print = |format| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut printer = Printer::new(style(format), &mut out, &mut err);
        printer.agent_event(&response).unwrap();
        printer.flush().unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        print(Format::Compact),
        "Nov 24 10:00:00.000: POLICY_UPDATED (labels: [a=b], revision: 3, count: 2)\n"
    );
    assert_eq!(
        print(Format::Dict),
        "  TIMESTAMP: Nov 24 10:00:00.000\n       TYPE: POLICY_UPDATED\n    \
         DETAILS: labels: [a=b], revision: 3, count: 2\n"
    );
    assert!(print(Format::Table).starts_with("TIMESTAMP             TYPE             DETAILS\n"));
}

#[test]
fn long_lists_of_nodes_are_cut() {
    let names: Vec<String> = (0..52).map(|n| n.to_string()).collect();
    assert!(joined(&names).ends_with("48, 49 (and 2 more)"));
}

/// A name that clears the screen of who reads it unescaped.
const EVIL: &str = "x\u{1b}[2J\r\u{9b}31m\n";

#[test]
#[allow(deprecated, reason = "servers put the text in the deprecated summary")]
#[allow(clippy::too_many_lines, reason = "every field that others fill")]
fn names_of_others_do_not_steer_the_terminal() {
    use api::hubble::flow;
    let policy = flow::Policy {
        name: EVIL.into(),
        kind: EVIL.into(),
        ..flow::Policy::default()
    };
    let base = flow::Flow {
        ip: Some(flow::Ip::default()),
        node_name: EVIL.into(),
        verdict: flow::Verdict::Forwarded.into(),
        event_type: Some(flow::CiliumEventType {
            r#type: 5,
            sub_type: 0,
        }),
        egress_allowed_by: vec![policy],
        summary: EVIL.into(),
        ..flow::Flow::default()
    };
    let pod = flow::Endpoint {
        namespace: EVIL.into(),
        pod_name: EVIL.into(),
        ..flow::Endpoint::default()
    };
    let service = flow::Service {
        name: EVIL.into(),
        namespace: EVIL.into(),
    };
    let dns = flow::Dns {
        observation_source: EVIL.into(),
        ..flow::Dns::default()
    };
    let flows = [
        flow::Flow {
            source: Some(pod),
            destination_service: Some(service),
            ..base.clone()
        },
        flow::Flow {
            source_names: vec![EVIL.into()],
            l7: Some(flow::Layer7 {
                record: Some(flow::layer7::Record::Dns(dns)),
                ..flow::Layer7::default()
            }),
            ..base.clone()
        },
        flow::Flow {
            ip: None,
            ethernet: Some(flow::Ethernet {
                source: EVIL.into(),
                destination: EVIL.into(),
            }),
            ..base
        },
    ];
    let status = NodeStatusEvent {
        state_change: NodeState::NodeError.into(),
        node_names: vec![EVIL.into()],
        message: EVIL.into(),
    };
    for format in [Format::Compact, Format::Dict, Format::Table] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let style = Style {
            node_name: Show::Yes,
            policy_names: Show::Yes,
            ..style(format)
        };
        let mut printer = Printer::new(style, &mut out, &mut err);
        let types = flows.clone().map(ResponseTypes::Flow);
        for response_types in types
            .into_iter()
            .chain([ResponseTypes::NodeStatus(status.clone())])
        {
            let response = GetFlowsResponse {
                node_name: EVIL.into(),
                response_types: Some(response_types),
                ..GetFlowsResponse::default()
            };
            printer.response(&response).unwrap();
        }
        let update = flow::EndpointUpdateNotification {
            namespace: EVIL.into(),
            pod_name: EVIL.into(),
            ..Default::default()
        };
        let event = GetAgentEventsResponse {
            agent_event: Some(flow::AgentEvent {
                notification: Some(flow::agent_event::Notification::EndpointUpdate(update)),
                ..flow::AgentEvent::default()
            }),
            node_name: EVIL.into(),
            ..GetAgentEventsResponse::default()
        };
        printer.agent_event(&event).unwrap();
        printer.flush().unwrap();
        for text in [out, err] {
            let text = String::from_utf8(text).unwrap();
            let steering: Vec<char> = text
                .chars()
                .filter(|c| c.is_control() && *c != '\n')
                .collect();
            assert_eq!(steering, [], "{format:?}: {text}");
            assert!(!text.contains("\n\n"), "{format:?}: {text}");
            assert!(
                text.contains("x\\u{1b}[2J\\r\\u{9b}31m\\n"),
                "{format:?}: {text}"
            );
        }
    }
}
