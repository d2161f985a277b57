//! What pods, or halves of them, can leave behind.

use std::collections::BTreeSet;
use std::net::IpAddr;

use datapath::abi::connection::ConnectionKey;
use serde_json::Value;
use testkit::cluster::{Cluster, Node};

use crate::churn;

/// Everything that a pod, or half of one, can leave behind: on nodes, in their tables, in the store.
pub(crate) fn state(cluster: &Cluster) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for node in &cluster.nodes {
        let name = node.machine.name();
        found.extend(
            churn::settled(node)
                .into_iter()
                .map(|of| format!("{name} {of}")),
        );
        found.extend(tables(node).into_iter().map(|of| format!("{name} {of}")));
    }
    for namespace in std::fs::read_dir("/run/netns")
        .expect("namespaces")
        .flatten()
    {
        let name = namespace.file_name().to_string_lossy().into_owned();
        if name.starts_with(cluster.topology.name()) {
            found.insert(format!("namespace {name}"));
        }
    }
    for kind in ["ciliumidentities", "ciliumendpoints", "ciliumnodes"] {
        let list: Value = cluster
            .api
            .get(&format!("/apis/cilium.io/v2/{kind}"))
            .expect(kind);
        for object in list["items"].as_array().into_iter().flatten() {
            found.insert(format!("{kind} {}", object["metadata"]["name"]));
        }
    }
    found
}

/// How much each table of a node holds.
fn tables(node: &Node) -> Vec<String> {
    let pins = kernel::PinDirectory::new(&node.machine.directory().join("bpf"));
    let maps = kernel::Maps::open_any_capacity(&pins).expect("pinned maps");
    let policies = maps.policies.dump().expect("policies");
    let hops = maps.hops.dump().expect("hops");
    let counts = [
        (
            "policies",
            policies.iter().filter(|(_, head)| head.0 != 0).count(),
        ),
        ("hops", hops.iter().filter(|(_, hop)| hop.kind != 0).count()),
        (
            "policy_peers",
            maps.policy_peers.count().expect("policy_peers"),
        ),
        (
            "policy_ports",
            maps.policy_ports.count().expect("policy_ports"),
        ),
        (
            "known_identities",
            maps.known_identities.count().expect("known_identities"),
        ),
        ("cidrs", maps.cidrs.count().expect("cidrs")),
        ("frontends", maps.frontends.count().expect("frontends")),
        (
            "service_slots",
            maps.service_slots.count().expect("service_slots"),
        ),
        ("backends", maps.backends.count().expect("backends")),
    ];
    let mut found: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    found.extend(orphans(&maps));
    found
}

/// Connections of addresses that no pod has.
fn orphans(maps: &kernel::Maps) -> Vec<String> {
    let known: BTreeSet<_> = maps
        .addresses
        .dump()
        .expect("addresses")
        .into_iter()
        .map(|(key, _)| key.address.0)
        .collect();
    let gone = |key: &ConnectionKey| {
        [key.low, key.high]
            .into_iter()
            .any(|of| is_of_pods(of.into()) && !known.contains(&of.0))
    };
    let connections = maps.connections.dump().expect("connections");
    let openings = maps.openings.dump().expect("openings");
    let keys = connections.iter().chain(&openings).map(|(key, _)| key);
    let mut found: Vec<String> = keys
        .filter(|key| gone(key))
        .map(|key| format!("connection {key:?}"))
        .collect();
    let aliases = maps.aliases.dump().expect("aliases");
    found.extend(
        aliases
            .iter()
            .filter(|(_, alias)| gone(&alias.primary))
            .map(|(key, _)| format!("alias {key:?}")),
    );
    found
}

fn is_of_pods(address: IpAddr) -> bool {
    ["10.244.0.0/16", "fd00:10:244::/48"].iter().any(|net| {
        net.parse::<ipnet::IpNet>()
            .expect("a prefix")
            .contains(&address)
    })
}
