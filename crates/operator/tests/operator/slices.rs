//! Slices: exactly the endpoints, over changes of the leader, of the size, and by strangers; and nothing is missing meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use operator::leader::Leader;
use operator::lease::{self, Times};
use operator::slices::Leftover;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Operator, names};
use crate::collection::{ENDPOINTS, SLICES, add_endpoint, add_pod};
use crate::stores::{Store, until};

const ON: &[(&str, &str)] = &[
    ("enable-cilium-endpoint-slice", "true"),
    ("ces-max-ciliumendpoints-per-ces", "10"),
    (
        "ces-rate-limits",
        r#"[{"nodes":0,"limit":1000,"burst":100}]"#,
    ),
    ("identity-gc-interval", "0"),
];

async fn add(store: &Store, name: &str, identity: u64) {
    let uid = add_pod(store, name, "Running").await;
    add_endpoint(store, name, identity, &uid).await;
}

async fn remove(store: &Store, name: &str) {
    let path = format!("{ENDPOINTS}/{name}");
    store.send(Method::DELETE, &path, None).await;
}

async fn identify(store: &Store, name: &str, identity: u64) {
    let patch = json!({ "status": { "identity": { "id": identity } } });
    let path = format!("{ENDPOINTS}/{name}");
    store.direct.raw_merge(&path, &patch).await.unwrap();
}

/// Name → identities, one for each slice that has it.
async fn sliced(store: &Store) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let slices = store.get(SLICES).await;
    for slice in slices["items"].as_array().cloned().unwrap_or_default() {
        assert_eq!(slice["namespace"], "default");
        for endpoint in slice["endpoints"].as_array().unwrap() {
            let name = endpoint["name"].as_str().unwrap().to_owned();
            let id = endpoint["id"].as_u64().unwrap();
            found.entry(name).or_default().push(id);
        }
    }
    found
}

async fn sizes(store: &Store) -> Vec<usize> {
    let slices = store.get(SLICES).await;
    let size = |slice: &Value| slice["endpoints"].as_array().unwrap().len();
    slices["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(size)
        .collect()
}

async fn until_exactly(store: &Store, wanted: &BTreeMap<String, u64>) {
    until("exactly the endpoints", || async {
        let found = sliced(store).await;
        let mut pairs = wanted.iter();
        let same = pairs.all(|(name, id)| found.get(name).is_some_and(|of| of == &[*id]));
        (same && found.len() == wanted.len()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_follow_the_endpoints_over_changes_of_the_leader() {
    let store = Store::start(10, 67).await;
    let mut operator = Operator::start(&store.url, "o0", ON);
    let mut wanted = BTreeMap::new();
    for round in 0..4_u64 {
        for number in 0..15 {
            let name = format!("p{round}-{number}");
            add(&store, &name, 1000 + number).await;
            wanted.insert(name, 1000 + number);
        }
        if round > 0 {
            for number in 0..8 {
                let name = format!("p{}-{number}", round - 1);
                remove(&store, &name).await;
                wanted.remove(&name);
                let name = format!("p{}-{}", round - 1, number + 7);
                identify(&store, &name, 2000 + number).await;
                wanted.insert(name, 2000 + number);
            }
        }
        // The leader goes in the middle of it.
        let next = Operator::start(&store.url, &format!("o{}", round + 1), ON);
        std::mem::replace(&mut operator, next).stop().await.unwrap();
        until_exactly(&store, &wanted).await;
        assert!(
            sizes(&store)
                .await
                .iter()
                .all(|size| (1..=10).contains(size))
        );
    }
    // Nobody goes on writing, and what no reader of a slice would see is no reason to.
    let before = store.get(SLICES).await["items"].clone();
    let patch = json!({ "status": { "state": "ready", "log": [{ "code": "OK" }] } });
    let path = format!("{ENDPOINTS}/p3-14");
    store.direct.raw_merge(&path, &patch).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.get(SLICES).await["items"], before);
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_does_to_slices_is_put_right() {
    let store = Store::start(10, 71).await;
    let operator = Operator::start(&store.url, "one", ON);
    let mut wanted = BTreeMap::new();
    for number in 0..25 {
        let name = format!("p{number}");
        add(&store, &name, number).await;
        wanted.insert(name, number);
    }
    until_exactly(&store, &wanted).await;
    let first = names(&store, SLICES).await.into_iter().next().unwrap();
    let path = format!("{SLICES}/{first}");
    store.send(Method::DELETE, &path, None).await;
    let strange = json!({
        "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumEndpointSlice", "metadata": { "name": "ces-strange" },
        "namespace": "default", "endpoints": [{ "name": "p3", "id": 77, "networking": { "addressing": [] } }],
    });
    store.send(Method::POST, SLICES, Some(&strange)).await;
    let second = names(&store, SLICES).await.into_iter().next().unwrap();
    let path = format!("{SLICES}/{second}");
    let empty = json!({ "endpoints": [] });
    store.direct.raw_merge(&path, &empty).await.unwrap();
    until_exactly(&store, &wanted).await;
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_slices_become_smaller_endpoints_move_and_none_is_missing_meanwhile() {
    let store = Store::start(10, 73).await;
    let operator = Operator::start(&store.url, "one", ON);
    let mut wanted = BTreeMap::new();
    for number in 0..30 {
        let name = format!("p{number}");
        add(&store, &name, number).await;
        wanted.insert(name, number);
    }
    until_exactly(&store, &wanted).await;
    operator.stop().await.unwrap();
    let smaller = ON.iter().map(|(key, value)| match *key {
        "ces-max-ciliumendpoints-per-ces" => (*key, "4"),
        // Slow enough to be watched.
        "ces-rate-limits" => (*key, r#"[{"nodes":0,"limit":10,"burst":1}]"#),
        _ => (*key, *value),
    });
    let smaller: Vec<_> = smaller.collect();
    let operator = Operator::start(&store.url, "two", &smaller);
    let twice = std::cell::Cell::new(false);
    until("small slices", || async {
        let found = sliced(&store).await;
        assert_eq!(found.len(), 30, "one is missing");
        twice.set(twice.get() || found.values().any(|of| of.len() > 1));
        let small = sizes(&store).await.into_iter().all(|size| size <= 4);
        (small && found.values().all(|of| of.len() == 1)).then_some(())
    })
    .await;
    assert!(twice.get(), "they moved without being in both");
    until_exactly(&store, &wanted).await;
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_that_were_switched_off_go_after_their_time() {
    let store = Store::start(0, 79).await;
    let operator = Operator::start(&store.url, "one", ON);
    add(&store, "p0", 7).await;
    until_exactly(&store, &[("p0".to_owned(), 7)].into()).await;
    operator.stop().await.unwrap();
    let times = Times {
        lease: Duration::from_mins(1),
        renew: Duration::from_secs(40),
        retry: Duration::from_secs(1),
    };
    let (term, keeper, _) = lease::campaign(&store.direct, "kube-system", "two", times).await;
    let stop = CancellationToken::new();
    let kept = tokio::spawn(keeper.run(stop.clone()));
    let patience = Duration::from_millis(500);
    let leftover = Leftover::new(Leader::new(store.direct.clone(), term), patience);
    leftover.clone().collect().await.unwrap();
    assert_eq!(names(&store, SLICES).await.len(), 1, "an agent may read it");
    tokio::time::sleep(patience).await;
    leftover.collect().await.unwrap();
    assert_eq!(names(&store, SLICES).await.len(), 0);
    stop.cancel();
    kept.await.unwrap();
}
