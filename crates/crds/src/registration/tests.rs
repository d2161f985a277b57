use api::kubernetes::CustomResourceDefinition;
use serde_json::json;

use super::{Registration, WhyLeft, registration};
use crate::{SCHEMA_VERSION, SCHEMA_VERSION_LABEL, definitions};

fn wanted() -> CustomResourceDefinition {
    definitions().remove(0)
}

/// The definition as an older or newer operator left it, and a cluster's administrator after it.
fn found(label: Option<&str>) -> CustomResourceDefinition {
    let mut labels = json!({"team": "network"});
    if let Some(label) = label {
        labels[SCHEMA_VERSION_LABEL] = json!(label);
    }
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "ciliumnetworkpolicies.cilium.io", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": labels, "annotations": {"note": "kept"}, "finalizers": ["customresourcecleanup.apiextensions.k8s.io"],
        },
        "spec": {"group": "cilium.io", "versions": [], "conversion": {"strategy": "Webhook", "webhook": {"x": 1}}, "old": true},
        "status": {"storedVersions": ["v2"]},
    }))
    .unwrap()
}

#[test]
fn what_is_not_there_is_created_as_it_is_wanted() {
    assert_eq!(registration(wanted(), None), Registration::Create(wanted()));
}

#[test]
fn an_older_definition_is_replaced_and_keeps_what_is_not_ours() {
    for label in [None, Some("1.32.5"), Some("0.9.9"), Some("1.32.6-rc.1")] {
        let found = found(label);
        let Registration::Replace(new) = registration(wanted(), Some(&found)) else {
            panic!("{label:?}");
        };
        assert_eq!(new.metadata.labels[SCHEMA_VERSION_LABEL], SCHEMA_VERSION);
        let mut expected = found.clone();
        expected.spec = wanted().spec;
        expected.spec["conversion"] = found.spec["conversion"].clone();
        let version = (SCHEMA_VERSION_LABEL.to_owned(), SCHEMA_VERSION.to_owned());
        expected.metadata.labels.extend([version]);
        assert_eq!(new, expected, "{label:?}");
        assert_eq!(new.metadata.resource_version, "7");
        assert_eq!(new.metadata.labels["team"], "network");
    }
}

#[test]
fn a_definition_without_conversion_gets_none() {
    let mut found = found(None);
    found.spec.as_object_mut().unwrap().remove("conversion");
    let Registration::Replace(new) = registration(wanted(), Some(&found)) else {
        panic!("not replaced");
    };
    assert_eq!(new.spec, wanted().spec);
}

#[test]
fn what_is_newer_equal_or_unreadable_is_never_touched() {
    for (label, why) in [
        (SCHEMA_VERSION, WhyLeft::Same),
        ("1.32.7", WhyLeft::Newer("1.32.7".parse().unwrap())),
        ("1.32.10", WhyLeft::Newer("1.32.10".parse().unwrap())),
        (
            "2.0.0-alpha",
            WhyLeft::Newer("2.0.0-alpha".parse().unwrap()),
        ),
        ("", WhyLeft::Unreadable(String::new())),
        ("latest", WhyLeft::Unreadable("latest".to_owned())),
        ("1.32", WhyLeft::Unreadable("1.32".to_owned())),
    ] {
        assert_eq!(
            registration(wanted(), Some(&found(Some(label)))),
            Registration::Leave(why),
            "{label}"
        );
    }
}

#[test]
fn what_was_written_by_us_is_left_the_next_time() {
    let Registration::Replace(new) = registration(wanted(), Some(&found(None))) else {
        panic!("not replaced");
    };
    assert_eq!(
        registration(wanted(), Some(&new)),
        Registration::Leave(WhyLeft::Same)
    );
}
