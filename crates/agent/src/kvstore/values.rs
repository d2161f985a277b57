//! What keys of nodes and addresses hold: upstream's JSON, field for field.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use model::endpoint::{EndpointRow, NamedPort, PodName};
use model::identity::{Identity, Reserved};
use model::node::{AddressKind, IpPair, NodeObject};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::inputs::named_port;
use crate::node::Addressing;

/// What is said of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRow {
    /// Whose it is; `None` for what is no pod.
    pub pod: Option<PodName>,
    /// Identity.
    pub identity: Identity,
    /// Address of its node.
    pub node: Option<IpAddr>,
    /// Named ports of its pod.
    pub named_ports: Vec<NamedPort>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Address {
    #[serde(rename = "IP")]
    ip: String,
    #[serde(default)]
    mask: Option<String>,
    #[serde(rename = "HostIP", default)]
    host_ip: Option<String>,
    #[serde(rename = "ID")]
    id: u32,
    #[serde(default)]
    key: u8,
    #[serde(default)]
    metadata: String,
    #[serde(
        rename = "K8sNamespace",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    namespace: String,
    #[serde(
        rename = "K8sPodName",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pod: String,
    #[serde(
        rename = "K8sServiceAccount",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    service_account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    named_ports: Option<Vec<NamedPortValue>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedPortValue {
    name: String,
    port: u16,
    protocol: String,
}

/// The values of an endpoint's addresses; none while it has no identity.
pub fn addresses(row: &EndpointRow, node: &str, host: IpAddr) -> Vec<(IpAddr, String)> {
    let Some(identity) = row.identity else {
        return Vec::new();
    };
    let text = |of: Option<&Arc<str>>| of.map(ToString::to_string).unwrap_or_default();
    let mut ports: Vec<NamedPortValue> = row
        .named_ports
        .iter()
        .map(|port| NamedPortValue {
            name: port.name.to_string(),
            port: port.port,
            protocol: port.protocol.to_string(),
        })
        .collect();
    ports.sort_by(|a, b| a.name.cmp(&b.name));
    let value = |ip: IpAddr| Address {
        ip: ip.to_string(),
        mask: None,
        host_ip: Some(host.to_string()),
        id: identity.0,
        key: 0,
        // What upstream calls an endpoint's global id.
        metadata: format!("cilium-global:default:{node}:{}", row.id.0),
        namespace: text(row.pod.as_ref().map(|pod| &pod.namespace)),
        pod: text(row.pod.as_ref().map(|pod| &pod.name)),
        service_account: text(row.service_account.as_ref()),
        named_ports: (!ports.is_empty()).then(|| {
            let copy = |port: &NamedPortValue| NamedPortValue {
                name: port.name.clone(),
                port: port.port,
                protocol: port.protocol.clone(),
            };
            ports.iter().map(copy).collect()
        }),
    };
    row.ips
        .iter()
        .filter_map(|ip| Some((ip, serde_json::to_string(&value(ip)).ok()?)))
        .collect()
}

/// Reads the value of an address. Prefixes are none of ours.
pub fn address_row(value: &[u8]) -> Result<(IpAddr, AddressRow), String> {
    let of: Address = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let ip: IpAddr = of.ip.parse().map_err(|_| format!("IP: {:?}", of.ip))?;
    let pod = (!of.pod.is_empty()).then(|| PodName {
        namespace: of.namespace.as_str().into(),
        name: of.pod.as_str().into(),
    });
    // A node that says "host" means itself.
    let identity = if of.id == Reserved::Host.id().0 {
        Reserved::RemoteNode.id()
    } else {
        Identity(of.id)
    };
    let ports = of.named_ports.iter().flatten();
    let mut named_ports: Vec<NamedPort> = ports
        .filter_map(|port| named_port(&port.name, port.port, &port.protocol))
        .collect();
    named_ports.sort_unstable();
    let row = AddressRow {
        pod,
        identity,
        node: of.host_ip.and_then(|text| text.parse().ok()),
        named_ports,
    };
    Ok((ip, row))
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NodeValue {
    name: String,
    cluster: String,
    #[serde(rename = "IPAddresses")]
    addresses: Option<Vec<NodeAddress>>,
    #[serde(rename = "IPv4AllocCIDR")]
    ipv4_range: Option<Range>,
    #[serde(rename = "IPv4SecondaryAllocCIDRs")]
    ipv4_ranges: Option<Vec<Range>>,
    #[serde(rename = "IPv6AllocCIDR")]
    ipv6_range: Option<Range>,
    #[serde(rename = "IPv6SecondaryAllocCIDRs")]
    ipv6_ranges: Option<Vec<Range>>,
    #[serde(rename = "IPv4HealthIP")]
    ipv4_health: Option<String>,
    #[serde(rename = "IPv6HealthIP")]
    ipv6_health: Option<String>,
    #[serde(rename = "IPv4IngressIP")]
    ipv4_ingress: Option<String>,
    #[serde(rename = "IPv6IngressIP")]
    ipv6_ingress: Option<String>,
    #[serde(rename = "ClusterID")]
    cluster_id: u32,
    source: String,
    encryption_key: u8,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    node_identity: u32,
    wireguard_pub_key: String,
    #[serde(rename = "BootID")]
    boot_id: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct NodeAddress {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "IP")]
    ip: String,
}

/// Go's `net.IPNet`: the mask as octets, which JSON has in base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    #[serde(rename = "IP")]
    ip: String,
    mask: String,
}

