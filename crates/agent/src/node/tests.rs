use std::collections::BTreeSet;
use std::path::Path;

use netlink::route::TABLE_MAIN;
use netlink::{Family, NamedNamespace};

use super::*;
use crate::config::{Config, Given};

fn config(pairs: &[(&str, &str)]) -> Datapath {
    let base = [
        ("k8s-node-name", "n1"),
        ("enable-ipv6", "true"),
        ("devices", "eth0"),
    ];
    Config::new(&Given::from_pairs(
        base.into_iter().chain(pairs.iter().copied()),
    ))
    .unwrap()
    .datapath
}

fn addressing() -> Addressing {
    Addressing {
        node_ipv4: Some("172.30.0.11".parse().unwrap()),
        node_ipv6: Some("fd00:30::11".parse().unwrap()),
        pods_ipv4: Some("10.244.1.0/24".parse().unwrap()),
        pods_ipv6: Some("fd00:10:244:1::/64".parse().unwrap()),
    }
}

fn own_ranges() -> [IpNet; 2] {
    let own = addressing();
    [own.pods_ipv4.unwrap().into(), own.pods_ipv6.unwrap().into()]
}

fn other_node() -> RemoteNode {
    RemoteNode {
        addresses: vec![
            "172.30.0.12".parse().unwrap(),
            "fd00:30::12".parse().unwrap(),
        ],
        pod_cidrs: vec![
            "10.244.2.0/24".parse().unwrap(),
            "fd00:10:244:2::/64".parse().unwrap(),
        ],
    }
}

/// A namespace with an uplink and the node's addresses.
fn node(test: &str) -> Option<NamedNamespace> {
    if !rustix_is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        eprintln!("left out: needs root");
        return None;
    }
    let namespace = NamedNamespace::create(&format!("axt-{}-{test}", std::process::id())).unwrap();
    let handle = Handle::open_in(&namespace).unwrap();
    handle
        .run(&link::create_veth(&Veth {
            end: VethEnd::named("eth0").mtu(1550),
            state: AdminState::Up,
            peer: VethEnd::named("wire"),
            peer_namespace: None,
        }))
        .unwrap();
    let index = handle.link("eth0").unwrap().index;
    let add = |text: &str| address::add(index, text.parse().unwrap(), PrefixRoute::Add);
    handle
        .run_all(&[
            link::set_up("lo"),
            link::set_up("wire"),
            link::set_up("eth0"),
            add("172.30.0.11/24"),
            add("fd00:30::11/64"),
        ])
        .unwrap();
    Some(namespace)
}

fn rustix_is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:\t0\t")))
}

fn apply_routes(
    handle: &Handle,
    routing: Routing,
    devices: &Devices,
    nodes: &[RemoteNode],
) -> RoutePlan {
    let desired = desired_routes(routing, &own_ranges(), &addressing(), devices, nodes);
    let mut actual = handle.routes(Family::V4, Some(TABLE_MAIN)).unwrap();
    actual.extend(handle.routes(Family::V6, Some(TABLE_MAIN)).unwrap());
    let plan = plan_routes(&desired, &actual, devices);
    for route in &plan.set {
        handle.run(&netlink::route::replace(route)).unwrap();
    }
    for route in &plan.remove {
        handle.run(&netlink::route::delete(route)).unwrap();
    }
    plan
}

fn prepared(namespace: &NamedNamespace, config: &Datapath, state: &Path) -> Devices {
    let handle = Handle::open_in(namespace).unwrap();
    namespace
        .run(|| prepare(&handle, config, &addressing(), state))
        .unwrap()
        .unwrap()
}

#[test]
fn a_prepared_node_stays_as_it_is_when_prepared_again() {
    let Some(namespace) = node("a") else { return };
    let state = tempfile::tempdir().unwrap();
    let config = config(&[]);
    let first = prepared(&namespace, &config, state.path());
    assert_eq!((first.device_mtu, first.route_mtu), (1550, 1500));
    let handle = Handle::open_in(&namespace).unwrap();
    let nodes = [other_node()];
    assert_eq!(
        apply_routes(&handle, config.routing, &first, &nodes)
            .set
            .len(),
        4
    );
    let again = prepared(&namespace, &config, state.path());
    assert_eq!(again.host.index, first.host.index);
    assert!(apply_routes(&handle, config.routing, &again, &nodes).is_empty());
}

#[test]
fn a_node_that_leaves_takes_its_routes_along() {
    let Some(namespace) = node("b") else { return };
    let state = tempfile::tempdir().unwrap();
    let config = config(&[
        ("routing-mode", "native"),
        ("auto-direct-node-routes", "true"),
        ("ipv4-native-routing-cidr", "10.0.0.0/8"),
    ]);
    let devices = prepared(&namespace, &config, state.path());
    assert!(devices.overlay.is_none());
    let handle = Handle::open_in(&namespace).unwrap();
    apply_routes(&handle, config.routing, &devices, &[other_node()]);
    let plan = apply_routes(&handle, config.routing, &devices, &[]);
    let gone: BTreeSet<IpNet> = plan.remove.iter().map(|route| route.destination).collect();
    assert_eq!(gone, other_node().pod_cidrs.into_iter().collect());
    assert!(apply_routes(&handle, config.routing, &devices, &[]).is_empty());
}

#[test]
fn sysctls_of_before_come_back() {
    let Some(namespace) = node("c") else { return };
    let state = tempfile::tempdir().unwrap();
    let read = |name: &str| netlink::sysctl::read_in(&namespace, name).unwrap();
    let before = read("net/ipv4/ip_forward");
    prepared(&namespace, &config(&[]), state.path());
    assert_eq!(read("net/ipv4/ip_forward"), "1");
    assert_eq!(read("net/ipv4/conf/cilium_host/rp_filter"), "0");
    // A second start must not take its own settings for those of before.
    prepared(&namespace, &config(&[]), state.path());
    namespace
        .run(|| restore_sysctls(state.path()))
        .unwrap()
        .unwrap();
    assert_eq!(read("net/ipv4/ip_forward"), before);
}

#[test]
fn without_the_nodes_address_the_uplink_must_be_named() {
    let Some(namespace) = node("d") else { return };
    let mut config = config(&[]);
    config.devices.clear();
    let state = tempfile::tempdir().unwrap();
    let strange = Addressing {
        node_ipv4: Some("192.0.2.1".parse().unwrap()),
        node_ipv6: None,
        ..addressing()
    };
    let handle = Handle::open_in(&namespace).unwrap();
    let error = namespace
        .run(|| prepare(&handle, &config, &strange, state.path()))
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().starts_with("devices: "), "{error}");
}
