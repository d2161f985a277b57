//! The policies of the tests, as the objects that are created for them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::lab::{Lab, PORT};

/// Marks what is ours, so that a run finds what an interrupted one left.
pub(super) const MARK: (&str, &str) = ("app.kubernetes.io/managed-by", "axoneme-connectivity-test");

/// Kinds of policies: `kind`, collection below the namespace or cluster, whether it is in a namespace.
pub(super) const KINDS: [(&str, &str, bool); 3] = [
    (
        "CiliumNetworkPolicy",
        "apis/cilium.io/v2/ciliumnetworkpolicies",
        true,
    ),
    (
        "NetworkPolicy",
        "apis/networking.k8s.io/v1/networkpolicies",
        true,
    ),
    (
        "CiliumCIDRGroup",
        "apis/cilium.io/v2/ciliumcidrgroups",
        false,
    ),
];

fn metadata(lab: &Lab, name: &str) -> Value {
    json!({ "name": name, "namespace": lab.namespace, "labels": { MARK.0: MARK.1 } })
}

/// A CiliumNetworkPolicy.
pub(super) fn cilium(lab: &Lab, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": metadata(lab, name), "spec": spec })
}

/// A NetworkPolicy.
pub(super) fn kubernetes(lab: &Lab, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(lab, name), "spec": spec })
}

/// A group of prefixes, which is of the whole cluster; its name tells namespaces apart.
pub(super) fn group(lab: &Lab, prefixes: &[String]) -> Value {
    let labels = json!({ MARK.0: MARK.1, "connectivity-test": lab.namespace });
    json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
        "metadata": { "name": group_name(lab), "labels": labels }, "spec": { "externalCIDRs": prefixes } })
}

/// Name of the group.
pub(super) fn group_name(lab: &Lab) -> String {
    format!("{}-external", lab.namespace)
}

/// All pods.
pub(super) fn everybody() -> Value {
    json!({})
}

/// Pods with one label.
pub(super) fn labelled(key: &str, value: &str) -> Value {
    json!({ "matchLabels": { key: value } })
}

/// Pods whose label is one of these.
pub(super) fn one_of(key: &str, values: &[&str]) -> Value {
    json!({ "matchExpressions": [{ "key": key, "operator": "In", "values": values }] })
}

/// The port of our servers, for rules of CiliumNetworkPolicy.
pub(super) fn port() -> Value {
    json!([{ "ports": [{ "port": PORT.to_string(), "protocol": "TCP" }] }])
}

/// The same by its name in the pods.
pub(super) fn named_port() -> Value {
    json!([{ "ports": [{ "port": "http", "protocol": "TCP" }] }])
}

/// The same, for rules of NetworkPolicy.
pub(super) fn knp_port() -> Value {
    json!([{ "port": PORT, "protocol": "TCP" }])
}

/// The prefix that is one address.
pub(super) fn single(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

/// Everything, in both families.
pub(super) fn all_addresses() -> Value {
    json!(["0.0.0.0/0", "::/0"])
}

/// Addresses of the first or the second external target, as prefixes.
pub(super) fn external(lab: &Lab, index: usize) -> Vec<String> {
    let found = lab.externals.get(index);
    found.map(|of| single(of.address)).into_iter().collect()
}
