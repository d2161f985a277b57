use std::collections::BTreeMap;
use std::sync::Arc;

use api::cilium::{
    AddressDemand, AllocatedPool, CiliumNode, CiliumPodIPPool, IpamPools, PoolRanges, RequestedPool,
};
use ipnet::IpNet;
use proptest::prelude::*;

use super::super::{Claim, Claims, NodeRow, Plan, node_row, read_pools};
use super::{PoolCursors, PoolRow, plan_pools, pool_row, usable};

type Nodes = BTreeMap<Arc<str>, NodeRow>;
type Pools = BTreeMap<Arc<str>, PoolRow>;

fn pools(text: &str) -> Pools {
    let pools = read_pools(text).unwrap();
    let row = |of: &CiliumPodIPPool| (of.metadata.name.as_str().into(), pool_row(of));
    pools.iter().map(row).collect()
}

/// A node that needs so many addresses of each pool, and has these ranges.
fn node(created: u32, wishes: &[(&str, i64, i64)], has: &[(&str, &[&str])]) -> NodeRow {
    let mut node = CiliumNode::default();
    node.metadata.uid = format!("uid{created}");
    node.metadata.resource_version = "1".to_owned();
    node.metadata.creation_timestamp = Some(format!("2026-01-01T00:00:{created:02}Z"));
    let requested = wishes
        .iter()
        .map(|(pool, ipv4_addrs, ipv6_addrs)| RequestedPool {
            pool: (*pool).to_owned(),
            needed: AddressDemand {
                ipv4_addrs: *ipv4_addrs,
                ipv6_addrs: *ipv6_addrs,
            },
        });
    let allocated = has.iter().map(|(pool, cidrs)| AllocatedPool {
        pool: (*pool).to_owned(),
        cidrs: cidrs.iter().map(|of| (*of).to_owned()).collect(),
    });
    node.spec.ipam.pools = Some(IpamPools {
        requested: requested.collect(),
        allocated: allocated.collect(),
    });
    node_row(&node)
}

fn planned(pools: &Pools, nodes: &[(&str, NodeRow)]) -> Plan {
    let nodes: Nodes = nodes
        .iter()
        .map(|(name, row)| ((*name).into(), row.clone()))
        .collect();
    plan_pools(pools, nodes.iter(), &Claims::new(), &mut PoolCursors::new())
}

