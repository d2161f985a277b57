use super::*;

#[test]
fn a_node_shows_its_ring_and_rate() {
    let status = ServerStatusResponse {
        num_flows: 4095,
        max_flows: 8191,
        seen_flows: 12345,
        flows_rate: 12.345,
        ..ServerStatusResponse::default()
    };
    assert_eq!(
        text("localhost:4245", "Ok", &status),
        "Healthcheck (via localhost:4245): Ok\nCurrent/Max Flows: 4,095/8,191 (49.99%)\nFlows/s: 12.35\n"
    );
}

#[test]
fn a_relay_shows_its_nodes_too() {
    let value = |value| Some(pbjson_types::UInt32Value { value });
    let status = ServerStatusResponse {
        num_connected_nodes: value(2),
        num_unavailable_nodes: value(1),
        unavailable_nodes: vec!["n3".into()],
        ..ServerStatusResponse::default()
    };
    assert_eq!(
        text("localhost:4245", "Ok", &status),
        "Healthcheck (via localhost:4245): Ok\nCurrent/Max Flows: 0/0 (0.00%)\nFlows/s: N/A\n\
         Connected Nodes: 2/3\nUnavailable Nodes: 1\n  - n3\n"
    );
}

#[test]
fn thousands_are_grouped() {
    assert_eq!(
        [0, 999, 1000, 1_234_567].map(grouped),
        ["0", "999", "1,000", "1,234,567"]
    );
}
