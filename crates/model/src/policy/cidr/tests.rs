//! CIDR selectors: covers, exceptions, and the partition against single addresses.

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn index(selectors: &[CidrSelector]) -> CidrIndex {
    let mut index = CidrIndex::default();
    for selector in selectors {
        index.acquire(selector);
    }
    index
}

#[test]
fn an_exception_has_a_prefix_of_its_own_that_nothing_covers() {
    let selector = CidrSelector::new(net("10.0.0.0/8"), [net("10.1.0.0/16")], Reach::World);
    let partition = index(std::slice::from_ref(&selector)).partition();
    assert_eq!(partition[&net("10.0.0.0/8")].selectors(), [selector]);
    assert!(partition[&net("10.1.0.0/16")].is_empty());
}

#[test]
fn an_exception_around_the_prefix_leaves_nothing_of_it() {
    let selector = CidrSelector::new(net("10.1.0.0/16"), [net("10.0.0.0/8")], Reach::World);
    assert!(!selector.covers("10.1.2.3".parse().unwrap(), Owner::World));
    assert!(index(&[selector]).partition()[&net("10.1.0.0/16")].is_empty());
}

#[test]
fn only_an_ip_block_reaches_pods_and_only_on_request_a_cidr_reaches_nodes() {
    for (reach, world, node, pod) in [
        (Reach::World, true, false, false),
        (Reach::WorldAndNodes, true, true, false),
        (Reach::Everything, true, true, true),
    ] {
        let index = index(&[CidrSelector::new(net("10.0.0.0/8"), [], reach)]);
        let covered = |owner| !index.cover("10.1.2.3".parse().unwrap(), owner).is_empty();
        assert_eq!(
            (
                covered(Owner::World),
                covered(Owner::Node),
                covered(Owner::Pod)
            ),
            (world, node, pod)
        );
    }
}

#[test]
fn a_selector_used_twice_stays_until_the_second_release() {
    let selector = CidrSelector::new(net("::/0"), [net("fd00::/8")], Reach::World);
    let mut index = index(&[selector.clone(), selector.clone()]);
    assert!(!index.release(&selector));
    assert_eq!(index.partition().len(), 2);
    assert!(index.release(&selector));
    assert!(index.partition().is_empty() && !index.release(&selector));
}

fn prefix() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (0u32..64, 24u8..=32).prop_map(|(low, length)| {
            IpNet::new(IpAddr::V4((0x0a00_0000 | low).into()), length)
                .unwrap()
                .trunc()
        }),
        (0u128..64, 120u8..=128).prop_map(|(low, length)| {
            IpNet::new(IpAddr::V6(((0xfd << 120) | low).into()), length)
                .unwrap()
                .trunc()
        }),
        Just(net("0.0.0.0/0")),
        Just(net("::/0")),
    ]
}

proptest! {
    #[test]
    fn the_longest_prefix_of_the_partition_covers_an_address_as_the_selectors_do(
        selectors in prop::collection::vec((prefix(), prop::collection::vec(prefix(), 0..3)), 0..8),
        low in 0u32..80,
    ) {
        let selectors: Vec<_> =
            selectors.into_iter().map(|(net, except)| CidrSelector::new(net, except, Reach::World)).collect();
        let index = index(&selectors);
        let partition = index.partition();
        for address in [IpAddr::V4((0x0a00_0000 | low).into()), IpAddr::V6(((0xfd << 120) | u128::from(low)).into())] {
            let expected: Cover =
                selectors.iter().filter(|selector| selector.covers(address, Owner::World)).cloned().collect();
            let longest = partition.iter().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len());
            prop_assert_eq!(longest.map(|(_, cover)| cover.clone()).unwrap_or_default(), expected.clone());
            prop_assert_eq!(index.cover(address, Owner::World), expected.clone());
            let mut covers = Covers::default();
            prop_assert_eq!(covers.of(&index, address.into(), Owner::World), expected.clone());
            prop_assert_eq!(covers.of(&index, address.into(), Owner::Pod), Cover::default());
            prop_assert_eq!(covers.of(&index, address.into(), Owner::World), expected);
        }
    }
}
