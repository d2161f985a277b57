//! Ranges of nodes: given once, kept over restarts, and never to two, not even by two leaders.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::cluster::{self, NODES, Operator, add_node, holder, ranges_of};
use crate::stores::{Store, door, until};

async fn all(store: &Store) -> BTreeMap<String, Vec<String>> {
    let nodes = store.get(NODES).await;
    let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
    let of = |node: Value| {
        (
            node["metadata"]["name"].as_str().unwrap().to_owned(),
            ranges_of(&node),
        )
    };
    nodes.into_iter().map(of).collect()
}

/// No address is of two nodes.
fn assert_apart(all: &BTreeMap<String, Vec<String>>) {
    let mut seen: Vec<(&str, IpNet)> = Vec::new();
    for (name, ranges) in all {
        for range in ranges {
            let range: IpNet = range.parse().unwrap();
            for (other, of) in &seen {
                assert!(
                    !of.contains(&range) && !range.contains(of),
                    "{name} and {other} have {range}"
                );
            }
            seen.push((name, range));
        }
    }
}

async fn until_all_have(
    store: &Store,
    number: usize,
    ranges: usize,
) -> BTreeMap<String, Vec<String>> {
    let all = until("ranges of all nodes", || async {
        let all = all(store).await;
        assert_apart(&all);
        let whole = all.values().all(|of| of.len() == ranges);
        (all.len() == number && whole).then_some(all)
    });
    all.await
}

async fn error_of(store: &Store, name: &str) -> String {
    let node = store.get(&format!("{NODES}/{name}")).await;
    let error = node.pointer("/status/ipam/operator-status/error");
    error.and_then(Value::as_str).unwrap_or_default().to_owned()
}

