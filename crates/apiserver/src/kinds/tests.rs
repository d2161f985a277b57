use serde_json::json;

use super::{Registry, Scope, StatusResource, check_definition};

fn definition() -> serde_json::Value {
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false},
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                 "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]},
                {"name": "v1alpha1", "served": false, "storage": false}
            ]
        }
    })
}

#[test]
fn a_definition_adds_its_served_versions_the_stable_first() {
    let object = definition();
    check_definition(&object).unwrap();
    let registry = Registry::new([&object]);
    let kind = registry.find("example.com", "v1beta1", "widgets").unwrap();
    assert_eq!(kind.scope, Scope::Namespaced);
    assert_eq!(kind.versions[0].name, "v1");
    assert_eq!(kind.versions[0].status, StatusResource::Separate);
    assert_eq!(kind.versions[1].status, StatusResource::Inline);
    assert!(
        registry
            .find("example.com", "v1alpha1", "widgets")
            .is_none()
    );
    assert_eq!(registry.groups()["cilium.io"], ["v2", "v2alpha1"]);
}

#[test]
fn a_faulty_definition_is_refused_with_the_field() {
    for (pointer, value, field) in [
        ("/spec/scope", json!("Galaxy"), "spec.scope"),
        ("/metadata/name", json!("other"), "metadata.name"),
        ("/spec/group", json!(""), "spec.group"),
        ("/spec/names/kind", json!(7), "spec.names.kind"),
        ("/spec/versions", json!([]), "spec.versions"),
        ("/spec/versions/0/storage", json!(true), "spec.versions"),
        (
            "/spec/versions/0/name",
            json!(null),
            "spec.versions[0].name",
        ),
    ] {
        let mut object = definition();
        *object.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            check_definition(&object).unwrap_err().field,
            field,
            "{pointer}"
        );
    }
}
