use std::collections::BTreeMap;

use super::*;
use crate::addresses::Addresses;
use crate::config::{Config, Given};
use crate::inputs::Inputs;
use crate::node::Addressing;
use crate::view::{View, channel};

/// A registry of an agent in which everything has happened once.
fn registry(choice: &[&str]) -> (Registry, Metrics) {
    let metrics = Metrics::default();
    let config = Config::new(&Given::from_pairs([("k8s-node-name", "n1")])).unwrap();
    let addressing = Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: Some("10.9.1.0/24".parse().unwrap()),
        pods_ipv6: None,
    };
    let (view, reader) = channel();
    view.publish(View {
        waiting_for: Vec::new(),
        ..View::default()
    });
    let sizes = ::kernel::Config::default();
    let maps = ::kernel::Maps::in_memory(&sizes, &::kernel::fake::Faults::none()).unwrap();
    maps.hops.get(&3).unwrap();
    let addresses = Addresses::new(&addressing, &[]).counted_in(metrics.clone());
    addresses
        .allocate_at([10, 9, 1, 7].into(), "shop/web")
        .unwrap();
    addresses.release([10, 9, 1, 7].into(), "shop/web").unwrap();
    let second = Duration::from_secs(1);
    metrics.answered("/v1/healthz", "GET", 200, second);
    metrics.started("overall", second);
    metrics.ran(Outcome::Success, second);
    metrics.regenerated(Outcome::Success, second, second);
    metrics.policy(Outcome::Failure);
    metrics.policy_in_force("k8s", second);
    metrics.identities_in_force(second);
    metrics.node("add", "local");
    metrics.called(Call {
        operation: "update",
        done: true,
        took: second,
    });
    metrics.swept(Outcome::Success, &Walk::default(), second);
    let state = State {
        health: crate::health::Health::new(&config, reader.clone(), metrics.clone()),
        config: Arc::new(config),
        addressing,
        view: reader,
        addresses,
        inputs: Inputs::nothing(),
        maps,
        sizes,
        drift: tokio::sync::watch::channel(Some(["mtu".to_owned()].into())).1,
        metrics: metrics.clone(),
    };
    let choice: Vec<String> = choice.iter().map(|&name| name.to_owned()).collect();
    let registry = metrics.registry((&store::Metrics::default(), None), state, &choice);
    (registry, metrics)
}

/// Families with the names of their labels, of which a histogram's own is left out.
fn shown(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            let before = families.insert(name.to_owned(), BTreeSet::new());
            assert_eq!(before, None, "{name} is there twice");
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| name.strip_suffix(end))
                .find(|family| families.contains_key(*family))
                .unwrap_or(name);
            let labels = rest.rsplit_once("} ").map_or("", |(labels, _)| labels);
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once('='));
            let labels = labels.map(|(label, _)| label.to_owned());
            let known = families.get_mut(family).expect("a family with a type");
            known.extend(labels.filter(|label| label != "le"));
        }
    }
    families
}

/// What docs/metrics.md says that there is.
fn listed(section: &str) -> BTreeMap<String, BTreeSet<String>> {
    let path = "../../docs/metrics.md";
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(section).unwrap();
    let rest = rest.split("\n## ").next().unwrap();
    let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap().trim_end_matches('`');
        let labels = cells.next().unwrap().split(", ");
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        (format!("cilium_{name}"), labels.collect())
    })
    .collect()
}

#[test]
fn what_is_shown_is_what_the_documentation_lists() {
    let (registry, _) = registry(&[CALLS]);
    let shown = shown(&daemon::metrics::text(&registry));
    let listed = listed("## Agent: prefix `cilium_`");
    // What only a client with a server counts; a test of nodes with agents looks at them.
    let of_store = |name: &&String| {
        name.contains("cilium_k8s_client")
            || name.contains("cilium_kubernetes_events")
            || *name == "cilium_event_ts"
    };
    let missing: Vec<_> = listed
        .keys()
        .filter(|name| !shown.contains_key(*name) && !of_store(name))
        .collect();
    let unlisted: Vec<_> = shown
        .keys()
        .filter(|name| !listed.contains_key(*name))
        .collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "listed and not shown: {missing:?}; shown and not listed: {unlisted:?}"
    );
    for (name, labels) in shown {
        assert_eq!(listed.get(&name), Some(&labels), "labels of {name}");
    }
}

#[test]
fn a_family_that_is_switched_off_is_not_shown_and_one_that_is_switched_on_is() {
    let all = shown(&daemon::metrics::text(&registry(&[]).0));
    for off in [
        "cilium_policy_change_total",
        "cilium_drop_count_total",
        "cilium_endpoint_state",
    ] {
        let choice = format!("-{off}");
        let less = shown(&daemon::metrics::text(
            &registry(&[&choice, "+cilium_policy"]).0,
        ));
        let missing: Vec<_> = all
            .keys()
            .filter(|name| !less.contains_key(*name))
            .collect();
        assert_eq!(missing, [off]);
    }
    let more = shown(&daemon::metrics::text(&registry(&[CALLS]).0));
    let added: Vec<_> = more
        .keys()
        .filter(|name| !all.contains_key(*name))
        .collect();
    assert_eq!(added, ["cilium_bpf_syscall_duration_seconds"]);
}

#[test]
fn numbers_are_those_of_the_state_and_of_what_happened() {
    let (registry, metrics) = registry(&[]);
    metrics.holds(13_107, 0);
    let text = daemon::metrics::text(&registry);
    for line in [
        "cilium_bpf_map_ops_total{map_name=\"hops\",operation=\"lookup\",outcome=\"success\"} 1",
        "cilium_controllers_failing 0",
        "cilium_controllers_runs_total{status=\"success\"} 1",
        "cilium_drop_count_total{reason=\"Policy denied\",direction=\"INGRESS\"} 0",
        "cilium_endpoint_regenerations_total{outcome=\"success\"} 1",
        "cilium_endpoint_regenerations_total{outcome=\"fail\"} 0",
        "cilium_endpoint_state{endpoint_state=\"ready\"} 0",
        "cilium_ip_addresses{family=\"ipv4\"} 1",
        "cilium_ipam_capacity{family=\"ipv4\"} 256.0",
        "cilium_ipam_events_total{action=\"release\",family=\"ipv4\"} 1",
        "cilium_policy_change_total{outcome=\"fail\"} 1",
        "cilium_policy_endpoint_enforcement_status{enforcement=\"both\"} 0",
        "cilium_datapath_conntrack_gc_entries{family=\"ipv6\",protocol=\"TCP\",status=\"alive\"} 0",
        "cilium_feature_datapath_network{mode=\"overlay-vxlan\"} 1",
        "cilium_endpoint_regeneration_time_stats_seconds_count{scope=\"total\",status=\"success\"} 1",
        "cilium_node_health_connectivity_latency_seconds_count{type=\"node\",protocol=\"icmp\",address_type=\"primary\"} 0",
        "cilium_endpoint_regeneration_time_stats_seconds_sum{scope=\"total\",status=\"success\"} 2.0",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "no {line} in\n{text}"
        );
    }
    let pressure = "cilium_bpf_map_pressure{map_name=\"connections\"} 0.1999";
    assert!(text.contains(pressure), "no {pressure} in\n{text}");
}
