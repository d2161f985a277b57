//! The condition `InForce`: from leases of nodes and policies, with failing requests.

use axum::http::Method;
use model::in_force::{DIGEST, Digest, NAMESPACE, Version};
use serde_json::{Value, json};

use crate::cluster::{Operator, add_node};
use crate::stores::{Store, until};

const POLICIES: &str = "/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies";
const CLUSTERWIDE: &str = "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies";

fn leases() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")
}

fn version(object: &Value) -> Version {
    let metadata = &object["metadata"];
    let generation = metadata["generation"].as_i64().expect("a generation");
    Version::new(metadata["uid"].as_str().expect("a uid"), generation)
}

async fn post(store: &Store, path: &str, object: &Value) -> Value {
    store.send(Method::POST, path, Some(object)).await;
    let name = object["metadata"]["name"].as_str().expect("a name");
    store.get(&format!("{path}/{name}")).await
}

/// As an agent does.
async fn tell(store: &Store, node: &str, versions: &[Version]) {
    let digest: Digest = versions.iter().copied().collect();
    let renewed = format!(
        "2026-01-01T00:00:00.{:06}Z",
        rand::random::<u32>() % 1_000_000
    );
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": node, "namespace": NAMESPACE, "annotations": { DIGEST: digest.to_text() } },
        "spec": { "holderIdentity": node, "leaseDurationSeconds": 300, "renewTime": renewed },
    });
    let path = format!("{}/{node}", leases());
    if store.direct.raw(Method::GET, &path, None).await.is_ok() {
        let merged = store.direct.raw_merge(&path, &lease).await;
        merged.expect("told");
    } else {
        store.send(Method::POST, &leases(), Some(&lease)).await;
    }
}

async fn until_said(store: &Store, path: &str, status: &str, message: &str) {
    until(&format!("{path}: {status}, {message}"), || async {
        let object = store.get(path).await;
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let of = conditions.iter().find(|of| of["type"] == "InForce")?;
        (of["status"] == status && of["message"] == message).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_says_on_which_nodes_it_is_in_force() {
    let store = Store::start(10, 7).await;
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let path = "/api/v1/namespaces";
    store.send(Method::POST, path, Some(&namespace)).await;
    for node in ["n1", "n2"] {
        add_node(&store, node, &[]).await;
    }
    let spec = |port: u16| json!({ "endpointSelector": {}, "ingress": [{ "toPorts": [{ "ports": [{ "port": port.to_string() }] }] }] });
    let policy = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "name": "p", "namespace": "default" }, "spec": spec(80),
    });
    let first = post(&store, POLICIES, &policy).await;
    let policy = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": { "name": "all" }, "spec": spec(80),
        "status": { "conditions": [{ "type": "Valid", "status": "True" }] },
    });
    let all = post(&store, CLUSTERWIDE, &policy).await;
    let operator = Operator::start(&store.url, "one", &[]);
    let (first, all) = (version(&first), version(&all));
    tell(&store, "n1", &[first, all]).await;
    tell(&store, "n2", &[first, all]).await;
    let (p, clusterwide) = (format!("{POLICIES}/p"), format!("{CLUSTERWIDE}/all"));
    let everywhere = "generation 1 is in force on all nodes";
    until_said(&store, &p, "True", everywhere).await;
    until_said(&store, &clusterwide, "True", everywhere).await;
    let mut changed = store.get(&p).await;
    changed["spec"] = spec(81);
    store.send(Method::PUT, &p, Some(&changed)).await;
    let second = version(&store.get(&p).await);
    assert_ne!(first, second);
    tell(&store, "n1", &[second, all]).await;
    let half = "generation 2 is in force on 1 of 2 nodes; not on n2";
    until_said(&store, &p, "False", half).await;
    until_said(&store, &clusterwide, "True", everywhere).await;
    tell(&store, "n2", &[second, all]).await;
    until_said(&store, &p, "True", "generation 2 is in force on all nodes").await;
    let object = store.get(&p).await;
    let conditions = object["status"]["conditions"].as_array().cloned();
    let conditions = conditions.unwrap_or_default();
    let of = conditions.iter().find(|of| of["type"] == "InForce");
    assert_eq!(
        of.map(|of| of["observedGeneration"].clone()),
        Some(2.into())
    );
    // Nobody goes on writing.
    let before = store.get(POLICIES).await["items"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(store.get(POLICIES).await["items"], before);
    store.assert_that_requests_failed();
    operator.stop().await.expect("it was told to stop");
}
