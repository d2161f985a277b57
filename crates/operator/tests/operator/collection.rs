//! Collection: what nobody uses goes, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use operator::collect::identities::HEARTBEAT;
use serde_json::{Value, json};

use crate::cluster::{self, NODES, Operator, add_node, names};
use crate::stores::{Store, until};

const IDENTITIES: &str = "/apis/cilium.io/v2/ciliumidentities";
pub(crate) const SLICES: &str = "/apis/cilium.io/v2alpha1/ciliumendpointslices";
pub(crate) const ENDPOINTS: &str = "/apis/cilium.io/v2/namespaces/default/ciliumendpoints";
const PODS: &str = "/api/v1/namespaces/default/pods";

const ALIVE: &str = "cilium_operator_identity_gc_entries{identity_type=\"crd\",status=\"alive\"} ";
const FAILED: &str = "cilium_operator_identity_gc_runs{identity_type=\"crd\",outcome=\"fail\"} ";

/// The value of a series on the metrics page.
async fn number_of(address: &str, series: &str) -> Option<u64> {
    let (_, text) = cluster::http(address, "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.map(|value| value.parse().unwrap())
}

pub(crate) async fn add_endpoint(store: &Store, name: &str, identity: u64, owner: &str) {
    let endpoint = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint",
        "metadata": { "name": name, "namespace": "default",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": owner }] },
        "status": { "identity": { "id": identity }, "networking": { "node": "172.30.0.1", "addressing": [] } },
    });
    store.send(Method::POST, ENDPOINTS, Some(&endpoint)).await;
}

/// The uid of a new pod.
pub(crate) async fn add_pod(store: &Store, name: &str, phase: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c" }] },
    });
    let mut pod = store.send(Method::POST, PODS, Some(&pod)).await;
    pod["status"]["phase"] = json!(phase);
    let path = format!("{PODS}/{name}/status");
    store.send(Method::PUT, &path, Some(&pod)).await;
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identities_go_when_no_endpoint_and_no_slice_has_them_for_their_time() {
    let store = Store::start(10, 31).await;
    for number in 1000..1030_u64 {
        let identity = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumIdentity", "metadata": { "name": number.to_string() },
            "security-labels": { "k8s:app": number.to_string() },
        });
        store.send(Method::POST, IDENTITIES, Some(&identity)).await;
    }
    for number in 1000..1010 {
        let name = format!("pod{number}");
        let uid = add_pod(&store, &name, "Running").await;
        add_endpoint(&store, &name, number, &uid).await;
    }
    let sliced = (1010..1020).map(
        |id| json!({ "name": format!("s{id}"), "id": id, "networking": { "addressing": [] } }),
    );
    let slice = json!({
        "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumEndpointSlice", "metadata": { "name": "ces-1" },
        "namespace": "default", "endpoints": sliced.collect::<Vec<_>>(),
    });
    store.send(Method::POST, SLICES, Some(&slice)).await;
    let pairs = &[
        ("identity-gc-interval", "300ms"),
        ("identity-heartbeat-timeout", "1s"),
        ("cilium-endpoint-gc-interval", "0"),
    ];
    let address = cluster::free_address();
    let mut all = pairs.to_vec();
    all.push(("operator-api-serve-addr", &address));
    let operator = Operator::start(&store.url, "one", &all);
    let used: BTreeSet<String> = (1000..1020).map(|number| number.to_string()).collect();
    until("unused identities to go", || async {
        (names(&store, IDENTITIES).await == used).then_some(())
    })
    .await;
    // Somebody marked one that is used: an operator that was cut off, say.
    let path = format!("{IDENTITIES}/1003");
    until("a mark", || async {
        let mut identity = store.get(&path).await;
        identity["metadata"]["annotations"] = json!({ HEARTBEAT: "2020-01-01T00:00:00Z" });
        store
            .direct
            .raw(Method::PUT, &path, Some(&identity))
            .await
            .ok()
    })
    .await;
    until("no mark", || async {
        let identity = store.get(&path).await;
        identity["metadata"]["annotations"]
            .get(HEARTBEAT)
            .is_none()
            .then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(names(&store, IDENTITIES).await, used);
    until("twenty in the metrics", || async {
        (number_of(&address, ALIVE).await == Some(20)).then_some(())
    })
    .await;
    for number in 1000..1003 {
        store
            .send(Method::DELETE, &format!("{ENDPOINTS}/pod{number}"), None)
            .await;
    }
    let used: BTreeSet<String> = (1003..1020).map(|number| number.to_string()).collect();
    until("three more to go", || async {
        (names(&store, IDENTITIES).await == used).then_some(())
    })
    .await;
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_cannot_see_all_leaves_the_figures_of_the_last_one_that_could() {
    let store = Store::start(0, 31).await;
    for number in 1000..1003_u64 {
        let identity = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumIdentity", "metadata": { "name": number.to_string() },
            "security-labels": { "k8s:app": number.to_string() },
        });
        store.send(Method::POST, IDENTITIES, Some(&identity)).await;
    }
    let address = cluster::free_address();
    let pairs = &[
        ("identity-gc-interval", "100ms"),
        ("operator-api-serve-addr", address.as_str()),
    ];
    let operator = Operator::start(&store.url, "one", pairs);
    until("a leader", || cluster::holder(&store)).await;
    until("three in the metrics", || async {
        (number_of(&address, ALIVE).await? == 3).then_some(())
    })
    .await;
    // Which of the identities it uses, nobody can tell.
    let unreadable = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint",
        "metadata": { "name": "unreadable", "namespace": "default" },
        "status": { "identity": { "id": "not a number" } },
    });
    store.send(Method::POST, ENDPOINTS, Some(&unreadable)).await;
    until("two failures", || async {
        assert_eq!(number_of(&address, ALIVE).await, Some(3));
        (number_of(&address, FAILED).await? >= 2).then_some(())
    })
    .await;
    let path = format!("{IDENTITIES}/1000");
    store.send(Method::DELETE, &path, None).await;
    let path = format!("{ENDPOINTS}/unreadable");
    store.send(Method::DELETE, &path, None).await;
    until("two in the metrics", || async {
        (number_of(&address, ALIVE).await? == 2).then_some(())
    })
    .await;
    operator.stop().await.unwrap();
}

