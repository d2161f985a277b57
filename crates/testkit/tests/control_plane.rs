//! What an agent reads from the store and writes into it, against the embedded one, with a tenth of all requests failing.

#[path = "control_plane/definitions.rs"]
mod definitions;
#[path = "control_plane/etcd.rs"]
mod etcd;
#[path = "control_plane/identities.rs"]
mod identities;
#[path = "control_plane/ranges.rs"]
mod ranges;
#[path = "control_plane/schemas.rs"]
mod schemas;
#[path = "control_plane/slices.rs"]
mod slices;
#[path = "control_plane/store.rs"]
mod stores;

use std::time::Duration;

use agent::announce::Origin;
use agent::config::{Config, Given};
use agent::inputs::{Announcements, Inputs, Shared};
use agent::last_good::{self, LastGood};
use agent::node::Addressing;
use agent::view::{View, ViewWriter, channel};
use agent::{announce, policy_status};
use axum::http::Method;
use model::endpoint::{EndpointId, EndpointRow, LifeCycle, Mac, PodName};
use model::identity::Identity;
use model::labels::LabelSet;
use model::node::IpPair;
use model::policy::ParseOptions;
use reconcile::{Table, TaskGroup, Trigger};
use serde_json::{Value, json};
use stores::{Store, client, until};

const POLICIES: &str = "/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies";

fn policy(name: &str, from: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "endpointSelector": {}, "ingress": [{ "fromCIDR": [from] }] },
    })
}

fn valid(object: &Value) -> Option<(String, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let of = conditions.iter().find(|of| of["type"] == "Valid")?;
    let text = |field: &str| of[field].as_str().unwrap_or_default().to_owned();
    assert!(!text("lastTransitionTime").is_empty(), "{of}");
    Some((text("status"), text("message")))
}

async fn until_valid(store: &Store, name: &str, status: &str) -> String {
    let path = format!("{POLICIES}/{name}");
    until(&format!("{name}: {status}"), || async {
        let (now, message) = valid(&store.get(&path).await)?;
        (now == status).then_some(message)
    })
    .await
}

