use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{Claim, Cursors, NodeRow, Plan, Pool, PoolError, plan, read_claims, write_claims};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn pool(cidrs: &[&str], length: u8) -> Pool {
    let cidrs: Vec<IpNet> = cidrs.iter().map(|text| net(text)).collect();
    Pool::new(&cidrs, length).unwrap()
}

fn row(created: u32, cidrs: &[&str]) -> NodeRow {
    NodeRow {
        uid: format!("uid{created}").into(),
        version: "1".into(),
        created: format!("2026-01-01T00:00:{created:02}Z").into(),
        cidrs: cidrs.iter().map(|text| net(text)).collect(),
        ..NodeRow::default()
    }
}

type Nodes = BTreeMap<Arc<str>, NodeRow>;

fn nodes(rows: &[(&str, NodeRow)]) -> Nodes {
    let rows = rows.iter().cloned();
    rows.map(|(name, row)| (name.into(), row)).collect()
}

fn planned(pools: &[Pool], nodes: &Nodes) -> Plan {
    plan(pools, nodes.iter(), &BTreeMap::new(), &mut Cursors::new())
}

/// Node → the ranges that it gets.
fn given(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let of = |claim: &Claim| claim.cidrs.iter().map(ToString::to_string).collect();
    let given = plan.assign.iter();
    given
        .map(|claim| (claim.node.to_string(), of(claim)))
        .collect()
}

#[test]
fn nodes_get_one_range_of_each_family_the_oldest_first() {
    let pools = [pool(&["10.0.0.0/8"], 24), pool(&["fd00::/104"], 120)];
    let nodes = nodes(&[
        ("b", row(1, &[])),
        ("a", row(2, &[])),
        ("c", row(0, &["10.0.1.0/24"])),
    ]);
    let plan = planned(&pools, &nodes);
    assert_eq!(plan.errors, BTreeMap::new());
    let given = given(&plan);
    assert_eq!(given["c"], ["10.0.1.0/24", "fd00::/120"]);
    assert_eq!(given["b"], ["10.0.0.0/24", "fd00::100/120"]);
    assert_eq!(given["a"], ["10.0.2.0/24", "fd00::200/120"]);
    assert_eq!((plan.lacking, plan.used), (3, 256));
}

#[test]
fn what_is_claimed_is_given_to_the_one_who_claimed_it_and_to_nobody_else() {
    let pools = [pool(&["10.0.0.0/23"], 24)];
    let nodes = nodes(&[("a", row(1, &[])), ("b", row(2, &[])), ("c", row(3, &[]))]);
    let claim = Claim {
        node: "b".into(),
        uid: "uid2".into(),
        version: "1".into(),
        cidrs: vec![net("10.0.0.0/24")],
        pools: BTreeMap::new(),
    };
    let claims = BTreeMap::from([(Arc::clone(&claim.node), claim.clone())]);
    let plan = plan(&pools, nodes.iter(), &claims, &mut Cursors::new());
    assert_eq!(plan.assign[1], claim);
    let given = given(&plan);
    assert_eq!(given["a"], ["10.0.1.0/24"]);
    assert_eq!(
        plan.errors.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["c"]
    );
}

#[test]
fn duplicates_strangers_and_texts_are_named_and_never_changed() {
    let pools = [pool(&["10.0.0.0/16"], 24)];
    let mut unreadable = row(5, &[]);
    unreadable.unreadable.push("10.0.0.0/99".to_owned());
    let mut ignored = row(6, &["192.168.0.0/24"]);
    ignored.ignored = true;
    let nodes = nodes(&[
        ("old", row(1, &["10.0.7.0/24"])),
        ("young", row(2, &["10.0.7.0/24"])),
        ("large", row(3, &["10.0.0.0/20"])),
        ("stranger", row(4, &["10.9.0.0/24"])),
        ("text", unreadable),
        ("ignored", ignored),
        ("new", row(7, &[])),
    ]);
    let plan = planned(&pools, &nodes);
    let errors: BTreeMap<&str, &str> = plan
        .errors
        .iter()
        .map(|(name, error)| (&**name, &**error))
        .collect();
    assert_eq!(
        errors,
        BTreeMap::from([
            ("young", "10.0.7.0/24 is the range of node old"),
            ("large", "10.0.0.0/20 overlaps with 10.0.7.0/24 of node old"),
            (
                "stranger",
                "10.9.0.0/24 is not in the cluster's pool 10.0.0.0/16"
            ),
            ("text", "\"10.0.0.0/99\" is not a prefix"),
        ])
    );
    assert_eq!(
        given(&plan),
        BTreeMap::from([("new".to_owned(), vec!["10.0.16.0/24".to_owned()])])
    );
}