fn given(plan: &Plan, node: &str, pool: &str) -> Vec<String> {
    let claim = plan.assign.iter().find(|claim| &*claim.node == node);
    let ranges = claim.and_then(|claim| claim.pools.get(pool));
    ranges
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_node_gets_ranges_of_a_pool_until_it_has_what_it_needs() {
    let pools = pools(
        "default=ipv4-cidrs:10.0.0.0/16;ipv4-mask-size:28;ipv6-cidrs:fd00::/112;ipv6-mask-size:124 \
         blue=ipv4-cidrs:192.168.0.0/24,192.168.9.0/24;ipv4-mask-size:30",
    );
    let plan = planned(
        &pools,
        &[
            ("young", node(2, &[("default", 8, 15), ("blue", 5, 0)], &[])),
            // A range of 16 has 14 to give, without the network's own address and that of broadcast.
            (
                "old",
                node(1, &[("default", 15, 0)], &[("default", &["10.0.0.16/28"])]),
            ),
            (
                "content",
                node(0, &[("default", 14, 0)], &[("default", &["10.0.0.32/28"])]),
            ),
        ],
    );
    assert_eq!(plan.errors, BTreeMap::new());
    assert_eq!(
        given(&plan, "old", "default"),
        ["10.0.0.16/28", "10.0.0.0/28"]
    );
    assert_eq!(
        given(&plan, "young", "default"),
        ["10.0.0.48/28", "fd00::/124"]
    );
    assert_eq!(
        given(&plan, "young", "blue"),
        ["192.168.0.0/30", "192.168.0.4/30", "192.168.0.8/30"]
    );
    assert_eq!(plan.assign.len(), 2);
    assert_eq!(
        (plan.lacking, plan.used, plan.needed),
        (2, 28, 1 + 8 + 15 + 5)
    );
}

#[test]
fn what_a_node_cannot_have_is_in_its_error_and_costs_others_nothing() {
    let mut pools = pools(
        "tiny=ipv4-cidrs:10.0.0.0/30;ipv4-mask-size:31 v6=ipv6-cidrs:fd00::/112;ipv6-mask-size:120",
    );
    let mut faulty = CiliumPodIPPool::default();
    faulty.spec.ipv4 = Some(PoolRanges {
        cidrs: vec!["10.1.0.0/16".to_owned()],
        mask_size: 8,
    });
    pools.insert("faulty".into(), pool_row(&faulty));
    let plan = planned(
        &pools,
        &[
            (
                "a",
                node(1, &[("tiny", 5, 0), ("none", 1, 0), ("v6", 1, 1)], &[]),
            ),
            ("b", node(2, &[("faulty", 1, 0)], &[])),
            (
                "c",
                node(3, &[("v6", 0, 1)], &[("gone", &["172.16.0.0/24"])]),
            ),
            (
                "d",
                node(
                    4,
                    &[("v6", 0, 1)],
                    &[("gone", &["172.16.0.128/25", "text"])],
                ),
            ),
            ("e", node(5, &[], &[("v6", &["fd01::/120"])])),
        ],
    );
    let error = |node: &str| plan.errors.get(node).map_or("", String::as_str);
    assert_eq!(
        error("a"),
        "no IPv4 range is free in pool tiny; pool v6 has no IPv4 addresses; there is no pool none"
    );
    assert_eq!(
        error("b"),
        "pool faulty: a node's range cannot have a length of 8 in 10.1.0.0/16"
    );
    // What is of a pool that is gone is theirs all the same.
    assert_eq!(error("c"), "");
    assert_eq!(
        error("d"),
        "\"text\" is not a prefix; 172.16.0.128/25 overlaps with 172.16.0.0/24 of node c"
    );
    assert_eq!(error("e"), "fd01::/120 is not in pool v6");
    assert_eq!(given(&plan, "a", "tiny"), ["10.0.0.0/31", "10.0.0.2/31"]);
    assert_eq!(given(&plan, "a", "v6"), ["fd00::/120"]);
    assert_eq!(given(&plan, "c", "v6"), ["fd00::100/120"]);
    assert_eq!(given(&plan, "c", "gone"), ["172.16.0.0/24"]);
    assert_eq!(given(&plan, "d", "v6"), Vec::<String>::new());
}

#[test]
fn a_wish_without_measure_is_fulfilled_in_parts() {
    let pools = pools("default=ipv6-cidrs:fd00::/64;ipv6-mask-size:127");
    let plan = planned(&pools, &[("a", node(1, &[("default", -7, i64::MAX)], &[]))]);
    assert_eq!(given(&plan, "a", "default").len(), super::AT_ONCE);
    assert_eq!(plan.errors, BTreeMap::new());
}

#[test]
fn pools_are_read_as_the_chart_writes_them_and_what_is_wrong_is_named() {
    let found = read_pools(
        "default=ipv4-cidrs:10.10.0.0/16,10.11.0.0/16;ipv4-mask-size:24;ipv6-cidrs:fd00::/104;ipv6-mask-size:120\n\
         other=ipv4-cidrs:10.20.0.0/16;ipv4-mask-size:26",
    )
    .unwrap();
    assert_eq!(found[0].metadata.name, "default");
    let ipv4 = found[0].spec.ipv4.as_ref().unwrap();
    assert_eq!((ipv4.cidrs.len(), ipv4.mask_size), (2, 24));
    assert_eq!(found[0].spec.ipv6.as_ref().unwrap().mask_size, 120);
    assert_eq!((found.len(), &found[1].spec.ipv6), (2, &None));
    assert_eq!(read_pools("").unwrap(), []);
    for (text, word) in [
        ("default", "no ="),
        ("default=", "no ranges"),
        ("default=ipv4-cidrs", "no :"),
        ("default=ipv4-cidrs:10.0.0.0/16", "length of 0"),
        (
            "default=ipv4-cidrs:10.0.0.0/16;ipv4-mask-size:x",
            "length of a prefix",
        ),
        (
            "default=ipv4-cidrs:fd00::/64;ipv4-mask-size:24",
            "of the family",
        ),
        ("default=ipv5-cidrs:10.0.0.0/16", "no family"),
        ("default=ipv4-color:red", "unknown"),
    ] {
        let error = read_pools(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}

/// What happens to a cluster.
#[derive(Clone, Debug)]
enum Event {
    Joins(u8),
    Leaves(u8),
    Asks(u8, u8, i64, i64),
    /// A node gives back all that it has of a pool.
    GivesBack(u8, u8),
    Restart,
    /// The plan is made, and of its claims those with a set bit are written.
    Round(u8),
    /// A claim that was not written yet arrives late, after this many others.
    Late(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..6_u8).prop_map(Event::Joins),
        1 => (0..6_u8).prop_map(Event::Leaves),
        4 => (0..6_u8, 0..3_u8, 0..31_i64, 0..31_i64).prop_map(|(node, pool, v4, v6)| Event::Asks(node, pool, v4, v6)),
        2 => (0..6_u8, 0..3_u8).prop_map(|(node, pool)| Event::GivesBack(node, pool)),
        1 => Just(Event::Restart),
        6 => any::<u8>().prop_map(Event::Round),
        2 => any::<u8>().prop_map(Event::Late),
    ]
}

fn name(pool: u8) -> Arc<str> {
    format!("p{pool}").as_str().into()
}

fn assert_apart(nodes: &Nodes) {
    let mut seen: Vec<(&str, IpNet)> = Vec::new();
    for (node, row) in nodes {
        for range in row.pools.allocated.values().flatten() {
            for (other, of) in &seen {
                assert!(
                    !of.contains(range) && !range.contains(of),
                    "{node} and {other} have {range}"
                );
            }
            seen.push((node, *range));
        }
    }
}

fn is_open(claim: &Claim, nodes: &Nodes) -> bool {
    let row = nodes.get(&claim.node);
    row.is_some_and(|row| *row.uid == *claim.uid && *row.version == *claim.version)
}

fn write(claim: &Claim, nodes: &mut Nodes, version: u32) {
    if !is_open(claim, nodes) {
        return;
    }
    let row = nodes.get_mut(&claim.node).unwrap();
    row.pools.allocated.clone_from(&claim.pools);
    row.version = format!("{version}w").as_str().into();
}

/// Who lacks something gets it, or is told why not.
fn judge(pools: &Pools, nodes: &Nodes, claims: &Claims, plan: &Plan) {
    for (node, row) in nodes.iter().filter(|(node, _)| !claims.contains_key(*node)) {
        let claim = plan.assign.iter().find(|claim| claim.node == *node);
        let after = claim.map_or(&row.pools.allocated, |claim| &claim.pools);
        for (pool, (v4, v6)) in &row.pools.requested {
            for (needed, is_ipv4) in [(*v4, true), (*v6, false)] {
                let ranges = after.get(pool).into_iter().flatten();
                let ranges = ranges.filter(|range| range.addr().is_ipv4() == is_ipv4);
                let sizes: Vec<u128> = ranges.map(usable).collect();
                let sum: u128 = sizes.iter().sum();
                let told = plan
                    .errors
                    .get(node)
                    .is_some_and(|error| error.contains(&**pool));
                assert!(
                    sum >= needed || told,
                    "{node} has {sum} of {needed} in {pool}"
                );
                // And not a range more than that.
                let before = row.pools.allocated.get(pool).into_iter().flatten();
                let before = before.filter(|range| range.addr().is_ipv4() == is_ipv4);
                let last = sizes.last().copied().unwrap_or_default();
                let grown = sizes.len() > before.count();
                assert!(
                    !grown || sum - last < needed,
                    "{node} has {sum} of {needed} in {pool}"
                );
            }
        }
        for (pool, ranges) in after {
            for range in ranges {
                assert!(pools[pool].families.iter().any(|of| of.contains(range)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn no_range_of_any_pool_is_given_twice_however_late_it_is_written(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        // p1 and p2 overlap, by mistake.
        let pools = pools(
            "p0=ipv4-cidrs:10.0.0.0/26;ipv4-mask-size:29;ipv6-cidrs:fd00::/122;ipv6-mask-size:125 \
             p1=ipv4-cidrs:10.1.0.0/26,10.3.0.0/28;ipv4-mask-size:28;ipv6-cidrs:fd01::/122;ipv6-mask-size:124 \
             p2=ipv4-cidrs:10.1.0.32/27;ipv4-mask-size:30;ipv6-cidrs:fd01::10/124;ipv6-mask-size:127",
        );
        let mut nodes = Nodes::new();
        let mut claims = Claims::new();
        // All that anybody ever was about to write, as of the leaders of long ago.
        let mut late: Vec<Claim> = Vec::new();
        let mut cursors = PoolCursors::new();
        let mut version = 0_u32;
        for event in events {
            version += 1;
            let of = |number: u8| -> Arc<str> { format!("n{number}").as_str().into() };
            let changed = |row: &mut NodeRow| row.version = version.to_string().as_str().into();
            match event {
                Event::Joins(node) => {
                    nodes.entry(of(node)).or_insert_with(|| NodeRow {
                        uid: format!("u{version}").into(), version: version.to_string().into(),
                        created: format!("{version:05}").into(), ..NodeRow::default()
                    });
                }
                Event::Leaves(node) => { nodes.remove(&of(node)); }
                Event::Asks(node, pool, v4, v6) => if let Some(row) = nodes.get_mut(&of(node)) {
                    let needed = (v4.unsigned_abs().into(), v6.unsigned_abs().into());
                    row.pools.requested.insert(name(pool), needed);
                    changed(row);
                },
                Event::GivesBack(node, pool) => if let Some(row) = nodes.get_mut(&of(node)) {
                    row.pools.allocated.remove(&name(pool));
                    changed(row);
                },
                Event::Restart => cursors = PoolCursors::new(),
                Event::Late(chosen) => if !late.is_empty() {
                    let claim = late[usize::from(chosen) % late.len()].clone();
                    write(&claim, &mut nodes, version);
                },
                Event::Round(written) => {
                    claims.retain(|_, claim| is_open(claim, &nodes));
                    let plan = plan_pools(&pools, nodes.iter(), &claims, &mut cursors);
                    judge(&pools, &nodes, &claims, &plan);
                    for (index, claim) in plan.assign.into_iter().enumerate() {
                        claims.insert(Arc::clone(&claim.node), claim.clone());
                        late.push(claim.clone());
                        if written >> (index % 8) & 1 == 1 {
                            write(&claim, &mut nodes, version);
                        }
                    }
                }
            }
            assert_apart(&nodes);
        }
    }
}
