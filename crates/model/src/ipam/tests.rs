use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn ipam(ranges: &[&str]) -> Ipam {
    let nets = ranges.iter().map(|range| range.parse().unwrap()).collect();
    Ipam::new(&[(DEFAULT_POOL.into(), nets)].into())
}

fn pool() -> Arc<str> {
    DEFAULT_POOL.into()
}

fn owner(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn the_networks_and_the_broadcast_address_are_never_given() {
    let mut ipam = ipam(&["10.0.0.0/29"]);
    let given: Vec<String> = (0..6)
        .map(|_| {
            ipam.allocate(&pool(), Family::Ipv4, &owner("a"), Lasting::UntilReleased)
                .unwrap()
                .0
                .to_string()
        })
        .collect();
    assert_eq!(
        given,
        [
            "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"
        ]
    );
    let error = ipam
        .allocate(&pool(), Family::Ipv4, &owner("a"), Lasting::UntilReleased)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no free IPv4 address in 10.0.0.0/29 of pool default: all 6 are in use"
    );
    assert_eq!(
        ipam.allocate(&pool(), Family::Ipv6, &owner("a"), Lasting::UntilReleased),
        Err(IpamError::NoRange {
            pool: pool(),
            family: Family::Ipv6
        })
    );
}

#[test]
fn the_smallest_ranges_work() {
    for (range, size) in [
        ("10.0.0.8/31", 2),
        ("10.0.0.8/32", 1),
        ("fd00::/128", 1),
        ("fd00::/126", 3),
    ] {
        let mut ipam = ipam(&[range]);
        let family = Family::of(ipam.ranges().next().unwrap().1.addr());
        let given: BTreeSet<IpAddr> = std::iter::from_fn(|| {
            ipam.allocate(&pool(), family, &owner("a"), Lasting::UntilReleased)
                .ok()
        })
        .map(|(ip, _)| ip)
        .collect();
        assert_eq!(given.len(), size, "{range}");
    }
    assert_eq!(
        router_of("10.0.1.0/24".parse().unwrap()).to_string(),
        "10.0.1.1"
    );
    assert_eq!(
        router_of("fd00:1::/64".parse().unwrap()).to_string(),
        "fd00:1::1"
    );
}

#[test]
fn a_released_address_rests_until_the_others_were_given() {
    let mut ipam = ipam(&["10.0.0.0/29"]);
    let (first, _) = ipam
        .allocate(&pool(), Family::Ipv4, &owner("a"), Lasting::UntilReleased)
        .unwrap();
    ipam.release(first).unwrap();
    let next: Vec<_> = (0..6)
        .map(|_| {
            ipam.allocate(&pool(), Family::Ipv4, &owner("b"), Lasting::UntilReleased)
                .unwrap()
                .0
        })
        .collect();
    assert_eq!(next.iter().position(|ip| *ip == first), Some(5));
}

#[test]
fn an_address_that_was_not_confirmed_expires_once() {
    let mut ipam = ipam(&["10.0.0.0/24"]);
    let (ip, token) = ipam
        .allocate(&pool(), Family::Ipv4, &owner("a"), Lasting::UntilConfirmed)
        .unwrap();
    let token = token.unwrap();
    assert_eq!(ipam.expire(ip, token).unwrap().owner, owner("a"));
    let newer = ipam
        .allocate_at(ip, &owner("b"), Lasting::UntilConfirmed)
        .unwrap()
        .unwrap();
    assert_eq!(
        ipam.expire(ip, token),
        None,
        "the late timer of another allocation"
    );
    assert_eq!(
        ipam.confirm(ip, token),
        Err(IpamError::OtherToken { address: ip })
    );
    ipam.confirm(ip, newer).unwrap();
    assert_eq!(ipam.expire(ip, newer), None);
    assert_eq!(ipam.leases()[&ip].owner, owner("b"));
}

#[test]
fn a_late_deletion_does_not_free_the_address_of_a_newer_pod() {
    let mut ipam = ipam(&["10.0.0.0/24"]);
    let ip = "10.0.0.9".parse().unwrap();
    ipam.allocate_at(ip, &owner("new"), Lasting::UntilReleased)
        .unwrap();
    assert_eq!(
        ipam.release_from(ip, "old"),
        Err(IpamError::Taken {
            address: ip,
            owner: owner("new")
        })
    );
    assert!(ipam.release_from(ip, "new").is_ok());
    assert_eq!(ipam.release(ip), Err(IpamError::NotInUse { address: ip }));
}

#[test]
fn restored_addresses_are_kept_even_outside_of_the_ranges() {
    let mut ipam = ipam(&["10.0.0.0/30"]);
    ipam.restore("10.0.0.1".parse().unwrap(), &owner("a"))
        .unwrap();
    ipam.restore("172.16.0.1".parse().unwrap(), &owner("b"))
        .unwrap();
    assert!(
        ipam.restore("10.0.0.1".parse().unwrap(), &owner("c"))
            .is_err()
    );
    assert_eq!(
        ipam.allocate(&pool(), Family::Ipv4, &owner("d"), Lasting::UntilReleased)
            .unwrap()
            .0
            .to_string(),
        "10.0.0.2"
    );
    let outside = "192.0.2.1".parse().unwrap();
    assert_eq!(
        ipam.allocate_at(outside, &owner("d"), Lasting::UntilReleased),
        Err(IpamError::NotUsable { address: outside })
    );
}

