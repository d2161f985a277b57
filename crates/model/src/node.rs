//! Nodes: what the cluster says about each, merged from the Kubernetes node and the agent's announcement.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What kind of address a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKind {
    /// For use inside the cluster.
    InternalIp,
    /// For use from outside.
    ExternalIp,
    /// The node's router address in its pods' range.
    Router,
}

impl AddressKind {
    /// The kind that a word of the API names. Host names and unknown kinds are none.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "InternalIP" => Some(Self::InternalIp),
            "ExternalIP" => Some(Self::ExternalIp),
            "CiliumInternalIP" => Some(Self::Router),
            _ => None,
        }
    }

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InternalIp => "InternalIP",
            Self::ExternalIp => "ExternalIP",
            Self::Router => "CiliumInternalIP",
        }
    }
}

/// Up to one address per family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IpPair {
    /// IPv4.
    pub v4: Option<Ipv4Addr>,
    /// IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl IpPair {
    /// The first address of each family.
    pub fn first_of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut pair = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => pair.v4 = pair.v4.or(Some(v4)),
                IpAddr::V6(v6) => pair.v6 = pair.v6.or(Some(v6)),
            }
        }
        pair
    }

    /// Those that are there, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4
            .map(IpAddr::V4)
            .into_iter()
            .chain(self.v6.map(IpAddr::V6))
    }

    /// The address of the same family as another.
    pub fn same_family(&self, other: IpAddr) -> Option<IpAddr> {
        match other {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// This one, and where it lacks a family the other's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            v4: self.v4.or(other.v4),
            v6: self.v6.or(other.v6),
        }
    }

    /// Whether there is neither.
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }
}

/// One source's statement about a node: the Kubernetes Node, or the CiliumNode that its agent wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeObject {
    /// Addresses in the object's order.
    pub addresses: Vec<(AddressKind, IpAddr)>,
    /// Ranges of its pods.
    pub pod_cidrs: Vec<IpNet>,
    /// Health endpoint.
    pub health: IpPair,
    /// Ingress listener.
    pub ingress: IpPair,
    /// Encryption key in use: 0 none, 1 to 15 IPsec, 255 WireGuard.
    pub encryption_key: u8,
    /// WireGuard public key, base64.
    pub wireguard_key: Option<Arc<str>>,
    /// Labels.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// uid of the object.
    pub uid: Arc<str>,
}

/// Whether a node is the one this agent runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Locality {
    /// This one.
    Local,
    /// Another.
    Remote,
}

/// A node, as the data plane needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Name.
    pub name: Arc<str>,
    /// Whether it is this one.
    pub locality: Locality,
    /// The address per family that other nodes send to: the end of tunnels and of direct routes.
    pub ip: IpPair,
    /// Its router addresses.
    pub router: IpPair,
    /// All its addresses except the router's, sorted.
    pub addresses: Vec<IpAddr>,
    /// Ranges of its IPv4 pods.
    pub pod_cidrs_v4: Vec<Ipv4Net>,
    /// Ranges of its IPv6 pods.
    pub pod_cidrs_v6: Vec<Ipv6Net>,
    /// Health endpoint.
    pub health: IpPair,
    /// Ingress listener.
    pub ingress: IpPair,
    /// Encryption key in use.
    pub encryption_key: u8,
    /// WireGuard public key, base64.
    pub wireguard_key: Option<Arc<str>>,
    /// Labels of the Kubernetes node.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

impl NodeRow {
    /// The ranges of its pods, IPv4 first.
    pub fn pod_cidrs(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.pod_cidrs_v4.iter().map(|net| IpNet::V4(*net));
        v4.chain(self.pod_cidrs_v6.iter().map(|net| IpNet::V6(*net)))
    }
}

fn by_kind(object: Option<&NodeObject>, kind: AddressKind) -> impl Iterator<Item = IpAddr> {
    let addresses = object.into_iter().flat_map(|object| &object.addresses);
    addresses
        .filter(move |(of, _)| *of == kind)
        .map(|(_, address)| *address)
}

/// What two objects of one name say about a node. The key touched by a change of either is that name.
///
/// The agent's announcement wins field by field; what it does not say comes from the Kubernetes node, so that a node
/// whose agent has not yet started can be reached already. A node without any address is no row.
pub fn row(
    name: &Arc<str>,
    kubernetes: Option<&NodeObject>,
    announced: Option<&NodeObject>,
    local_name: &str,
) -> Option<NodeRow> {
    let ip_of = |object| {
        let internal = IpPair::first_of(by_kind(object, AddressKind::InternalIp));
        internal.or(IpPair::first_of(by_kind(object, AddressKind::ExternalIp)))
    };
    let ip = ip_of(announced).or(ip_of(kubernetes));
    if ip.is_empty() {
        return None;
    }
    let both = || announced.into_iter().chain(kubernetes);
    let every = both().flat_map(|object| &object.addresses);
    let mut addresses: Vec<IpAddr> = every
        .filter(|(kind, _)| *kind != AddressKind::Router)
        .map(|(_, address)| *address)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let pod_cidrs = both()
        .map(|object| &object.pod_cidrs)
        .find(|cidrs| !cidrs.is_empty());
    let pod_cidrs = || pod_cidrs.into_iter().flatten();
    let agent = announced.or(kubernetes)?;
    Some(NodeRow {
        name: Arc::clone(name),
        locality: if **name == *local_name {
            Locality::Local
        } else {
            Locality::Remote
        },
        ip,
        router: IpPair::first_of(by_kind(announced, AddressKind::Router)),
        addresses,
        pod_cidrs_v4: pod_cidrs()
            .filter_map(|net| {
                if let IpNet::V4(net) = net {
                    Some(net.trunc())
                } else {
                    None
                }
            })
            .collect(),
        pod_cidrs_v6: pod_cidrs()
            .filter_map(|net| {
                if let IpNet::V6(net) = net {
                    Some(net.trunc())
                } else {
                    None
                }
            })
            .collect(),
        health: agent.health,
        ingress: agent.ingress,
        encryption_key: agent.encryption_key,
        wireguard_key: agent.wireguard_key.clone(),
        labels: kubernetes
            .or(announced)
            .map(|object| object.labels.clone())
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
