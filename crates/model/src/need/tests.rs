use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::{
    Change, Kind, NamedPorts, ParseOptions, Peer, PeerFacts, Protocol, Settings, Snapshot,
    SubjectFacts, SubjectId, Verdict, parse_policy,
};

const KEYS: [&str; 5] = [
    "app",
    "tier",
    "zone",
    "io.cilium.k8s.policy.serviceaccount",
    "io.cilium.k8s.namespace.labels.env",
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pod {
    labels: LabelSet,
    /// Number of its port `http`.
    http: Option<u16>,
}

/// Values of all keys, 0 for none.
fn pod(namespace: u8, values: [u8; 5], http: u8) -> Pod {
    let mut labels = vec![
        format!("k8s:{NAMESPACE}=ns{namespace}"),
        format!("k8s:{CLUSTER}=default"),
    ];
    for (key, value) in KEYS.iter().zip(values).filter(|(_, value)| *value > 0) {
        labels.push(format!("k8s:{key}=v{value}"));
    }
    // Equal pods have equal ports, as those of one workload.
    let sum: u16 = values.iter().map(|value| u16::from(*value)).sum();
    Pod {
        labels: LabelSet::parse(labels.iter().map(String::as_str)).unwrap(),
        http: (http > 0).then_some(80 + sum % 3),
    }
}

fn any_pod() -> impl Strategy<Value = Pod> {
    (0..2_u8, prop::array::uniform5(0..3_u8)).prop_map(|(namespace, values)| {
        let http = values[0] + values[1];
        pod(namespace, values, http % 2)
    })
}

fn expression() -> impl Strategy<Value = Value> {
    (0..5_usize, 0..4_u8, 1..3_u8, any::<bool>()).prop_map(|(key, operator, value, sourced)| {
        let key = if sourced {
            format!("k8s:{}", KEYS[key])
        } else {
            KEYS[key].to_owned()
        };
        let values = [format!("v{value}")];
        match operator {
            0 => json!({"key": key, "operator": "In", "values": values}),
            1 => json!({"key": key, "operator": "NotIn", "values": values}),
            2 => json!({"key": key, "operator": "Exists"}),
            _ => json!({"key": key, "operator": "DoesNotExist"}),
        }
    })
}

fn selector() -> impl Strategy<Value = Value> {
    prop::collection::vec(expression(), 0..3).prop_map(|of| json!({"matchExpressions": of}))
}

/// A policy of a namespace or of the cluster.
fn any_policy() -> impl Strategy<Value = PolicyObject> {
    (selector(), selector(), 0..4_u8, 0..3_u8, any::<bool>()).prop_map(
        |(subject, peer, section, ports, clusterwide)| {
            let (name, peers) = [
                ("ingress", "fromEndpoints"),
                ("ingressDeny", "fromEndpoints"),
                ("egress", "toEndpoints"),
                ("egressDeny", "toEndpoints"),
            ][usize::from(section)];
            let mut rule = json!({ peers: [peer] });
            match ports {
                0 => {}
                1 => rule["toPorts"] = json!([{"ports": [{"port": "81", "protocol": "TCP"}]}]),
                _ => rule["toPorts"] = json!([{"ports": [{"port": "http", "protocol": "TCP"}]}]),
            }
            let (kind, metadata) = if clusterwide {
                ("CiliumClusterwideNetworkPolicy", json!({"name": "p"}))
            } else {
                (
                    "CiliumNetworkPolicy",
                    json!({"name": "p", "namespace": "ns0"}),
                )
            };
            let spec = json!({"endpointSelector": subject, name: [rule]});
            let object = json!({"kind": kind, "metadata": metadata, "spec": spec});
            parse_policy(&object, &ParseOptions::default()).unwrap()
        },
    )
}

/// Verdicts of all pairs of pods and three ports, where identities are the different ones of `labels`.
fn verdicts(policies: &[PolicyObject], pods: &[Pod], labels: &[LabelSet]) -> Vec<[Verdict; 2]> {
    let mut snapshot = Snapshot::new(Settings::default());
    for (at, policy) in policies.iter().enumerate() {
        let mut policy = policy.clone();
        policy.key.name = format!("p{at}").into();
        snapshot.apply(Change::Object(Arc::new(policy)));
    }
    let ports = |pods: &mut dyn Iterator<Item = &Pod>| {
        let mut named = NamedPorts::default();
        for number in pods.filter_map(|pod| pod.http) {
            named.insert("http", Protocol::TCP, number);
        }
        named
    };
    let number = |of: &LabelSet| {
        let first = labels.iter().position(|labels| labels == of).unwrap();
        Peer(1000 + first as u32)
    };
    for (at, of) in labels.iter().enumerate() {
        let same = labels.iter().zip(pods).filter(|(labels, _)| *labels == of);
        let facts = PeerFacts {
            labels: of.clone(),
            named_ports: ports(&mut same.map(|(_, pod)| pod)),
            ..PeerFacts::default()
        };
        snapshot.apply(Change::Peer(number(of), facts));
        let facts = SubjectFacts {
            labels: of.clone(),
            named_ports: ports(&mut pods.get(at).into_iter()),
            ..SubjectFacts::default()
        };
        snapshot.apply(Change::Subject(SubjectId(at as u64), facts));
    }
    let rows = |subject: usize, direction| {
        let key = snapshot.policy_of(SubjectId(subject as u64), direction);
        snapshot.row(key.unwrap(), None).unwrap()
    };
    let mut all = Vec::new();
    for from in 0..pods.len() {
        let egress = rows(from, Direction::Egress);
        for to in 0..pods.len() {
            let ingress = rows(to, Direction::Ingress);
            for port in 80..83 {
                let out = egress.look_up(number(&labels[to]), Protocol::TCP, port);
                let into = ingress.look_up(number(&labels[from]), Protocol::TCP, port);
                all.push([out.verdict, into.verdict]);
            }
        }
    }
    all
}

fn identities(pods: &[Pod], used: &InUse) -> Vec<LabelSet> {
    pods.iter().map(|pod| used.apply(&pod.labels)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn verdicts_by_need_are_those_with_all_labels(
        pods in prop::collection::vec(any_pod(), 1..7),
        policies in prop::collection::vec(any_policy(), 0..5),
        others in prop::collection::vec(any_policy(), 0..2),
    ) {
        let all: Vec<LabelSet> = pods.iter().map(|pod| pod.labels.clone()).collect();
        let expected = verdicts(&policies, &pods, &all);
        let used: InUse = policies.iter().flat_map(used_by).collect();
        prop_assert_eq!(&expected, &verdicts(&policies, &pods, &identities(&pods, &used)));
        // While a further policy comes all pods have finer identities, or some of them.
        let more: InUse = policies.iter().chain(&others).flat_map(used_by).collect();
        let finer = identities(&pods, &more);
        prop_assert_eq!(&expected, &verdicts(&policies, &pods, &finer));
        let mut mixed = identities(&pods, &used);
        for (at, labels) in finer.into_iter().enumerate().filter(|(at, _)| at % 2 == 0) {
            mixed[at] = labels;
        }
        prop_assert_eq!(&expected, &verdicts(&policies, &pods, &mixed));
    }
}

#[test]
fn a_pod_without_a_port_of_a_name_that_is_used_is_told_from_one_that_has_it() {
    let with = pod(0, [1, 0, 0, 0, 2], 1);
    let without = pod(0, [1, 1, 0, 0, 2], 0);
    let used = [
        Used::Label(SelectorKey::k8s("app")),
        Used::Label(SelectorKey::k8s(KEYS[4])),
        Used::Port("http".into()),
    ];
    let labels = identities(&[with, without], &used.into_iter().collect());
    assert_ne!(labels[0], labels[1]);
}

#[test]
fn without_policies_a_namespace_is_one_identity() {
    let pods = [pod(0, [1, 1, 2, 1, 1], 1), pod(0, [2, 0, 0, 2, 1], 0)];
    let labels = identities(&pods, &InUse::default());
    assert_eq!(labels[0], labels[1]);
    assert_eq!(
        labels[0].to_texts(),
        [
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.kubernetes.pod.namespace=ns0"
        ]
    );
}

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        kind: Kind::CiliumNetworkPolicy,
        namespace: "ns0".into(),
        name: name.into(),
    }
}

