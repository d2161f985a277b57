//! Parsing: what valid objects become, and the field that each faulty one is refused for.

use serde_json::{Value, json};

use super::*;
use crate::policy::rule::{DefaultDeny, PeerTerm, Peers, PortTerm, Ports, Protocol, Subject};

fn cnp(spec: &Value) -> Value {
    json!({"kind":"CiliumNetworkPolicy","metadata":{"name":"p","namespace":"shop"},"spec":spec})
}

fn ccnp(spec: &Value) -> Value {
    json!({"kind":"CiliumClusterwideNetworkPolicy","metadata":{"name":"p"},"spec":spec})
}

fn np(spec: &Value) -> Value {
    json!({"kind":"NetworkPolicy","metadata":{"name":"p","namespace":"shop"},"spec":spec})
}

fn with_ingress(entry: &Value) -> Value {
    cnp(&json!({"endpointSelector":{},"ingress":[entry]}))
}

fn with_egress(entry: &Value) -> Value {
    cnp(&json!({"endpointSelector":{},"egress":[entry]}))
}

fn np_ingress(entry: &Value) -> Value {
    np(&json!({"podSelector":{},"ingress":[entry]}))
}

fn parsed(object: &Value) -> PolicyObject {
    parse_policy(object, &ParseOptions::default()).unwrap()
}

fn port(port: &Value) -> Value {
    with_ingress(&json!({"toPorts":[{"ports":[port]}]}))
}

fn refused(object: &Value) -> String {
    parse_policy(object, &ParseOptions::default())
        .unwrap_err()
        .path
}

fn forty_one() -> Vec<Value> {
    (1..42)
        .map(|n: u16| json!({"port": n.to_string()}))
        .collect()
}

fn all_refused(cases: &[(Value, &str)]) {
    for (object, path) in cases {
        assert_eq!(refused(object), *path, "{object}");
    }
}

#[test]
fn faulty_sections_are_refused_by_field() {
    all_refused(&[
        (
            json!({"kind":"CiliumNetworkPolicy","metadata":{"name":"p"},"spec":{}}),
            "metadata.namespace",
        ),
        (
            json!({"kind":"CiliumNetworkPolicy","metadata":{"namespace":"a"},"spec":{}}),
            "metadata.name",
        ),
        (json!({"kind":"Pod","metadata":{"name":"p"}}), "kind"),
        (json!([]), "object"),
        (cnp(&Value::Null), "object"),
        (cnp(&json!({"endpointSelector":{}})), "spec"),
        (
            cnp(&json!({"endpointSelector":{},"ingress":[],"egress":[]})),
            "spec",
        ),
        (cnp(&json!({"ingress":[{}]})), "spec"),
        (
            cnp(&json!({"endpointSelector":{},"nodeSelector":{},"ingress":[{}]})),
            "spec",
        ),
        (
            cnp(&json!({"nodeSelector":{},"ingress":[{}]})),
            "spec.nodeSelector",
        ),
    ]);
}

#[test]
fn faulty_entries_and_unsupported_peers_are_refused_by_field() {
    all_refused(&[
        (
            cnp(&json!({"endpointSelector":{},"ingres":[{}]})),
            "spec.ingres",
        ),
        (
            cnp(&json!({"endpointSelector":{},"ingress":{}})),
            "spec.ingress",
        ),
        (
            cnp(&json!({"endpointSelector":{},"ingress":["x"]})),
            "spec.ingress[0]",
        ),
        (
            with_egress(&json!({"toFQDNs":[{"matchName":"a"}]})),
            "spec.egress[0].toFQDNs",
        ),
        (
            with_egress(&json!({"toServices":[{}]})),
            "spec.egress[0].toServices",
        ),
        (
            with_egress(&json!({"toNodes":[{}]})),
            "spec.egress[0].toNodes",
        ),
        (
            with_egress(&json!({"toGroups":[{}]})),
            "spec.egress[0].toGroups",
        ),
        (
            cnp(
                &json!({"endpointSelector":{},"ingress":[{}],"enableDefaultDeny":{"ingress":"no"}}),
            ),
            "spec.enableDefaultDeny.ingress",
        ),
        (
            cnp(&json!({"endpointSelector":{},"ingress":[{}],"log":{"value":"x".repeat(33)}})),
            "spec.log.value",
        ),
        (
            cnp(&json!({"endpointSelector":{},"ingress":[{}],"log":{"value":"a\u{1b}[0m"}})),
            "spec.log.value",
        ),
        (
            cnp(&json!({"endpointSelector":{},"ingress":[{}],"labels":[{"value":"x"}]})),
            "spec.labels[0].key",
        ),
    ]);
}