const DUAL: &[(&str, &str)] = &[
    ("enable-ipv6", "true"),
    ("cluster-pool-ipv4-cidr", "10.1.0.0/20,10.2.0.0/20"),
    ("cluster-pool-ipv4-mask-size", "26"),
    ("cluster-pool-ipv6-cidr", "fd00::/112"),
    ("cluster-pool-ipv6-mask-size", "120"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_come_and_go_have_ranges_of_both_families_over_changes_of_the_leader() {
    let store = Store::start(10, 17).await;
    let mut operators = vec![Operator::start(&store.url, "o0", DUAL)];
    until("a leader", || holder(&store)).await;
    let mut number = 0;
    for round in 1..4 {
        operators.push(Operator::start(&store.url, &format!("o{round}"), DUAL));
        for node in 0..20 {
            add_node(&store, &format!("n{round}-{node}"), &[]).await;
        }
        number += 20;
        // The leader goes in the middle of it.
        let stopped = operators.remove(0);
        let (stopped, ()) = tokio::join!(
            stopped.stop(),
            tokio::time::sleep(Duration::from_millis(200))
        );
        stopped.unwrap();
        let before = until_all_have(&store, number, 2).await;
        for node in 0..5 {
            store
                .send(Method::DELETE, &format!("{NODES}/n{round}-{node}"), None)
                .await;
        }
        number -= 5;
        let after = until_all_have(&store, number, 2).await;
        for (name, ranges) in &after {
            assert_eq!(&before[name], ranges, "{name} keeps what it has");
            assert!(
                ranges[0].ends_with("/26") && ranges[1].ends_with("/120"),
                "{ranges:?}"
            );
        }
    }
    // Nothing is left of claims, and nobody goes on writing.
    until("no claims", || async {
        let lease = store.get(cluster::LEASE).await;
        lease["metadata"]["annotations"]
            .get(operator::lease::NOTE)
            .is_none()
            .then_some(())
    })
    .await;
    let before = store.get(NODES).await["items"].clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.get(NODES).await["items"], before);
    store.assert_that_requests_failed();
    for operator in operators {
        operator.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_have_is_taken_over_and_what_is_wrong_with_it_is_in_their_status() {
    let store = Store::start(10, 19).await;
    let small = &[
        ("cluster-pool-ipv4-cidr", "10.1.0.0/22"),
        ("cluster-pool-ipv4-mask-size", "24"),
    ];
    add_node(&store, "a", &["10.1.1.0/24"]).await;
    add_node(&store, "b", &["10.1.1.0/24"]).await;
    add_node(&store, "stranger", &["192.168.0.0/24"]).await;
    let operator = Operator::start(&store.url, "one", small);
    for name in ["c", "d", "e"] {
        add_node(&store, name, &[]).await;
        until("a range", || cluster::range(&store, name)).await;
    }
    add_node(&store, "f", &[]).await;
    let expected = [
        ("a", ""),
        ("b", "10.1.1.0/24 is the range of node a"),
        (
            "stranger",
            "192.168.0.0/24 is not in the cluster's pool 10.1.0.0/22",
        ),
        ("f", "no range is free in the cluster's pool 10.1.0.0/22"),
        ("c", ""),
    ];
    for (name, error) in expected {
        until(&format!("{name}: {error}"), || async {
            (error_of(&store, name).await == error).then_some(())
        })
        .await;
    }
    let mut before = all(&store).await;
    assert_eq!(before["b"], ["10.1.1.0/24"]);
    assert_eq!(before["f"], Vec::<String>::new());
    // Who lacks a range gets that of a node that goes.
    store
        .send(Method::DELETE, &format!("{NODES}/d"), None)
        .await;
    let freed = before.remove("d").unwrap();
    until("the range of d", || async {
        (all(&store).await["f"] == freed).then_some(())
    })
    .await;
    until("no error", || async {
        error_of(&store, "f").await.is_empty().then_some(())
    })
    .await;
    add_node(&store, "g", &[]).await;
    operator.stop().await.unwrap();
    let more = &[
        (
            "cluster-pool-ipv4-cidr",
            "10.1.0.0/22 10.7.0.0/24 192.168.0.0/23",
        ),
        ("cluster-pool-ipv4-mask-size", "24"),
    ];
    let operator = Operator::start(&store.url, "two", more);
    until("a range of the new prefixes", || async {
        (cluster::range(&store, "g").await? == "10.7.0.0/24").then_some(())
    })
    .await;
    until("no stranger", || async {
        error_of(&store, "stranger").await.is_empty().then_some(())
    })
    .await;
    for (name, ranges) in all(&store).await {
        if let Some(before) = before.get(&name).filter(|ranges| !ranges.is_empty()) {
            assert_eq!(&ranges, before, "{name}");
        }
    }
    operator.stop().await.unwrap();
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_ranges_from_kubernetes_and_for_nodes_that_are_to_be_ignored_nothing_is_written() {
    let store = Store::start(0, 19).await;
    let operator = Operator::start(&store.url, "one", &[("ipam", "kubernetes")]);
    until("a leader", || holder(&store)).await;
    add_node(&store, "a", &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster::range(&store, "a").await, None);
    operator.stop().await.unwrap();
    let ignored = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "spec": {},
        "metadata": { "name": "ignored", "annotations": { "ipam.cilium.io/ignore": "true" } },
    });
    store.send(Method::POST, NODES, Some(&ignored)).await;
    let operator = Operator::start(&store.url, "two", &[]);
    until("a range", || cluster::range(&store, "a")).await;
    assert_eq!(cluster::range(&store, "ignored").await, None);
    operator.stop().await.unwrap();
}

/// Two leaders at once: the first does not know that its lease has run out, since its clock says otherwise, and what it
/// sends is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_leaders_never_give_one_range_to_two_nodes() {
    for seed in 0..6 {
        let store = Store::start(10, 23 + seed).await;
        let (late, url) = door(&store.at, 0, 29 + seed).await;
        // Few ranges, so that both leaders want the same.
        let pairs = &[
            ("cluster-pool-ipv4-cidr", "10.1.0.0/26"),
            ("cluster-pool-ipv4-mask-size", "28"),
        ];
        let first = Operator::heedless(&url, "late", pairs);
        until("the first leader", || holder(&store)).await;
        add_node(&store, "n0", &[]).await;
        until("the first range", || cluster::range(&store, "n0")).await;
        // Its claims pass, its writes wait; on odd seeds its claims wait as well.
        let held = if seed % 2 == 0 { "/ciliumnodes/" } else { "" };
        late.hold(Method::PUT, held);
        add_node(&store, "n1", &[]).await;
        add_node(&store, "n2", &[]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        // From now on it cannot renew either, and does not notice.
        late.hold(Method::PUT, "");
        let second = Operator::heedless(&store.url, "second", pairs);
        until("the second leader", || async {
            holder(&store).await.filter(|of| of.starts_with("second-"))
        })
        .await;
        add_node(&store, "n3", &[]).await;
        if seed % 3 == 0 {
            // What the first one is about to write is of nodes that are others by now.
            store
                .send(Method::DELETE, &format!("{NODES}/n1"), None)
                .await;
            add_node(&store, "n1", &[]).await;
        }
        if seed % 3 == 1 {
            until("three ranges", || async {
                let given = all(&store)
                    .await
                    .values()
                    .filter(|of| !of.is_empty())
                    .count();
                (given >= 3).then_some(())
            })
            .await;
        }
        late.let_go();
        let ended = first.ended().await.expect_err("it has lost its lease");
        assert_eq!(ended.to_string(), "this operator does not lead any more");
        let all = until_all_have(&store, 4, 1).await;
        assert_eq!(all.len(), 4);
        second.stop().await.unwrap();
    }
}

/// The one order of events in which nothing but the claim helps: the second leader would give to n2 what the first is about
/// to write into n1, and does not come to n1 itself before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_former_leader_claimed_and_writes_late_was_given_to_nobody_else() {
    let store = Store::start(0, 59).await;
    let (late, url) = door(&store.at, 0, 61).await;
    let pairs = &[
        ("cluster-pool-ipv4-cidr", "10.1.0.0/26"),
        ("cluster-pool-ipv4-mask-size", "28"),
    ];
    let first = Operator::heedless(&url, "late", pairs);
    until("the first leader", || holder(&store)).await;
    add_node(&store, "n0", &[]).await;
    until("the first range", || cluster::range(&store, "n0")).await;
    late.hold(Method::PUT, "/ciliumnodes/");
    add_node(&store, "n1", &[]).await;
    until("the claim", || async {
        let lease = store.get(cluster::LEASE).await;
        lease["metadata"]["annotations"]
            .get(operator::lease::NOTE)
            .is_some()
            .then_some(())
    })
    .await;
    // Its write is under way by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    late.hold(Method::PUT, "");
    // With this one gone the ranges would be counted from another place.
    store
        .send(Method::DELETE, &format!("{NODES}/n0"), None)
        .await;
    store.proxy.hold(Method::PUT, "/ciliumnodes/n1");
    let second = Operator::heedless(&store.url, "second", pairs);
    for name in ["n2", "n3", "n4"] {
        add_node(&store, name, &[]).await;
        until("a range of the second leader", || {
            cluster::range(&store, name)
        })
        .await;
    }
    assert_eq!(cluster::range(&store, "n1").await, None);
    late.let_go();
    let written = until("the late range", || cluster::range(&store, "n1")).await;
    assert_eq!(
        written, "10.1.0.16/28",
        "it was the first leader that wrote it"
    );
    assert_apart(&all(&store).await);
    first.ended().await.expect_err("it has lost its lease");
    store.proxy.let_go();
    until_all_have(&store, 4, 1).await;
    second.stop().await.unwrap();
}
