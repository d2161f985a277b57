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
