use super::*;

fn object(addresses: &[(AddressKind, &str)], cidrs: &[&str]) -> NodeObject {
    NodeObject {
        addresses: addresses
            .iter()
            .map(|(kind, ip)| (*kind, ip.parse().unwrap()))
            .collect(),
        pod_cidrs: cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect(),
        ..NodeObject::default()
    }
}

#[test]
fn a_node_is_reachable_before_its_agent_has_announced_it() {
    let kubernetes = object(
        &[(AddressKind::InternalIp, "192.0.2.1")],
        &["10.0.1.0/24", "fd00:1::/64"],
    );
    let row = row(&"n1".into(), Some(&kubernetes), None, "n2").unwrap();
    assert_eq!(row.ip.v4, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(row.locality, Locality::Remote);
    assert_eq!(row.router, IpPair::default());
    assert_eq!(
        row.pod_cidrs()
            .map(|net| net.to_string())
            .collect::<Vec<_>>(),
        ["10.0.1.0/24", "fd00:1::/64"]
    );
}

#[test]
fn the_announcement_wins_and_gaps_are_filled_per_family() {
    let kubernetes = object(
        &[
            (AddressKind::InternalIp, "192.0.2.1"),
            (AddressKind::InternalIp, "2001:db8::1"),
            (AddressKind::ExternalIp, "198.51.100.1"),
        ],
        &["10.9.0.0/24"],
    );
    let announced = object(
        &[
            (AddressKind::InternalIp, "192.0.2.9"),
            (AddressKind::Router, "10.0.1.1"),
            (AddressKind::Router, "fd00::1"),
        ],
        &["10.0.1.7/24"],
    );
    let row = row(&"n1".into(), Some(&kubernetes), Some(&announced), "n1").unwrap();
    assert_eq!(row.locality, Locality::Local);
    assert_eq!(
        row.ip.iter().map(|ip| ip.to_string()).collect::<Vec<_>>(),
        ["192.0.2.9", "2001:db8::1"]
    );
    assert_eq!(
        row.router
            .iter()
            .map(|ip| ip.to_string())
            .collect::<Vec<_>>(),
        ["10.0.1.1", "fd00::1"]
    );
    assert_eq!(
        row.addresses.len(),
        4,
        "the router's addresses are not the node's: {:?}",
        row.addresses
    );
    assert_eq!(
        row.pod_cidrs()
            .map(|net| net.to_string())
            .collect::<Vec<_>>(),
        ["10.0.1.0/24"]
    );
}

#[test]
fn a_node_without_an_address_is_no_row() {
    assert_eq!(
        row(&"n1".into(), Some(&NodeObject::default()), None, "n1"),
        None
    );
    assert_eq!(row(&"n1".into(), None, None, "n1"), None);
}
