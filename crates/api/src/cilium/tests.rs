use serde_json::json;

use super::{CiliumCIDRGroup, CiliumEndpoint, CiliumIdentity, CiliumNetworkPolicy, CiliumNode};

#[test]
fn an_identity_keeps_its_labels_at_the_top_level() {
    let text = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumIdentity", "metadata": {"name": "1234"},
                      "security-labels": {"k8s:app": "web"}});
    let identity: CiliumIdentity = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(identity.security_labels["k8s:app"], "web");
    assert_eq!(serde_json::to_value(&identity).unwrap(), text);
}

#[test]
fn an_endpoint_round_trips_with_the_names_of_the_crd() {
    let text = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": {"name": "web", "namespace": "shop"},
        "status": {"id": 7, "external-identifiers": {"container-id": "abc", "k8s-pod-name": "web", "pod-name": "shop/web"},
                   "identity": {"id": 1234, "labels": ["k8s:app=web"]},
                   "networking": {"node": "192.0.2.1", "addressing": [{"ipv4": "10.0.0.1", "ipv6": "fd00::1"}]},
                   "encryption": {}, "named-ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
                   "state": "ready", "service-account": "web"}});
    let endpoint: CiliumEndpoint = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&endpoint).unwrap(), text);
}

#[test]
fn a_node_round_trips_with_what_the_operator_and_clouds_wrote() {
    let text = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": "n1"},
        "spec": {"addresses": [{"type": "InternalIP", "ip": "192.0.2.1"}], "health": {"ipv4": "10.0.0.9"},
                 "encryption": {"key": 255}, "ipam": {"podCIDRs": ["10.0.0.0/24"], "min-allocate": 8,
                 "pools": {"requested": [{"pool": "p", "needed": {"ipv4-addrs": 8, "ipv6-addrs": 0}}]}},
                 "bootid": "b", "instance-id": "i-1", "eni": {"vpc-id": "v"}},
        "status": {"ipam": {"used": {"10.0.0.1": {"owner": "shop/web"}}, "release-ipv6s": {"fd00::1": "released"}}}});
    let node: CiliumNode = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&node).unwrap(), text);
}

#[test]
fn a_policy_is_kept_as_written() {
    let text = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"endpointSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]}, "specs": "not a list"});
    let policy: CiliumNetworkPolicy = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), text);
}

#[test]
fn another_served_version_of_the_group_decodes() {
    let group: CiliumCIDRGroup = serde_json::from_value(
        json!({"apiVersion": "cilium.io/v2alpha1", "kind": "CiliumCIDRGroup",
        "metadata": {"name": "g"}, "spec": {"externalCIDRs": ["203.0.113.0/24"]}}),
    )
    .unwrap();
    assert_eq!(group.spec.external_cidrs, ["203.0.113.0/24"]);
}
