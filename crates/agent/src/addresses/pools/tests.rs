use std::net::IpAddr;

use model::endpoint::EndpointRow;
use model::ipam::Lasting;
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, Given};
use crate::node::Addressing;

fn config() -> Config {
    let keys = [("k8s-node-name", "n1"), ("ipam", "multi-pool")];
    Config::new(&Given::from_pairs(keys)).unwrap()
}

fn addressing() -> Addressing {
    Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: Some("10.0.0.0/28".parse().unwrap()),
        pods_ipv6: None,
    }
}

fn node(pools: &Value, error: &str) -> CiliumNode {
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": { "name": "n1" },
        "spec": { "ipam": { "pools": pools } },
        "status": { "ipam": { "operator-status": { "error": error } } },
    });
    serde_json::from_value(object).unwrap()
}

/// A node whose router is in its range of the default pool.
fn addresses(allocated: &Value) -> Addresses {
    let folder = tempfile::tempdir().unwrap();
    started(allocated, folder.path(), &[])
}

/// What an agent has that starts with such a state directory.
fn started(allocated: &Value, state_dir: &Path, restored: &[EndpointRow]) -> Addresses {
    let node = node(&json!({ "allocated": allocated }), "");
    let ranges = ranges_of(node.spec.ipam.pools.as_ref().unwrap());
    let config = Config {
        state_dir: state_dir.to_owned(),
        ..config()
    };
    let addresses = Addresses::of_pools(&ranges, &addressing(), &config, restored);
    addresses.take_in(&node);
    addresses
}

fn ask(addresses: &Addresses, pool: &str, owner: &str) -> Result<IpAddr, IpamError> {
    let pool = pool.into();
    let given = addresses.allocate(Some(&pool), Family::Ipv4, owner, Lasting::UntilReleased);
    given.map(|(address, _)| address)
}

fn asked(pools: &IpamPools) -> Vec<(&str, i64)> {
    let row = |of: &RequestedPool| of.needed.ipv4_addrs;
    let requested = pools.requested.iter();
    requested.map(|of| (&*of.pool, row(of))).collect()
}

const DEFAULT: (&str, &[&str]) = ("default", &["10.0.0.0/28"]);

fn has(pools: &[(&str, &[&str])]) -> Value {
    let row = |(pool, cidrs): &(&str, &[&str])| json!({ "pool": pool, "cidrs": cidrs });
    pools.iter().map(row).collect()
}

#[test]
fn who_is_refused_an_address_is_asked_for_and_given_one_when_the_operator_gave_a_range() {
    let addresses = addresses(&has(&[DEFAULT]));
    let refused = ask(&addresses, "blue", "shop/web").unwrap_err();
    assert_eq!(
        addresses.refusal(&refused),
        "the node has no range of IPv4 addresses of pool blue; the operator was asked for more"
    );
    // Who asks again is counted once.
    ask(&addresses, "blue", "shop/web").unwrap_err();
    ask(&addresses, "blue", "shop/db").unwrap_err();
    assert!(addresses.has_news() && addresses.is_waiting());
    let says = node(&json!({ "allocated": has(&[DEFAULT]) }), "");
    let wish = addresses.wish(says.spec.ipam.pools.as_ref()).unwrap();
    assert_eq!(asked(&wish), [("blue", 2), ("default", 16)]);
    let mut answered = node(
        &serde_json::to_value(&wish).unwrap(),
        "no IPv4 range is free in pool blue",
    );
    addresses.take_in(&answered);
    assert!(!addresses.has_news());
    let refused = ask(&addresses, "blue", "shop/web").unwrap_err();
    assert_eq!(
        addresses.refusal(&refused),
        "the node has no range of IPv4 addresses of pool blue; the operator says: no IPv4 range is free in pool blue"
    );
    let given = AllocatedPool {
        pool: "blue".into(),
        cidrs: vec!["192.168.7.4/31".into()],
    };
    answered
        .spec
        .ipam
        .pools
        .as_mut()
        .unwrap()
        .allocated
        .push(given);
    addresses.take_in(&answered);
    for (pod, expected) in [("shop/web", 4), ("shop/db", 5)] {
        let address: IpAddr = [192, 168, 7, expected].into();
        assert_eq!(ask(&addresses, "blue", pod), Ok(address));
        assert_eq!(addresses.pool_of(address).as_deref(), Some("blue"));
    }
    assert!(!addresses.is_waiting());
    // What is used is what was asked for: nothing is written for it.
    answered.spec.ipam.pools = addresses.wish(answered.spec.ipam.pools.as_ref());
    addresses.take_in(&answered);
    assert!(!addresses.has_news());
}

