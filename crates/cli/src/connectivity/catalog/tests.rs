use std::collections::BTreeSet;

use store::{Client, Options};

use super::super::action::Callee;
use super::super::lab::{External, Node, Peer, Role, Service};
use super::super::objects::{HOSTS, WORKLOADS};
use super::*;
use crate::cluster::Cluster;
use crate::cluster::pod::{Pod, text};

const NODES: [(&str, &str); 2] = [("n1", "192.0.2.1"), ("n2", "192.0.2.2")];

/// A lab of two nodes with everything there is.
async fn lab() -> Lab {
    let options = Options {
        urls: vec!["http://127.0.0.1:1".to_owned()],
        ..Options::named("test")
    };
    let pod = |name: &str, node: &str, address: String| Pod {
        namespace: "t".to_owned(),
        name: format!("{name}-x"),
        node: node.to_owned(),
        addresses: vec![address.parse().unwrap()],
        ..Pod::default()
    };
    let peers = WORKLOADS
        .iter()
        .enumerate()
        .map(|(index, of)| {
            let node = if of.other_node { "n2" } else { "n1" };
            Peer {
                name: of.name,
                role: of.role,
                pod: pod(of.name, node, format!("10.0.0.{}", index + 1)),
            }
        })
        .chain(NODES.map(|(node, address)| Peer {
            name: HOSTS,
            role: Role::Host,
            pod: pod(HOSTS, node, address.to_owned()),
        }));
    let echoes = WORKLOADS.iter().filter(|of| of.role == Role::Echo);
    let external = |address: &str| External {
        address: address.parse().unwrap(),
        port: 80,
    };
    Lab {
        cluster: Cluster {
            client: Client::new(options).await.unwrap(),
            namespace: "kube-system".to_owned(),
        },
        namespace: "t".to_owned(),
        peers: peers.collect(),
        services: echoes
            .map(|of| Service {
                name: of.name,
                addresses: vec!["10.96.0.1".parse().unwrap()],
                node_port: 30001,
            })
            .collect(),
        nodes: NODES
            .map(|(name, address)| Node {
                name: name.to_owned(),
                addresses: vec![address.parse().unwrap()],
            })
            .into(),
        agents: Vec::new(),
        externals: vec![external("198.51.100.1"), external("198.51.100.2")],
        ping: true,
        config: serde_json::json!({ "policy-cidr-match-mode": "nodes" }),
    }
}

#[tokio::test]
async fn every_test_has_somebody_to_try_it_with_and_a_reason_to_be_there() {
    let lab = lab().await;
    for case in CASES {
        assert_eq!(case.lacks(&lab), None, "{}", case.name);
        let Kind::Attempts {
            policies,
            scenarios,
            expect,
        } = case.kind
        else {
            continue;
        };
        let actions: Vec<Action> = scenarios.iter().flat_map(|of| of.actions(&lab)).collect();
        assert!(!actions.is_empty(), "{}", case.name);
        for scenario in scenarios {
            assert!(
                !scenario.actions(&lab).is_empty(),
                "{}: {}",
                case.name,
                scenario.name()
            );
        }
        // Under a policy something is silent, or the policy is not tested; without one nothing is.
        let silent = actions
            .iter()
            .filter(|action| expect(action) != Expect::Answer)
            .count();
        assert_eq!(silent > 0, !policies(&lab).is_empty(), "{}", case.name);
    }
}

#[tokio::test]
async fn the_names_of_attempts_are_unique_and_nobody_calls_itself_but_where_that_is_meant() {
    let lab = lab().await;
    for case in CASES {
        let Kind::Attempts { scenarios, .. } = case.kind else {
            continue;
        };
        let actions: Vec<Action> = scenarios.iter().flat_map(|of| of.actions(&lab)).collect();
        let names: BTreeSet<String> = actions
            .iter()
            .map(|of| format!("{}{}", of.name(), of.source.pod.node))
            .collect();
        assert_eq!(names.len(), actions.len(), "{}", case.name);
        for action in actions
            .iter()
            .filter(|of| of.scenario != Scenario::PodToItself)
        {
            assert_ne!(
                action.callee,
                Callee::Client(action.source.name),
                "{}",
                action.name()
            );
        }
    }
}