fn label(of: &str) -> Used {
    Used::Label(SelectorKey::k8s(of))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_a_new_policy_uses_is_part_of_identities_at_once_and_of_policies_after_its_time() {
    let mut need = Need::new(Times::default(), [label("app")].into_iter().collect());
    let used: BTreeSet<Used> = [label("app"), label("tier")].into();
    need.note(&key("p"), Some(used.clone()), seconds(0));
    assert!(need.wanted().covers(&used));
    for (at, moved) in [(1, true), (14, true), (15, false), (59, false)] {
        need.advance(seconds(at), moved, &BTreeSet::new());
        assert!(!need.ready().covers(&used), "{at} s");
    }
    let mut stuck = need.clone();
    need.advance(seconds(59), true, &BTreeSet::new());
    assert!(need.ready().covers(&used));
    assert!(!need.waits());
    // Endpoints that cannot move do not keep a policy out for ever.
    stuck.advance(seconds(60), false, &BTreeSet::new());
    assert!(stuck.ready().covers(&used));
}

#[test]
fn what_nobody_uses_any_more_goes_after_a_grace_time_and_comes_back_at_once_before() {
    let mut need = Need::new(Times::default(), InUse::default());
    let tier: BTreeSet<Used> = [label("tier")].into();
    need.note(&key("p"), Some(tier.clone()), seconds(0));
    need.begin();
    assert!(need.ready().covers(&tier));
    need.note(&key("p"), Some(BTreeSet::new()), seconds(1));
    // The version before is still in force.
    need.advance(seconds(1), true, &tier);
    assert!(!need.waits());
    need.advance(seconds(2), true, &BTreeSet::new());
    need.advance(seconds(601), true, &BTreeSet::new());
    assert!(need.ready().covers(&tier));
    need.note(&key("q"), Some(tier.clone()), seconds(601));
    assert!(!need.waits());
    need.note(&key("q"), None, seconds(602));
    need.advance(seconds(602), true, &BTreeSet::new());
    need.advance(seconds(1201), true, &BTreeSet::new());
    assert!(need.ready().covers(&tier));
    need.advance(seconds(1202), true, &BTreeSet::new());
    assert_eq!(need.wanted(), InUse::default());
    // A policy that goes before its time leaves nothing behind.
    need.note(&key("p"), Some(tier.clone()), seconds(2000));
    need.note(&key("p"), None, seconds(2001));
    need.advance(seconds(2001), true, &BTreeSet::new());
    need.advance(seconds(2601), true, &BTreeSet::new());
    assert!(!need.waits());
    assert_eq!(need.wanted(), InUse::default());
}