/// What an operator finds that was away for a day: it must not trust what it knows of before, and knows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_waits_the_whole_time_before_it_removes_what_is_marked() {
    let store = Store::start(0, 31).await;
    let identity = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumIdentity", "security-labels": { "k8s:app": "a" },
        "metadata": { "name": "1000", "annotations": { HEARTBEAT: "2020-01-01T00:00:00Z" } },
    });
    store.send(Method::POST, IDENTITIES, Some(&identity)).await;
    let pairs = &[
        ("identity-gc-interval", "100ms"),
        ("identity-heartbeat-timeout", "2s"),
    ];
    let begun = tokio::time::Instant::now();
    let operator = Operator::start(&store.url, "one", pairs);
    until("the identity to go", || async {
        names(&store, IDENTITIES).await.is_empty().then_some(())
    })
    .await;
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    operator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_go_with_their_pod_and_at_the_start() {
    let store = Store::start(10, 37).await;
    for (name, phase) in [
        ("runs", "Running"),
        ("waits", "Pending"),
        ("done", "Succeeded"),
        ("failed", "Failed"),
    ] {
        let uid = add_pod(&store, name, phase).await;
        add_endpoint(&store, name, 1000, &uid).await;
    }
    add_pod(&store, "anew", "Running").await;
    add_endpoint(&store, "anew", 1000, "uid-of-a-former-pod").await;
    add_endpoint(&store, "gone", 1000, "uid").await;
    let once = Operator::start(&store.url, "one", &[("cilium-endpoint-gc-interval", "0")]);
    let stay = set(&["runs", "waits"]);
    until("four to go", || async {
        (names(&store, ENDPOINTS).await == stay).then_some(())
    })
    .await;
    store
        .send(Method::DELETE, &format!("{PODS}/runs"), None)
        .await;
    add_endpoint(&store, "late", 1000, "uid").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&store, ENDPOINTS).await.len(), 3, "once is once");
    once.stop().await.unwrap();
    let again = Operator::start(
        &store.url,
        "two",
        &[("cilium-endpoint-gc-interval", "200ms")],
    );
    let stay = set(&["waits"]);
    until("two more to go", || async {
        (names(&store, ENDPOINTS).await == stay).then_some(())
    })
    .await;
    again.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ciliumnode_goes_when_its_node_stays_away() {
    let store = Store::start(10, 41).await;
    let node =
        |name: &str| json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
    for name in ["stays", "restarts"] {
        store
            .send(Method::POST, "/api/v1/nodes", Some(&node(name)))
            .await;
    }
    for name in ["stays", "restarts", "gone"] {
        add_node(&store, name, &[]).await;
    }
    let kept = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "spec": {},
        "metadata": { "name": "kept", "annotations": { "cilium.io/do-not-gc": "true" } },
    });
    store.send(Method::POST, NODES, Some(&kept)).await;
    let operator = Operator::start(&store.url, "one", &[("nodes-gc-interval", "3s")]);
    let uid = async || store.get(&format!("{NODES}/restarts")).await["metadata"]["uid"].clone();
    let before: Value = uid().await;
    // Once: two absences could be what two rounds see of it, and pass for one.
    store
        .send(Method::DELETE, "/api/v1/nodes/restarts", None)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    store
        .send(Method::POST, "/api/v1/nodes", Some(&node("restarts")))
        .await;
    let stay = set(&["kept", "restarts", "stays"]);
    until("one to go", || async {
        (names(&store, NODES).await == stay).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(names(&store, NODES).await, stay);
    assert_eq!(uid().await, before);
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}
