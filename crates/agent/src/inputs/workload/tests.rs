use serde_json::json;

use super::*;

fn of(owners: &serde_json::Value, labels: &serde_json::Value) -> Option<(String, String)> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "x-1", "generateName": "x-", "ownerReferences": owners, "labels": labels },
    }))
    .unwrap();
    workload(&pod).map(|of| (of.kind.to_string(), of.name.to_string()))
}

#[test]
fn a_pod_belongs_to_what_stands_behind_its_controller() {
    let hash = json!({ "pod-template-hash": "5d9c7" });
    for (kind, name, labels, expected) in [
        (
            "ReplicaSet",
            "web-5d9c7",
            hash.clone(),
            ("Deployment", "web"),
        ),
        ("ReplicaSet", "web-x", hash.clone(), ("ReplicaSet", "web-x")),
        (
            "ReplicaSet",
            "web-5d9c7",
            json!({}),
            ("ReplicaSet", "web-5d9c7"),
        ),
        ("StatefulSet", "db", hash, ("StatefulSet", "db")),
        ("DaemonSet", "log", json!({}), ("DaemonSet", "log")),
        ("Job", "backup-28457310", json!({}), ("CronJob", "backup")),
        ("Job", "backup-1700000000", json!({}), ("CronJob", "backup")),
        ("Job", "backup-2", json!({}), ("Job", "backup-2")),
        (
            "Job",
            "backup-2845731x",
            json!({}),
            ("Job", "backup-2845731x"),
        ),
        (
            "ReplicationController",
            "web-1",
            json!({ "deploymentconfig": "web" }),
            ("DeploymentConfig", "web"),
        ),
        (
            "ReplicationController",
            "web-1",
            json!({}),
            ("ReplicationController", "web-1"),
        ),
    ] {
        let owners = json!([
            { "apiVersion": "x/v1", "kind": "Other", "name": "other", "uid": "1" },
            { "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "2", "controller": true },
        ]);
        let (kind, name) = expected;
        assert_eq!(
            of(&owners, &labels),
            Some((kind.to_owned(), name.to_owned()))
        );
    }
}

#[test]
fn a_pod_without_a_controller_or_a_generated_name_belongs_to_nothing() {
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "1", "controller": true }]);
    assert_eq!(of(&json!([]), &json!({})), None);
    assert_eq!(
        of(
            &json!([{ "apiVersion": "v1", "kind": "A", "name": "b", "uid": "1" }]),
            &json!({})
        ),
        None
    );
    let mirrored: Pod =
        serde_json::from_value(json!({ "metadata": { "name": "p", "ownerReferences": owner } }))
            .unwrap();
    assert_eq!(workload(&mirrored), None);
}
