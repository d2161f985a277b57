use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::identity::Reserved;
use crate::node::{IpPair, Locality, NodeRow};
use crate::policy::cidr::{CidrSelector, Reach};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pod(name: &str) -> Resource {
    Resource::CiliumEndpoint(PodName {
        namespace: "shop".into(),
        name: name.into(),
    })
}

fn remote(identity: u32, at: &str, node: &str, created: u64) -> RemoteEndpoint {
    RemoteEndpoint {
        identity: Identity(identity),
        ips: vec![ip(at)],
        node: ip(node),
        encryption_key: 0,
        created,
    }
}

fn node(name: &str, locality: Locality, at: &str, router: &str) -> NodeRow {
    NodeRow {
        name: name.into(),
        locality,
        ip: IpPair::first_of([ip(at)]),
        router: IpPair::first_of([ip(router)]),
        addresses: vec![ip(at)],
        pod_cidrs_v4: Vec::new(),
        pod_cidrs_v6: Vec::new(),
        health: IpPair::default(),
        ingress: IpPair::default(),
        encryption_key: 0,
        wireguard_key: None,
        labels: BTreeMap::new(),
    }
}

#[test]
fn the_strongest_source_wins_and_what_it_hid_comes_back() {
    let mut snapshot = Snapshot::default();
    let none = CidrIndex::default();
    let at = net("10.0.1.5/32");
    snapshot.apply(
        &Resource::Prefix(at),
        prefix_claims(at, Identity(0x0100_0001)),
    );
    snapshot.apply(
        &pod("web"),
        remote_endpoint_claims(&remote(300, "10.0.1.5", "192.0.2.2", 0), &[]),
    );
    let row = snapshot.row(at, &none, &mut Covers::default()).unwrap();
    assert_eq!(
        (row.identity, row.location),
        (
            Identity(300),
            Location::RemoteEndpoint {
                node: ip("192.0.2.2")
            }
        )
    );
    assert_eq!(
        snapshot.apply(&pod("web"), Vec::new()),
        BTreeSet::from([at])
    );
    let row = snapshot.row(at, &none, &mut Covers::default()).unwrap();
    assert_eq!(
        (row.identity, row.location),
        (Identity(0x0100_0001), Location::World)
    );
}

#[test]
fn of_two_pods_that_claim_an_address_the_younger_has_it() {
    let mut snapshot = Snapshot::default();
    for (name, identity, created) in [("a", 301, 20), ("b", 302, 30), ("c", 303, 10)] {
        snapshot.apply(
            &pod(name),
            remote_endpoint_claims(&remote(identity, "10.0.1.5", "192.0.2.2", created), &[]),
        );
    }
    assert_eq!(
        snapshot
            .row(
                net("10.0.1.5/32"),
                &CidrIndex::default(),
                &mut Covers::default()
            )
            .unwrap()
            .identity,
        Identity(302)
    );
}

#[test]
fn only_this_node_speaks_of_its_own_pods() {
    let stale = remote(300, "10.0.0.5", "192.0.2.1", 0);
    assert_eq!(
        remote_endpoint_claims(&stale, &[ip("192.0.2.1"), ip("2001:db8::1")]),
        []
    );
}

#[test]
fn nodes_are_host_here_and_remote_node_elsewhere() {
    let mut snapshot = Snapshot::default();
    let (here, there) = (
        node("n1", Locality::Local, "192.0.2.1", "10.0.0.1"),
        node("n2", Locality::Remote, "192.0.2.2", "10.0.1.1"),
    );
    for of in [&here, &there] {
        snapshot.apply(&Resource::Node(of.name.clone()), node_claims(of));
    }
    let show = |snapshot: &Snapshot| -> Vec<String> {
        let row = |at| {
            (
                at,
                snapshot
                    .row(at, &CidrIndex::default(), &mut Covers::default())
                    .unwrap(),
            )
        };
        snapshot
            .keys()
            .map(row)
            .map(|(at, row)| format!("{at} {} {:?}", row.identity, row.location))
            .collect()
    };
    let through = "RemoteEndpoint { node: 192.0.2.2 }";
    let router = format!("10.0.1.1/32 6 {through}");
    assert_eq!(
        show(&snapshot),
        [
            "10.0.0.1/32 1 LocalNode",
            &router,
            "192.0.2.1/32 1 LocalNode",
            "192.0.2.2/32 6 RemoteNode"
        ]
    );
    let api = kube_apiserver_claims(
        &[ip("192.0.2.1"), ip("192.0.2.2"), ip("203.0.113.1")],
        &[here, there],
    );
    assert_eq!(
        snapshot.apply(&Resource::KubeApiserver, api),
        BTreeSet::from([net("192.0.2.2/32")])
    );
    assert_eq!(show(&snapshot)[3], "192.0.2.2/32 7 RemoteNode");
}

