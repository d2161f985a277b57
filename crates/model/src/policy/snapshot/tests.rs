//! Snapshots over time: what is kept up to date equals what is made anew, and what is not touched does not differ.

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::cidr::{CidrSelector, Cover, Reach};
use crate::policy::resolve::{AllowLocalhost, Enforcement};
use crate::policy::tests::{add, cnp, labels, pod, shop};
use crate::policy::{Fit, ParseOptions, PortVerdict, Verdict, parse_cidr_group, parse_policy};

fn parsed(object: &Value) -> Arc<PolicyObject> {
    Arc::new(parse_policy(object, &ParseOptions::default()).unwrap())
}

fn selector(app: u8) -> Value {
    match app {
        0 => json!({}),
        1 => json!({"matchLabels":{"app":"web"}}),
        2 => json!({"matchLabels":{"app":"api"}}),
        _ => json!({"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]}),
    }
}

/// A policy out of four small numbers.
fn object(name: u8, subject: u8, peers: u8, ports: u8) -> Value {
    let peers = match peers {
        0 => json!({"fromEndpoints":[selector(1), selector(2)]}),
        1 => json!({"fromEndpoints":[selector(3)]}),
        2 => json!({"fromCIDRSet":[{"cidrGroupRef":"g"}]}),
        3 => json!({"fromEntities":["world"]}),
        4 => json!({"fromCIDR":["10.0.0.0/8"]}),
        _ => json!({}),
    };
    let mut entry = peers;
    match ports {
        0 => entry["toPorts"] = json!([{"ports":[{"port":"80","endPort":90,"protocol":"TCP"}]}]),
        1 => entry["toPorts"] = json!([{"ports":[{"port":"http"}]}]),
        _ => {}
    }
    let mut out = json!({});
    for (from, value) in entry.as_object().unwrap() {
        out[from.replace("from", "to").replace("totoPorts", "toPorts")] = value.clone();
    }
    let mut spec = json!({"endpointSelector":selector(subject),"ingress":[entry],"egress":[out]});
    if ports == 3 {
        spec["ingressDeny"] = json!([{"fromEndpoints":[selector(2)]}]);
    }
    if ports == 4 {
        spec["enableDefaultDeny"] = json!({"ingress":false,"egress":false});
    }
    cnp(&format!("p{name}"), &spec)
}

fn group(members: u8) -> Arc<CidrGroup> {
    let all = ["10.0.0.0/8", "192.168.0.0/16"];
    let members = &all[..usize::from(members)];
    Arc::new(
        parse_cidr_group(&json!({"metadata":{"name":"g"},"spec":{"externalCIDRs":members}}))
            .unwrap(),
    )
}

fn peer_facts(kind: u8) -> PeerFacts {
    let mut facts = PeerFacts {
        labels: pod(["web", "api", "db"][usize::from(kind % 3)]),
        ..PeerFacts::default()
    };
    if kind >= 3 {
        facts
            .named_ports
            .insert("http", Protocol::TCP, 8000 + u16::from(kind));
    }
    if kind >= 6 {
        facts.labels = labels(&["reserved:world"]);
        facts.cover = [CidrSelector::new(
            "10.0.0.0/8".parse().unwrap(),
            [],
            Reach::World,
        )]
        .into_iter()
        .collect::<Cover>();
    }
    facts
}

fn subject_facts(kind: u8) -> SubjectFacts {
    let mut facts = SubjectFacts {
        labels: pod(["web", "api"][usize::from(kind % 2)]),
        ..SubjectFacts::default()
    };
    if kind >= 2 {
        facts.named_ports.insert("http", Protocol::TCP, 8080);
        facts.audit = if kind >= 3 { Audit::On } else { Audit::Off };
    }
    facts
}

fn settings(kind: u8) -> Settings {
    let enforcement = [
        Enforcement::Default,
        Enforcement::Always,
        Enforcement::Never,
    ][usize::from(kind % 3)];
    let allow_localhost = if kind > 3 {
        AllowLocalhost::Policy
    } else {
        AllowLocalhost::Always
    };
    Settings {
        enforcement,
        allow_localhost,
        row_quota: if kind == 5 { 12 } else { 10_000 },
        ..Settings::default()
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0u8..4, 0u8..4, 0u8..6, 0u8..5)
            .prop_map(|(name, subject, peers, ports)| Change::Object(parsed(&object(name, subject, peers, ports)))),
        2 => (0u8..4).prop_map(|name| Change::ObjectGone(parsed(&object(name, 0, 0, 0)).key.clone())),
        1 => (0u8..3).prop_map(|members| Change::Group(group(members))),
        1 => Just(Change::GroupGone("g".into())),
        5 => (0u32..6, 0u8..7).prop_map(|(peer, kind)| Change::Peer(Peer(1000 + peer), peer_facts(kind))),
        2 => (0u32..6).prop_map(|peer| Change::PeerGone(Peer(1000 + peer))),
        1 => Just(Change::Peer(Peer(0x0100_0001), peer_facts(6))),
        1 => Just(Change::Peer(Peer(1), PeerFacts { labels: labels(&["reserved:host"]), ..PeerFacts::default() })),
        3 => (0u64..3, 0u8..4).prop_map(|(id, kind)| Change::Subject(SubjectId(id), subject_facts(kind))),
        1 => (0u64..3).prop_map(|id| Change::SubjectGone(SubjectId(id))),
        1 => (0u8..6).prop_map(|kind| Change::Settings(settings(kind))),
    ]
}

/// Rows without what may differ, which are numbers and which class is the default of pods: per peer that the data plane may ask for
/// its ports, with rules by what they stand for.
fn canonical(rows: &PolicyRows, snapshot: &Snapshot) -> String {
    let mut text = format!("{:?} {:?}\n", rows.enforcing, rows.audit);
    let known = snapshot.peers().map(|(peer, _)| peer);
    let untold = (0..Peer::FIXED).chain([0x01ff_ffff, 0x02ff_ffff]).map(Peer);
    let peers: BTreeSet<Peer> = known.chain(untold).collect();
    assert!(rows.peers.keys().all(|peer| peers.contains(peer)));
    for peer in peers {
        let class = rows.class(peer);
        writeln!(text, "{peer:?}").unwrap();
        for (key, verdict) in rows.ports.iter().filter(|(key, _)| key.class == class) {
            let origin = snapshot
                .rule_ids()
                .get(verdict.rule)
                .map(ToString::to_string);
            writeln!(
                text,
                "  {:?}/{}/{} {:?} {origin:?}",
                key.protocol, key.port, key.prefix_len, verdict.verdict
            )
            .unwrap();
        }
    }
    text
}

/// Rows kept up to date by what changes touch, as an agent does.
#[derive(Default)]
struct Kept(BTreeMap<PolicyKey, PolicyRows>);

impl Kept {
    fn follow(&mut self, snapshot: &Snapshot, touched: &Touched) {
        for (key, extent) in &touched.policies {
            match (self.0.get_mut(key), extent) {
                (_, Extent::Gone) => {
                    self.0.remove(key);
                }
                (Some(rows), extent) => {
                    assert_ne!(snapshot.refresh(rows, extent), Refreshed::Gone);
                }
                (None, _) => {
                    self.0.insert(key.clone(), snapshot.row(key, None).unwrap());
                }
            }
        }
    }
}

/// The inputs as they are now, in a snapshot that never saw another state.
fn anew(snapshot: &Snapshot) -> Snapshot {
    let mut new = Snapshot::new(snapshot.settings().clone());
    for (id, facts) in snapshot.subjects() {
        new.apply(Change::Subject(id, facts.clone()));
    }
    for (peer, facts) in snapshot.peers() {
        new.apply(Change::Peer(peer, facts.clone()));
    }
    for object in snapshot.objects() {
        new.apply(Change::Object(object.clone()));
    }
    for group in snapshot.groups.values() {
        new.apply(Change::Group(group.clone()));
    }
    new
}

fn agrees(snapshot: &Snapshot, kept: &Kept) -> Result<(), TestCaseError> {
    let keys: BTreeSet<&PolicyKey> = snapshot.policies().collect();
    prop_assert_eq!(&kept.0.keys().collect::<BTreeSet<_>>(), &keys);
    let anew = anew(snapshot);
    for (id, _) in snapshot.subjects() {
        for direction in Direction::BOTH {
            let kept = &kept.0[snapshot.policy_of(id, direction).unwrap()];
            let fresh = anew
                .row(anew.policy_of(id, direction).unwrap(), None)
                .unwrap();
            // Which class is the default may decide whether the rows fit.
            if (kept.fit == Fit::Whole) == (fresh.fit == Fit::Whole) {
                prop_assert_eq!(canonical(kept, snapshot), canonical(&fresh, &anew));
            } else {
                prop_assert!(snapshot.settings().row_quota < 100);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_kept_up_to_date_equals_what_is_made_anew(changes in prop::collection::vec(change(), 1..25)) {
        let mut snapshot = Snapshot::new(Settings::default());
        let mut kept = Kept::default();
        for change in changes {
            let foretold = snapshot.touched(&change);
            let touched = snapshot.apply(change);
            prop_assert_eq!(&foretold, &touched);
            kept.follow(&snapshot, &touched);
            agrees(&snapshot, &kept)?;
        }
    }

    #[test]
    fn changes_taken_in_together_equal_changes_taken_in_one_by_one(changes in prop::collection::vec(change(), 1..25)) {
        let mut snapshot = Snapshot::new(Settings::default());
        let mut kept = Kept::default();
        for round in changes.chunks(5) {
            let mut touched = Touched::default();
            for change in round {
                touched.merge(snapshot.apply(change.clone()));
            }
            kept.follow(&snapshot, &touched);
            agrees(&snapshot, &kept)?;
        }
    }

    #[test]
    fn a_clone_does_not_follow(changes in prop::collection::vec(change(), 1..10), last in change()) {
        let mut snapshot = Snapshot::new(Settings::default());
        for change in changes {
            snapshot.apply(change);
        }
        let before = snapshot.clone();
        let texts = |snapshot: &Snapshot| -> Vec<String> {
            snapshot.policies().map(|key| canonical(&snapshot.row(key, None).unwrap(), snapshot)).collect()
        };
        let said = texts(&before);
        snapshot.apply(last);
        prop_assert_eq!(texts(&before), said);
    }
}

fn ingress_verdict(snapshot: &Snapshot, peer: Peer, port: u16) -> PortVerdict {
    let key = snapshot
        .policy_of(SubjectId(7), Direction::Ingress)
        .unwrap();
    snapshot
        .row(key, None)
        .unwrap()
        .look_up(peer, Protocol::TCP, port)
}

fn from_entity(entity: &str) -> Value {
    json!({"endpointSelector":{},"ingress":[{"fromEntities":[entity]}]})
}

#[test]
fn a_rule_keeps_its_id_over_edits_and_a_retired_id_waits_for_its_release() {
    let mut snapshot = shop();
    add(&mut snapshot, &cnp("p", &from_entity("all")));
    let first = ingress_verdict(&snapshot, Peer(1001), 80).rule;
    let key = snapshot
        .policy_of(SubjectId(7), Direction::Ingress)
        .unwrap()
        .clone();
    let touched = add(
        &mut snapshot,
        &cnp(
            "p",
            &json!({"endpointSelector":{},"ingress":[{"fromEndpoints":[{}]}]}),
        ),
    );
    assert_eq!(
        touched.policies.get(&key),
        Some(&Extent::Whole),
        "same policy, other rows"
    );
    assert_eq!(ingress_verdict(&snapshot, Peer(1001), 80).rule, first);
    let gone = parsed(&cnp("p", &from_entity("all"))).key.clone();
    let touched = snapshot.apply(Change::ObjectGone(gone));
    assert!(touched.rules.contains(&first));
    assert!(
        snapshot
            .rule_ids()
            .get(first)
            .unwrap()
            .to_string()
            .ends_with("shop/p spec.ingress[0]")
    );
    add(&mut snapshot, &cnp("q", &from_entity("all")));
    assert_ne!(
        ingress_verdict(&snapshot, Peer(1001), 80).rule,
        first,
        "still held"
    );
    snapshot.rule_ids_mut().release(first);
    assert!(snapshot.rule_ids().get(first).is_none());
    let active = ingress_verdict(&snapshot, Peer(1001), 80).rule;
    snapshot.rule_ids_mut().release(active);
    assert!(
        snapshot.rule_ids().get(active).is_some(),
        "an active id cannot be released"
    );
}

#[test]
fn ids_found_in_the_kernel_are_not_given_to_other_rules() {
    let mut snapshot = shop();
    snapshot
        .rule_ids_mut()
        .hold([RuleId(16), RuleId(18), RuleId(3)]);
    add(&mut snapshot, &cnp("p", &from_entity("all")));
    let given = ingress_verdict(&snapshot, Peer(1001), 80).rule;
    assert!(![16, 18, 3].contains(&given.0), "{given:?}");
}

#[test]
fn a_group_that_empties_selects_nobody_and_one_that_fills_selects_its_members() {
    let mut snapshot = shop();
    let rule = json!({"endpointSelector":{"matchLabels":{"app":"api"}},"ingress":[{"fromCIDRSet":[{"cidrGroupRef":"g"}]}]});
    add(&mut snapshot, &cnp("p", &rule));
    snapshot.apply(Change::Peer(Peer(0x0100_0001), peer_facts(6)));
    let verdict = |snapshot: &Snapshot| ingress_verdict(snapshot, Peer(0x0100_0001), 80).verdict;
    assert_eq!(verdict(&snapshot), Verdict::DefaultDeny, "no such group");
    let touched = snapshot.apply(Change::Group(group(1)));
    assert_eq!(
        (verdict(&snapshot), touched.cidrs.is_empty()),
        (Verdict::Allow, false)
    );
    snapshot.apply(Change::Group(group(0)));
    assert_eq!(verdict(&snapshot), Verdict::DefaultDeny, "an empty group");
}

#[test]
fn endpoints_with_the_same_rules_share_a_policy_and_other_named_ports_part_them() {
    let mut snapshot = shop();
    let rule = json!({"endpointSelector":{},"ingress":[{"toPorts":[{"ports":[{"port":"http"}]}]}]});
    add(&mut snapshot, &cnp("p", &rule));
    snapshot.apply(Change::Subject(
        SubjectId(1),
        SubjectFacts {
            labels: pod("db"),
            ..SubjectFacts::default()
        },
    ));
    let key = |id| {
        snapshot
            .policy_of(SubjectId(id), Direction::Ingress)
            .unwrap()
            .clone()
    };
    assert_eq!(key(1), key(7));
    let mut named = SubjectFacts {
        labels: pod("db"),
        ..SubjectFacts::default()
    };
    named.named_ports.insert("http", Protocol::TCP, 8080);
    snapshot.apply(Change::Subject(SubjectId(1), named));
    let key = |id| {
        snapshot
            .policy_of(SubjectId(id), Direction::Ingress)
            .unwrap()
            .clone()
    };
    assert_ne!(key(1), key(7));
    let rows = snapshot.row(&key(1), None).unwrap();
    assert_eq!(
        rows.look_up(Peer(1001), Protocol::TCP, 8080).verdict,
        Verdict::Allow
    );
    assert_eq!(
        rows.look_up(Peer(1001), Protocol::TCP, 8081).verdict,
        Verdict::DefaultDeny
    );
}

#[test]
fn audit_of_one_endpoint_is_a_policy_of_its_own_and_only_where_something_is_enforced() {
    let mut snapshot = shop();
    let audited = SubjectFacts {
        labels: pod("api"),
        audit: Audit::On,
        ..SubjectFacts::default()
    };
    snapshot.apply(Change::Subject(SubjectId(1), audited));
    assert_eq!(
        snapshot.policy_of(SubjectId(1), Direction::Ingress),
        snapshot.policy_of(SubjectId(7), Direction::Ingress)
    );
    add(&mut snapshot, &cnp("p", &from_entity("host")));
    let key = snapshot
        .policy_of(SubjectId(1), Direction::Ingress)
        .unwrap();
    assert_eq!(key.audit, Audit::On);
    assert_eq!(
        snapshot
            .policy_of(SubjectId(7), Direction::Ingress)
            .unwrap()
            .audit,
        Audit::Off
    );
}

#[test]
fn a_node_selector_never_selects_a_pod_that_copies_the_nodes_labels() {
    let mut snapshot = shop();
    let object = json!({"kind":"CiliumClusterwideNetworkPolicy","metadata":{"name":"host"},
        "spec":{"nodeSelector":{"matchLabels":{"app":"api"}},"ingress":[{}]}});
    add(&mut snapshot, &object);
    let host = SubjectFacts {
        labels: labels(&["reserved:host", "k8s:app=api"]),
        ..SubjectFacts::default()
    };
    snapshot.apply(Change::Subject(SubjectId(1), host));
    let enforced = |id| {
        let key = snapshot
            .policy_of(SubjectId(id), Direction::Ingress)
            .unwrap();
        key.default != DefaultVerdict::Allow
    };
    assert!(enforced(1) && !enforced(7));
}