#[test]
fn faulty_peers_are_refused_by_field() {
    all_refused(&[
        (
            with_ingress(&json!({"fromEndpoint":[]})),
            "spec.ingress[0].fromEndpoint",
        ),
        (
            with_ingress(&json!({"toEndpoints":[]})),
            "spec.ingress[0].toEndpoints",
        ),
        (
            with_ingress(&json!({"fromEndpoints":[{"matchLabels":{"a":7}}]})),
            "spec.ingress[0].fromEndpoints[0].matchLabels.a",
        ),
        (
            with_ingress(&json!({"fromCIDR":["10.0.0.0/33"]})),
            "spec.ingress[0].fromCIDR[0]",
        ),
        (
            with_ingress(&json!({"fromCIDR":["10.0.0.0/8"],"fromEntities":[]})),
            "spec.ingress[0]",
        ),
        (
            with_ingress(&json!({"fromCIDRSet":[{"cidr":"10.0.0.0/8","except":["11.0.0.0/8"]}]})),
            "spec.ingress[0].fromCIDRSet[0].except[0]",
        ),
        (
            with_ingress(&json!({"fromCIDRSet":[{"cidr":"10.0.0.0/8","cidrGroupRef":"a"}]})),
            "spec.ingress[0].fromCIDRSet[0]",
        ),
        (
            with_ingress(&json!({"fromCIDRSet":[{}]})),
            "spec.ingress[0].fromCIDRSet[0]",
        ),
        (
            with_ingress(&json!({"fromEntities":["everyone"]})),
            "spec.ingress[0].fromEntities[0]",
        ),
        (
            with_ingress(&json!({"fromRequires":[{}]})),
            "spec.ingress[0]",
        ),
        (
            with_ingress(&json!({"fromNodes":[{}]})),
            "spec.ingress[0].fromNodes",
        ),
        (
            with_ingress(&json!({"fromGroups":[]})),
            "spec.ingress[0].fromGroups",
        ),
        (
            with_ingress(&json!({"authentication":{"mode":"required"}})),
            "spec.ingress[0].authentication.mode",
        ),
    ]);
}

#[test]
fn a_group_that_no_object_can_be_called_is_refused() {
    let named = |name: &str| with_ingress(&json!({"fromCIDRSet":[{"cidrGroupRef":name}]}));
    for name in ["", "No_Name", "a..b", "-a", "a.", &"x".repeat(254)] {
        let path = refused(&named(name));
        assert_eq!(
            path, "spec.ingress[0].fromCIDRSet[0].cidrGroupRef",
            "{name}"
        );
    }
    for name in ["a", "0.a-b", &"x".repeat(253)] {
        parsed(&named(name));
    }
}

#[test]
fn faulty_ports_are_refused_by_field() {
    all_refused(&[
        (
            with_ingress(&json!({"toPorts":[],"icmps":[]})),
            "spec.ingress[0]",
        ),
        (
            with_ingress(&json!({"toPorts":[{"ports":forty_one()}]})),
            "spec.ingress[0].toPorts[0]",
        ),
        (
            with_ingress(&json!({"toPorts":[{"rules":{"http":[{}]}}]})),
            "spec.ingress[0].toPorts[0].rules.http",
        ),
        (
            with_ingress(&json!({"toPorts":[{"rules":{"http":[]}}]})),
            "spec.ingress[0].toPorts[0].rules.http",
        ),
        (
            with_ingress(&json!({"toPorts":[{"serverNames":["a"]}]})),
            "spec.ingress[0].toPorts[0].serverNames",
        ),
        (
            with_ingress(&json!({"toPorts":[{"listener":{"name":"a"}}]})),
            "spec.ingress[0].toPorts[0].listener",
        ),
        (
            with_ingress(&json!({"toPorts":[{"terminatingTLS":{}}]})),
            "spec.ingress[0].toPorts[0].terminatingTLS",
        ),
        (
            port(&json!({"port":80})),
            "spec.ingress[0].toPorts[0].ports[0].port",
        ),
        (
            port(&json!({"port":"65536"})),
            "spec.ingress[0].toPorts[0].ports[0].port",
        ),
        (
            port(&json!({"port":"+80"})),
            "spec.ingress[0].toPorts[0].ports[0].port",
        ),
        (
            port(&json!({"port":"-a"})),
            "spec.ingress[0].toPorts[0].ports[0].port",
        ),
        (
            port(&json!({"port":"80","endPort":79})),
            "spec.ingress[0].toPorts[0].ports[0].endPort",
        ),
        (
            port(&json!({"port":"0","endPort":79})),
            "spec.ingress[0].toPorts[0].ports[0].endPort",
        ),
        (
            port(&json!({"port":"http","endPort":80})),
            "spec.ingress[0].toPorts[0].ports[0].endPort",
        ),
    ]);
}