/// Expectations by caller and callee, as a table for people.
#[tokio::test]
async fn expectations_are_these() {
    use std::fmt::Write as _;
    let lab = lab().await;
    let mut text = String::new();
    for case in CASES {
        let Kind::Attempts {
            scenarios, expect, ..
        } = case.kind
        else {
            continue;
        };
        let actions = scenarios.iter().flat_map(|of| of.actions(&lab));
        let silent: Vec<String> = actions
            .filter(|action| expect(action) != Expect::Answer)
            .map(|action| format!("  {}: {}", action.name(), expect(&action)))
            .collect();
        writeln!(text, "{}\n{}", case.name, silent.join("\n")).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn every_policy_is_one_that_the_agent_understands() {
    let lab = lab().await;
    for case in CASES {
        let Kind::Attempts { policies, .. } = case.kind else {
            continue;
        };
        for policy in policies(&lab) {
            let name = format!("{}: {}", case.name, text(&policy, "/metadata/name"));
            let options = model::policy::ParseOptions::default();
            if text(&policy, "/kind") == "CiliumCIDRGroup" {
                continue;
            }
            let parsed = model::policy::parse_policy(&policy, &options);
            assert!(
                parsed.is_ok(),
                "{name}: {:?}",
                parsed.err().map(|error| error.to_string())
            );
        }
    }
}

/// The names of upstream's tests, as written down where they are looked up.
const UPSTREAM: &[&str] = &[
    "no-policies",
    "no-policies-extra",
    "no-policies-from-outside",
    "allow-all-except-world",
    "allow-all-with-metrics-check",
    "all-ingress-deny",
    "all-ingress-deny-knp",
    "all-ingress-deny-from-outside",
    "all-egress-deny",
    "all-egress-deny-knp",
    "all-entities-deny",
    "client-ingress",
    "client-ingress-knp",
    "client-ingress-icmp",
    "client-egress",
    "client-egress-knp",
    "client-egress-expression",
    "client-egress-expression-knp",
    "client-egress-to-echo-deny",
    "client-egress-to-echo-service-account",
    "client-egress-to-cidr-deny",
    "client-egress-to-cidr-deny-default",
    "client-egress-to-cidrgroup-deny",
    "client-egress-to-cidrgroup-deny-by-label",
    "to-entities-world",
    "cluster-entity",
    "host-entity-ingress",
    "host-entity-egress",
    "echo-ingress",
    "echo-ingress-knp",
    "echo-ingress-l7",
    "echo-ingress-l7-named-port",
    "echo-ingress-l7-via-hostport",
    "echo-ingress-from-outside",
    "echo-ingress-from-other-client-deny",
    "echo-ingress-auth-always-fail",
    "echo-ingress-mutual-auth-spiffe",
    "client-egress-l7",
    "client-egress-l7-method",
    "client-egress-l7-named-port",
    "client-egress-l7-set-header",
    "client-egress-tls-sni",
    "dns-only",
    "to-fqdns",
    "to-fqdns-with-proxy",
    "to-cidr-external",
    "to-cidr-external-knp",
    "pod-to-node-cidrpolicy",
    "pod-to-controlplane-host",
    "pod-to-k8s-on-controlplane",
    "pod-to-k8s-on-controlplane-cidr",
    "from-cidr-host-netns",
    "host-firewall-ingress",
    "host-firewall-egress",
    "health",
    "north-south-loadbalancing",
    "north-south-loadbalancing-with-l7-policy",
    "pod-to-itself-via-service",
    "pod-to-pod-encryption",
    "pod-to-pod-encryption-v2",
    "node-to-node-encryption",
    "strict-mode-encryption",
    "egress-gateway",
    "local-redirect-policy",
    "pod-to-ingress-service",
    "outside-to-ingress-service",
    "l7-lb",
    "bgp-control-plane-v1",
    "bgp-control-plane-v2",
    "multicast",
    "network-bandwidth-limit",
    "pod-to-pod-no-frag",
    "policy-local-cluster-egress",
    "no-unexpected-packet-drops",
    "no-interrupted-connections",
    "no-ipsec-xfrm-errors",
    "check-log-errors",
];

#[test]
fn each_of_upstreams_tests_is_there_or_absent_with_a_reason_and_never_both() {
    let there: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    let absent: BTreeSet<&str> = ABSENT.iter().map(|(name, _)| *name).collect();
    assert_eq!(there.len(), CASES.len());
    assert_eq!(absent.len(), ABSENT.len());
    assert_eq!(there.intersection(&absent).next(), None);
    for name in UPSTREAM {
        assert!(there.contains(name) || absent.contains(name), "{name}");
    }
    assert!(ABSENT.iter().all(|(_, reason)| reason.len() > 10));
}
