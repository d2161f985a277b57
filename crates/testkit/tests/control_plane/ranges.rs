//! Ranges that the operator gives: the agent announces itself, waits, takes what is given, and never writes it again.

use std::time::Duration;

use agent::announce::{self, Origin};
use agent::config::{Config, Given};
use agent::own_node::own_addressing;
use axum::http::Method;
use reconcile::TaskGroup;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::follow;
use crate::stores::{Store, client, until};

const NODES: &str = "/apis/cilium.io/v2/ciliumnodes";
const NODE: &str = "/apis/cilium.io/v2/ciliumnodes/n1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_cluster_pool_an_agent_announces_itself_and_takes_the_range_that_it_is_given() {
    let store = Store::start(10, 17).await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" },
        // The controller manager's range is not the operator's.
        "spec": { "podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "172.30.0.11" }] },
    });
    store.send(Method::POST, "/api/v1/nodes", Some(&node)).await;
    let given = Given::from_pairs([("k8s-node-name", "n1"), ("ipam", "cluster-pool")]);
    let config = Config::new(&given).expect("a configuration");
    let asking = tokio::spawn({
        let (client, config) = (client(&store.url).await, config.clone());
        async move { own_addressing(&client, &config, &CancellationToken::new()).await }
    });
    let announced = until("the announced node", || async {
        let list = store.get(NODES).await;
        list.pointer("/items/0").cloned()
    })
    .await;
    assert_eq!(announced["spec"]["addresses"][0]["ip"], "172.30.0.11");
    assert_eq!(announced.pointer("/spec/ipam/podCIDRs"), None);
    let range = json!({ "spec": { "ipam": { "podCIDRs": ["10.0.3.0/24"] } } });
    give(&store, &range).await;
    let own = asking.await.expect("no panic").expect("the addressing");
    let (addressing, uid) = (own.addressing, own.uid);
    assert_eq!(addressing.pods_ipv4, "10.0.3.0/24".parse().ok());

    let tasks = TaskGroup::new();
    let state = tempfile::tempdir().expect("a folder");
    let inputs = follow(&store, &tasks, state.path()).await;
    let object = announce::node_object(&config, &addressing, &uid);
    let (own, table) = (client(&store.url).await, inputs.announced_nodes.clone());
    let (_told, health) = tokio::sync::watch::channel(None);
    tasks.spawn("node", move |stop| {
        announce::keep_node(own, object, Origin::Operator, health, table, stop)
    });
    let routers = || async {
        let now = store.get(NODE).await;
        let second = now.pointer("/spec/addresses/1/ip")?.as_str()?;
        (second == "10.0.3.1").then_some(now)
    };
    until("the router's address", routers).await;
    // What the operator changes stays changed, also when the agent writes its addresses again.
    give(&store, &json!({ "spec": { "ipam": { "podCIDRs": ["10.0.3.0/24", "10.0.9.0/24"] }, "addresses": [] } })).await;
    let now = until("the router's address again", routers).await;
    assert_eq!(
        now["spec"]["ipam"]["podCIDRs"],
        json!(["10.0.3.0/24", "10.0.9.0/24"])
    );
    // An object that is made anew says what is in use, so that nobody else is given it.
    store.send(Method::DELETE, NODE, None).await;
    let anew = until("the node, made anew", || async {
        let list = store.get(NODES).await;
        list.pointer("/items/0").cloned()
    })
    .await;
    assert_eq!(anew["spec"]["ipam"]["podCIDRs"], json!(["10.0.3.0/24"]));
    tasks.shutdown(Duration::from_secs(2)).await;
    store.assert_that_requests_failed();
}

/// What the operator writes.
async fn give(store: &Store, change: &serde_json::Value) {
    until("what the operator writes", || async {
        let mut node = store.get(NODE).await;
        let wanted = change["spec"].as_object()?;
        for (field, value) in wanted {
            node["spec"][field] = value.clone();
        }
        store.direct.raw(Method::PUT, NODE, Some(&node)).await.ok()
    })
    .await;
}
