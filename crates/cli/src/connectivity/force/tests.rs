use serde_json::json;

use super::*;

fn endpoint(pod: &str, revision: i64) -> Value {
    json!({ "status": { "state": "ready", "external-identifiers": { "pod-name": pod },
        "policy": { "realized": { "policy-revision": revision } } } })
}

fn policy(revision: i64, names: &[&str]) -> Value {
    let all: Vec<Value> = names
        .iter()
        .map(|name| json!({ "policy": format!("NetworkPolicy t/{name}") }))
        .collect();
    json!({ "revision": revision, "policy": serde_json::to_string_pretty(&all).unwrap() })
}

fn keys(names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("NetworkPolicy t/{name}"))
        .collect()
}

fn check(policy: &Value, endpoints: &Value, there: &[&str], gone: &[&str]) -> String {
    lack("t", policy, endpoints, &keys(there), &keys(gone)).unwrap_or_default()
}

#[test]
fn a_policy_is_in_force_when_it_is_known_and_every_endpoint_of_the_lab_has_its_revision() {
    let endpoints = json!([endpoint("t/client", 5), endpoint("other/slow", 1)]);
    assert_eq!(check(&policy(5, &["a"]), &endpoints, &["a"], &["b"]), "");
    let late = json!([endpoint("t/client", 4)]);
    assert_eq!(
        check(&policy(5, &["a"]), &late, &["a"], &[]),
        "t/client is ready, at revision 4 of 5"
    );
}

#[test]
fn the_name_of_another_policy_is_not_taken_for_it() {
    let endpoints = json!([]);
    let known = policy(5, &["echo-ingress-knp"]);
    assert_eq!(
        check(&known, &endpoints, &["echo-ingress"], &[]),
        "NetworkPolicy t/echo-ingress is not known"
    );
    assert_eq!(check(&known, &endpoints, &[], &["echo-ingress"]), "");
}

#[test]
fn a_policy_that_was_removed_must_be_gone() {
    let known = policy(5, &["a"]);
    assert_eq!(
        check(&known, &json!([]), &[], &["a"]),
        "NetworkPolicy t/a is still there"
    );
    // Unless it was created again.
    assert_eq!(check(&known, &json!([]), &["a"], &["a"]), "");
}
