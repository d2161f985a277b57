//! CRDs in a cluster: registered, raised, and never taken back.

use std::collections::BTreeMap;

use api::kubernetes::CustomResourceDefinition;
use axum::http::Method;
use crds::{Registration, SCHEMA_VERSION, SCHEMA_VERSION_LABEL, WhyLeft};
use serde_json::{Value, json};
use store::{Client, Error};

use crate::stores::Store;

const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// What was done, by name.
async fn register(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let mut done = BTreeMap::new();
    for wanted in crds::definitions() {
        let name = wanted.metadata.name.clone();
        let found = match client.get::<CustomResourceDefinition>(None, &name).await {
            Err(error) if error.is_not_found() => None,
            result => Some(result?),
        };
        let what = match crds::registration(wanted, found.as_ref()) {
            Registration::Create(new) => client.create(&new).await.map(|_| "created".to_owned())?,
            Registration::Replace(new) => {
                client.replace(&new).await.map(|_| "replaced".to_owned())?
            }
            Registration::Leave(why) => why.to_string(),
        };
        done.insert(name, what);
    }
    Ok(done)
}

async fn label(store: &Store, name: &str, version: &Value) {
    let patch = json!({"metadata": {"labels": {SCHEMA_VERSION_LABEL: version, "team": "network"}}});
    store
        .direct
        .merge::<CustomResourceDefinition>(None, name, None, &patch)
        .await
        .expect("a label");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crds_are_created_once_raised_when_older_and_left_when_newer() {
    let store = Store::start(0, 1).await;
    let all = register(&store.direct).await.expect("all are created");
    assert_eq!(all.len(), 21);
    assert!(all.values().all(|what| what == "created"), "{all:?}");
    let same = WhyLeft::Same.to_string();
    let again = register(&store.direct).await.expect("all are left");
    assert!(again.values().all(|what| *what == same), "{again:?}");

    let (old, new) = ("ciliumnodes.cilium.io", "ciliumidentities.cilium.io");
    let node = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": "n"}, "spec": {}});
    let nodes = "/apis/cilium.io/v2/ciliumnodes";
    store.send(Method::POST, nodes, Some(&node)).await;
    label(&store, old, &json!("1.2.3")).await;
    label(&store, new, &json!("99.0.0")).await;
    let before = store.get(&format!("{PATH}/{old}")).await;
    let done = register(&store.direct).await.expect("one is raised");
    assert_eq!(done[old], "replaced");
    assert_eq!(done[new], "the schema is newer: 99.0.0");
    assert_eq!(done.values().filter(|what| **what == same).count(), 19);
    let after = store.get(&format!("{PATH}/{old}")).await;
    assert_eq!(
        after["metadata"]["labels"],
        json!({SCHEMA_VERSION_LABEL: SCHEMA_VERSION, "team": "network"})
    );
    for kept in [
        "/metadata/uid",
        "/spec",
        "/status/acceptedNames",
        "/status/storedVersions",
    ] {
        assert_eq!(after.pointer(kept), before.pointer(kept), "{kept}");
    }
    assert_eq!(
        store.get(nodes).await["items"].as_array().map(Vec::len),
        Some(1)
    );
    let again = register(&store.direct)
        .await
        .expect("nothing is left to do");
    assert_eq!(again.values().filter(|what| **what == same).count(), 20);
}