#[test]
fn an_unchanged_claim_touches_nothing() {
    let mut snapshot = Snapshot::default();
    let mut of = remote(300, "10.0.1.5", "192.0.2.2", 0);
    assert_eq!(
        snapshot
            .apply(&pod("web"), remote_endpoint_claims(&of, &[]))
            .len(),
        1
    );
    assert_eq!(
        snapshot
            .apply(&pod("web"), remote_endpoint_claims(&of, &[]))
            .len(),
        0
    );
    of.ips.push(ip("fd00::5"));
    assert_eq!(
        snapshot.apply(&pod("web"), remote_endpoint_claims(&of, &[])),
        BTreeSet::from([net("fd00::5/128")])
    );
}

#[test]
fn a_block_that_cuts_through_an_identity_makes_two_peers_of_it() {
    let mut snapshot = Snapshot::default();
    for (name, at) in [("a", "10.0.1.5"), ("b", "10.0.2.5")] {
        snapshot.apply(
            &pod(name),
            remote_endpoint_claims(&remote(300, at, "192.0.2.2", 0), &[]),
        );
    }
    let block = CidrSelector::new(net("10.0.1.0/24"), [], Reach::Everything);
    let mut cidrs = CidrIndex::default();
    cidrs.acquire(&block);
    assert_eq!(
        snapshot.inside(block.net()),
        BTreeSet::from([net("10.0.1.5/32")])
    );
    let mut numbers = PeerNumbers::default();
    let (inside, outside) = (
        snapshot
            .row(net("10.0.1.5/32"), &cidrs, &mut Covers::default())
            .unwrap(),
        snapshot
            .row(net("10.0.2.5/32"), &cidrs, &mut Covers::default())
            .unwrap(),
    );
    // The identity's own number is for those like the first; the others are a part.
    assert_eq!(numbers.acquire(&outside, None), Ok(300));
    let part = numbers.acquire(&inside, None).unwrap();
    assert_eq!(part >> 24, 3);
    assert_eq!(numbers.acquire(&inside, None), Ok(part));
    assert_eq!(
        (
            numbers.release(&inside, part),
            numbers.release(&outside, 300)
        ),
        (None, None)
    );
    assert_eq!(numbers.release(&inside, part), Some(part));
    numbers.forget(part);
    assert!(!numbers.is_used(part));
    // A node's parts are of the nodes' scope.
    let host = Row {
        identity: Reserved::RemoteNode.id(),
        location: Location::RemoteNode,
        ..inside
    };
    assert_eq!(numbers.acquire(&host, None).unwrap() >> 24, 2);
}

#[test]
fn the_range_of_another_nodes_pods_is_unmanaged_and_reached_through_that_node() {
    let mut snapshot = Snapshot::default();
    let mut there = node("n2", Locality::Remote, "192.0.2.2", "10.0.1.1");
    there.pod_cidrs_v4 = vec!["10.0.1.0/24".parse().unwrap()];
    there.pod_cidrs_v6 = vec!["fd00:1::/64".parse().unwrap()];
    let mut here = node("n1", Locality::Local, "192.0.2.1", "10.0.0.1");
    here.pod_cidrs_v4 = vec!["10.0.0.0/24".parse().unwrap()];
    for of in [&here, &there] {
        snapshot.apply(&Resource::Node(of.name.clone()), node_claims(of));
    }
    let row = |snapshot: &Snapshot, at| {
        snapshot.row(net(at), &CidrIndex::default(), &mut Covers::default())
    };
    for range in ["10.0.1.0/24", "fd00:1::/64"] {
        let row = row(&snapshot, range).unwrap();
        assert_eq!(row.identity, Reserved::Unmanaged.id());
        let node = ip("192.0.2.2");
        assert_eq!(row.location, Location::RemoteEndpoint { node });
    }
    assert_eq!(
        row(&snapshot, "10.0.0.0/24"),
        None,
        "endpoints here speak for themselves"
    );
    let announced = remote(300, "10.0.1.5", "192.0.2.2", 0);
    snapshot.apply(&pod("web"), remote_endpoint_claims(&announced, &[]));
    assert_eq!(
        row(&snapshot, "10.0.1.5/32").unwrap().identity,
        Identity(300)
    );
}

