use serde_json::json;

use super::super::action::Callee;
use super::super::lab::Peer;
use super::super::verdict::Side;
use super::*;

fn action(probe: Probe) -> Action {
    let pod = Pod {
        addresses: vec!["10.0.0.1".parse().unwrap()],
        ..Pod::default()
    };
    Action {
        scenario: Scenario::PodToPod,
        source: Peer {
            name: "client",
            role: Role::Client,
            pod,
        },
        callee: Callee::Echo("echo-same-node"),
        target: "echo-same-node".to_owned(),
        host: "10.0.0.2".to_owned(),
        port: 8080,
        probe,
    }
}

fn flow(port: u16, verdict: &str, reason: &str, direction: &str) -> Value {
    json!({ "verdict": verdict, "drop_reason_desc": reason, "traffic_direction": direction, "node_name": "n1",
        "IP": { "source": "10.0.0.1", "destination": "10.0.0.2" },
        "l4": { "TCP": { "source_port": port, "destination_port": 8080 } } })
}

#[test]
fn an_attempt_has_its_flows_by_its_source_ports() {
    let action = action(Probe::Http);
    let tried = Tried {
        action: &action,
        expect: Expect::Answer,
        source_port: 30000,
    };
    let of = |port| is_of(&tried, &flow(port, "FORWARDED", "", "EGRESS"));
    assert_eq!(
        [29999, 30000, 30003, 30004].map(of),
        [false, true, true, false]
    );
    let reply = json!({ "IP": { "source": "10.0.0.2", "destination": "10.0.0.1" },
        "l4": { "TCP": { "source_port": 8080, "destination_port": 30000 } } });
    assert!(!is_of(&tried, &reply));
}

#[test]
fn a_ping_has_its_flows_by_its_addresses() {
    let action = action(Probe::Ping);
    let tried = Tried {
        action: &action,
        expect: Expect::Answer,
        source_port: 30000,
    };
    let to = |destination: &str| json!({ "IP": { "source": "10.0.0.1", "destination": destination }, "l4": { "ICMPv4": { "type": 8 } } });
    assert!(is_of(&tried, &to("10.0.0.2")));
    assert!(!is_of(&tried, &to("10.0.0.3")));
    assert!(!is_of(&tried, &flow(30000, "FORWARDED", "", "EGRESS")));
}

#[test]
fn a_node_may_speak_by_another_of_its_addresses() {
    let mut action = action(Probe::Http);
    action.source.role = Role::Host;
    let tried = Tried {
        action: &action,
        expect: Expect::Answer,
        source_port: 30000,
    };
    let mut seen = flow(30001, "FORWARDED", "", "INGRESS");
    seen["IP"]["source"] = json!("10.0.0.77");
    assert!(is_of(&tried, &seen));
    seen["IP"]["destination"] = json!("10.0.0.3");
    assert!(!is_of(&tried, &seen));
}

#[test]
fn an_answer_needs_a_forwarded_flow_and_no_dropped_one() {
    let forwarded = flow(1, "FORWARDED", "", "EGRESS");
    let dropped = flow(1, "DROPPED", "CT_MAP_INSERTION_FAILED", "INGRESS");
    assert_eq!(judge(Expect::Answer, &[&forwarded]).fault, None);
    assert_eq!(
        judge(Expect::Answer, &[]).fault.unwrap(),
        "no flow says that it was forwarded"
    );
    let fault = judge(Expect::Answer, &[&forwarded, &dropped])
        .fault
        .unwrap();
    assert_eq!(fault, "a packet of it was dropped: CT_MAP_INSERTION_FAILED");
}

#[test]
fn silence_needs_a_drop_for_the_right_reason_on_the_right_side() {
    let expect = Expect::NotAllowed(Side::Ingress);
    let forwarded = flow(1, "FORWARDED", "", "EGRESS");
    let right = flow(1, "DROPPED", "POLICY_DENIED", "INGRESS");
    assert_eq!(judge(expect, &[&forwarded, &right]).fault, None);
    for wrong in [
        flow(1, "DROPPED", "POLICY_DENIED", "EGRESS"),
        flow(1, "DROPPED", "POLICY_DENY", "INGRESS"),
        flow(1, "FORWARDED", "", "INGRESS"),
    ] {
        let seen = judge(expect, &[&wrong]);
        assert_eq!(
            seen.fault.unwrap(),
            "no flow says that it was dropped with POLICY_DENIED at INGRESS"
        );
    }
    let denied = flow(1, "DROPPED", "POLICY_DENY", "EGRESS");
    assert_eq!(judge(Expect::Denied(Side::Egress), &[&denied]).fault, None);
    assert_eq!(
        judge(Expect::Denied(Side::Egress), &[&denied]).lines,
        ["n1 EGRESS 10.0.0.1:1 -> 10.0.0.2:8080 DROPPED POLICY_DENY"]
    );
}

#[test]
fn lines_that_are_no_flows_are_passed_over() {
    let text = "{\"flow\":{\"verdict\":\"FORWARDED\"},\"node_name\":\"n1\"}\n{\"lost_events\":{}}\nnot json\n";
    assert_eq!(parse(text), [json!({ "verdict": "FORWARDED" })]);
}
