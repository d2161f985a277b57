//! What is said of nodes and objects, and pods that are restarted.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use crate::cluster::{Operator, names};
use crate::stores::{Store, until};

const PODS: &str = "/api/v1/namespaces/kube-system/pods";
const TAINT: &str = "node.cilium.io/agent-not-ready";

async fn add_pod(store: &Store, name: &str, app: &str, spec: Value) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "kube-system", "labels": { "k8s-app": app } }, "spec": spec,
    });
    store.send(Method::POST, PODS, Some(&pod)).await;
}

async fn set_status(store: &Store, name: &str, status: Value) {
    let path = format!("{PODS}/{name}");
    let mut pod = store.get(&path).await;
    pod["status"] = status;
    store
        .send(Method::PUT, &format!("{path}/status"), Some(&pod))
        .await;
}

fn ready(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] })
}

async fn taints(store: &Store, node: &str) -> Vec<String> {
    let node = store.get(&format!("/api/v1/nodes/{node}")).await;
    let taints = node["spec"]["taints"].as_array();
    let taints = taints.into_iter().flatten();
    taints
        .map(|taint| {
            format!(
                "{}:{}",
                taint["key"].as_str().unwrap(),
                taint["effect"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taints_and_conditions_of_nodes_follow_their_agents() {
    let store = Store::start(10, 43).await;
    let other = json!({ "key": "example.com/gpu", "effect": "NoExecute", "value": "x", "timeAdded": "2026-01-01T00:00:00Z" });
    for number in 0..10 {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": format!("n{number}") },
            "spec": { "podCIDR": "10.0.0.0/24", "taints": [{ "key": TAINT, "effect": "NoExecute" }, other] },
        });
        store.send(Method::POST, "/api/v1/nodes", Some(&node)).await;
        let spec = json!({ "nodeName": format!("n{number}"), "hostNetwork": true, "containers": [{ "name": "c" }] });
        add_pod(&store, &format!("cilium-{number}"), "cilium", spec).await;
        set_status(&store, &format!("cilium-{number}"), ready(number > 0)).await;
    }
    let operator = Operator::start(&store.url, "one", &[("set-cilium-node-taints", "true")]);
    for number in 1..10 {
        let name = format!("n{number}");
        until("no taint", || async {
            (taints(&store, &name).await == ["example.com/gpu:NoExecute"]).then_some(())
        })
        .await;
        let node = until("a condition", || async {
            let node = store.get(&format!("/api/v1/nodes/{name}")).await;
            let conditions = node["status"]["conditions"].as_array()?.clone();
            let stated = conditions.iter().any(|of| {
                of["type"] == "NetworkUnavailable"
                    && of["status"] == "False"
                    && of["reason"] == "CiliumIsUp"
            });
            stated.then_some(node)
        })
        .await;
        assert_eq!(node["spec"]["taints"], json!([other]));
        assert_eq!(node["spec"]["podCIDR"], "10.0.0.0/24");
    }
    let as_made = [
        format!("{TAINT}:NoExecute"),
        "example.com/gpu:NoExecute".to_owned(),
    ];
    assert_eq!(taints(&store, "n0").await, as_made);
    set_status(&store, "cilium-4", ready(false)).await;
    let tainted = [
        "example.com/gpu:NoExecute".to_owned(),
        format!("{TAINT}:NoSchedule"),
    ];
    until("a taint", || async {
        (taints(&store, "n4").await == tainted).then_some(())
    })
    .await;
    set_status(&store, "cilium-4", ready(true)).await;
    until("no taint again", || async {
        (taints(&store, "n4").await.len() == 1).then_some(())
    })
    .await;
    // A node without an agent is none of ours.
    store
        .send(
            Method::DELETE,
            &format!("{PODS}/cilium-5?gracePeriodSeconds=0"),
            None,
        )
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(taints(&store, "n5").await.len(), 1);
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_no_agent_knows_are_restarted_one_after_the_other() {
    let store = Store::start(10, 47).await;
    let spec = |host: bool| json!({ "nodeName": "n1", "hostNetwork": host, "containers": [{ "name": "c" }] });
    for (name, app, host, phase) in [
        ("dns-1", "kube-dns", false, "Running"),
        ("dns-2", "kube-dns", false, "Running"),
        ("known", "kube-dns", false, "Running"),
        ("host", "kube-dns", true, "Running"),
        ("waits", "kube-dns", false, "Pending"),
        ("other", "web", false, "Running"),
    ] {
        add_pod(&store, name, app, spec(host)).await;
        set_status(&store, name, json!({ "phase": phase })).await;
    }
    let endpoint = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": { "name": "known", "namespace": "kube-system" },
        "status": { "networking": { "addressing": [] } },
    });
    let endpoints = "/apis/cilium.io/v2/namespaces/kube-system/ciliumendpoints";
    store.send(Method::POST, endpoints, Some(&endpoint)).await;
    let pairs = &[
        // Longer than a look at the store takes here, so that between two restarts one is seen.
        ("unmanaged-pod-watcher-interval", "2s"),
        // Its endpoint has no pod of its uid, but stays for this test.
        ("cilium-endpoint-gc-interval", "0"),
    ];
    let begun = tokio::time::Instant::now();
    let operator = Operator::start(&store.url, "one", pairs);
    let terminating = || async {
        let pods = store.get(PODS).await;
        let pods = pods["items"].as_array().cloned().unwrap();
        let there = pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        there
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let first = until("one restart", || async {
        Some(terminating().await).filter(|there| there.len() < 6)
    })
    .await;
    assert_eq!(first.len(), 5, "one at a time: {first:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2));
    let stay: BTreeSet<String> = ["known", "host", "waits", "other"]
        .map(str::to_owned)
        .into();
    until("another", || async {
        (terminating().await == stay).then_some(())
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_secs(3));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(terminating().await, stay);
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_acts_on_says_so_in_its_status() {
    let store = Store::start(10, 53).await;
    let operator = Operator::start(&store.url, "one", &[]);
    let text = include_str!("../../../crds/tests/examples.yaml");
    let examples: Vec<Value> = serde_yaml_ng::from_str(text).unwrap();
    let mut seen = 0;
    for example in examples {
        let mut object = example["object"].clone();
        let kind = object["kind"].as_str().unwrap().to_owned();
        let idle = [
            "BGP",
            "Envoy",
            "Egress",
            "LocalRedirect",
            "LoadBalancer",
            "L2",
            "GatewayClass",
        ];
        if !idle.iter().any(|word| kind.contains(word)) {
            continue;
        }
        seen += 1;
        object.as_object_mut().unwrap().remove("status");
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("namespace");
        let definition = crds::definitions()
            .into_iter()
            .find(|of| of.spec["names"]["kind"] == *kind)
            .unwrap();
        let plural = definition.spec["names"]["plural"].as_str().unwrap();
        let version = object["apiVersion"].as_str().unwrap();
        let path = match definition.spec["scope"].as_str().unwrap() {
            "Namespaced" => format!("/apis/{version}/namespaces/default/{plural}"),
            _ => format!("/apis/{version}/{plural}"),
        };
        until(&format!("{kind} to be served"), || async {
            let made = store.direct.raw(Method::POST, &path, Some(&object)).await;
            made.is_ok().then_some(())
        })
        .await;
        let name = object["metadata"]["name"].as_str().unwrap();
        let condition = until(&format!("the condition of {kind}"), || async {
            let found = store.get(&format!("{path}/{name}")).await;
            assert_eq!(found["spec"], object["spec"], "{kind}");
            let conditions = found["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find(|of| of["type"] == "Accepted")
        })
        .await;
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("NotImplemented"))
        );
        assert!(
            condition["message"].as_str().unwrap().contains(&kind),
            "{condition}"
        );
        assert!(condition["lastTransitionTime"].is_string());
    }
    assert_eq!(seen, 12);
    assert!(
        !names(&store, "/apis/cilium.io/v2/ciliumbgpclusterconfigs")
            .await
            .is_empty()
    );
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}