/// The part of an agent that says what is wrong with policies.
async fn conditions(store: &Store, tasks: &TaskGroup) {
    let client = client(&store.url).await;
    let state = tempfile::tempdir().expect("a folder");
    let last_good = LastGood::open(state.path()).expect("a folder");
    let shared = Shared::objects(&client, tasks, Announcements::Single);
    let options = ParseOptions::default();
    let inputs = Inputs::follow(&client, tasks, "n1", &options, &last_good, shared);
    let (writer, desired) = Table::new("policy conditions", &["policies"]);
    let (reconciler, _) = policy_status::conditions(client, inputs.clone(), desired);
    tasks.spawn("conditions", move |stop| reconciler.run(stop));
    tasks.spawn("validity", move |stop| {
        policy_status::follow(inputs, writer, stop)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_policy_is_in_its_status_with_the_fields_path() {
    let store = Store::start(10, 7).await;
    let tasks = TaskGroup::new();
    // Two agents that judge alike must not write against each other.
    conditions(&store, &tasks).await;
    conditions(&store, &tasks).await;
    for number in 0..8 {
        let good = policy(&format!("good{number}"), "10.0.0.0/8");
        store.send(Method::POST, POLICIES, Some(&good)).await;
        let mut bad = policy(&format!("bad{number}"), "10.0.0.300/8");
        bad["status"] = json!({});
        store.send(Method::POST, POLICIES, Some(&bad)).await;
    }
    for number in 0..8 {
        let message = until_valid(&store, &format!("bad{number}"), "False").await;
        assert!(
            message.starts_with("spec.ingress[0].fromCIDR[0]: "),
            "{message}"
        );
        until_valid(&store, &format!("good{number}"), "True").await;
    }
    let path = format!("{POLICIES}/bad3");
    let mut mended = store.get(&path).await;
    mended["spec"]["ingress"][0]["fromCIDR"][0] = "10.1.0.0/16".into();
    store.send(Method::PUT, &path, Some(&mended)).await;
    until_valid(&store, "bad3", "True").await;
    store
        .send(Method::DELETE, &format!("{POLICIES}/bad4"), None)
        .await;
    // Nobody goes on writing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = store.get(POLICIES).await["items"].clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.get(POLICIES).await["items"], before);
    assert_eq!(before.as_array().map(Vec::len), Some(15));
    let good = format!("{POLICIES}/good3");
    store
        .assert_that_the_crd_takes("CiliumNetworkPolicy", &good)
        .await;
    store.assert_that_requests_failed();
    tasks.shutdown(Duration::from_secs(2)).await;
}

/// The part of an agent that follows the store and keeps what is good.
async fn follow(store: &Store, tasks: &TaskGroup, state: &std::path::Path) -> Inputs {
    let client = client(&store.url).await;
    let files = LastGood::open(state).expect("a folder");
    let shared = Shared::objects(&client, tasks, Announcements::Single);
    let inputs = Inputs::follow(
        &client,
        tasks,
        "n1",
        &ParseOptions::default(),
        &files,
        shared,
    );
    let (writer, desired) = Table::new("last good versions", &["policies"]);
    let (reconciler, _) = last_good::files(files, desired);
    tasks.spawn("files", move |stop| reconciler.run(stop));
    let of = inputs.clone();
    tasks.spawn("what is kept", move |stop| {
        last_good::follow(of, writer, stop)
    });
    inputs
}

fn files(state: &std::path::Path) -> usize {
    std::fs::read_dir(state.join("last-good")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_became_faulty_is_in_force_as_it_was_after_a_restart_and_forgotten_with_its_object()
 {
    let store = Store::start(10, 11).await;
    let state = tempfile::tempdir().expect("a folder");
    for name in ["p", "q"] {
        store
            .send(Method::POST, POLICIES, Some(&policy(name, "10.0.0.0/8")))
            .await;
    }
    let tasks = TaskGroup::new();
    follow(&store, &tasks, state.path()).await;
    until("both files", || async {
        (files(state.path()) == 2).then_some(())
    })
    .await;
    for name in ["p", "q"] {
        let path = format!("{POLICIES}/{name}");
        let mut faulty = store.get(&path).await;
        faulty["spec"]["ingress"][0]["fromCIDR"][0] = "10.0.0.0/99".into();
        store.send(Method::PUT, &path, Some(&faulty)).await;
    }
    tasks.shutdown(Duration::from_secs(2)).await;
    // While nobody looks one of them becomes another object of the same name.
    let path = format!("{POLICIES}/q");
    store.send(Method::DELETE, &path, None).await;
    let another = policy("q", "10.0.0.0/99");
    store.send(Method::POST, POLICIES, Some(&another)).await;
    let tasks = TaskGroup::new();
    let inputs = follow(&store, &tasks, state.path()).await;
    inputs.cilium_policies.until_initialized().await;
    let table = inputs.cilium_policies.snapshot();
    for (key, row) in table.iter() {
        assert!(row.judged.fault.is_some(), "{key}");
        assert_eq!(row.judged.good.is_some(), &*key.name == "p", "{key}");
    }
    assert_eq!(table.len(), 2);
    until("one file", || async {
        (files(state.path()) == 1).then_some(())
    })
    .await;
    store
        .send(Method::DELETE, &format!("{POLICIES}/p"), None)
        .await;
    until("no file", || async {
        (files(state.path()) == 0).then_some(())
    })
    .await;
    store.assert_that_requests_failed();
    tasks.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clusterwide_policy_has_its_status_too() {
    let store = Store::start(0, 7).await;
    let tasks = TaskGroup::new();
    conditions(&store, &tasks).await;
    let path = "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies";
    let bad = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": { "name": "all" },
        "spec": { "endpointSelector": {}, "egress": [{ "toPorts": [{ "ports": [{ "port": "99999", "protocol": "TCP" }] }] }] },
    });
    store.send(Method::POST, path, Some(&bad)).await;
    let message = until("the condition", || async {
        let (status, message) = valid(&store.get(&format!("{path}/all")).await)?;
        (status == "False").then_some(message)
    })
    .await;
    assert!(
        message.starts_with("spec.egress[0].toPorts[0].ports[0].port"),
        "{message}"
    );
    tasks.shutdown(Duration::from_secs(2)).await;
}

fn endpoint(number: u16) -> EndpointRow {
    let name = format!("pod{number}");
    EndpointRow {
        id: EndpointId(number),
        pod: Some(PodName {
            namespace: "default".into(),
            name: name.as_str().into(),
        }),
        pod_uid: Some(format!("uid{number}").into()),
        container_id: name.as_str().into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair {
            v4: Some([10, 244, 1, number as u8].into()),
            v6: None,
        },
        mac: Mac::default(),
        host_mac: Mac::default(),
        ifname: format!("lxc{number}").into(),
        ifindex: u32::from(number),
        labels: LabelSet::empty(),
        identity: Some(Identity(1000 + u32::from(number))),
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 1,
        life: LifeCycle::created(),
    }
}

fn publish(view: &ViewWriter, numbers: impl Iterator<Item = u16>) {
    view.publish(View {
        revision: 1,
        endpoints: numbers.map(endpoint).collect(),
        waiting_for: Vec::new(),
        ..View::default()
    });
}

const ENDPOINTS: &str = "/apis/cilium.io/v2/namespaces/default/ciliumendpoints";

async fn announced(store: &Store) -> Vec<(String, i64)> {
    let list = store.get(ENDPOINTS).await;
    let mut all: Vec<_> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|of| {
            let name = of["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (
                name,
                of["status"]["identity"]["id"].as_i64().unwrap_or_default(),
            )
        })
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_announced_as_they_come_and_go_and_those_of_other_nodes_stay() {
    let store = Store::start(10, 11).await;
    let foreign = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": { "name": "foreign", "namespace": "default" },
        "status": { "identity": { "id": 77 }, "networking": { "node": "172.30.0.99", "addressing": [{ "ipv4": "10.244.9.9" }] } },
    });
    store.send(Method::POST, ENDPOINTS, Some(&foreign)).await;
    let tasks = TaskGroup::new();
    let addressing = agent::node::Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: None,
        pods_ipv6: None,
    };
    let (view, reader) = channel();
    let (writer, desired) = Table::new("announced endpoints", &["endpoints"]);
    let through = client(&store.url).await;
    let heard = Shared::objects(&store.direct, &tasks, Announcements::Single).endpoints;
    let (reconciler, _) = announce::endpoints(through, &addressing, heard, desired);
    let again = reconciler.trigger();
    tasks.spawn("announced endpoints", move |stop| reconciler.run(stop));
    tasks.spawn("announcements", move |stop| {
        announce::follow(reader, addressing, writer, stop)
    });
    for numbers in [1..=20, 11..=30, 5..=9] {
        publish(&view, numbers.clone());
        let mut expected: Vec<(String, i64)> = numbers
            .map(|number| (format!("pod{number}"), 1000 + i64::from(number)))
            .chain([("foreign".to_owned(), 77)])
            .collect();
        expected.sort();
        until("what is to be announced", || async {
            (announced(&store).await == expected).then_some(())
        })
        .await;
        store
            .assert_that_the_crd_takes("CiliumEndpoint", ENDPOINTS)
            .await;
    }
    what_strangers_do_is_put_right(&store, &again).await;
    store.assert_that_requests_failed();
    tasks.shutdown(Duration::from_secs(2)).await;
}

/// Of the endpoints that are announced one is deleted and one is changed; and one is there that should not.
async fn what_strangers_do_is_put_right(store: &Store, again: &Trigger) {
    let expected = announced(store).await;
    let before = store.proxy.asked().len();
    let stray = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": { "name": "stray", "namespace": "default" },
        "status": { "identity": { "id": 78 }, "networking": { "node": "172.30.0.11", "addressing": [{ "ipv4": "10.244.1.99" }] } },
    });
    store.send(Method::POST, ENDPOINTS, Some(&stray)).await;
    store
        .send(Method::DELETE, &format!("{ENDPOINTS}/pod5"), None)
        .await;
    let path = format!("{ENDPOINTS}/pod7");
    let mut changed = store.get(&path).await;
    changed["status"]["identity"]["id"] = 77.into();
    store.send(Method::PUT, &path, Some(&changed)).await;
    until("what is to be announced", || async {
        again.activate();
        (announced(store).await == expected).then_some(())
    })
    .await;
    // Only what is about the three, however often it was looked, and never a list.
    let asked = store.proxy.asked();
    let about = |path: &str| {
        ["pod5", "pod7", "stray"]
            .iter()
            .any(|of| path.ends_with(of))
    };
    for (method, path) in asked.iter().skip(before) {
        let made = *method == Method::POST && path == ENDPOINTS;
        assert!(made || about(path), "{method} {path}");
    }
    let lists = asked
        .iter()
        .filter(|(method, path)| *method == Method::GET && path.ends_with("ciliumendpoints"));
    assert_eq!(lists.count(), 0);
    // When all is as it should be, a look costs no request.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = store.proxy.asked().len();
    again.activate();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(store.proxy.asked().len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_somebody_deletes_or_changes_announces_itself_again() {
    let store = Store::start(10, 13).await;
    let tasks = TaskGroup::new();
    let state = tempfile::tempdir().expect("a folder");
    let inputs = follow(&store, &tasks, state.path()).await;
    let given = Given::from_pairs([("k8s-node-name", "n1")]);
    let config = Config::new(&given).expect("a configuration");
    let addressing = Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: Some("10.9.1.0/24".parse().expect("a prefix")),
        pods_ipv6: None,
    };
    let object = announce::node_object(&config, &addressing, "uid");
    let client = client(&store.url).await;
    let announced = inputs.announced_nodes.clone();
    let (told, health) = tokio::sync::watch::channel(None);
    tasks.spawn("node", move |stop| {
        announce::keep_node(client, object, Origin::Node, health, announced, stop)
    });
    let nodes = "/apis/cilium.io/v2/ciliumnodes";
    let range = || async {
        let list = store.get(nodes).await;
        let range = list.pointer("/items/0/spec/ipam/podCIDRs/0")?.as_str()?;
        (range == "10.9.1.0/24").then_some(())
    };
    until("the node", range).await;
    store.assert_that_the_crd_takes("CiliumNode", nodes).await;
    let path = format!("{nodes}/n1");
    for _ in 0..2 {
        store.send(Method::DELETE, &path, None).await;
        until("the deleted node", range).await;
        let mut changed = store.get(&path).await;
        changed["spec"]["ipam"]["podCIDRs"][0] = "10.9.7.0/24".into();
        // The agent may write at the same moment.
        let _ = store.direct.raw(Method::PUT, &path, Some(&changed)).await;
        until("the changed node", range).await;
    }
    health_endpoints_are_announced(&store, &path, &told).await;
    tasks.shutdown(Duration::from_secs(2)).await;
}

