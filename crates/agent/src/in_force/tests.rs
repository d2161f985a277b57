use std::collections::BTreeMap;

use model::endpoint::EndpointId;
use model::labels::LabelSet;
use model::policy::{
    Change, Invalid, Kind, ParseOptions, PolicyObject, SubjectFacts, parse_policy,
};
use reconcile::{Table, TableWriter};

use super::*;
use crate::inputs::PolicyRow;
use crate::last_good::{Good, Judged};

struct Node {
    inputs: Inputs,
    rows: TableWriter<ObjectKey, PolicyRow>,
    view: View,
}

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        kind: Kind::CiliumNetworkPolicy,
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn object(name: &str, port: u16) -> Arc<PolicyObject> {
    let object = json!({
        "kind": "CiliumNetworkPolicy", "metadata": { "name": name, "namespace": "shop", "uid": name },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": name } },
            "ingress": [{ "toPorts": [{ "ports": [{ "port": port.to_string() }] }] }],
        },
    });
    Arc::new(parse_policy(&object, &ParseOptions::default()).unwrap())
}

impl Node {
    fn new() -> Self {
        let (rows, table) = Table::new("ciliumnetworkpolicies", &["store"]);
        let inputs = Inputs {
            cilium_policies: table,
            ..Inputs::nothing()
        };
        let view = View {
            waiting_for: Vec::new(),
            ..View::default()
        };
        Self { inputs, rows, view }
    }

    /// The store has it.
    fn store(&mut self, name: &str, generation: i64, port: u16, fault: Option<Invalid>) {
        let good = Good {
            object: object(name, port),
            uid: name.into(),
            generation,
            text: "".into(),
        };
        let judged = Judged {
            fault,
            good: Some(good),
        };
        let stated = None;
        self.rows.set(key(name), PolicyRow { judged, stated });
    }

    /// The engine has taken it in, and committed.
    fn commit(&mut self, name: &str, port: u16) {
        self.view.policy.apply(Change::Object(object(name, port)));
    }

    fn told(&self, before: &Told) -> Told {
        told(&self.inputs, &self.view, before)
    }
}

fn versions(all: &[(&str, i64)]) -> BTreeSet<Version> {
    let all = all.iter();
    all.map(|(uid, generation)| Version::new(uid, *generation))
        .collect()
}

#[test]
fn what_the_store_has_is_told_once_it_is_committed() {
    let mut node = Node::new();
    node.store("a", 3, 80, None);
    assert_eq!(node.told(&Told::default()).versions, versions(&[]));
    node.commit("a", 80);
    assert_eq!(node.told(&Told::default()).versions, versions(&[("a", 3)]));
    node.store("a", 4, 81, None);
    assert_eq!(node.told(&Told::default()).versions, versions(&[]));
    node.commit("a", 81);
    assert_eq!(node.told(&Told::default()).versions, versions(&[("a", 4)]));
    // Another text that says the same changes nothing for the engine, which need not commit.
    node.store("a", 5, 81, None);
    assert_eq!(node.told(&Told::default()).versions, versions(&[("a", 5)]));
    let fault = parse_policy(&json!({}), &ParseOptions::default()).unwrap_err();
    node.store("a", 5, 81, Some(fault));
    assert_eq!(node.told(&Told::default()).versions, versions(&[("a", 5)]));
    node.rows.remove(&key("a"));
    assert_eq!(node.told(&Told::default()).versions, versions(&[]));
}

#[test]
fn while_entries_are_refused_nothing_more_is_told_and_policies_without_room_are_not() {
    let mut node = Node::new();
    for name in ["a", "b", "c"] {
        node.store(name, 1, 80, None);
    }
    node.commit("a", 80);
    node.commit("b", 80);
    let before = node.told(&Told::default());
    assert_eq!(before.versions, versions(&[("a", 1), ("b", 1)]));
    assert_eq!(before.reason, "");
    node.commit("c", 80);
    let labels = ["k8s:app=b", "k8s:io.kubernetes.pod.namespace=shop"];
    let facts = SubjectFacts {
        labels: LabelSet::parse(labels).unwrap(),
        ..SubjectFacts::default()
    };
    let subject = SubjectId(7);
    node.view.policy.apply(Change::Subject(subject, facts));
    node.view.refused = BTreeMap::from([(EndpointId(7), "no room".to_owned())]);
    node.view.error = Some("1 entries refused".to_owned());
    let now = node.told(&before);
    assert_eq!(now.versions, versions(&[("a", 1)]));
    assert_eq!(now.reason, "1 entries refused");
    node.view.refused.clear();
    node.view.error = None;
    let healed = node.told(&now).versions;
    assert_eq!(healed, versions(&[("a", 1), ("b", 1), ("c", 1)]));
}

#[test]
fn a_lease_that_is_made_says_what_one_that_is_changed_does() {
    let told = Told {
        versions: versions(&[("a", 1)]),
        reason: "why".to_owned(),
    };
    let made = lease(&told, "n1", "uid");
    let made = serde_json::to_value(made).unwrap();
    let changed = patch(&told, "n1");
    assert_eq!(
        made["metadata"]["annotations"],
        changed["metadata"]["annotations"]
    );
    assert_eq!(made["spec"]["leaseDurationSeconds"], 300);
    assert_eq!(changed["spec"]["holderIdentity"], "n1");
    assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "uid");
    let well = patch(&Told::default(), "n1");
    assert_eq!(well["metadata"]["annotations"][REASON], Value::Null);
}