#[test]
fn prefixes_of_policies_cut_a_range_of_pods_but_do_not_make_it_the_world() {
    let mut snapshot = Snapshot::default();
    let mut there = node("n2", Locality::Remote, "192.0.2.2", "10.0.1.1");
    there.pod_cidrs_v4 = vec!["10.0.1.0/24".parse().unwrap()];
    let mut cidrs = CidrIndex::default();
    let blocks = [
        ("10.0.0.0/8", Reach::Everything),
        ("10.0.1.128/25", Reach::Everything),
        ("10.0.1.0/25", Reach::World),
        ("10.0.2.0/24", Reach::Everything),
    ];
    for (number, (at, reach)) in (1_u32..).zip(blocks) {
        cidrs.acquire(&CidrSelector::new(net(at), [], reach));
        let identity = Identity(0x0100_0000 + number);
        snapshot.apply(&Resource::Prefix(net(at)), prefix_claims(net(at), identity));
    }
    let of_node = Resource::Node(there.name.clone());
    let touched = snapshot.apply(&of_node, node_claims(&there));
    assert!(touched.contains(&net("10.0.1.128/25")), "{touched:?}");
    let show = |snapshot: &Snapshot| -> Vec<String> {
        let row = |(at, _)| {
            let row = snapshot
                .row(net(at), &cidrs, &mut Covers::default())
                .unwrap();
            let cover: Vec<String> = row
                .cover
                .selectors()
                .iter()
                .map(|of| of.net().to_string())
                .collect();
            format!("{at} {} by {}", row.identity, cover.join(", "))
        };
        blocks
            .into_iter()
            .chain([("10.0.1.0/24", Reach::World)])
            .map(row)
            .collect()
    };
    // A selector of the world alone does not reach pods, announced or not.
    assert_eq!(
        show(&snapshot),
        [
            "10.0.0.0/8 16777217 by 10.0.0.0/8",
            "10.0.1.128/25 3 by 10.0.0.0/8, 10.0.1.128/25",
            "10.0.1.0/25 3 by 10.0.0.0/8",
            "10.0.2.0/24 16777220 by 10.0.0.0/8, 10.0.2.0/24",
            "10.0.1.0/24 3 by 10.0.0.0/8",
        ]
    );
    // A policy may name the range itself.
    let same = Resource::Prefix(net("10.0.1.0/24"));
    snapshot.apply(
        &same,
        prefix_claims(net("10.0.1.0/24"), Identity(0x0100_0009)),
    );
    assert_eq!(show(&snapshot)[4], "10.0.1.0/24 3 by 10.0.0.0/8");
    let touched = snapshot.apply(&of_node, Vec::new());
    assert!(touched.contains(&net("10.0.1.128/25")), "{touched:?}");
    assert_eq!(
        show(&snapshot)[1],
        "10.0.1.128/25 16777218 by 10.0.0.0/8, 10.0.1.128/25"
    );
    assert_eq!(show(&snapshot)[4], "10.0.1.0/24 16777225 by 10.0.0.0/8");
}

fn any_claims() -> impl Strategy<Value = Vec<(IpNet, Claim)>> {
    let claim = (0_u8..8, 24_u8..=32, 0_u32..4, 0_usize..4, 0_u64..3).prop_map(
        |(host, len, identity, source, created)| {
            let net = IpNet::new(IpAddr::from([10, 0, 0, host * 32]), len)
                .unwrap()
                .trunc();
            let source = [
                Source::Generated,
                Source::K8s,
                Source::CustomResource,
                Source::Local,
            ][source];
            (
                net,
                Claim {
                    source,
                    created,
                    identity: Identity(300 + identity),
                    location: match source {
                        Source::Generated => Location::World,
                        Source::CustomResource => Location::RemoteEndpoint {
                            node: IpAddr::from([192, 0, 2, identity as u8]),
                        },
                        _ => Location::RemoteNode,
                    },
                    encryption_key: 0,
                },
            )
        },
    );
    prop::collection::btree_map(0_u8..4, claim, 0..3).prop_map(|claims| {
        let unique: BTreeMap<IpNet, Claim> = claims.into_values().collect();
        unique.into_iter().collect()
    })
}

#[derive(Debug, Clone)]
enum Change {
    Claims(u16, Vec<(IpNet, Claim)>),
    Block(CidrSelector, bool),
}

fn any_change() -> impl Strategy<Value = Change> {
    let block = (0_u8..8, 22_u8..=32, any::<bool>()).prop_map(|(host, len, add)| {
        let net = IpNet::new(IpAddr::from([10, 0, 0, host * 32]), len).unwrap();
        Change::Block(CidrSelector::new(net, [], Reach::Everything), add)
    });
    prop_oneof![3 => (0_u16..5, any_claims()).prop_map(|(id, claims)| Change::Claims(id, claims)), 1 => block]
}

