use super::*;

fn node(spec: &str, addresses: &[(&str, &str)]) -> Node {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(kind, address)| serde_json::json!({ "type": kind, "address": address }))
        .collect();
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    let object = serde_json::json!({ "metadata": { "name": "n1", "uid": "u1" }, "spec": spec, "status": { "addresses": addresses } });
    serde_json::from_value(object).unwrap()
}

const BOTH: Families = Families {
    ipv4: true,
    ipv6: true,
};
const V4: Families = Families {
    ipv4: true,
    ipv6: false,
};

fn of_node(node: &Node, families: Families) -> Addressing {
    let spec = &node.spec;
    let ranges = ranges(spec.pod_cidrs.iter().chain([&spec.pod_cidr]));
    addressing(node, &ranges, families)
}

#[test]
fn internal_addresses_and_the_first_range_of_each_family_are_taken() {
    let node = node(
        r#"{"podCIDRs": ["10.1.0.0/24", "fd00::/120", "10.2.0.0/24"], "podCIDR": "10.1.0.0/24"}"#,
        &[
            ("Hostname", "n1"),
            ("ExternalIP", "203.0.113.1"),
            ("InternalIP", "192.0.2.1"),
            ("InternalIP", "2001:db8::1"),
        ],
    );
    let found = of_node(&node, BOTH);
    assert_eq!(found.node_ipv4, Some([192, 0, 2, 1].into()));
    assert_eq!(found.node_ipv6, "2001:db8::1".parse().ok());
    assert_eq!(found.pods_ipv4, "10.1.0.0/24".parse().ok());
    assert_eq!(found.pods_ipv6, "fd00::/120".parse().ok());
    assert!(is_whole(&found, BOTH));
    assert_eq!(
        of_node(&node, V4).pods_ipv6,
        None,
        "a family that is off has no range"
    );
}

#[test]
fn a_node_without_a_range_of_each_family_or_without_an_address_is_waited_for() {
    let bare = node("{}", &[("InternalIP", "192.0.2.1")]);
    assert!(!is_whole(&of_node(&bare, V4), V4));
    let one = node(
        r#"{"podCIDR": "10.1.0.0/24"}"#,
        &[("InternalIP", "192.0.2.1")],
    );
    assert!(is_whole(&of_node(&one, V4), V4));
    assert!(!is_whole(&of_node(&one, BOTH), BOTH));
    let nowhere = node(r#"{"podCIDR": "10.1.0.0/24"}"#, &[]);
    assert!(!is_whole(&of_node(&nowhere, V4), V4));
}

#[test]
fn of_pools_the_router_stays_where_it_was_and_a_new_node_has_it_in_the_default_pool() {
    let object = serde_json::json!({
        "metadata": { "name": "n1" },
        "spec": { "addresses": [
            { "type": "InternalIP", "ip": "192.0.2.1" },
            { "type": "CiliumInternalIP", "ip": "10.1.0.17" },
        ] },
    });
    let mut announced: CiliumNode = serde_json::from_value(object).unwrap();
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let ranges: Ranges = [
        ("blue".into(), nets(&["10.1.0.0/28", "10.1.0.16/28"])),
        ("default".into(), nets(&["10.0.0.0/28", "fd00::/124"])),
    ]
    .into();
    let node = node("{}", &[("InternalIP", "192.0.2.1")]);
    let of = |announced: &CiliumNode| {
        let ranges = with_routers(announced, &ranges, &"default".into());
        let found = addressing(&node, &ranges, BOTH);
        (found.router_ipv4(), found.router_ipv6())
    };
    let six = "fd00::1".parse().ok();
    assert_eq!(of(&announced), (Some([10, 1, 0, 17].into()), six));
    announced.spec.addresses.clear();
    assert_eq!(of(&announced), (Some([10, 0, 0, 1].into()), six));
}