#[test]
fn a_pool_that_is_used_up_says_so_and_a_prefix_more_heals_it() {
    let nodes = nodes(&[
        ("a", row(1, &["10.0.0.0/24"])),
        ("b", row(2, &["10.0.1.0/24"])),
        ("c", row(3, &[])),
    ]);
    let plan = planned(&[pool(&["10.0.0.0/23"], 24)], &nodes);
    assert_eq!(plan.assign, []);
    assert_eq!(
        plan.errors["c"],
        "no range is free in the cluster's pool 10.0.0.0/23"
    );
    assert_eq!(
        (plan.errors.len(), plan.lacking, plan.free, plan.needed),
        (1, 1, 0, 256)
    );
    let grown = pool(&["10.0.0.0/23", "10.8.0.0/24"], 24);
    let plan = planned(&[grown], &nodes);
    assert_eq!(plan.errors, BTreeMap::new());
    assert_eq!(
        given(&plan),
        BTreeMap::from([("c".to_owned(), vec!["10.8.0.0/24".to_owned()])])
    );
}

#[test]
fn a_range_that_was_freed_is_the_last_to_be_given_again() {
    let pools = [pool(&["10.0.0.0/22", "10.4.0.0/23"], 24)];
    let mut cursors = Cursors::new();
    let mut next = |taken: &[&str]| {
        let mut rows: Vec<(String, NodeRow)> = taken
            .iter()
            .map(|of| (format!("has{of}"), row(1, &[of])))
            .collect();
        rows.push(("new".to_owned(), row(2, &[])));
        let nodes: Nodes = rows
            .into_iter()
            .map(|(name, row)| (name.as_str().into(), row))
            .collect();
        given(&plan(&pools, nodes.iter(), &BTreeMap::new(), &mut cursors))
            .remove("new")
            .map(|of| of[0].clone())
    };
    let order = [
        "10.0.0.0/24",
        "10.0.1.0/24",
        "10.0.2.0/24",
        "10.0.3.0/24",
        "10.4.0.0/24",
        "10.4.1.0/24",
    ];
    for range in order.into_iter().chain(order) {
        assert_eq!(next(&[]).as_deref(), Some(range));
    }
    // Behind the last one of the last prefix comes the first of the first.
    assert_eq!(
        next(&["10.0.0.0/24", "10.0.1.0/24"]).as_deref(),
        Some("10.0.2.0/24")
    );
    assert_eq!(
        next(&["10.0.0.0/22", "10.4.0.0/24"]).as_deref(),
        Some("10.4.1.0/24")
    );
    assert_eq!(next(&["10.0.0.0/22", "10.4.0.0/23"]), None);
}

#[test]
fn the_ends_of_the_address_space_are_given_too() {
    for (cidr, length, number) in [
        ("255.255.255.0/24", 26, 4),
        ("0.0.0.0/0", 2, 4),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", 126, 4),
        ("::/0", 1, 2),
        ("::/0", 128, 0),
        ("10.0.0.1/32", 32, 1),
    ] {
        let pools = [pool(&[cidr], length)];
        let names =
            (0..=number).map(|index| (format!("n{index}").as_str().into(), row(index, &[])));
        let nodes: Nodes = names.collect();
        let plan = planned(&pools, &nodes);
        let given: BTreeSet<&IpNet> = plan.assign.iter().flat_map(|claim| &claim.cidrs).collect();
        assert_eq!(
            given.len(),
            if number == 0 { 1 } else { number as usize },
            "{cidr} by {length}"
        );
    }
}

