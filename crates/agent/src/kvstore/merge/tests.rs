use std::time::Duration;

use model::identity::Identity;
use reconcile::TaskGroup;

use super::*;

const SOURCE: &str = "test";

fn pod(name: &str) -> PodName {
    PodName {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn of(name: &str, identity: u32) -> AddressRow {
    AddressRow {
        pod: Some(pod(name)),
        identity: Identity(identity),
        node: Some(ip("172.30.0.12")),
        named_ports: Vec::new(),
    }
}

/// What is there, as `name identity addresses`.
fn shown(table: &Table<PodName, RemoteEndpoint>) -> Vec<String> {
    let rows = table.snapshot();
    let line = |(name, row): (&PodName, &RemoteEndpoint)| {
        let addresses: Vec<String> = row.addresses.iter().map(ToString::to_string).collect();
        format!("{} {} {}", name.name, row.identity, addresses.join(" "))
    };
    rows.iter().map(line).collect()
}

async fn until(table: &Table<PodName, RemoteEndpoint>, expected: &[&str]) {
    let mut subscription = table.subscribe();
    let wait = async {
        while shown(table) != expected {
            subscription.changed().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(5), wait).await;
    assert!(done.is_ok(), "{:?} and not {expected:?}", shown(table));
}

#[tokio::test]
async fn addresses_of_one_pod_are_one_endpoint_and_an_address_that_changes_hands_leaves_it() {
    let tasks = TaskGroup::new();
    let (mut addresses, table) = Table::new("addresses", &[SOURCE]);
    let (writer, endpoints_of) = Table::new("endpoints", &[SOURCE]);
    tasks.spawn("endpoints", |stop| endpoints(table, writer, SOURCE, stop));
    addresses.set(ip("10.0.2.1"), of("a", 300));
    addresses.set(ip("fd00::1"), of("a", 300));
    addresses.set(ip("10.0.2.2"), of("b", 301));
    addresses.set(
        ip("10.0.2.9"),
        AddressRow {
            pod: None,
            ..of("", 6)
        },
    );
    until(
        &endpoints_of,
        &[
            "10.0.2.9 6 10.0.2.9",
            "a 300 10.0.2.1 fd00::1",
            "b 301 10.0.2.2",
        ],
    )
    .await;
    assert!(!endpoints_of.snapshot().is_initialized());
    addresses.mark_initialized(SOURCE);
    endpoints_of.until_initialized().await;
    addresses.set(ip("10.0.2.1"), of("b", 301));
    addresses.remove(&ip("10.0.2.9"));
    until(&endpoints_of, &["a 300 fd00::1", "b 301 10.0.2.1 10.0.2.2"]).await;
    addresses.remove(&ip("fd00::1"));
    until(&endpoints_of, &["b 301 10.0.2.1 10.0.2.2"]).await;
    tasks.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_the_first_store_lacks_is_taken_from_the_second_and_both_must_have_come() {
    let tasks = TaskGroup::new();
    let (mut first, one) = Table::new("first", &[SOURCE]);
    let (mut second, two) = Table::new("second", &[SOURCE]);
    let (writer, both) = Table::new("both", &[SOURCE]);
    tasks.spawn("both", |stop| prefer((one, two), writer, SOURCE, stop));
    let row = |identity: u32| RemoteEndpoint {
        identity: Identity(identity),
        ..RemoteEndpoint::default()
    };
    second.set(pod("a"), row(300));
    second.set(pod("b"), row(301));
    second.mark_initialized(SOURCE);
    until(&both, &["a 300 ", "b 301 "]).await;
    assert!(!both.snapshot().is_initialized());
    first.set(pod("a"), row(400));
    first.mark_initialized(SOURCE);
    until(&both, &["a 400 ", "b 301 "]).await;
    both.until_initialized().await;
    second.remove(&pod("b"));
    first.remove(&pod("a"));
    until(&both, &["a 300 "]).await;
    tasks.shutdown(Duration::from_secs(1)).await;
}
