use serde_json::json;

use super::*;

fn drops(rows: &[(&str, i64)]) -> Drops {
    rows.iter()
        .map(|(reason, packets)| (((*reason).to_owned(), "egress".to_owned()), *packets))
        .collect()
}

#[test]
fn drops_by_policy_are_expected_and_those_from_before_are_not_ours() {
    let before = drops(&[("CT: Map insertion failed", 5)]);
    let now = drops(&[
        ("CT: Map insertion failed", 5),
        ("Policy denied", 90),
        ("Success", 1000),
        ("Multicast handled", 3),
        ("Unknown ICMPv6 type", 2),
    ]);
    assert!(unexpected_of(&before, &now).is_empty());
}

#[test]
fn a_drop_for_another_reason_is_named_with_its_number() {
    let before = drops(&[("FIB lookup failed", 2)]);
    let now = drops(&[("FIB lookup failed", 5)]);
    assert_eq!(
        unexpected_of(&before, &now),
        ["3 packets were dropped (egress): FIB lookup failed"]
    );
}

#[test]
fn errors_are_found_in_each_form_of_log() {
    let bad = [
        "2026-01-01T00:00:00Z ERROR cannot write",
        "time=2026-01-01T00:00:00Z level=error msg=\"cannot write\"",
        "{\"timestamp\":\"x\",\"level\":\"ERROR\",\"fields\":{}}",
        "thread 'main' panicked at src/main.rs:1:1",
    ];
    let good = "2026-01-01T00:00:00Z  INFO errors are counted\n2026-01-01T00:00:00Z  WARN a retry\nlevel=info msg=\"no ERRORS\"";
    assert_eq!(errors_of(&format!("{good}\n{}", bad.join("\n"))), bad);
}

#[test]
fn a_node_that_is_not_reached_is_named() {
    let address = |icmp: &str| json!({ "ip": "10.0.0.1", "icmp": { "status": icmp, "latency": 1 }, "http": { "latency": 1 } });
    let node = |name: &str, icmp: &str| {
        json!({ "name": name, "host": { "primary-address": address("") },
        "health-endpoint": { "primary-address": address(icmp) } })
    };
    assert!(unreached(&json!({ "nodes": [node("n1", "")] })).is_empty());
    assert_eq!(
        unreached(&json!({ "nodes": [node("n1", "timed out")] })),
        ["n1: its endpoint is not reached by icmp: timed out"]
    );
    assert_eq!(unreached(&json!({})), ["its health program knows no node"]);
}
