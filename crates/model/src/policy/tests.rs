//! Policy as a whole: from objects to rows.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::labels::LabelSet;

pub(crate) fn labels(texts: &[&str]) -> LabelSet {
    LabelSet::parse(texts.iter().copied()).unwrap()
}

/// A pod of namespace `shop` in the default cluster.
pub(crate) fn pod(app: &str) -> LabelSet {
    let app = format!("k8s:app={app}");
    labels(&[
        &app,
        "k8s:io.kubernetes.pod.namespace=shop",
        "k8s:io.cilium.k8s.policy.cluster=default",
    ])
}

pub(crate) fn cnp(name: &str, spec: &Value) -> Value {
    json!({"kind":"CiliumNetworkPolicy","metadata":{"name":name,"namespace":"shop","uid":"1"},"spec":spec})
}

pub(crate) fn add(snapshot: &mut Snapshot, object: &Value) -> Touched {
    let parsed = parse_policy(object, &ParseOptions::default()).unwrap();
    snapshot.apply(Change::Object(Arc::new(parsed)))
}

fn facts(labels: LabelSet) -> PeerFacts {
    PeerFacts {
        labels,
        ..PeerFacts::default()
    }
}

const WEB: Peer = Peer(1001);
const API: Peer = Peer(1002);
const HOST: Peer = Peer(1);
const SUBJECT: SubjectId = SubjectId(7);

/// Peers web, api and host; the endpoint is api's.
pub(crate) fn shop() -> Snapshot {
    let mut snapshot = Snapshot::new(Settings::default());
    snapshot.apply(Change::Peer(WEB, facts(pod("web"))));
    snapshot.apply(Change::Peer(API, facts(pod("api"))));
    snapshot.apply(Change::Peer(HOST, facts(labels(&["reserved:host"]))));
    snapshot.apply(Change::Subject(
        SUBJECT,
        SubjectFacts {
            labels: pod("api"),
            ..SubjectFacts::default()
        },
    ));
    snapshot
}

fn ingress(snapshot: &Snapshot) -> PolicyRows {
    let key = snapshot.policy_of(SUBJECT, Direction::Ingress).unwrap();
    snapshot.row(key, None).unwrap()
}

fn allow_web() -> Value {
    cnp(
        "allow-web",
        &json!({
            "endpointSelector":{"matchLabels":{"app":"api"}},
            "ingress":[{"fromEndpoints":[{"matchLabels":{"app":"web"}}],"toPorts":[{"ports":[{"port":"80","protocol":"TCP"}]}]}],
        }),
    )
}

#[test]
fn without_a_policy_nothing_is_enforced() {
    let rows = ingress(&shop());
    assert_eq!(rows.enforcing, Enforcing::No);
    assert_eq!(rows.look_up(WEB, Protocol::TCP, 80).verdict, Verdict::Allow);
}

#[test]
fn an_allowed_port_passes_and_the_rest_is_denied_with_the_policy_that_says_so() {
    let mut snapshot = shop();
    let touched = add(&mut snapshot, &allow_web());
    assert!(touched.subjects.contains(&SUBJECT));
    let rows = ingress(&snapshot);
    assert_eq!(rows.enforcing, Enforcing::Yes);
    let allowed = rows.look_up(WEB, Protocol::TCP, 80);
    assert_eq!(
        (allowed.verdict, allowed.matched),
        (Verdict::Allow, MatchType::PeerAndPort)
    );
    let origin = snapshot.rule_ids().get(allowed.rule).unwrap().to_string();
    assert_eq!(origin, "CiliumNetworkPolicy shop/allow-web spec.ingress[0]");
    for (peer, protocol, port) in [
        (WEB, Protocol::TCP, 81),
        (WEB, Protocol::UDP, 80),
        (API, Protocol::TCP, 80),
    ] {
        let denied = rows.look_up(peer, protocol, port);
        assert_eq!(denied.verdict, Verdict::DefaultDeny);
        let origin = snapshot.rule_ids().get(denied.rule).unwrap().to_string();
        assert_eq!(
            origin,
            "default deny for ingress, because of CiliumNetworkPolicy shop/allow-web"
        );
    }
    let host = rows.look_up(HOST, Protocol::TCP, 80);
    assert_eq!(
        (host.verdict, host.rule),
        (Verdict::Allow, RuleId::LOCALHOST)
    );
}

#[test]
fn a_new_peer_costs_one_row() {
    let mut snapshot = shop();
    add(&mut snapshot, &allow_web());
    let mut rows = ingress(&snapshot);
    let (peers, ports) = (rows.peers.len(), rows.ports.clone());
    let mut web = pod("web").to_texts();
    web.push("k8s:team=a".to_owned());
    let web: LabelSet = LabelSet::parse(web.iter().map(String::as_str)).unwrap();
    let touched = snapshot.apply(Change::Peer(Peer(1003), facts(web)));
    let extent = &touched.policies[&rows.key];
    assert_eq!(snapshot.refresh(&mut rows, extent), Refreshed::Changed);
    assert_eq!(rows.peers.len(), peers + 1);
    assert_eq!(rows.ports, ports);
    let none = snapshot.apply(Change::Peer(Peer(1004), facts(pod("other"))));
    let extent = &none.policies[&rows.key];
    assert_eq!(snapshot.refresh(&mut rows, extent), Refreshed::Same);
}

#[test]
fn what_most_pods_are_to_a_policy_costs_no_rows() {
    let mut snapshot = shop();
    add(&mut snapshot, &allow_web());
    let all = 5000;
    for peer in 0..all {
        let app = if peer % 100 == 0 { "other" } else { "web" };
        snapshot.apply(Change::Peer(Peer(10_000 + peer), facts(pod(app))));
    }
    let mut rows = ingress(&snapshot);
    assert!(rows.peers.len() < 80, "{} rows", rows.peers.len());
    let verdict = |rows: &PolicyRows, peer| rows.look_up(Peer(peer), Protocol::TCP, 80).verdict;
    assert_eq!(verdict(&rows, 10_001), Verdict::Allow);
    assert_eq!(verdict(&rows, 10_100), Verdict::DefaultDeny);
    // Peers that nobody told of are not most pods.
    for peer in (0..Peer::FIXED).filter(|peer| *peer != HOST.0) {
        assert_ne!(verdict(&rows, peer), Verdict::Allow, "{peer}");
    }
    // When most are others, others have rows.
    for peer in 0..all {
        let touched = snapshot.apply(Change::Peer(Peer(10_000 + peer), facts(pod("other"))));
        if let Some(extent) = touched.policies.get(&rows.key) {
            snapshot.refresh(&mut rows, extent);
        }
    }
    assert!(rows.peers.len() < 80, "{} rows", rows.peers.len());
    assert_eq!(verdict(&rows, 10_001), Verdict::DefaultDeny);
    assert_eq!(ingress(&snapshot).peers, rows.peers);
}
