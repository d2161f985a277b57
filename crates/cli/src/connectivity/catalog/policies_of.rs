//! The policies of each test, in the order of the tests.

use serde_json::{Value, json};

use crate::connectivity::lab::Lab;
use crate::connectivity::policies::{
    all_addresses, cilium, everybody, external, group, group_name, knp_port, kubernetes, labelled,
    named_port, one_of, port, single,
};

const ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";

fn clients() -> Value {
    labelled("kind", "client")
}

fn echoes() -> Value {
    labelled("kind", "echo")
}

/// The one client.
fn client() -> Value {
    labelled("name", "client")
}

/// What `client2` alone has.
fn client2() -> Value {
    labelled("other", "client")
}

fn one(lab: &Lab, name: &str, spec: &Value) -> Vec<Value> {
    vec![cilium(lab, name, spec)]
}

fn one_knp(lab: &Lab, name: &str, spec: &Value) -> Vec<Value> {
    vec![kubernetes(lab, name, spec)]
}

/// Egress of the clients to all, for tests that deny something of it.
fn open_egress(lab: &Lab) -> Value {
    cilium(
        lab,
        "allow-all-egress",
        &json!({ "endpointSelector": clients(), "egress": [{ "toEntities": ["all"] }] }),
    )
}

fn open_ingress(lab: &Lab) -> Value {
    cilium(
        lab,
        "allow-all-ingress",
        &json!({ "endpointSelector": everybody(), "ingress": [{ "fromEntities": ["all"] }] }),
    )
}

pub(super) fn none(_: &Lab) -> Vec<Value> {
    Vec::new()
}

pub(super) fn cluster_both_ways(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": everybody(),
        "ingress": [{ "fromEntities": ["cluster"] }], "egress": [{ "toEntities": ["cluster"] }] });
    one(lab, "allow-all-except-world", &spec)
}

pub(super) fn client_ingress(lab: &Lab) -> Vec<Value> {
    let spec =
        json!({ "endpointSelector": client(), "ingress": [{ "fromEndpoints": [client2()] }] });
    one(lab, "client-ingress", &spec)
}

pub(super) fn client_ingress_knp(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "podSelector": client(), "policyTypes": ["Ingress"], "ingress": [{ "from": [{ "podSelector": client2() }] }] });
    one_knp(lab, "client-ingress-knp", &spec)
}

fn echo_requests() -> Value {
    json!([{ "fields": [{ "family": "IPv4", "type": 8 }, { "family": "IPv6", "type": 128 }] }])
}

pub(super) fn client_ingress_icmp(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "fromEndpoints": [client2()], "icmps": echo_requests() });
    one(
        lab,
        "client-ingress-icmp",
        &json!({ "endpointSelector": client(), "ingress": [rule] }),
    )
}

pub(super) fn all_ingress_deny(lab: &Lab) -> Vec<Value> {
    one(
        lab,
        "all-ingress-deny",
        &json!({ "endpointSelector": everybody(), "ingress": [{}] }),
    )
}

pub(super) fn all_ingress_deny_knp(lab: &Lab) -> Vec<Value> {
    one_knp(
        lab,
        "all-ingress-deny-knp",
        &json!({ "podSelector": {}, "policyTypes": ["Ingress"] }),
    )
}

pub(super) fn all_egress_deny(lab: &Lab) -> Vec<Value> {
    one(
        lab,
        "all-egress-deny",
        &json!({ "endpointSelector": everybody(), "egress": [{}] }),
    )
}

pub(super) fn all_egress_deny_knp(lab: &Lab) -> Vec<Value> {
    one_knp(
        lab,
        "all-egress-deny-knp",
        &json!({ "podSelector": {}, "policyTypes": ["Egress"] }),
    )
}

pub(super) fn all_entities_deny(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": everybody(),
        "ingressDeny": [{ "fromEntities": ["all"] }], "egressDeny": [{ "toEntities": ["all"] }] });
    one(lab, "all-entities-deny", &spec)
}