impl Range {
    fn of(net: IpNet) -> Self {
        let mask = match net.netmask() {
            IpAddr::V4(mask) => STANDARD.encode(mask.octets()),
            IpAddr::V6(mask) => STANDARD.encode(mask.octets()),
        };
        Self {
            ip: net.network().to_string(),
            mask,
        }
    }

    fn read(&self) -> Option<IpNet> {
        let octets = STANDARD.decode(&self.mask).ok()?;
        let mask = match <[u8; 4]>::try_from(octets.as_slice()) {
            Ok(four) => IpAddr::from(four),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(octets.as_slice()).ok()?),
        };
        IpNet::with_netmask(self.ip.parse().ok()?, mask).ok()
    }
}

/// What this node says of itself.
#[derive(Clone, Debug, Default)]
pub struct OwnNode(NodeValue);

impl OwnNode {
    /// The value, with the addresses of its health endpoint, and all ranges of its pods.
    pub fn value(&self, health: IpPair, ranges: &[IpNet]) -> String {
        let first = |net: &IpNet| {
            [&self.0.ipv4_range, &self.0.ipv6_range]
                .iter()
                .any(|of| of.as_ref().and_then(Range::read) == Some(*net))
        };
        let others = |ipv4: bool| {
            let others = ranges
                .iter()
                .filter(|net| net.addr().is_ipv4() == ipv4 && !first(net));
            Some(others.map(|net| Range::of(*net)).collect())
                .filter(|of: &Vec<Range>| !of.is_empty())
        };
        let value = NodeValue {
            ipv4_ranges: others(true),
            ipv6_ranges: others(false),
            ipv4_health: health.v4.map(|ip| ip.to_string()),
            ipv6_health: health.v6.map(|ip| ip.to_string()),
            ..self.0.clone()
        };
        serde_json::to_string(&value).unwrap_or_default()
    }
}

/// This node.
pub fn node(config: &Config, addressing: &Addressing, boot: &str) -> OwnNode {
    let entry = |kind: AddressKind, ip: IpAddr| NodeAddress {
        kind: kind.as_str().to_owned(),
        ip: ip.to_string(),
    };
    let own = addressing.node_ipv4.map(IpAddr::V4).into_iter();
    let own = own.chain(addressing.node_ipv6.map(IpAddr::V6));
    let own = own.map(|ip| entry(AddressKind::InternalIp, ip));
    let routers = addressing
        .routers()
        .map(|ip| entry(AddressKind::Router, ip));
    OwnNode(NodeValue {
        name: config.node.clone(),
        cluster: config.cluster.clone(),
        addresses: Some(own.chain(routers).collect()),
        ipv4_range: addressing.pods_ipv4.map(|net| Range::of(IpNet::V4(net))),
        ipv6_range: addressing.pods_ipv6.map(|net| Range::of(IpNet::V6(net))),
        cluster_id: config.cluster_id.into(),
        source: "local".to_owned(),
        node_identity: Reserved::Host.id().0,
        boot_id: boot.to_owned(),
        ..NodeValue::default()
    })
}

/// Reads the value of a node.
pub fn node_row(value: &[u8]) -> Result<(Arc<str>, NodeObject), String> {
    let of: NodeValue = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let texts = |map: Option<BTreeMap<String, String>>| {
        let pairs = map.into_iter().flatten();
        pairs
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect()
    };
    let v4 = of.ipv4_range.iter().chain(of.ipv4_ranges.iter().flatten());
    let v6 = of.ipv6_range.iter().chain(of.ipv6_ranges.iter().flatten());
    let pair = |v4: &Option<String>, v6: &Option<String>| {
        let texts = v4.iter().chain(v6);
        IpPair::first_of(texts.filter_map(|text| text.parse().ok()))
    };
    let object = NodeObject {
        addresses: of
            .addresses
            .iter()
            .flatten()
            .filter_map(|entry| {
                let kind = AddressKind::from_word(&entry.kind)?;
                Some((kind, entry.ip.parse().ok()?))
            })
            .collect(),
        pod_cidrs: v4.chain(v6).filter_map(Range::read).collect(),
        health: pair(&of.ipv4_health, &of.ipv6_health),
        ingress: pair(&of.ipv4_ingress, &of.ipv6_ingress),
        encryption_key: of.encryption_key,
        wireguard_key: Some(of.wireguard_pub_key.as_str().into())
            .filter(|key: &Arc<str>| !key.is_empty()),
        labels: texts(of.labels),
        uid: "".into(),
    };
    Ok((of.name.as_str().into(), object))
}

#[cfg(test)]
pub(super) mod tests;
