//! Ranges of many pools: as nodes ask for them, over restarts, and never to two, not even by two leaders.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::cluster::{NODES, Operator, holder};
use crate::stores::{Store, door, until};

const POOLS: &str = "/apis/cilium.io/v2alpha1/ciliumpodippools";
const MULTI: &[(&str, &str)] = &[
    ("ipam", "multi-pool"),
    (
        "auto-create-cilium-pod-ip-pools",
        "default=ipv4-cidrs:10.1.0.0/24;ipv4-mask-size:28;ipv6-cidrs:fd00::/112;ipv6-mask-size:124",
    ),
];

async fn add_node(store: &Store, name: &str, wishes: &Value) {
    let node = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": { "name": name },
        "spec": { "ipam": { "pools": { "requested": wishes } } },
    });
    store.send(Method::POST, NODES, Some(&node)).await;
}

fn wish(pool: &str, ipv4: u32, ipv6: u32) -> Value {
    json!({ "pool": pool, "needed": { "ipv4-addrs": ipv4, "ipv6-addrs": ipv6 } })
}

/// As an agent does it: the rest of the object stays.
async fn ask(store: &Store, name: &str, wishes: &Value) {
    let patch = json!({ "spec": { "ipam": { "pools": { "requested": wishes } } } });
    let path = format!("{NODES}/{name}");
    store.direct.raw_merge(&path, &patch).await.unwrap();
}

/// Pool → ranges of a node.
async fn has(store: &Store, name: &str) -> BTreeMap<String, Vec<String>> {
    let node = store.get(&format!("{NODES}/{name}")).await;
    let pools = node.pointer("/spec/ipam/pools/allocated");
    let pools = pools.and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let of = |pool: &Value| {
        let cidrs = pool["cidrs"].as_array().unwrap().iter().map(text);
        (text(&pool["pool"]), cidrs.collect())
    };
    pools.iter().map(of).collect()
}

async fn until_has(store: &Store, name: &str, pool: &str, number: usize) -> Vec<String> {
    until(&format!("{number} ranges of {pool} for {name}"), || async {
        let ranges = has(store, name).await.remove(pool).unwrap_or_default();
        (ranges.len() == number).then_some(ranges)
    })
    .await
}

async fn error_of(store: &Store, name: &str) -> String {
    let node = store.get(&format!("{NODES}/{name}")).await;
    let error = node.pointer("/status/ipam/operator-status/error");
    error.and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn assert_apart(store: &Store, names: &[&str]) {
    let mut seen: Vec<(&str, IpNet)> = Vec::new();
    for name in names {
        for range in has(store, name).await.into_values().flatten() {
            let range: IpNet = range.parse().unwrap();
            for (other, of) in &seen {
                let apart = !of.contains(&range) && !range.contains(of);
                assert!(apart, "{name} and {other} have {range}");
            }
            seen.push((name, range));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_get_of_each_pool_what_they_ask_for_and_keep_it() {
    let store = Store::start(10, 83).await;
    let operator = Operator::start(&store.url, "one", MULTI);
    add_node(&store, "a", &json!([wish("default", 8, 8)])).await;
    add_node(
        &store,
        "b",
        &json!([wish("default", 20, 0), wish("blue", 3, 0)]),
    )
    .await;
    let first = until_has(&store, "a", "default", 2).await;
    assert!(
        first[0].starts_with("10.1.0.") && first[1].starts_with("fd00::"),
        "{first:?}"
    );
    until_has(&store, "b", "default", 2).await;
    until("an error", || async {
        (error_of(&store, "b").await == "there is no pool blue").then_some(())
    })
    .await;
    let blue = json!({
        "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumPodIPPool", "metadata": { "name": "blue" },
        "spec": { "ipv4": { "cidrs": ["192.168.7.0/24"], "maskSize": 29 } },
    });
    store.send(Method::POST, POOLS, Some(&blue)).await;
    assert_eq!(until_has(&store, "b", "blue", 1).await, ["192.168.7.0/29"]);
    until("no error", || async {
        error_of(&store, "b").await.is_empty().then_some(())
    })
    .await;
    operator.stop().await.unwrap();
    // Who grows keeps what it has, and an agent's wishes are never touched.
    let operator = Operator::start(&store.url, "two", MULTI);
    ask(
        &store,
        "a",
        &json!([wish("default", 30, 8), wish("blue", 1, 0)]),
    )
    .await;
    let grown = until_has(&store, "a", "default", 4).await;
    assert!(
        first.iter().all(|range| grown.contains(range)),
        "{first:?} {grown:?}"
    );
    until_has(&store, "a", "blue", 1).await;
    assert_apart(&store, &["a", "b"]).await;
    let node = store.get(&format!("{NODES}/a")).await;
    let asked = &node["spec"]["ipam"]["pools"]["requested"];
    assert_eq!(*asked, json!([wish("default", 30, 8), wish("blue", 1, 0)]));
    // A pool of the configuration that is there already belongs to whoever changed it.
    let path = format!("{POOLS}/default");
    let changed = json!({ "spec": { "ipv4": { "cidrs": ["10.1.0.0/24", "10.9.0.0/24"] } } });
    store.direct.raw_merge(&path, &changed).await.unwrap();
    operator.stop().await.unwrap();
    let operator = Operator::start(&store.url, "three", MULTI);
    add_node(&store, "c", &json!([wish("default", 250, 0)])).await;
    until_has(&store, "c", "default", 18).await;
    let pool = store.get(&path).await;
    assert_eq!(pool["spec"]["ipv4"]["cidrs"][1], "10.9.0.0/24");
    assert_apart(&store, &["a", "b", "c"]).await;
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

/// As with one pool: the first leader does not know that its lease has run out, and what it sends is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_leaders_never_give_one_range_of_a_pool_to_two_nodes() {
    for seed in 0..4 {
        let store = Store::start(10, 89 + seed).await;
        let (late, url) = door(&store.at, 0, 97 + seed).await;
        // Few ranges, so that both leaders want the same.
        let small = "default=ipv4-cidrs:10.1.0.0/26;ipv4-mask-size:28";
        let pairs = &[
            ("ipam", "multi-pool"),
            ("auto-create-cilium-pod-ip-pools", small),
        ];
        let first = Operator::heedless(&url, "late", pairs);
        until("the first leader", || holder(&store)).await;
        let one = json!([wish("default", 8, 0)]);
        add_node(&store, "n0", &one).await;
        until_has(&store, "n0", "default", 1).await;
        // Its claims pass, its writes wait; on odd seeds its claims wait as well.
        late.hold(
            Method::PUT,
            if seed % 2 == 0 { "/ciliumnodes/" } else { "" },
        );
        add_node(&store, "n1", &one).await;
        add_node(&store, "n2", &one).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        late.hold(Method::PUT, "");
        let second = Operator::heedless(&store.url, "second", pairs);
        until("the second leader", || async {
            holder(&store).await.filter(|of| of.starts_with("second-"))
        })
        .await;
        add_node(&store, "n3", &one).await;
        if seed % 3 == 0 {
            // What the first one is about to write is of nodes that ask for something else by now.
            ask(&store, "n1", &json!([wish("default", 9, 0)])).await;
        }
        late.let_go();
        let ended = first.ended().await.expect_err("it has lost its lease");
        assert_eq!(ended.to_string(), "this operator does not lead any more");
        for name in ["n0", "n1", "n2", "n3"] {
            until_has(&store, name, "default", 1).await;
        }
        assert_apart(&store, &["n0", "n1", "n2", "n3"]).await;
        second.stop().await.unwrap();
    }
}