pub(super) fn cluster_entity(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": clients(), "egress": [{ "toEntities": ["cluster"] }] });
    one(lab, "cluster-entity", &spec)
}

pub(super) fn host_entity_egress(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": clients(), "egress": [{ "toEntities": ["host", "remote-node"] }] });
    one(lab, "host-entity-egress", &spec)
}

pub(super) fn host_entity_ingress(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": echoes(), "ingress": [{ "fromEntities": ["host", "remote-node"] }] });
    one(lab, "host-entity-ingress", &spec)
}

pub(super) fn echo_ingress(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "fromEndpoints": [client2()], "toPorts": port() });
    one(
        lab,
        "echo-ingress",
        &json!({ "endpointSelector": echoes(), "ingress": [rule] }),
    )
}

pub(super) fn echo_ingress_knp(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "from": [{ "podSelector": client2() }], "ports": knp_port() });
    one_knp(
        lab,
        "echo-ingress-knp",
        &json!({ "podSelector": echoes(), "policyTypes": ["Ingress"], "ingress": [rule] }),
    )
}

pub(super) fn echo_ingress_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "fromEndpoints": [client2()], "toPorts": port() });
    let deny = json!({ "endpointSelector": echoes(), "ingressDeny": [rule] });
    vec![
        open_ingress(lab),
        cilium(lab, "echo-ingress-from-other-client-deny", &deny),
    ]
}

pub(super) fn client_ingress_icmp_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "fromEndpoints": [client2()], "icmps": echo_requests() });
    let deny = json!({ "endpointSelector": client(), "ingressDeny": [rule] });
    vec![
        open_ingress(lab),
        cilium(lab, "client-ingress-icmp-deny", &deny),
    ]
}

pub(super) fn client_egress(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [echoes()], "toPorts": port() });
    one(
        lab,
        "client-egress",
        &json!({ "endpointSelector": clients(), "egress": [rule] }),
    )
}

pub(super) fn client_egress_knp(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "to": [{ "podSelector": echoes() }], "ports": knp_port() });
    one_knp(
        lab,
        "client-egress-knp",
        &json!({ "podSelector": clients(), "policyTypes": ["Egress"], "egress": [rule] }),
    )
}

pub(super) fn client_egress_expression(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [one_of("kind", &["echo", "nobody"])], "toPorts": port() });
    one(
        lab,
        "client-egress-expression",
        &json!({ "endpointSelector": one_of("name", &["client"]), "egress": [rule] }),
    )
}

pub(super) fn client_egress_expression_knp(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "to": [{ "podSelector": one_of("kind", &["echo", "nobody"]) }], "ports": knp_port() });
    let spec = json!({ "podSelector": one_of("name", &["client"]), "policyTypes": ["Egress"], "egress": [rule] });
    one_knp(lab, "client-egress-expression-knp", &spec)
}

pub(super) fn client_account_egress(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [echoes()], "toPorts": port() });
    let spec = json!({ "endpointSelector": labelled(ACCOUNT, "client"), "egress": [rule] });
    one(lab, "client-with-service-account-egress", &spec)
}

pub(super) fn client_egress_to_account(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [labelled(ACCOUNT, "echo-same-node")], "toPorts": port() });
    one(
        lab,
        "client-egress-to-service-account",
        &json!({ "endpointSelector": clients(), "egress": [rule] }),
    )
}

pub(super) fn client_egress_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [echoes()], "toPorts": port() });
    let deny = json!({ "endpointSelector": clients(), "egressDeny": [rule] });
    vec![
        open_egress(lab),
        cilium(lab, "client-egress-to-echo-deny", &deny),
    ]
}

pub(super) fn client_egress_named_port_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [echoes()], "toPorts": named_port() });
    let deny = json!({ "endpointSelector": clients(), "egressDeny": [rule] });
    vec![
        open_egress(lab),
        cilium(lab, "client-egress-to-echo-named-port-deny", &deny),
    ]
}

