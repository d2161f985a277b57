//! What each kind of resource claims about addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Claim, Location, Source};
use crate::endpoint::EndpointRow;
use crate::identity::{Identity, Reserved};
use crate::node::{IpPair, Locality, NodeRow};

/// A pod of another node, as its CiliumEndpoint describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteEndpoint {
    /// Identity.
    pub identity: Identity,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// Address of its node.
    pub node: IpAddr,
    /// Encryption key of its node.
    pub encryption_key: u8,
    /// When the object was created, in seconds since 1970.
    pub created: u64,
}

fn claims_about(
    addresses: impl IntoIterator<Item = IpAddr>,
    claim: impl Fn(IpAddr) -> Option<Claim>,
) -> Vec<(IpNet, Claim)> {
    addresses
        .into_iter()
        .filter_map(|address| Some((IpNet::from(address), claim(address)?)))
        .collect()
}

/// What an endpoint of this node says. Before its identity is known it is `init`.
pub fn endpoint_claims(row: &EndpointRow) -> Vec<(IpNet, Claim)> {
    let claim = Claim {
        source: Source::Local,
        created: 0,
        identity: row.identity.unwrap_or(Reserved::Init.id()),
        location: Location::LocalEndpoint {
            id: row.id,
            ifindex: row.ifindex,
        },
        encryption_key: 0,
    };
    claims_about(row.ips.iter(), |_| Some(claim.clone()))
}

/// What a CiliumEndpoint says. About pods of this node only the node itself speaks: an object that says so is stale,
/// or the node's own echo.
pub fn remote_endpoint_claims(
    endpoint: &RemoteEndpoint,
    this_node: &[IpAddr],
) -> Vec<(IpNet, Claim)> {
    if this_node.contains(&endpoint.node) {
        return Vec::new();
    }
    let claim = Claim {
        source: Source::CustomResource,
        created: endpoint.created,
        identity: endpoint.identity,
        location: Location::RemoteEndpoint {
            node: endpoint.node,
        },
        encryption_key: endpoint.encryption_key,
    };
    claims_about(endpoint.ips.iter().copied(), |_| Some(claim.clone()))
}

/// What a node says of itself: its addresses and its router's, its health endpoint and its ingress listener, and for
/// another node the ranges of its pods. An address there is reached through its node and is no part of the world, but whose it
/// is, nobody said yet: it is `unmanaged` until a CiliumEndpoint knows better.
pub fn node_claims(node: &NodeRow) -> Vec<(IpNet, Claim)> {
    let local = node.locality == Locality::Local;
    let own = Claim {
        source: if local {
            Source::Local
        } else {
            Source::CustomResource
        },
        created: 0,
        identity: if local {
            Reserved::Host.id()
        } else {
            Reserved::RemoteNode.id()
        },
        location: if local {
            Location::LocalNode
        } else {
            Location::RemoteNode
        },
        encryption_key: if local { 0 } else { node.encryption_key },
    };
    let addresses: BTreeSet<IpAddr> = node
        .addresses
        .iter()
        .copied()
        .chain(node.ip.iter())
        .collect();
    let mut claims = claims_about(addresses, |_| Some(own.clone()));
    // The router's address lies in the pods' range: another node's can be reached only the way its pods are, which is
    // over one underlay for both families.
    let behind = node.ip.iter().next();
    let through = |pair: &IpPair, identity: Identity| {
        claims_about(pair.iter(), |_| {
            let location = if local {
                Location::LocalNode
            } else {
                Location::RemoteEndpoint { node: behind? }
            };
            Some(Claim {
                identity,
                location,
                ..own.clone()
            })
        })
    };
    claims.extend(through(&node.router, own.identity));
    if !local {
        // This node's own are endpoints, which speak for themselves.
        claims.extend(through(&node.health, Reserved::Health.id()));
        claims.extend(through(&node.ingress, Reserved::Ingress.id()));
        claims.extend(node.pod_cidrs().filter_map(|net| {
            let claim = Claim {
                identity: Reserved::Unmanaged.id(),
                location: Location::RemoteEndpoint { node: behind? },
                ..own.clone()
            };
            Some((net, claim))
        }));
    }
    claims
}

/// What is said of the API server's addresses that are addresses of other nodes. This node stays the host, and outside
/// of the cluster the address is a prefix with an identity of its own.
pub fn kube_apiserver_claims(addresses: &[IpAddr], nodes: &[NodeRow]) -> Vec<(IpNet, Claim)> {
    let on_another_node = |address: &IpAddr| {
        nodes
            .iter()
            .any(|node| node.locality == Locality::Remote && node.addresses.contains(address))
    };
    claims_about(addresses.iter().copied().filter(on_another_node), |_| {
        Some(Claim {
            source: Source::KubeApiserver,
            created: 0,
            identity: Reserved::KubeApiserver.id(),
            location: Location::RemoteNode,
            encryption_key: 0,
        })
    })
}

/// What a policy's prefix says: it has an identity of its own, and lies outside, unless somebody knows better.
pub fn prefix_claims(prefix: IpNet, identity: Identity) -> Vec<(IpNet, Claim)> {
    let location = Location::World;
    vec![(
        prefix,
        Claim {
            source: Source::Generated,
            created: 0,
            identity,
            location,
            encryption_key: 0,
        },
    )]
}