proptest! {
    #[test]
    fn rows_kept_by_changes_equal_rows_made_anew(changes in prop::collection::vec(any_change(), 0..40)) {
        let mut snapshot = Snapshot::default();
        let mut cidrs = CidrIndex::default();
        let mut kept: BTreeMap<IpNet, Row> = BTreeMap::new();
        for change in changes {
            let touched = match change {
                Change::Claims(id, claims) => snapshot.apply(&Resource::Endpoint(EndpointId(id)), claims),
                Change::Block(block, true) => { cidrs.acquire(&block); snapshot.inside(block.net()) }
                Change::Block(block, false) => { cidrs.release(&block); snapshot.inside(block.net()) }
            };
            for at in touched {
                match snapshot.row(at, &cidrs, &mut Covers::default()) {
                    Some(row) => kept.insert(at, row),
                    None => kept.remove(&at),
                };
            }
            let anew: BTreeMap<IpNet, Row> = snapshot.keys().map(|at| (at, snapshot.row(at, &cidrs, &mut Covers::default()).unwrap())).collect();
            prop_assert_eq!(&kept, &anew);
        }
    }
}

fn covered(identity: u32, selectors: &[CidrSelector]) -> Row {
    Row {
        identity: Identity(identity),
        cover: selectors.iter().cloned().collect(),
        location: Location::RemoteEndpoint {
            node: "192.0.2.2".parse().unwrap(),
        },
        encryption_key: 0,
        source: Source::K8s,
    }
}

fn block(text: &str) -> CidrSelector {
    CidrSelector::new(net(text), [], Reach::Everything)
}

#[test]
fn an_identity_whose_addresses_are_all_covered_alike_is_one_peer() {
    let mut numbers = PeerNumbers::default();
    let (all, both) = (block("10.0.0.0/8"), block("10.1.0.0/16"));
    let (before, after) = (covered(300, &[]), covered(300, std::slice::from_ref(&all)));
    assert_eq!(numbers.acquire(&before, None), Ok(300));
    assert_eq!(numbers.acquire(&before, None), Ok(300));
    // A selector that covers one of them makes two peers, one that covers both leaves them one.
    assert!(!numbers.move_whole(Identity(300), 1, &after.cover));
    assert!(numbers.move_whole(Identity(300), 2, &after.cover));
    assert_eq!(numbers.cover_of(Identity(300)), after.cover);
    for _ in 0..2 {
        assert_eq!(numbers.acquire(&after, None), Ok(300));
        assert_eq!(numbers.release(&before, 300), None);
    }
    let cut = covered(300, &[all, both]);
    let part = numbers.acquire(&cut, None).unwrap();
    assert_eq!(part >> 24, 3);
    // While the tables may name the identity's number it means what it meant, and can mean another thing afterwards.
    numbers.release(&after, 300);
    numbers.release(&after, 300);
    assert_eq!(numbers.acquire(&cut, None), Ok(part));
    assert_eq!(numbers.release(&cut, part), None);
    numbers.settle();
    assert_eq!(numbers.acquire(&cut, None), Ok(300));
    assert_eq!(numbers.release(&cut, part), Some(part));
}

#[test]
fn a_part_keeps_the_number_by_which_the_tables_know_it() {
    let mut numbers = PeerNumbers::default();
    let (one, other) = (block("10.0.0.0/8"), block("172.16.0.0/12"));
    numbers.begin_after([0x0300_0009]);
    let part = covered(300, std::slice::from_ref(&one));
    assert_eq!(numbers.acquire(&part, Some(0x0300_0009)), Ok(0x0300_0009));
    // A number has one meaning, and new ones are none that the tables have.
    let another = covered(300, std::slice::from_ref(&other));
    assert_eq!(
        numbers.acquire(&another, Some(0x0300_0009)),
        Ok(0x0300_000a)
    );
    assert_eq!(numbers.acquire(&part, None), Ok(300));
    assert_eq!(numbers.settle(), BTreeSet::new());
    assert_eq!(numbers.cover_of(Identity(999)), part.cover, "as most are");
    numbers.release(&part, 300);
    assert_eq!(numbers.settle(), BTreeSet::from([Identity(300)]));
    assert_eq!(numbers.cover_of(Identity(999)), Cover::default());
    assert!(numbers.is_used(0x0300_0009) && !numbers.is_used(0x0300_0008));
}
