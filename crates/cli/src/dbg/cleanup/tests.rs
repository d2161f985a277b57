use super::*;
use netlink::route::Route;

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: kind.into(),
        ..Link::default()
    }
}

#[test]
fn devices_of_an_agent_and_of_pods_go_and_no_others() {
    let links = [
        link(1, "lo", ""),
        link(2, "eth0", ""),
        link(3, "cilium_host", "veth"),
        link(4, "cilium_vxlan", "vxlan"),
        link(5, "lxc0123456789ab", "veth"),
        link(6, "lxcbr0", "bridge"),
        link(7, "veth1", "veth"),
    ];
    assert_eq!(
        devices(&links),
        ["cilium_host", "cilium_vxlan", "lxc0123456789ab"]
    );
}

#[test]
fn only_routes_with_a_gateway_and_our_number_go_and_not_the_default() {
    let links = [link(2, "eth0", ""), link(3, "cilium_host", "veth")];
    let gateway: std::net::IpAddr = "192.168.1.2".parse().unwrap();
    let to = |text: &str| Route::to(text.parse().unwrap());
    let direct = to("10.244.1.0/24").dev(2).via(gateway);
    let foreign = Route {
        protocol: 4,
        ..to("10.9.0.0/16").dev(2).via(gateway)
    };
    let all = [
        direct.clone(),
        foreign,
        to("192.168.1.0/24").dev(2),
        to("0.0.0.0/0").dev(2).via(gateway),
        to("10.244.0.0/24").dev(3).via(gateway),
    ];
    assert_eq!(direct_routes(&all, &links), [direct]);
}

#[test]
fn a_damaged_file_of_former_values_is_named_and_a_missing_one_is_fine() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(BEFORE);
    assert_eq!(sysctls(&path).unwrap(), BTreeMap::new());
    std::fs::write(&path, r#"{"net/ipv4/ip_forward":"0"}"#).unwrap();
    assert_eq!(sysctls(&path).unwrap()["net/ipv4/ip_forward"], "0");
    std::fs::write(&path, "{").unwrap();
    assert!(sysctls(&path).unwrap_err().to_string().contains("damaged"));
}