#[test]
fn a_range_that_nobody_needs_goes_back_after_a_while_and_one_with_a_pod_stays() {
    let two: &[&str] = &["10.1.0.0/30", "10.1.0.4/30"];
    let addresses = addresses(&has(&[("blue", two), DEFAULT]));
    let web = ask(&addresses, "blue", "shop/web").unwrap();
    let says = node(&json!({ "allocated": has(&[("blue", two), DEFAULT]) }), "");
    let wish = |says: &CiliumNode| addresses.wish(says.spec.ipam.pools.as_ref()).unwrap();
    assert_eq!(wish(&says).allocated.len(), 2);
    assert_eq!(wish(&says).allocated[0].cidrs, two);
    std::thread::sleep(IDLE);
    assert!(addresses.has_news());
    let without = wish(&says);
    assert_eq!(without.allocated[0].cidrs, ["10.1.0.0/30"]);
    // The write may have failed: until the object says so, the range is neither used nor forgotten.
    addresses.take_in(&says);
    assert_eq!(addresses.ranges().len(), 3);
    ask(&addresses, "blue", "shop/a").unwrap();
    ask(&addresses, "blue", "shop/b").unwrap_err();
    addresses.take_in(&node(&serde_json::to_value(&without).unwrap(), ""));
    assert_eq!(addresses.ranges().len(), 2);
    assert_eq!(addresses.pool_of(web).as_deref(), Some("blue"));
}

#[test]
fn an_object_that_is_made_anew_says_what_is_in_use_and_what_is_needed() {
    let addresses = addresses(&has(&[
        DEFAULT,
        ("blue", &["10.1.0.0/30"]),
        ("red", &["10.2.0.0/30"]),
    ]));
    ask(&addresses, "blue", "shop/web").unwrap();
    let anew = addresses.wish(None).unwrap();
    let expected: Vec<AllocatedPool> =
        serde_json::from_value(has(&[("blue", &["10.1.0.0/30"]), DEFAULT])).unwrap();
    assert_eq!(anew.allocated, expected);
    assert_eq!(asked(&anew), [("blue", 1), ("default", 16)]);
    // What is not said is not the node's any more.
    addresses.take_in(&node(&serde_json::to_value(&anew).unwrap(), ""));
    assert_eq!(
        ask(&addresses, "red", "shop/db").unwrap_err().to_string(),
        "the node has no range of IPv4 addresses of pool red"
    );
}

#[test]
fn over_a_restart_a_range_in_use_is_the_nodes_also_when_its_object_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let blue: (&str, &[&str]) = ("blue", &["10.1.0.0/30", "10.1.0.4/30"]);
    let before = started(&has(&[blue, DEFAULT]), folder.path(), &[]);
    let web = ask(&before, "blue", "shop/web").unwrap();
    assert_eq!(web, IpAddr::from([10, 1, 0, 1]));
    let row = super::super::tests::endpoint(7, web);
    // The object was removed meanwhile, and made anew by somebody who knew nothing of pods.
    let after = started(&has(&[DEFAULT]), folder.path(), std::slice::from_ref(&row));
    assert_eq!(after.pool_of(web).as_deref(), Some("blue"));
    let wish = after.wish(None).unwrap();
    let expected: Vec<AllocatedPool> =
        serde_json::from_value(has(&[("blue", &["10.1.0.0/30"]), DEFAULT])).unwrap();
    assert_eq!(wish.allocated, expected);
    // Somebody else may have been given it: there is one pod, and there will be no other.
    ask(&after, "blue", "shop/db").unwrap_err();
    // With the object as it was, all is as it was.
    let again = started(&has(&[blue, DEFAULT]), folder.path(), &[row]);
    assert!(ask(&again, "blue", "shop/db").is_ok());
    std::fs::write(folder.path().join(KEPT), "[").unwrap();
    assert_eq!(kept(folder.path()), Ranges::new());
}

#[test]
fn without_pools_to_choose_from_nothing_is_asked_for() {
    let addresses = Addresses::new(&addressing(), &[]);
    assert_eq!(addresses.wish(None), None);
    addresses.take_in(&node(&json!({}), ""));
    assert_eq!(addresses.ranges(), ["10.0.0.0/28".parse().unwrap()]);
    assert!(!addresses.has_news() && !addresses.has_pools());
}

#[test]
fn the_first_wish_has_room_for_router_and_health_endpoint() {
    let wish = first_wish(&config().wants(), &"default".into());
    assert_eq!(asked(&wish), [("default", 16)]);
}
