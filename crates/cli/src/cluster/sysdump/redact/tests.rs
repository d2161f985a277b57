use serde_json::json;

use super::*;

const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nCANARY\n-----END EC PRIVATE KEY-----";

#[test]
fn every_shape_of_a_secret_is_taken_out_and_what_is_around_it_stays() {
    for (before, after) in [
        (format!("before\n{KEY}\nafter"), "before\n<redacted>\nafter"),
        (
            "-----BEGIN PRIVATE KEY-----\\nCANARY".to_owned(),
            "<redacted>",
        ),
        (
            "at eyJhbGciOiJSUzI1NiJ9.CANARY.CANARY end".to_owned(),
            "at <redacted> end",
        ),
        (
            "Authorization: Bearer CANARY-1234 end".to_owned(),
            "Authorization: Bearer <redacted> end",
        ),
        ("basic Q0FOQVJZ0000==".to_owned(), "basic <redacted>"),
        (
            "to https://user:CANARY@host/path".to_owned(),
            "to https://<redacted>@host/path",
        ),
        (
            "password=CANARY, user=me".to_owned(),
            "password=<redacted>, user=me",
        ),
        (
            "{\"etcd_password\": \"CANARY\", \"a\": 1}".to_owned(),
            "{\"etcd_password\": \"<redacted>\", \"a\": 1}",
        ),
        (
            "{\\\"token\\\":\\\"CANARY\\\"}".to_owned(),
            "{\\\"token\\\":\\\"<redacted>\\\"}",
        ),
        (
            "--api-key=CANARY --x".to_owned(),
            "--api-key=<redacted> --x",
        ),
        (
            "{\"key\":\"Cookie\",\"value\":\"session=CANARY; \\\"more\\\"\"}".to_owned(),
            "{\"key\":\"Cookie\",\"value\":\"<redacted>\"}",
        ),
    ] {
        assert_eq!(text(&before), after, "{before}");
    }
}

#[test]
fn names_of_secrets_and_switches_stay() {
    for same in [
        "secretName: hubble-server-certs",
        "\"policy-secrets-namespace\": \"cilium-secrets\"",
        "\"automountServiceAccountToken\": false",
        "tokenFile=/var/run/token",
        "verdict: POLICY_DENIED",
    ] {
        assert_eq!(text(same), same);
    }
}

#[test]
fn an_object_loses_values_of_environments_what_was_applied_last_and_what_is_secret() {
    let mut pod = json!({ "kind": "Pod", "metadata": { "managedFields": [1], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "CANARY", "note": "kept" } },
        "spec": { "containers": [{ "name": "a", "env": [{ "name": "X", "value": "CANARY" },
            { "name": "Y", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }] }] } });
    prune(&mut pod);
    assert_eq!(
        pod,
        json!({ "kind": "Pod", "metadata": { "annotations": { "note": "kept" } },
        "spec": { "containers": [{ "name": "a", "env": [{ "name": "X", "value": "<redacted>" },
            { "name": "Y", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }] }] } })
    );
    let mut secret =
        json!({ "kind": "Secret", "data": { "a": "CANARY" }, "stringData": { "b": "CANARY" } });
    prune(&mut secret);
    assert!(!secret.to_string().contains("CANARY"), "{secret}");
    let mut other = json!({ "spec": { "auth": { "clientSecret": "CANARY", "secretRef": { "name": "kept" } } } });
    prune(&mut other);
    assert_eq!(
        other,
        json!({ "spec": { "auth": { "clientSecret": "<redacted>", "secretRef": { "name": "kept" } } } })
    );
}