#[test]
fn a_pool_that_cannot_be_is_refused() {
    let refused = |cidrs: &[&str], length| {
        let cidrs: Vec<IpNet> = cidrs.iter().map(|text| net(text)).collect();
        Pool::new(&cidrs, length).unwrap_err()
    };
    assert_eq!(refused(&[], 24), PoolError::Empty);
    let one = net("10.0.0.0/16");
    assert_eq!(refused(&["10.0.0.0/16"], 15), PoolError::Length(15, one));
    assert_eq!(refused(&["10.0.0.0/16"], 33), PoolError::Length(33, one));
    assert_eq!(
        refused(&["0.0.0.0/0"], 0),
        PoolError::Length(0, net("0.0.0.0/0"))
    );
    let other = net("10.0.3.0/24");
    assert_eq!(
        refused(&["10.0.0.0/16", "10.0.3.0/24"], 24),
        PoolError::Overlap(one, other)
    );
    let other = net("fd00::/64");
    assert_eq!(
        refused(&["fd00::/64", "10.0.0.0/16"], 64),
        PoolError::Families(other, one)
    );
}

#[test]
fn claims_are_read_as_they_were_written() {
    assert_eq!(write_claims([].iter()), "");
    assert_eq!(read_claims("").unwrap(), []);
    let claims = [Claim {
        node: "n".into(),
        uid: "u".into(),
        version: "7".into(),
        cidrs: vec![net("10.0.0.0/24"), net("fd00::/120")],
        pools: BTreeMap::new(),
    }];
    let note = write_claims(claims.iter());
    assert_eq!(
        note,
        r#"[{"node":"n","uid":"u","version":"7","cidrs":["10.0.0.0/24","fd00::/120"]}]"#
    );
    assert_eq!(read_claims(&note).unwrap(), claims);
    assert!(read_claims("[{}]").is_err());
}

/// What happens to a cluster.
#[derive(Clone, Debug)]
enum Event {
    Joins(u8),
    JoinsWith(u8, u8, u8),
    Leaves(u8),
    Restart,
    Grows,
    /// The plan is made, and of its claims those with a set bit are written.
    Round(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_u8).prop_map(Event::Joins),
        1 => (0..12_u8, any::<u8>(), 22..28_u8).prop_map(|(node, at, length)| Event::JoinsWith(node, at, length)),
        3 => (0..12_u8).prop_map(Event::Leaves),
        1 => Just(Event::Restart),
        1 => Just(Event::Grows),
        6 => any::<u8>().prop_map(Event::Round),
    ]
}

/// All ranges of a pool, one after the other.
fn all_ranges(pool: &Pool, length: u8) -> Vec<IpNet> {
    let subnets = pool
        .cidrs()
        .iter()
        .map(|cidr| cidr.subnets(length).unwrap());
    subnets.flatten().collect()
}

fn apart(one: &IpNet, other: &IpNet) -> bool {
    !one.contains(other) && !other.contains(one)
}

