use std::net::IpAddr;

use super::*;

#[test]
fn every_address_is_one_and_of_its_family() {
    for family in [Family::V4, Family::V6] {
        let texts = [
            family.address(CONTROL),
            family.address(OUTSIDE),
            family.api_service().to_owned(),
            family.dns_service().to_owned(),
        ];
        for text in texts {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(address.is_ipv4(), family == Family::V4, "{text}");
        }
    }
}

#[test]
fn a_cluster_of_both_families_lists_ipv4_first() {
    assert_eq!(Families::Dual.services(), "10.96.0.0/16,fd00:10:96::/112");
    assert_eq!(
        Families::Dual.addresses(11),
        ["172.30.0.11", "fd00:172:30::11"]
    );
    assert_eq!(Families::Dual.api(), "172.30.0.10");
    assert_eq!(Families::Ipv6.api(), "fd00:172:30::10");
}

#[test]
fn names_of_families_are_read_as_they_are_written() {
    for families in [Families::Ipv4, Families::Dual, Families::Ipv6] {
        assert_eq!(Families::named(families.name()).unwrap(), families);
    }
    assert!(Families::named("v6").is_err());
}

#[test]
fn an_ipv6_address_with_a_port_is_in_brackets() {
    assert_eq!(host_port("172.30.0.10", 6443), "172.30.0.10:6443");
    assert_eq!(host_port("fd00:172:30::10", 6443), "[fd00:172:30::10]:6443");
}
