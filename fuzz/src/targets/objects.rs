//! Kubernetes and cilium.io objects: read as their kind, policies compiled, and what is compiled says what is explained.

use std::sync::Arc;

use api::cilium::{
    CiliumCIDRGroup, CiliumClusterwideNetworkPolicy, CiliumEndpoint, CiliumIdentity,
    CiliumNetworkPolicy, CiliumNode,
};
use api::kubernetes::{
    EndpointSlice, Lease, Namespace, NetworkPolicy, Node, Pod, Service, ServiceAccount,
};
use model::identity::{from_security_labels, to_security_labels};
use model::labels::{Label, LabelSet};
use model::policy::{
    Change, Direction, Enforcing, Governed, NamedPorts, ParseOptions, Party, Peer, PeerFacts,
    Protocol, Settings, Snapshot, SubjectFacts, SubjectId, parse_cidr_group, parse_policy,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Shape, Target};

pub(super) const TARGET: Target = Target {
    name: "objects",
    shape: Shape::Json,
    seeds,
    run,
};

/// One object, or a list of them that are in force together.
fn run(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let objects = match value {
        Value::Array(items) => items,
        object => vec![object],
    };
    let mut snapshot = Snapshot::new(Settings::default());
    for object in objects.iter().take(8) {
        typed(object);
        if let Ok(group) = parse_cidr_group(object) {
            snapshot.apply(Change::Group(Arc::new(group)));
        }
        match parse_policy(object, &ParseOptions::default()) {
            Ok(policy) => drop(snapshot.apply(Change::Object(Arc::new(policy)))),
            Err(error) => assert!(!error.path.is_empty() && !error.problem.is_empty()),
        }
    }
    compile(snapshot);
}

/// What is read as its kind and written again reads as the same.
fn typed(object: &Value) {
    match object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "CiliumCIDRGroup" => again::<CiliumCIDRGroup>(object),
        "CiliumClusterwideNetworkPolicy" => again::<CiliumClusterwideNetworkPolicy>(object),
        "CiliumEndpoint" => again::<CiliumEndpoint>(object),
        "CiliumIdentity" => identity(object),
        "CiliumNetworkPolicy" => again::<CiliumNetworkPolicy>(object),
        "CiliumNode" => again::<CiliumNode>(object),
        "EndpointSlice" => again::<EndpointSlice>(object),
        "Lease" => again::<Lease>(object),
        "Namespace" => again::<Namespace>(object),
        "NetworkPolicy" => again::<NetworkPolicy>(object),
        "Node" => again::<Node>(object),
        "Pod" => again::<Pod>(object),
        "Service" => again::<Service>(object),
        "ServiceAccount" => again::<ServiceAccount>(object),
        _ => {}
    }
}

fn again<T: DeserializeOwned + Serialize>(object: &Value) {
    let Ok(first) = serde_json::from_value::<T>(object.clone()) else {
        return;
    };
    let written = serde_json::to_value(&first).expect("what was read can be written");
    let second: T = serde_json::from_value(written.clone()).expect("what was written can be read");
    let rewritten = serde_json::to_value(&second).expect("and written");
    assert_eq!(written, rewritten);
}

fn identity(object: &Value) {
    again::<CiliumIdentity>(object);
    let Ok(identity) = serde_json::from_value::<CiliumIdentity>(object.clone()) else {
        return;
    };
    if let Ok(labels) = from_security_labels(&identity.security_labels) {
        let back = from_security_labels(&to_security_labels(&labels));
        assert_eq!(back.as_ref(), Ok(&labels));
    }
}

fn pod(namespace: &str, app: &str) -> LabelSet {
    [
        Label::k8s("app", app),
        Label::k8s("io.kubernetes.pod.namespace", namespace),
        Label::k8s("io.cilium.k8s.policy.cluster", "default"),
    ]
    .into_iter()
    .collect()
}

fn compile(mut snapshot: Snapshot) {
    let mut named_ports = NamedPorts::default();
    named_ports.insert("http", Protocol::TCP, 8080);
    let facts = |labels| PeerFacts {
        labels,
        named_ports: named_ports.clone(),
        ..PeerFacts::default()
    };
    let peers = [
        (Peer(0x100), facts(pod("shop", "api"))),
        (Peer(0x101), facts(pod("other", "web"))),
        (
            Peer(2),
            facts([Label::reserved("world")].into_iter().collect()),
        ),
    ];
    for (peer, facts) in &peers {
        snapshot.apply(Change::Peer(*peer, facts.clone()));
    }
    let labels = pod("shop", "store");
    let subject = SubjectFacts {
        labels: labels.clone(),
        named_ports: named_ports.clone(),
        ..SubjectFacts::default()
    };
    snapshot.apply(Change::Subject(SubjectId(1), subject));
    for direction in [Direction::Ingress, Direction::Egress] {
        for (peer, facts) in &peers {
            agree(
                &snapshot,
                direction,
                *peer,
                facts,
                &self::facts(&labels, &named_ports),
            );
        }
    }
}

fn facts(labels: &LabelSet, named_ports: &NamedPorts) -> PeerFacts {
    PeerFacts {
        labels: labels.clone(),
        named_ports: named_ports.clone(),
        ..PeerFacts::default()
    }
}

/// The rows that the data plane looks up, and the explanation, which does not use them, come to the same verdict.
fn agree(
    snapshot: &Snapshot,
    direction: Direction,
    peer: Peer,
    facts: &PeerFacts,
    own: &PeerFacts,
) {
    let Some(key) = snapshot.policy_of(SubjectId(1), direction) else {
        return;
    };
    let rows = snapshot.row(key, None).expect("a policy in use has rows");
    if rows.enforcing == Enforcing::No {
        return;
    }
    let party = |name: &str, facts: &PeerFacts, governed| Party {
        name: name.into(),
        facts: facts.clone(),
        governed,
    };
    let (subject, other) = (
        party("own", own, Governed::Yes),
        party("other", facts, Governed::No),
    );
    for (protocol, port) in [
        (Protocol::TCP, 80),
        (Protocol::TCP, 8080),
        (Protocol::UDP, 53),
        (Protocol::SCTP, 80),
        (Protocol::ICMP, Protocol::icmp_port(8)),
        (Protocol(47), 0),
    ] {
        let found = rows.look_up(peer, protocol, port).verdict;
        let explanation = match direction {
            Direction::Ingress => snapshot.explain(&other, &subject, protocol, port).ingress,
            Direction::Egress => snapshot.explain(&subject, &other, protocol, port).egress,
        };
        let Some(reason) = explanation else { continue };
        assert!(!reason.to_string().is_empty());
        assert_eq!(
            found, reason.verdict,
            "{direction:?} {peer:?} {protocol} {port}: {reason}"
        );
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let text = include_str!("objects/seeds.jsonl");
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.as_bytes().to_vec()).collect()
}