#[derive(Debug, Clone)]
enum Op {
    Allocate(u8, Lasting),
    AllocateAt(u8, u8),
    Release(u8),
    ReleaseFrom(u8, u8),
    Confirm(u8),
    Expire(u8),
    Restore(u8, u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0_u8..4, any::<bool>()).prop_map(|(who, last)| {
            Op::Allocate(who, if last { Lasting::UntilReleased } else { Lasting::UntilConfirmed })
        }),
        1 => (0_u8..20, 0_u8..4).prop_map(|(at, who)| Op::AllocateAt(at, who)),
        2 => (0_u8..20).prop_map(Op::Release),
        1 => (0_u8..20, 0_u8..4).prop_map(|(at, who)| Op::ReleaseFrom(at, who)),
        1 => (0_u8..40).prop_map(Op::Confirm),
        1 => (0_u8..40).prop_map(Op::Expire),
        1 => (0_u8..20, 0_u8..4).prop_map(|(at, who)| Op::Restore(at, who)),
    ]
}

proptest! {
    #[test]
    fn it_agrees_with_a_list_of_who_has_what(ops in prop::collection::vec(op(), 0..120)) {
        let mut ipam = ipam(&["10.0.0.0/29", "10.0.0.8/30"]);
        let usable: BTreeSet<u8> = [1, 2, 3, 4, 5, 6, 9, 10].into();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let who = |n: u8| owner(&format!("pod{n}"));
        // Address → owner and, if not confirmed, the number of the token.
        let mut truth: BTreeMap<IpAddr, (Arc<str>, Option<Token>)> = BTreeMap::new();
        let mut tokens: Vec<(IpAddr, Token)> = Vec::new();
        for op in ops {
            match op {
                Op::Allocate(n, lasting) => match ipam.allocate(&pool(), Family::Ipv4, &who(n), lasting) {
                    Ok((at, token)) => {
                        prop_assert!(truth.insert(at, (who(n), token)).is_none(), "{} given twice", at);
                        prop_assert_eq!(token.is_some(), lasting == Lasting::UntilConfirmed);
                        tokens.extend(token.map(|token| (at, token)));
                    }
                    Err(_) => prop_assert!(usable.iter().all(|n| truth.contains_key(&ip(*n)))),
                },
                Op::AllocateAt(n, by) => {
                    let free = truth.get(&ip(n)).is_none_or(|(owner, _)| *owner == who(by));
                    let result = ipam.allocate_at(ip(n), &who(by), Lasting::UntilReleased);
                    prop_assert_eq!(result.is_ok(), usable.contains(&n) && free);
                    if result.is_ok() {
                        truth.insert(ip(n), (who(by), None));
                    }
                }
                Op::Release(n) => prop_assert_eq!(ipam.release(ip(n)).is_ok(), truth.remove(&ip(n)).is_some()),
                Op::ReleaseFrom(n, by) => {
                    let his = truth.get(&ip(n)).is_some_and(|(owner, _)| *owner == who(by));
                    prop_assert_eq!(ipam.release_from(ip(n), &who(by)).is_ok(), his);
                    if his {
                        truth.remove(&ip(n));
                    }
                }
                Op::Confirm(n) => if let Some(&(at, token)) = tokens.get(usize::from(n)) {
                    let waiting = truth.get(&at).is_some_and(|(_, of)| *of == Some(token));
                    prop_assert_eq!(ipam.confirm(at, token).is_ok(), waiting);
                    if waiting {
                        truth.get_mut(&at).unwrap().1 = None;
                    }
                },
                Op::Expire(n) => if let Some(&(at, token)) = tokens.get(usize::from(n)) {
                    let waiting = truth.get(&at).is_some_and(|(_, of)| *of == Some(token));
                    prop_assert_eq!(ipam.expire(at, token).is_some(), waiting);
                    if waiting {
                        truth.remove(&at);
                    }
                },
                Op::Restore(n, by) => {
                    let free = truth.get(&ip(n)).is_none_or(|(owner, _)| *owner == who(by));
                    prop_assert_eq!(ipam.restore(ip(n), &who(by)).is_ok(), free);
                    if free {
                        truth.insert(ip(n), (who(by), None));
                    }
                }
            }
            let has: BTreeMap<IpAddr, Arc<str>> = ipam.leases().iter().map(|(at, lease)| (*at, lease.owner.clone())).collect();
            let should: BTreeMap<IpAddr, Arc<str>> = truth.iter().map(|(at, (owner, _))| (*at, owner.clone())).collect();
            prop_assert_eq!(has, should);
        }
    }
}
