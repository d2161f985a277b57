use serde_json::json;

use super::Selector;
use crate::store::Key;

fn matches(labels: &str, fields: &str) -> bool {
    let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}, "spec": {"nodeName": "n1"}}).to_string();
    let key = Key::new("pods".into(), "shop", "web-1");
    Selector::parse(labels, fields)
        .unwrap()
        .matches(&key, object.as_bytes())
}

#[test]
fn label_selectors_match_as_kubernetes_writes_them() {
    for (selector, expected) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=front", true),
        ("app=api", false),
        ("app!=api", true),
        ("zone!=a", true),
        ("app in (api, web)", true),
        ("app in (api)", false),
        ("app notin (api),tier", true),
        ("zone notin (a)", true),
        ("tier,app", true),
        ("!zone", true),
        ("!app", false),
        ("zone", false),
    ] {
        assert_eq!(matches(selector, ""), expected, "{selector}");
    }
}

#[test]
fn field_selectors_match_name_namespace_and_node() {
    for (selector, expected) in [
        ("metadata.name=web-1", true),
        ("metadata.name=web-2", false),
        ("metadata.namespace==shop,spec.nodeName=n1", true),
        ("spec.nodeName!=n1", false),
        ("spec.nodeName=", false),
    ] {
        assert_eq!(matches("", selector), expected, "{selector}");
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for selector in [
        "app in web",
        "app in (web",
        "=x",
        "a b=c",
        "app near (web)",
        "a > 3",
    ] {
        assert_eq!(
            Selector::parse(selector, "").unwrap_err().code(),
            400,
            "{selector}"
        );
    }
    let error = Selector::parse("", "status.phase=Running").unwrap_err();
    assert!(error.to_string().contains("status.phase"), "{error}");
}
