//! The printed shape of each version, byte for byte.

use super::*;

fn sample() -> Success {
    Success {
        interfaces: vec![
            Interface {
                name: "lxc1".into(),
                mac: "02:00:00:00:00:01".into(),
                mtu: Some(1500),
                sandbox: String::new(),
            },
            Interface {
                name: "eth0".into(),
                mac: "02:00:00:00:00:02".into(),
                mtu: Some(1500),
                sandbox: "/n/p".into(),
            },
        ],
        addresses: vec![
            Address {
                interface: Some(1),
                address: net("10.0.0.2/32"),
                gateway: "10.0.0.1".parse().ok(),
            },
            Address {
                interface: Some(1),
                address: net("fd00::2/128"),
                gateway: "fd00::1".parse().ok(),
            },
        ],
        routes: vec![Route {
            destination: net("0.0.0.0/0"),
            gateway: "10.0.0.1".parse().ok(),
            mtu: Some(1450),
        }],
        dns: Map::new(),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

const INTERFACES: &str = r#"[{"mac":"02:00:00:00:00:01","name":"lxc1"},{"mac":"02:00:00:00:00:02","name":"eth0","sandbox":"/n/p"}]"#;

#[test]
fn each_version_is_printed_in_its_own_shape() {
    let latest = concat!(
        r#"{"cniVersion":"1.1.0","dns":{},"interfaces":[{"mac":"02:00:00:00:00:01","mtu":1500,"name":"lxc1"},"#,
        r#"{"mac":"02:00:00:00:00:02","mtu":1500,"name":"eth0","sandbox":"/n/p"}],"#,
        r#""ips":[{"address":"10.0.0.2/32","gateway":"10.0.0.1","interface":1},"#,
        r#"{"address":"fd00::2/128","gateway":"fd00::1","interface":1}],"#,
        r#""routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1","mtu":1450}]}"#
    );
    assert_eq!(sample().print(Version::V1_1_0), latest);
    let one = format!(
        "{}{INTERFACES}{}",
        r#"{"cniVersion":"1.0.0","dns":{},"interfaces":"#,
        concat!(
            r#","ips":[{"address":"10.0.0.2/32","gateway":"10.0.0.1","interface":1},"#,
            r#"{"address":"fd00::2/128","gateway":"fd00::1","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]}"#
        )
    );
    assert_eq!(sample().print(Version::V1_0_0), one);
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        let lists = format!(
            "{}{INTERFACES}{}",
            r#"{"cniVersion":"VERSION","dns":{},"interfaces":"#
                .replace("VERSION", version.as_str()),
            concat!(
                r#","ips":[{"address":"10.0.0.2/32","gateway":"10.0.0.1","interface":1,"version":"4"},"#,
                r#"{"address":"fd00::2/128","gateway":"fd00::1","interface":1,"version":"6"}],"#,
                r#""routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]}"#
            )
        );
        assert_eq!(sample().print(version), lists);
    }
    for version in [Version::V0_1_0, Version::V0_2_0] {
        let old = concat!(
            r#"{"cniVersion":"VERSION","dns":{},"#,
            r#""ip4":{"gateway":"10.0.0.1","ip":"10.0.0.2/32","routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]},"#,
            r#""ip6":{"gateway":"fd00::1","ip":"fd00::2/128","routes":[]}}"#
        );
        assert_eq!(
            sample().print(version),
            old.replace("VERSION", version.as_str())
        );
    }
}

#[test]
fn what_is_printed_reads_back() {
    let parse =
        |text: &str| Success::parse(&serde_json::from_str(text).expect("JSON")).expect("result");
    assert_eq!(parse(&sample().print(Version::V1_1_0)), sample());
    let old = parse(&sample().print(Version::V0_2_0));
    assert_eq!(
        (old.interfaces.len(), old.addresses.len(), old.routes.len()),
        (0, 2, 1)
    );
}

#[test]
fn a_result_behind_another_points_at_its_own_interfaces() {
    let mut first = sample();
    first.extend(sample());
    assert_eq!(
        first
            .addresses
            .iter()
            .map(|a| a.interface)
            .collect::<Vec<_>>(),
        [Some(1), Some(1), Some(3), Some(3)]
    );
}
