use std::time::Duration;

use super::{Collected, Metrics, Outcome, SliceChange};
use crate::ipam::Plan;

fn line(text: &str, start: &str) -> String {
    let mut lines = text.lines().filter(|line| line.starts_with(start));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("no {start} in\n{text}"));
    assert_eq!(lines.next(), None, "twice");
    line.to_owned()
}

#[rustfmt::skip]
const EXPECTED: &[(&str, &str)] = &[
        (
            "cilium_operator_leader_election_master_status{name=\"cilium-operator-resource-lock\"}",
            "1",
        ),
        ("cilium_operator_ipam_nodes{category=\"total\"}", "8"),
        ("cilium_operator_ipam_nodes{category=\"in-deficit\"}", "2"),
        ("cilium_operator_ipam_ips{type=\"used\"}", "512.0"),
        (
            "cilium_operator_ipam_ips{type=\"available\"}",
            "1099511627776.0",
        ),
        ("cilium_operator_ipam_resync_total", "2"),
        (
            "cilium_operator_identity_gc_entries{identity_type=\"crd\",status=\"deleted\"}",
            "3",
        ),
        (
            "cilium_operator_identity_gc_runs{identity_type=\"crd\",outcome=\"success\"}",
            "1",
        ),
        (
            "cilium_operator_identity_gc_runs{identity_type=\"crd\",outcome=\"fail\"}",
            "0",
        ),
        (
            "cilium_operator_identity_gc_latency{identity_type=\"crd\",outcome=\"success\"}",
            "1.5",
        ),
        ("cilium_operator_endpoint_gc_objects{outcome=\"fail\"}", "2"),
        (
            "cilium_operator_ces_sync_total{failure_type=\"\",outcome=\"success\"}",
            "1",
        ),
        (
            "cilium_operator_ces_sync_total{failure_type=\"transient\",outcome=\"fail\"}",
            "1",
        ),
        ("cilium_operator_number_of_ceps_per_ces_sum", "12.0"),
        (
            "cilium_operator_number_of_ceps_per_ces_bucket{le=\"25\"}",
            "1",
        ),
        (
            "cilium_operator_number_of_cep_changes_per_ces_count{opcode=\"cepinserted\"}",
            "1",
        ),
        (
            "cilium_operator_number_of_cep_changes_per_ces_sum{opcode=\"cepremoved\"}",
            "1.0",
        ),
        ("cilium_operator_unmanaged_pods", "0"),
        (
            "cilium_operator_feature_controlplane_kubernetes_version{version=\"v1.35.0\"}",
            "1",
        ),
        (
            "cilium_operator_feature_adv_connect_and_lb_gateway_api_enabled",
            "0",
        ),
    ];

#[test]
fn every_family_has_its_type_and_each_series_its_labels() {
    let metrics = Metrics::new();
    metrics.leads(true);
    let plan = Plan {
        lacking: 2,
        used: 512,
        free: 1 << 40,
        needed: 256,
        ..Plan::default()
    };
    metrics.ipam(7, &plan);
    metrics.ipam(8, &plan);
    let collected = Collected {
        alive: 5,
        deleted: 3,
    };
    metrics.identities(
        Outcome::Success,
        Duration::from_millis(1500),
        Some(collected),
    );
    metrics.endpoint(Outcome::Fail);
    metrics.endpoint(Outcome::Fail);
    let change = SliceChange {
        size: 12,
        inserted: 3,
        removed: 1,
    };
    metrics.slice(Outcome::Success, change);
    metrics.slice(Outcome::Fail, change);
    metrics.kubernetes("v1.35.0");
    let text = daemon::metrics::text(metrics.registry());
    for (start, value) in EXPECTED {
        assert_eq!(line(&text, start), format!("{start} {value}"));
    }
    for family in ["ipam_ips", "identity_gc_runs", "process_cpu_seconds_total"] {
        line(&text, &format!("# TYPE cilium_operator_{family} "));
    }
}

#[test]
fn identities_that_one_of_two_stores_lacks_are_counted_for_it() {
    let metrics = Metrics::new();
    metrics.doubles(&[256, 257, 258].into(), &[257, 258, 259, 260].into());
    let text = daemon::metrics::text(metrics.registry());
    for (name, value) in [
        ("crd", 3),
        ("kvstore", 4),
        ("crd_only", 1),
        ("kvstore_only", 2),
    ] {
        let start = format!("cilium_operator_doublewrite_{name}_identities ");
        assert_eq!(line(&text, &start), format!("{start}{value}"));
    }
}

/// The agent's test of the same looks at labels of all families; here their names are looked at.
#[test]
fn what_is_shown_is_what_the_documentation_lists() {
    let metrics = Metrics::new();
    metrics.ipam(1, &Plan::default());
    metrics.identities(Outcome::Success, Duration::ZERO, Some(Collected::default()));
    metrics.kubernetes("v1.35.0");
    let text = daemon::metrics::text(metrics.registry());
    // What only a client with a server counts; a test of nodes with an operator looks at them.
    let of_store = |name: &str| {
        name.starts_with("k8s_client")
            || name.starts_with("kubernetes_events")
            || name == "event_ts"
    };
    let types = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE cilium_operator_"));
    let shown: Vec<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let path = "../../docs/metrics.md";
    let documentation = std::fs::read_to_string(path).unwrap();
    let (_, rest) = documentation.split_once("## Operator").unwrap();
    let section = rest.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    sorted.retain(|name| !of_store(name));
    let listed: Vec<_> = listed.into_iter().filter(|name| !of_store(name)).collect();
    assert_eq!(sorted, listed);
}
