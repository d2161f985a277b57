use api::hubble::observer::Tls;

use super::*;

#[test]
fn nodes_show_state_age_and_flows() {
    let nodes = [
        Node {
            name: "n1".into(),
            version: "axoneme v0.1.0".into(),
            address: "10.0.0.1:4244".into(),
            state: NodeState::NodeConnected.into(),
            tls: Some(Tls {
                enabled: true,
                server_name: "s".into(),
            }),
            uptime_ns: 100_000_000_000,
            num_flows: 50,
            max_flows: 100,
            seen_flows: 250,
        },
        Node {
            name: "n2".into(),
            state: NodeState::NodeUnavailable.into(),
            ..Node::default()
        },
    ];
    insta::assert_snapshot!(columns(&node_rows(&nodes, Output::Table)), @r"
    NAME   STATUS        AGE     FLOWS/S   CURRENT/MAX-FLOWS
    n1     Connected     1m40s   2.50      50/100 ( 50.00%)
    n2     Unavailable   N/A     N/A       N/A
    ");
    let wide = columns(&node_rows(&nodes, Output::Wide));
    assert!(
        wide.contains("axoneme v0.1.0   10.0.0.1:4244   Enabled"),
        "{wide}"
    );
}

#[test]
fn ages_have_two_units() {
    let ages = [5, 65, 3_661, 90_000].map(|seconds| age(Duration::from_secs(seconds)));
    assert_eq!(ages, ["5s", "1m5s", "1h1m", "1d1h"]);
}
