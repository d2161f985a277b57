//! Explanations: who decided, what else was considered, and a change that really turns the verdict around.

use serde_json::{Value, json};

use super::*;
use crate::policy::tests::{add, cnp, pod, shop};

fn party(app: &str) -> Party {
    let facts = PeerFacts {
        labels: pod(app),
        ..PeerFacts::default()
    };
    Party {
        name: format!("shop/{app}").into(),
        facts,
        governed: Governed::Yes,
    }
}

fn allow(app: &str, port: &str) -> Value {
    json!({
        "endpointSelector":{"matchLabels":{"app":"api"}},
        "ingress":[{"fromEndpoints":[{"matchLabels":{"app":app}}],"toPorts":[{"ports":[{"port":port,"protocol":"TCP"}]}]}],
    })
}

#[test]
fn a_default_deny_names_its_policies_and_the_rule_that_misses_by_a_port() {
    let mut snapshot = shop();
    add(&mut snapshot, &cnp("p1", &allow("web", "80")));
    add(&mut snapshot, &cnp("p2", &allow("web", "81")));
    let explanation = snapshot.explain(&party("web"), &party("api"), Protocol::TCP, 8080);
    let ingress = explanation.ingress.as_ref().unwrap();
    assert_eq!(explanation.verdict(), Verdict::DefaultDeny);
    assert_eq!(
        ingress.decided_by,
        "default deny for ingress, because of CiliumNetworkPolicy shop/p1, CiliumNetworkPolicy shop/p2"
    );
    assert_eq!(
        ingress.change,
        "add TCP port 8080 to CiliumNetworkPolicy shop/p1 spec.ingress[0]"
    );
    assert_eq!(explanation.egress.as_ref().unwrap().verdict, Verdict::Allow);
    add(&mut snapshot, &cnp("p1", &allow("web", "8080")));
    assert_eq!(
        snapshot
            .explain(&party("web"), &party("api"), Protocol::TCP, 8080)
            .verdict(),
        Verdict::Allow
    );
}

#[test]
fn a_rule_that_names_the_port_but_not_the_peer_is_the_one_to_change() {
    let mut snapshot = shop();
    add(&mut snapshot, &cnp("p1", &allow("web", "80")));
    let ingress = snapshot
        .explain(&party("batch"), &party("api"), Protocol::TCP, 80)
        .ingress
        .unwrap();
    assert_eq!(
        ingress.change,
        "add shop/batch to the peers of CiliumNetworkPolicy shop/p1 spec.ingress[0]"
    );
    assert!(
        ingress
            .considered
            .iter()
            .any(|c| c.standing == Standing::OtherPeer)
    );
}

#[test]
fn a_deny_outranks_the_allow_and_is_the_one_to_change() {
    let mut snapshot = shop();
    let mut spec = allow("web", "80");
    spec["ingressDeny"] = json!([{"fromEntities":["all"]}]);
    add(&mut snapshot, &cnp("p1", &spec));
    let ingress = snapshot
        .explain(&party("web"), &party("api"), Protocol::TCP, 80)
        .ingress
        .unwrap();
    assert_eq!(ingress.verdict, Verdict::Deny);
    assert_eq!(
        ingress.decided_by,
        "CiliumNetworkPolicy shop/p1 spec.ingressDeny[0]"
    );
    assert_eq!(
        ingress.change,
        "take shop/web or TCP port 80 out of CiliumNetworkPolicy shop/p1 spec.ingressDeny[0]"
    );
    let standings: Vec<_> = ingress
        .considered
        .iter()
        .map(|c| (c.action, c.standing.clone()))
        .collect();
    assert!(
        standings.contains(&(Action::Allow, Standing::Outranked)),
        "{standings:?}"
    );
    assert!(
        ingress
            .to_string()
            .contains("matches, but another rule comes first")
    );
}

#[test]
fn the_nodes_own_traffic_and_the_world_are_explained_too() {
    let mut snapshot = shop();
    add(&mut snapshot, &cnp("p1", &allow("web", "80")));
    let labels = crate::policy::tests::labels(&["reserved:host"]);
    let host = Party {
        name: "node".into(),
        facts: PeerFacts {
            labels,
            ..PeerFacts::default()
        },
        governed: Governed::No,
    };
    let explanation = snapshot.explain(&host, &party("api"), Protocol::TCP, 1);
    assert!(explanation.egress.is_none());
    let ingress = explanation.ingress.unwrap();
    assert_eq!(ingress.verdict, Verdict::Allow);
    assert_eq!(
        ingress.change,
        "it cannot be denied by a policy: the node's own traffic to its pods is always allowed"
    );
}
