use model::endpoint::{EndpointId, LifeCycle, Mac};
use model::labels::LabelSet;

use super::*;
use crate::config::Given;

pub(crate) fn endpoint() -> EndpointRow {
    EndpointRow {
        id: EndpointId(7),
        pod: Some(PodName {
            namespace: "default".into(),
            name: "web".into(),
        }),
        pod_uid: None,
        container_id: "c".into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair {
            v4: "10.0.1.5".parse().ok(),
            v6: "fd00:1::5".parse().ok(),
        },
        mac: Mac([2, 0, 0, 0, 0, 1]),
        host_mac: Mac([2, 0, 0, 0, 0, 1]),
        ifname: "lxc1".into(),
        ifindex: 1,
        labels: LabelSet::default(),
        identity: Some(Identity(1234)),
        named_ports: vec![named_port("http", 80, "TCP").unwrap()],
        service_account: Some("shop".into()),
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 1,
        life: LifeCycle::created(),
    }
}

pub(in crate::kvstore) fn addressing() -> Addressing {
    Addressing {
        node_ipv4: "172.30.0.11".parse().ok(),
        node_ipv6: None,
        pods_ipv4: "10.0.1.0/24".parse().ok(),
        pods_ipv6: "fd00:1::/64".parse().ok(),
    }
}

#[test]
fn an_address_is_written_as_upstream_writes_it_and_read_again() {
    let written = addresses(&endpoint(), "node1", "172.30.0.11".parse().unwrap());
    let v4 = r#"{"IP":"10.0.1.5","Mask":null,"HostIP":"172.30.0.11","ID":1234,"Key":0,"Metadata":"cilium-global:default:node1:7","K8sNamespace":"default","K8sPodName":"web","K8sServiceAccount":"shop","NamedPorts":[{"Name":"http","Port":80,"Protocol":"TCP"}]}"#;
    assert_eq!(written[0], ("10.0.1.5".parse().unwrap(), v4.to_owned()));
    assert_eq!(written[1].0, "fd00:1::5".parse::<IpAddr>().unwrap());
    let (ip, row) = address_row(written[1].1.as_bytes()).unwrap();
    assert_eq!(ip, written[1].0);
    assert_eq!(
        row,
        AddressRow {
            pod: endpoint().pod,
            identity: Identity(1234),
            node: "172.30.0.11".parse().ok(),
            named_ports: endpoint().named_ports,
        }
    );
}

#[test]
fn an_endpoint_without_an_identity_is_not_written() {
    let none = EndpointRow {
        identity: None,
        ..endpoint()
    };
    assert_eq!(
        addresses(&none, "node1", "172.30.0.11".parse().unwrap()),
        []
    );
}

#[test]
fn what_others_write_of_an_address_is_read() {
    let host =
        br#"{"IP":"10.0.2.1","Mask":null,"HostIP":"172.30.0.12","ID":1,"Key":0,"Metadata":""}"#;
    let (_, row) = address_row(host).unwrap();
    assert_eq!(
        row.identity,
        Reserved::RemoteNode.id(),
        "their host is a remote node"
    );
    assert_eq!(row.pod, None);
    assert!(address_row(br#"{"IP":"10.0.2.0/24","ID":1}"#).is_err());
    assert!(address_row(b"[]").is_err());
}

#[test]
fn a_node_is_written_as_upstream_writes_it_and_read_again() {
    let given = Given::from_pairs([("k8s-node-name", "node1")]);
    let config = Config::new(&given).unwrap();
    let own = node(&config, &addressing(), "b-1");
    let first = ["10.0.1.0/24", "fd00:1::/64"].map(|text| text.parse().unwrap());
    let text = own.value(IpPair::default(), &first);
    let expected = r#"{"Name":"node1","Cluster":"default","IPAddresses":[{"Type":"InternalIP","IP":"172.30.0.11"},{"Type":"CiliumInternalIP","IP":"10.0.1.1"},{"Type":"CiliumInternalIP","IP":"fd00:1::1"}],"IPv4AllocCIDR":{"IP":"10.0.1.0","Mask":"////AA=="},"IPv4SecondaryAllocCIDRs":null,"IPv6AllocCIDR":{"IP":"fd00:1::","Mask":"//////////8AAAAAAAAAAA=="},"IPv6SecondaryAllocCIDRs":null,"IPv4HealthIP":null,"IPv6HealthIP":null,"IPv4IngressIP":null,"IPv6IngressIP":null,"ClusterID":0,"Source":"local","EncryptionKey":0,"Labels":null,"Annotations":null,"NodeIdentity":1,"WireguardPubKey":"","BootID":"b-1"}"#;
    assert_eq!(text, expected);
    let (name, row) = node_row(text.as_bytes()).unwrap();
    assert_eq!(&*name, "node1");
    assert_eq!(row.addresses.len(), 3);
    let ranges: Vec<String> = row.pod_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.0.1.0/24", "fd00:1::/64"]);
    // Ranges of pools come beside the one with the router.
    let more = ["10.9.0.0/28", "fd00:9::/120"].map(|text| text.parse().unwrap());
    let text = own.value(IpPair::default(), &[first, more].concat());
    let (_, row) = node_row(text.as_bytes()).unwrap();
    assert_eq!(row.pod_cidrs, [first[0], more[0], first[1], more[1]]);
}

#[test]
fn what_upstream_says_more_of_a_node_is_read() {
    let text = br#"{"Name":"n2","Cluster":"default","IPAddresses":[{"Type":"InternalIP","IP":"172.30.0.12"},{"Type":"Hostname","IP":"n2"}],"IPv4AllocCIDR":{"IP":"10.0.2.0","Mask":"////AA=="},"IPv4SecondaryAllocCIDRs":[{"IP":"10.9.0.0","Mask":"//8AAA=="}],"IPv4HealthIP":"10.0.2.9","EncryptionKey":255,"WireguardPubKey":"KEY","Labels":{"zone":"a"},"Unknown":{"x":1}}"#;
    let (_, row) = node_row(text).unwrap();
    assert_eq!(row.addresses.len(), 1);
    assert_eq!(row.pod_cidrs.len(), 2);
    assert_eq!(row.health.v4, "10.0.2.9".parse().ok());
    assert_eq!(
        (row.encryption_key, row.wireguard_key.as_deref()),
        (255, Some("KEY"))
    );
    assert_eq!(row.labels.get("zone").map(|zone| &**zone), Some("a"));
}