/// The slow and obvious judge: compares everything with everything.
fn judge(pool: &Pool, before: &Nodes, claims: &BTreeMap<Arc<str>, Claim>, plan: &Plan) {
    let mut taken: Vec<(&str, IpNet)> = Vec::new();
    for (name, row) in before {
        taken.extend(row.cidrs.iter().map(|cidr| (&**name, *cidr)));
    }
    for claim in claims.values() {
        taken.extend(claim.cidrs.iter().map(|cidr| (&*claim.node, *cidr)));
    }
    let mut lacking: BTreeSet<&str> = BTreeSet::new();
    for (name, row) in before {
        if row.cidrs.is_empty() && !claims.contains_key(name) {
            lacking.insert(name);
        }
    }
    for claim in &plan.assign {
        if let Some(claimed) = claims.get(&claim.node) {
            assert_eq!(claimed, claim);
            continue;
        }
        assert!(lacking.remove(&*claim.node), "{claim:?} lacked nothing");
        let [range] = claim.cidrs[..] else {
            panic!("{claim:?}");
        };
        assert!(
            all_ranges(pool, 24).contains(&range),
            "{range} is not of the pool"
        );
        for (owner, other) in &taken {
            assert!(
                apart(&range, other),
                "{claim:?} has what {owner} has: {other}"
            );
        }
        taken.push((&claim.node, range));
    }
    let free = all_ranges(pool, 24).into_iter();
    let free = free
        .filter(|range| taken.iter().all(|(_, other)| apart(range, other)))
        .count();
    for name in lacking {
        assert_eq!(free, 0, "{name} gets nothing although something is free");
        assert!(plan.errors[name].contains("no range is free"));
    }
    judge_errors(pool, before, plan);
}

/// Who shares addresses with an older one, or has some of no pool, is told so, and nobody else is.
fn judge_errors(pool: &Pool, before: &Nodes, plan: &Plan) {
    for (name, row) in before {
        let older = before
            .iter()
            .filter(|(other, of)| (&of.created, other) < (&row.created, &name));
        let mut older = older.flat_map(|(_, of)| &of.cidrs);
        let shared = row
            .cidrs
            .iter()
            .any(|cidr| older.any(|other| !apart(cidr, other)));
        let strange = row
            .cidrs
            .iter()
            .any(|cidr| !pool.cidrs().iter().any(|of| of.contains(cidr)));
        let told = plan
            .errors
            .get(name)
            .is_some_and(|error| !error.contains("no range is free"));
        assert_eq!(
            told,
            shared || strange,
            "{name}: {:?}",
            plan.errors.get(name)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn no_range_is_given_twice_and_none_is_withheld(events in proptest::collection::vec(event(), 1..60)) {
        let mut cidrs = vec![net("10.0.0.0/22")];
        let mut nodes = Nodes::new();
        let mut claims: BTreeMap<Arc<str>, Claim> = BTreeMap::new();
        let mut cursors = Cursors::new();
        let mut version = 0_u32;
        for event in events {
            version += 1;
            let name = |number: u8| -> Arc<str> { format!("n{number}").as_str().into() };
            let new = |cidrs| NodeRow {
                uid: format!("u{version}").into(), version: version.to_string().into(),
                created: format!("{version:05}").into(), cidrs, ..NodeRow::default()
            };
            match event {
                Event::Joins(node) => { nodes.entry(name(node)).or_insert_with(|| new(Vec::new())); }
                Event::JoinsWith(node, at, length) => {
                    let range = IpNet::new([10, 0, at % 12, at].into(), length).unwrap().trunc();
                    nodes.entry(name(node)).or_insert_with(|| new(vec![range]));
                }
                Event::Leaves(node) => { nodes.remove(&name(node)); }
                Event::Restart => cursors = Cursors::new(),
                Event::Grows => if cidrs.len() < 3 { cidrs.push(net(&format!("10.0.{}.0/23", 4 * cidrs.len()))) },
                Event::Round(written) => {
                    claims.retain(|name, claim| nodes.get(name).is_some_and(|row| *row.uid == *claim.uid && *row.version == *claim.version));
                    let pool = Pool::new(&cidrs, 24).unwrap();
                    let plan = plan(std::slice::from_ref(&pool), nodes.iter(), &claims, &mut cursors);
                    judge(&pool, &nodes, &claims, &plan);
                    for (index, claim) in plan.assign.into_iter().enumerate() {
                        if written >> (index % 8) & 1 == 1 {
                            let row = nodes.get_mut(&claim.node).unwrap();
                            row.cidrs.clone_from(&claim.cidrs);
                            row.version = format!("{version}w").into();
                        } else {
                            claims.insert(Arc::clone(&claim.node), claim);
                        }
                    }
                }
            }
        }
    }
}