type Told = tokio::sync::watch::Sender<Option<model::node::IpPair>>;

/// The address of before stays until this agent has one, or has none.
async fn health_endpoints_are_announced(store: &Store, path: &str, told: &Told) {
    let mut changed = store.get(path).await;
    changed["spec"]["health"] = json!({ "ipv4": "10.9.1.7" });
    changed["spec"]["ipam"]["podCIDRs"][0] = "10.9.7.0/24".into();
    let put = store.direct.raw(Method::PUT, path, Some(&changed)).await;
    put.expect("changed");
    until("the changed node", async || {
        let range = store.get(path).await["spec"]["ipam"]["podCIDRs"][0].clone();
        (range == "10.9.1.0/24").then_some(())
    })
    .await;
    let health = async || store.get(path).await["spec"]["health"].clone();
    assert_eq!(health().await, json!({ "ipv4": "10.9.1.7" }));
    for (address, announced) in [
        (Some([10, 9, 1, 9].into()), json!({ "ipv4": "10.9.1.9" })),
        (None, serde_json::Value::Null),
    ] {
        let pair = model::node::IpPair {
            v4: address,
            v6: None,
        };
        told.send(Some(pair)).expect("the announcement runs");
        until("the health endpoint's address", async || {
            (health().await == announced).then_some(())
        })
        .await;
    }
}
