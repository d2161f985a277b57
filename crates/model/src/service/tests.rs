use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn name(name: &str) -> ServiceName {
    ServiceName {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn service(ips: &[&str]) -> Service {
    Service {
        cluster_ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        ..Service::default()
    }
}

fn slice(port: u16, endpoints: &[(&str, &str, Condition)]) -> Slice {
    Slice {
        ports: vec![SlicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port,
        }],
        endpoints: endpoints
            .iter()
            .map(|(ip, node, condition)| SliceEndpoint {
                address: ip.parse().unwrap(),
                node: Some((*node).into()),
                condition: *condition,
            })
            .collect(),
    }
}

fn snapshot(service: Service, slices: &[Slice]) -> Snapshot {
    let mut snapshot = Snapshot::new("here");
    snapshot.apply(Change::Service(name("web"), Some(Arc::new(service))));
    for (n, slice) in slices.iter().enumerate() {
        snapshot.apply(Change::Slice(
            name("web"),
            format!("web-{n}").into(),
            Some(Arc::new(slice.clone())),
        ));
    }
    snapshot
}

/// One line per row: frontends => backends, usable ones before the bar.
fn show(snapshot: &Snapshot) -> Vec<String> {
    let frontend = |frontend: &Frontend| {
        let FrontendAddress {
            address,
            port,
            protocol,
            scope,
        } = frontend.address;
        let inside = if scope == ClientScope::Inside {
            " inside"
        } else {
            ""
        };
        format!("{:?} {address} {port}/{protocol}{inside}", frontend.kind)
    };
    let backend =
        |backend: &Backend| format!("{} {}", backend.address.address, backend.address.port);
    let row = |row: &Row| {
        let frontends: Vec<_> = row.frontends.iter().map(frontend).collect();
        let usable: Vec<_> = row.usable().iter().map(backend).collect();
        let rest: Vec<_> = row.backends[row.usable().len()..]
            .iter()
            .map(backend)
            .collect();
        format!(
            "{} => {} | {}",
            frontends.join(", "),
            usable.join(", "),
            rest.join(", ")
        )
    };
    snapshot.rows().values().map(row).collect()
}

const READY: Condition = Condition::Ready;

#[test]
fn each_family_gets_the_backends_of_its_own_with_the_port_that_the_slice_names() {
    let slices = [
        slice(8080, &[("10.0.0.2", "here", READY)]),
        slice(
            9090,
            &[("10.0.0.3", "there", READY), ("fd00::3", "there", READY)],
        ),
    ];
    assert_eq!(
        show(&snapshot(service(&["10.96.0.1", "fd00:96::1"]), &slices)),
        [
            "ClusterIp 10.96.0.1 80/TCP => 10.0.0.2 8080, 10.0.0.3 9090 | ",
            "ClusterIp fd00:96::1 80/TCP => fd00::3 9090 | ",
        ]
    );
}

#[test]
fn a_headless_service_has_no_frontend_and_one_without_endpoints_has_a_row() {
    assert!(
        show(&snapshot(
            service(&[]),
            &[slice(80, &[("10.0.0.2", "here", READY)])]
        ))
        .is_empty()
    );
    assert_eq!(
        show(&snapshot(service(&["10.96.0.1"]), &[])),
        ["ClusterIp 10.96.0.1 80/TCP =>  | "]
    );
}

#[test]
fn terminating_backends_are_used_only_while_nobody_is_active() {
    let ending = ("10.0.0.3", "here", Condition::TerminatingServing);
    let gone = ("10.0.0.4", "here", Condition::NotServing);
    let with = snapshot(
        service(&["10.96.0.1"]),
        &[slice(80, &[ending, ("10.0.0.9", "here", READY), gone])],
    );
    assert_eq!(
        show(&with),
        ["ClusterIp 10.96.0.1 80/TCP => 10.0.0.9 80 | 10.0.0.3 80"]
    );
    let without = snapshot(service(&["10.96.0.1"]), &[slice(80, &[ending, gone])]);
    assert_eq!(
        show(&without),
        ["ClusterIp 10.96.0.1 80/TCP => 10.0.0.3 80 | "]
    );
}

#[test]
fn conditions_of_the_api_have_their_defaults() {
    assert_eq!(Condition::from_api(None, None, None), Condition::Ready);
    assert_eq!(
        Condition::from_api(Some(false), None, Some(true)),
        Condition::TerminatingServing
    );
    assert_eq!(
        Condition::from_api(Some(false), Some(false), Some(true)),
        Condition::NotServing
    );
    assert_eq!(
        Condition::from_api(Some(false), Some(true), None),
        Condition::NotServing
    );
    assert_eq!(
        Condition::from_api(Some(true), Some(true), Some(true)),
        Condition::Ready
    );
}

#[test]
fn with_external_policy_local_clients_outside_get_only_this_nodes_backends() {
    let mut of = service(&["10.96.0.1"]);
    of.ports[0].node_port = Some(30080);
    of.load_balancer_ips = vec!["198.51.100.1".parse().unwrap()];
    let slices = [slice(
        80,
        &[("10.0.0.2", "here", READY), ("10.0.1.2", "there", READY)],
    )];
    assert_eq!(
        show(&snapshot(of.clone(), &slices)),
        ["ClusterIp 10.96.0.1 80/TCP, LoadBalancer 198.51.100.1 80/TCP, NodePort 0.0.0.0 30080/TCP => 10.0.0.2 80, 10.0.1.2 80 | "]
            .map(|expected| {
                // Frontends are sorted by address.
                expected.replace(
                    "ClusterIp 10.96.0.1 80/TCP, LoadBalancer 198.51.100.1 80/TCP, NodePort 0.0.0.0 30080/TCP",
                    "NodePort 0.0.0.0 30080/TCP, ClusterIp 10.96.0.1 80/TCP, LoadBalancer 198.51.100.1 80/TCP",
                )
            })
    );
    of.external_policy = TrafficPolicy::Local;
    assert_eq!(
        show(&snapshot(of, &slices)),
        [
            "NodePort 0.0.0.0 30080/TCP inside, ClusterIp 10.96.0.1 80/TCP, LoadBalancer 198.51.100.1 80/TCP inside => 10.0.0.2 80, 10.0.1.2 80 | ",
            "NodePort 0.0.0.0 30080/TCP, LoadBalancer 198.51.100.1 80/TCP => 10.0.0.2 80 | ",
        ]
    );
}

#[test]
fn with_internal_policy_local_the_virtual_address_reaches_only_this_nodes_backends() {
    let mut of = service(&["10.96.0.1"]);
    of.internal_policy = TrafficPolicy::Local;
    let slices = [slice(80, &[("10.0.1.2", "there", READY)])];
    assert_eq!(
        show(&snapshot(of, &slices)),
        ["ClusterIp 10.96.0.1 80/TCP =>  | "]
    );
}

#[test]
fn a_frontend_that_two_services_claim_is_named() {
    let mut snapshot = snapshot(service(&["10.96.0.1"]), &[]);
    snapshot.apply(Change::Service(
        name("thief"),
        Some(Arc::new(service(&["10.96.0.1"]))),
    ));
    let conflicts = Snapshot::conflicts(&snapshot.rows());
    let users: Vec<_> = conflicts
        .values()
        .flatten()
        .map(|key| key.service.to_string())
        .collect();
    assert_eq!(users, ["shop/thief", "shop/web"]);
}

#[test]
fn ids_of_services_survive_a_restart() {
    let mut of = service(&["10.96.0.1", "fd00:96::1"]);
    of.ports[0].node_port = Some(30080);
    let snapshot = snapshot(of, &[]);
    let rows = snapshot.rows();
    let mut before = ServiceIds::default();
    let ids: Vec<_> = rows
        .iter()
        .map(|(key, row)| before.assign(key, row).unwrap())
        .collect();
    assert_eq!(ids, [1, 2]);

    let mut after = ServiceIds::default();
    // As the kernel holds them, with something stale under another number.
    let stale = FrontendAddress {
        address: "10.96.0.99".parse().unwrap(),
        port: 80,
        protocol: Protocol::Tcp,
        scope: ClientScope::Everybody,
    };
    let kernel = rows
        .iter()
        .zip([7, 3])
        .flat_map(|((_, row), id)| row.frontends.iter().map(move |f| (f.address, id)));
    after.restore(kernel.chain([(stale, 5)]));
    let other = RowKey {
        service: name("other"),
        ..rows.keys().next().unwrap().clone()
    };
    let new = Row {
        frontends: Vec::new(),
        ..rows.values().next().unwrap().clone()
    };
    assert_eq!(
        after.assign(&other, &new),
        Some(8),
        "before all is recovered no number of the kernel is given"
    );
    let ids: Vec<_> = rows
        .iter()
        .map(|(key, row)| after.assign(key, row).unwrap())
        .collect();
    assert_eq!(ids, [7, 3]);
    after.forget_restored();
    assert_eq!(after.release(&other), Some(8));
    assert_eq!(after.assign(&other, &new), Some(9));
}

fn backend(n: u32) -> BackendAddress {
    BackendAddress {
        address: IpAddr::from((0x0a00_0000 + n).to_be_bytes()),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

#[test]
fn maglev_spreads_evenly_over_backends() {
    for size in [1021, 16381] {
        let backends: Vec<_> = (0..50).map(backend).collect();
        let table = maglev::table(&backends, size, maglev::DEFAULT_SEED);
        let mut counts = [0_u32; 50];
        for index in &table {
            counts[*index as usize] += 1;
        }
        // The paper's promise: the populating rounds differ by at most one place each.
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{least}..{most} places of {size}");
    }
}

#[test]
fn maglev_hardly_moves_connections_when_a_backend_goes() {
    let all: Vec<_> = (0..20).map(backend).collect();
    let before = maglev::table(&all, 16381, 1);
    for gone in 0..20 {
        let rest: Vec<_> = all.iter().copied().filter(|b| *b != all[gone]).collect();
        let after = maglev::table(&rest, 16381, 1);
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(old, new)| all[**old as usize] != rest[**new as usize]);
        let moved = moved.filter(|(old, _)| **old as usize != gone).count();
        assert!(
            moved < 16381 / 20,
            "{moved} of 16381 places moved though their backend stayed"
        );
    }
}

#[test]
fn maglev_is_the_same_on_every_node_and_another_with_another_seed() {
    let backends: Vec<_> = (0..5).map(backend).collect();
    assert_eq!(
        maglev::table(&backends, 251, 1),
        maglev::table(&backends, 251, 1)
    );
    assert_ne!(
        maglev::table(&backends, 251, 1),
        maglev::table(&backends, 251, 2)
    );
    assert_eq!(maglev::table(&[], 251, 1), Vec::<u32>::new());
    assert_eq!(maglev::table(&backends[..1], 251, 1), vec![0; 251]);
    let many: Vec<_> = (0..600).map(backend).collect();
    assert_eq!(
        maglev::table(&many, 251, 1).len(),
        251,
        "more backends than places"
    );
    assert_eq!(select::maglev_backend(&[], 3), None);
    assert_eq!(select::maglev_backend(&[4, 5], 3), Some(5));
}

#[test]
fn random_slots_are_even_and_in_range() {
    assert_eq!(select::random_slot(0, 7), None);
    assert_eq!(select::random_slot(3, u32::MAX), Some(2));
    let mut counts = [0; 7];
    for n in 0..70_000_u32 {
        counts[select::random_slot(7, n.wrapping_mul(0x9e37_79b9)).unwrap() as usize] += 1;
    }
    assert!(
        counts.iter().all(|n| (9_900..10_100).contains(n)),
        "{counts:?}"
    );
}

fn any_service() -> impl Strategy<Value = Service> {
    let policy = || prop_oneof![Just(TrafficPolicy::Cluster), Just(TrafficPolicy::Local)];
    let port = (0_usize..3, any::<bool>(), any::<bool>()).prop_map(|(n, tcp, node)| ServicePort {
        name: ["", "a", "b"][n].into(),
        protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
        port: 80,
        node_port: node.then_some(30000),
    });
    (
        prop::collection::vec(port, 0..3),
        0_usize..4,
        any::<bool>(),
        policy(),
        policy(),
    )
        .prop_map(
            |(ports, ips, balanced, external_policy, internal_policy)| Service {
                cluster_ips: [
                    vec![],
                    vec!["10.96.0.1"],
                    vec!["fd00::1"],
                    vec!["10.96.0.1", "fd00::1"],
                ][ips]
                    .iter()
                    .map(|ip| ip.parse().unwrap())
                    .collect(),
                load_balancer_ips: balanced
                    .then(|| "198.51.100.1".parse().unwrap())
                    .into_iter()
                    .collect(),
                ports,
                external_policy,
                internal_policy,
                ..Service::default()
            },
        )
}

fn any_slice() -> impl Strategy<Value = Slice> {
    let endpoint =
        (0_u8..6, any::<bool>(), any::<bool>(), 0_u8..3).prop_map(|(n, v4, here, condition)| {
            SliceEndpoint {
                address: if v4 {
                    IpAddr::from([10, 0, 0, n])
                } else {
                    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)])
                },
                node: Some(if here { "here" } else { "there" }.into()),
                condition: [
                    Condition::Ready,
                    Condition::TerminatingServing,
                    Condition::NotServing,
                ][usize::from(condition)],
            }
        });
    let port = (0_usize..3, any::<bool>(), 1_u16..4).prop_map(|(n, tcp, port)| SlicePort {
        name: ["", "a", "b"][n].into(),
        protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
        port,
    });
    (
        prop::collection::vec(port, 0..3),
        prop::collection::vec(endpoint, 0..5),
    )
        .prop_map(|(ports, endpoints)| Slice { ports, endpoints })
}

fn any_change() -> impl Strategy<Value = Change> {
    let of = || (0_usize..3).prop_map(|n| name(["a", "b", "b-c"][n]));
    prop_oneof![
        (of(), prop::option::weighted(0.8, any_service()))
            .prop_map(|(name, service)| Change::Service(name, service.map(Arc::new))),
        (of(), 0_u8..3, prop::option::weighted(0.8, any_slice())).prop_map(
            |(service, n, slice)| Change::Slice(
                service,
                format!("s{n}").into(),
                slice.map(Arc::new)
            )
        ),
    ]
}

proptest! {
    #[test]
    fn rows_kept_by_changes_equal_rows_made_anew(changes in prop::collection::vec(any_change(), 0..40)) {
        let mut snapshot = Snapshot::new("here");
        let mut kept: BTreeMap<RowKey, Row> = BTreeMap::new();
        for change in changes {
            for key in snapshot.apply(change) {
                match snapshot.row(&key) {
                    Some(row) => kept.insert(key, row),
                    None => kept.remove(&key),
                };
            }
            prop_assert_eq!(&kept, &snapshot.rows());
        }
    }
}