pub(super) fn client_egress_expression_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [one_of("kind", &["echo", "nobody"])], "toPorts": port() });
    let deny = json!({ "endpointSelector": one_of("name", &["client"]), "egressDeny": [rule] });
    vec![
        open_egress(lab),
        cilium(lab, "client-egress-to-echo-expression-deny", &deny),
    ]
}

pub(super) fn client_account_egress_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [echoes()], "toPorts": port() });
    let deny = json!({ "endpointSelector": labelled(ACCOUNT, "client"), "egressDeny": [rule] });
    vec![
        open_egress(lab),
        cilium(lab, "client-with-service-account-egress-deny", &deny),
    ]
}

pub(super) fn client_egress_to_account_deny(lab: &Lab) -> Vec<Value> {
    let rule = json!({ "toEndpoints": [labelled(ACCOUNT, "echo-same-node")], "toPorts": port() });
    let deny = json!({ "endpointSelector": clients(), "egressDeny": [rule] });
    vec![
        open_egress(lab),
        cilium(lab, "client-egress-to-service-account-deny", &deny),
    ]
}

pub(super) fn to_entities_world(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": clients(), "egress": [{ "toEntities": ["world"] }] });
    one(lab, "to-entities-world", &spec)
}

pub(super) fn to_cidr_external(lab: &Lab) -> Vec<Value> {
    let spec = json!({ "endpointSelector": clients(), "egress": [{ "toCIDR": external(lab, 0) }] });
    one(lab, "to-cidr-external", &spec)
}

pub(super) fn to_cidr_external_knp(lab: &Lab) -> Vec<Value> {
    let blocks = external(lab, 0)
        .into_iter()
        .map(|prefix| json!({ "ipBlock": { "cidr": prefix } }));
    let rule = json!({ "to": blocks.collect::<Vec<_>>() });
    let spec = json!({ "podSelector": clients(), "policyTypes": ["Egress"], "egress": [rule] });
    one_knp(lab, "to-cidr-external-knp", &spec)
}

fn world_but(lab: &Lab, name: &str, peer: &Value) -> Vec<Value> {
    let allow = json!({ "endpointSelector": clients(), "egress": [{ "toCIDR": all_addresses() }] });
    let deny = json!({ "endpointSelector": clients(), "egressDeny": [{ "toCIDRSet": [peer] }] });
    vec![cilium(lab, "allow-world", &allow), cilium(lab, name, &deny)]
}

pub(super) fn cidr_deny(lab: &Lab) -> Vec<Value> {
    let prefixes = external(lab, 0);
    world_but(
        lab,
        "client-egress-to-cidr-deny",
        &json!({ "cidr": prefixes.first() }),
    )
}

pub(super) fn cidr_deny_default(lab: &Lab) -> Vec<Value> {
    let deny =
        json!({ "endpointSelector": clients(), "egressDeny": [{ "toCIDR": external(lab, 0) }] });
    one(lab, "client-egress-to-cidr-deny-default", &deny)
}

pub(super) fn group_deny(lab: &Lab) -> Vec<Value> {
    let mut all = vec![group(lab, &external(lab, 0))];
    let peer = json!({ "cidrGroupRef": group_name(lab) });
    all.extend(world_but(lab, "client-egress-to-cidrgroup-deny", &peer));
    all
}

pub(super) fn group_deny_by_label(lab: &Lab) -> Vec<Value> {
    let mut all = vec![group(lab, &external(lab, 0))];
    let peer = json!({ "cidrGroupSelector": labelled("connectivity-test", &lab.namespace) });
    all.extend(world_but(
        lab,
        "client-egress-to-cidrgroup-deny-by-label",
        &peer,
    ));
    all
}

pub(super) fn node_cidr(lab: &Lab) -> Vec<Value> {
    let addresses = lab.nodes.iter().flat_map(|node| &node.addresses);
    let prefixes: Vec<String> = addresses.map(|address| single(*address)).collect();
    let spec = json!({ "endpointSelector": clients(), "egress": [{ "toCIDR": prefixes }] });
    one(lab, "pod-to-node-cidrpolicy", &spec)
}