#[test]
fn faulty_types_and_numbers_are_refused_by_field() {
    all_refused(&[
        (
            port(&json!({"port":"80","endPort":65536})),
            "spec.ingress[0].toPorts[0].ports[0].endPort",
        ),
        (
            port(&json!({"port":"80","protocol":"ICMP"})),
            "spec.ingress[0].toPorts[0].ports[0].protocol",
        ),
        (
            port(&json!({"protocol":"VRRP"})),
            "spec.ingress[0].toPorts[0].ports[0].protocol",
        ),
        (
            with_ingress(&json!({"icmps":[{"fields":[{"type":256}]}]})),
            "spec.ingress[0].icmps[0].fields[0].type",
        ),
        (
            with_ingress(&json!({"icmps":[{"fields":[{"type":"PacketTooBig"}]}]})),
            "spec.ingress[0].icmps[0].fields[0].type",
        ),
        (
            with_ingress(&json!({"icmps":[{"fields":[{"family":"IPv6"}]}]})),
            "spec.ingress[0].icmps[0].fields[0].type",
        ),
        (
            with_ingress(&json!({"icmps":[{"fields":[{"type":8,"family":"v4"}]}]})),
            "spec.ingress[0].icmps[0].fields[0].family",
        ),
    ]);
}

#[test]
fn faulty_network_policies_are_refused_by_field() {
    for (object, path) in [
        (np(&Value::Null), "spec"),
        (
            np(&json!({"podSelector":{"matchLabels":{"k8s:app":"a"}}})),
            "spec.podSelector.matchLabels[\"k8s:app\"]",
        ),
        (
            np(&json!({"policyTypes":["ingress"]})),
            "spec.policyTypes[0]",
        ),
        (
            np(&json!({"policyTypes":["Egress"],"ingress":[{"form":[]}]})),
            "spec.ingress[0].form",
        ),
        (np_ingress(&json!({"from":[{}]})), "spec.ingress[0].from[0]"),
        (
            np_ingress(&json!({"from":[{"ipBlock":{"cidr":"::/0"},"podSelector":{}}]})),
            "spec.ingress[0].from[0]",
        ),
        (
            np_ingress(&json!({"from":[{"ipBlock":{}}]})),
            "spec.ingress[0].from[0].ipBlock.cidr",
        ),
        (
            np_ingress(&json!({"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["::/0"]}}]})),
            "spec.ingress[0].from[0].ipBlock.except[0]",
        ),
        (
            np_ingress(&json!({"ports":[{"port":0}]})),
            "spec.ingress[0].ports[0].port",
        ),
        (
            np_ingress(&json!({"ports":[{"port":"80"}]})),
            "spec.ingress[0].ports[0].port",
        ),
        (
            np_ingress(&json!({"ports":[{"endPort":80}]})),
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            np_ingress(&json!({"ports":[{"port":80,"endPort":79}]})),
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            np_ingress(&json!({"ports":[{"port":"http","endPort":79}]})),
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            np_ingress(&json!({"ports":[{"protocol":"tcp"}]})),
            "spec.ingress[0].ports[0].protocol",
        ),
    ] {
        assert_eq!(refused(&object), path, "{object}");
    }
}

#[test]
fn empty_absent_and_anybody_are_different_values() {
    let peers = |entry: &Value| {
        parsed(&with_ingress(entry)).sections[0].rules[0]
            .peers
            .clone()
    };
    assert_eq!(peers(&json!({})), Peers::Of(vec![]));
    assert_eq!(peers(&json!({"fromEndpoints":[]})), Peers::Of(vec![]));
    assert_eq!(
        peers(&json!({"fromEndpoints":null,"toPorts":[]})),
        Peers::Any
    );
    assert_eq!(peers(&json!({"fromEntities":["all"]})), Peers::Any);
    let ports = |entry: &Value| {
        parsed(&with_ingress(entry)).sections[0].rules[0]
            .ports
            .clone()
    };
    assert_eq!(ports(&json!({"fromEntities":["all"]})), Ports::All);
    assert_eq!(
        ports(&json!({"fromEntities":["all"],"toPorts":[]})),
        Ports::Of(vec![])
    );
    let kubernetes = |entry: &Value| parsed(&np_ingress(entry)).sections[0].rules[0].clone();
    assert_eq!(kubernetes(&json!({})).peers, Peers::Any);
    assert_eq!(kubernetes(&json!({"from":[],"ports":[]})).ports, Ports::All);
    let warned = parsed(&with_ingress(&json!({"toPorts":[{}]}))).warnings;
    assert_eq!(
        warned,
        ["spec.ingress[0].toPorts names no port, so the entry matches nothing"]
    );
}

#[test]
fn a_namespaced_policy_selects_in_its_namespace_whatever_it_says() {
    let object = parsed(&cnp(&json!({
        "endpointSelector":{
            "matchLabels":{"k8s:io.kubernetes.pod.namespace":"other"},
            "matchExpressions":[{"key":"reserved:host","operator":"DoesNotExist"}],
        },
        "ingress":[{}],
    })));
    let Subject::Endpoints(selector) = &object.sections[0].subject else {
        panic!("not endpoints")
    };
    assert!(
        selector
            .to_string()
            .contains("k8s:io.kubernetes.pod.namespace=shop")
    );
    assert!(!selector.to_string().contains("other"));
    assert!(
        object.warnings[0].starts_with("spec.endpointSelector.matchLabels:"),
        "{:?}",
        object.warnings
    );
}

#[test]
fn a_peer_selector_is_completed_with_namespace_and_cluster() {
    let peer = |object: &Value| match &parsed(object).sections[0].rules[0].peers {
        Peers::Of(terms) => match &terms[0] {
            PeerTerm::Labels(selector) => selector.to_string(),
            other => panic!("{other:?}"),
        },
        Peers::Any => panic!("anybody"),
    };
    let local = "k8s:io.cilium.k8s.policy.cluster=default";
    let namespace = "k8s:io.kubernetes.pod.namespace";
    let cilium = |selector: Value| peer(&with_ingress(&json!({"fromEndpoints":[selector]})));
    assert_eq!(cilium(json!({})), format!("{local},{namespace}=shop"));
    assert_eq!(
        cilium(json!({"matchLabels":{"reserved:host":""}})),
        "reserved:host="
    );
    let by_label = json!({"matchLabels":{"k8s:io.cilium.k8s.namespace.labels.team":"a"}});
    assert_eq!(
        cilium(by_label),
        format!("k8s:io.cilium.k8s.namespace.labels.team=a,{local},{namespace}")
    );
    let clusterwide = ccnp(&json!({"endpointSelector":{},"ingress":[{"fromEndpoints":[{}]}]}));
    assert_eq!(peer(&clusterwide), format!("{local},{namespace}"));
    let for_init = ccnp(
        &json!({"endpointSelector":{"matchLabels":{"reserved:init":""}},"ingress":[{"fromEndpoints":[{}]}]}),
    );
    assert_eq!(peer(&for_init), local);
    let kubernetes = np_ingress(&json!({"from":[{"namespaceSelector":{}}]}));
    assert_eq!(peer(&kubernetes), format!("{local},{namespace}"));
}

#[test]
fn ports_and_types_become_ranges() {
    let terms = |object: &Value| match parsed(object).sections[0].rules[0].ports.clone() {
        Ports::Of(terms) => terms,
        Ports::All => panic!("all ports"),
    };
    let range = |protocol, first, last| PortTerm::Range {
        protocol,
        first,
        last,
    };
    assert_eq!(
        terms(&port(&json!({"port":"80","protocol":"tcp"}))),
        [range(Protocol::TCP, 80, 80)]
    );
    assert_eq!(
        terms(&port(&json!({"port":"1","endPort":65535,"protocol":"UDP"}))),
        [range(Protocol::UDP, 1, 65535)]
    );
    let any =
        [Protocol::TCP, Protocol::UDP, Protocol::SCTP].map(|protocol| range(protocol, 0, 65535));
    assert_eq!(terms(&port(&json!({}))), any);
    assert_eq!(terms(&port(&json!({"port":"0","protocol":"ANY"}))), any);
    let echo =
        with_ingress(&json!({"icmps":[{"fields":[{"type":"EchoRequest","family":"IPv6"}]}]}));
    assert_eq!(terms(&echo), [range(Protocol::ICMPV6, 0x8000, 0x80ff)]);
    let spaced = with_ingress(&json!({"icmps":[{"fields":[{"type":"ExtendedEcho Reply"}]}]}));
    assert_eq!(terms(&spaced), [range(Protocol::ICMP, 0x2b00, 0x2bff)]);
    let named = np_ingress(&json!({"ports":[{"port":"http"}]}));
    assert_eq!(
        terms(&named),
        [PortTerm::Named {
            protocol: Protocol::TCP,
            name: "http".into()
        }]
    );
}

#[test]
fn policy_types_and_default_deny_follow_the_rules_unless_said() {
    let defaults = |object: &Value| {
        let section = &parsed(object).sections[0];
        (
            section.ingress_default == DefaultDeny::On,
            section.egress_default == DefaultDeny::On,
        )
    };
    assert_eq!(defaults(&np(&json!({}))), (true, false));
    assert_eq!(defaults(&np(&json!({"egress":[{}]}))), (true, true));
    assert_eq!(
        defaults(&np(&json!({"policyTypes":["Egress"]}))),
        (false, true)
    );
    assert_eq!(defaults(&with_ingress(&json!({}))), (true, false));
    let off = json!({"endpointSelector":{},"ingress":[{}],"enableDefaultDeny":{"ingress":false,"egress":true}});
    assert_eq!(defaults(&cnp(&off)), (false, true));
}

#[test]
fn rules_carry_the_users_labels_the_automatic_ones_and_the_log() {
    let object = json!({"kind":"CiliumNetworkPolicy","metadata":{"name":"p","namespace":"shop","uid":"u"},"spec":{
        "endpointSelector":{},"ingress":[{}],"labels":[{"key":"a","value":"b","source":"k8s"}],"log":{"value":"x"},
    }});
    let section = &parsed(&object).sections[0];
    let labels: Vec<String> = section.labels.iter().map(ToString::to_string).collect();
    assert_eq!(
        labels,
        [
            "k8s:a=b",
            "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
            "k8s:io.cilium.k8s.policy.name=p",
            "k8s:io.cilium.k8s.policy.namespace=shop",
            "k8s:io.cilium.k8s.policy.uid=u",
        ]
    );
    assert_eq!(&*section.log, "x");
    let mut renamed = np(&json!({}));
    renamed["metadata"]["annotations"] = json!({"policy.cilium.io/name":"other"});
    assert!(
        parsed(&renamed).sections[0]
            .labels
            .iter()
            .any(|label| label.to_string().ends_with("policy.name=other"))
    );
}

#[test]
fn a_group_is_read_and_its_faults_are_named() {
    let group = json!({"metadata":{"name":"g","labels":{"zone":"x"}},"spec":{"externalCIDRs":["10.1.2.3/8","::1"]}});
    let group = parse_cidr_group(&group).unwrap();
    assert_eq!(
        group.labels.to_string(),
        "cidrgroup:io.cilium.policy.cidrgroupname/g,cidrgroup:zone=x"
    );
    assert_eq!(
        group.members,
        [
            "10.0.0.0/8".parse().unwrap(),
            "::1/128".parse::<IpNet>().unwrap()
        ]
    );
    let missing = parse_cidr_group(&json!({"metadata":{"name":"g"},"spec":{}})).unwrap_err();
    assert_eq!(missing.path, "spec.externalCIDRs");
}
