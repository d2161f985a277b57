//! Operators against the embedded store, with a tenth of all requests failing: who leads, CRDs, and ranges of nodes.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::too_many_lines, reason = "a story is told at once")]

#[path = "operator/cluster.rs"]
mod cluster;
#[path = "operator/collection.rs"]
mod collection;
#[path = "operator/duties.rs"]
mod duties;
#[path = "operator/in_force.rs"]
mod in_force;
#[path = "operator/kvstore.rs"]
mod kvstore;
#[path = "operator/pools.rs"]
mod pools;
#[path = "operator/ranges.rs"]
mod ranges;
#[path = "operator/secrets.rs"]
mod secrets;
#[path = "operator/slices.rs"]
mod slices;
#[path = "../../testkit/tests/control_plane/store.rs"]
mod stores;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use cluster::{LEASE, Operator, holder};
use serde_json::{Value, json};
use stores::{Store, until};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_leads_registers_the_crds_and_its_end_lets_the_other_lead_at_once() {
    let store = Store::start(10, 3).await;
    let one = Operator::start(&store.url, "one", &[]);
    let first = until("a leader", || holder(&store)).await;
    assert!(first.starts_with("one-"), "{first}");
    let two = Operator::start(&store.url, "two", &[]);
    let wanted: BTreeSet<String> = crds::definitions()
        .into_iter()
        .map(|of| of.metadata.name)
        .collect();
    until("the CRDs", || async {
        let found = store.get(DEFINITIONS).await;
        let names = found["items"].as_array()?.iter();
        let names = names.filter_map(|of| of["metadata"]["name"].as_str().map(str::to_owned));
        (names.collect::<BTreeSet<_>>() == wanted).then_some(())
    })
    .await;
    assert_eq!(holder(&store).await.as_ref(), Some(&first));
    let begun = tokio::time::Instant::now();
    one.stop().await.expect("it was told to stop");
    until("the other one", || async {
        holder(&store).await.filter(|of| of.starts_with("two-"))
    })
    .await;
    let took = begun.elapsed();
    // Released, and not run out, which takes a minute.
    assert!(took < Duration::from_secs(20), "{took:?}");
    let lease = store.get(LEASE).await;
    assert_eq!(lease["spec"]["leaseTransitions"], 1, "{lease}");
    two.stop().await.expect("it was told to stop");
    assert_eq!(store.get(LEASE).await["spec"]["holderIdentity"], "");
    store.assert_that_requests_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_lease_is_taken_ends_with_an_error_and_writes_nothing_more() {
    let store = Store::start(0, 3).await;
    let operator = Operator::start(&store.url, "one", &[]);
    until("a leader", || holder(&store)).await;
    cluster::add_node(&store, "n1", &[]).await;
    until("a range", || cluster::range(&store, "n1")).await;
    until("the lease of another", || async {
        let mut lease = store.get(LEASE).await;
        lease["spec"]["holderIdentity"] = json!("another");
        store
            .direct
            .raw(Method::PUT, LEASE, Some(&lease))
            .await
            .ok()
    })
    .await;
    let error = operator.ended().await.expect_err("it lost its lease");
    assert_eq!(error.to_string(), "this operator does not lead any more");
    cluster::add_node(&store, "n2", &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster::range(&store, "n2").await, None);
    assert_eq!(store.get(LEASE).await["spec"]["holderIdentity"], "another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_renew_ends_before_others_may_lead() {
    let store = Store::start(0, 3).await;
    let operator = Operator::start(&store.url, "one", &cluster::SHORT_LEASE);
    until("a leader", || holder(&store)).await;
    let begun = tokio::time::Instant::now();
    store.proxy.hold(Method::PUT, "/leases/");
    operator.ended().await.expect_err("it could not renew");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    store.proxy.let_go();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crd_that_is_older_is_raised_and_one_that_is_newer_stays() {
    let store = Store::start(10, 5).await;
    let mut definitions = crds::definitions().into_iter();
    let mut put = async |version: &str| {
        let mut definition = serde_json::to_value(definitions.next().unwrap()).unwrap();
        definition["metadata"]["labels"][crds::SCHEMA_VERSION_LABEL] = json!(version);
        store
            .send(Method::POST, DEFINITIONS, Some(&definition))
            .await;
        definition["metadata"]["name"].as_str().unwrap().to_owned()
    };
    let (older, newer) = (put("1.0.0").await, put("99.0.0").await);
    let operator = Operator::start(&store.url, "one", &[]);
    let label =
        |definition: &Value| definition["metadata"]["labels"][crds::SCHEMA_VERSION_LABEL].clone();
    until("the older one", || async {
        let found = store.get(&format!("{DEFINITIONS}/{older}")).await;
        (label(&found) == crds::SCHEMA_VERSION).then_some(())
    })
    .await;
    cluster::add_node(&store, "n1", &[]).await;
    // Which comes after the CRDs.
    until("a range", || cluster::range(&store, "n1")).await;
    assert_eq!(
        label(&store.get(&format!("{DEFINITIONS}/{newer}")).await),
        "99.0.0"
    );
    operator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_scrapers_are_answered() {
    let store = Store::start(0, 3).await;
    let address = cluster::free_address();
    let operator = Operator::start(&store.url, "one", &[("operator-api-serve-addr", &address)]);
    until("a leader", || holder(&store)).await;
    for path in ["/healthz", "/v1/healthz"] {
        assert_eq!(cluster::http(&address, path).await, (200, "ok".to_owned()));
    }
    until("the leader's numbers", || async {
        let (code, text) = cluster::http(&address, "/metrics").await;
        let leads = "cilium_operator_leader_election_master_status{name=\"cilium-operator-resource-lock\"} 1\n";
        (code == 200 && text.contains(leads) && text.contains("ipam_resync_total")).then_some(())
    })
    .await;
    store.proxy.hold(Method::GET, "/version");
    let (code, text) = cluster::http(&address, "/healthz").await;
    assert_eq!(
        (code, text.as_str()),
        (500, "the API server does not answer")
    );
    store.proxy.let_go();
    operator.stop().await.unwrap();
}
