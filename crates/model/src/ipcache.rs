//! The ipcache: who every address and prefix is, from all who have something to say about it.
//!
//! Resources make claims about addresses; per address the strongest claim becomes the row. Addresses of hosts are kept
//! apart from prefixes by the data plane (exact before longest prefix); here both are keys, a host being a prefix of
//! full length.

mod claims;
mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use ipnet::IpNet;

use crate::endpoint::{EndpointId, PodName};
use crate::identity::Identity;
use crate::policy::cidr::{CidrIndex, Cover, Covers, Owner};

pub use claims::{
    RemoteEndpoint, endpoint_claims, kube_apiserver_claims, node_claims, prefix_claims,
    remote_endpoint_claims,
};
pub use peers::{PartKey, PeerNumbers};

/// Who says so. Ordered from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Not said.
    Unspec,
    /// Taken over from before a restart.
    Restored,
    /// Made up from policies: CIDR rules, learnt names.
    Generated,
    /// The agent's own API.
    Api,
    /// A file.
    Directory,
    /// Another cluster.
    ClusterMesh,
    /// A Kubernetes object.
    K8s,
    /// A CiliumEndpoint or CiliumNode.
    CustomResource,
    /// etcd.
    KvStore,
    /// This node itself.
    Local,
    /// The API server's addresses.
    KubeApiserver,
}

/// What makes claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// An endpoint of this node.
    Endpoint(EndpointId),
    /// A CiliumEndpoint.
    CiliumEndpoint(PodName),
    /// A node.
    Node(Arc<str>),
    /// The API server.
    KubeApiserver,
    /// A prefix that a policy names.
    Prefix(IpNet),
}

/// Where an address is, which decides the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A pod of this node.
    LocalEndpoint {
        /// Its endpoint.
        id: EndpointId,
        /// Its host interface.
        ifindex: u32,
    },
    /// This node itself.
    LocalNode,
    /// A pod of another node, behind that node's address.
    RemoteEndpoint {
        /// End of the tunnel or of the direct route.
        node: IpAddr,
    },
    /// Another node.
    RemoteNode,
    /// Outside of the cluster.
    World,
}

impl Location {
    /// Whose address it is, for CIDR selectors.
    pub fn owner(self) -> Owner {
        match self {
            Self::LocalEndpoint { .. } | Self::RemoteEndpoint { .. } => Owner::Pod,
            Self::LocalNode | Self::RemoteNode => Owner::Node,
            Self::World => Owner::World,
        }
    }
}

/// What one resource says about one address or prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// How much it counts.
    pub source: Source,
    /// When the object was created, in seconds since 1970, 0 if that means nothing: of two claims that count the same
    /// the younger object's is right, since addresses are given anew.
    pub created: u64,
    /// Identity.
    pub identity: Identity,
    /// Where it is.
    pub location: Location,
    /// Encryption key of the node behind it; 0 none, 255 WireGuard.
    pub encryption_key: u8,
}

/// A row: what the data plane is to know of an address or prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Identity; this number goes on the wire.
    pub identity: Identity,
    /// The CIDR selectors that cover it. With the identity it makes the peer, see [`PeerNumbers`].
    pub cover: Cover,
    /// Where it is.
    pub location: Location,
    /// Encryption key of the node behind it.
    pub encryption_key: u8,
    /// Who said so.
    pub source: Source,
}

/// Who claims an address, in order. Nearly always there is one, for which a map of its own would be twenty times as large.
type Claimants = Arc<[(Resource, Claim)]>;

/// All claims. Clones share their content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    by_resource: OrdMap<Resource, Arc<[IpNet]>>,
    by_address: OrdMap<(IpAddr, u8), Claimants>,
    /// How many claims about ranges of other nodes' pods have prefixes of each length.
    range_lengths: BTreeMap<u8, usize>,
}

/// Whether a claim is about all addresses that another node's pods can have.
fn is_range(net: &IpNet, claim: &Claim) -> bool {
    let node = matches!(claim.location, Location::RemoteEndpoint { .. });
    node && net.prefix_len() < net.max_prefix_len()
}

fn key_of(net: IpNet) -> (IpAddr, u8) {
    (net.network(), net.prefix_len())
}

impl Snapshot {
    /// Takes in what a resource says now; nothing if it is gone. Returns the keys whose rows may differ.
    pub fn apply(&mut self, resource: &Resource, claims: Vec<(IpNet, Claim)>) -> BTreeSet<IpNet> {
        let old = self.claims_of(resource);
        let claims = claims.into_iter();
        let claims: BTreeMap<IpNet, Claim> =
            claims.map(|(net, claim)| (net.trunc(), claim)).collect();
        let mut lengths: BTreeSet<u8> = self.range_lengths.keys().copied().collect();
        let changed = old.iter().filter(|(net, of)| claims.get(net) != Some(of));
        let new = claims.iter().filter(|(net, of)| old.get(net) != Some(of));
        let mut touched: BTreeSet<IpNet> = changed.chain(new).map(|(net, _)| *net).collect();
        for (net, claim) in &old {
            if is_range(net, claim)
                && let Some(count) = self.range_lengths.get_mut(&net.prefix_len())
            {
                *count -= 1;
            }
            self.set_claim(*net, resource, None);
        }
        for (net, claim) in &claims {
            if is_range(net, claim) {
                *self.range_lengths.entry(net.prefix_len()).or_default() += 1;
            }
            self.set_claim(*net, resource, Some(claim));
        }
        self.range_lengths.retain(|_, count| *count > 0);
        lengths.extend(self.range_lengths.keys());
        // What lies in a range may be what the range says of it, and who speaks of the range may have changed.
        let ranges = touched
            .iter()
            .filter(|net| lengths.contains(&net.prefix_len()));
        let within: Vec<IpNet> = ranges.flat_map(|net| self.inside(*net)).collect();
        touched.extend(within);
        let nets: Arc<[IpNet]> = claims.into_keys().collect();
        if nets.is_empty() {
            self.by_resource.remove(resource);
        } else {
            self.by_resource.insert(resource.clone(), nets);
        }
        touched
    }

    fn claims_of(&self, resource: &Resource) -> BTreeMap<IpNet, Claim> {
        let nets = self.by_resource.get(resource);
        let nets = nets.iter().flat_map(|nets| nets.iter());
        let claim = |net: &IpNet| {
            let users = self.by_address.get(&key_of(*net))?;
            let (_, claim) = users.iter().find(|(of, _)| of == resource)?;
            Some((*net, claim.clone()))
        };
        nets.filter_map(claim).collect()
    }

    fn set_claim(&mut self, net: IpNet, resource: &Resource, claim: Option<&Claim>) {
        let key = key_of(net);
        let known = self.by_address.get(&key);
        let mut users: Vec<(Resource, Claim)> = known.map(|of| of.to_vec()).unwrap_or_default();
        let at = users.binary_search_by(|(of, _)| of.cmp(resource));
        match (at, claim) {
            (Ok(at), None) => drop(users.remove(at)),
            (Ok(at), Some(claim)) => users[at].1 = claim.clone(),
            (Err(_), None) => return,
            (Err(at), Some(claim)) => users.insert(at, (resource.clone(), claim.clone())),
        }
        if users.is_empty() {
            self.by_address.remove(&key);
        } else {
            self.by_address.insert(key, users.into());
        }
    }

    /// The keys inside a prefix, that one included: what a CIDR selector that came or went can have touched.
    pub fn inside(&self, net: IpNet) -> BTreeSet<IpNet> {
        let from = (net.network(), 0);
        let to = (net.broadcast(), 128);
        let inside = self
            .by_address
            .range(from..=to)
            .filter_map(|((address, len), _)| IpNet::new(*address, *len).ok());
        inside.filter(|of| net.contains(of)).collect()
    }

    /// All who make claims.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.by_resource.keys()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = IpNet> {
        self.by_address
            .keys()
            .filter_map(|(address, len)| IpNet::new(*address, *len).ok())
    }

    /// All claims about an address or prefix, the one that counts first.
    pub fn claims(&self, net: IpNet) -> Vec<(&Resource, &Claim)> {
        let users = self.by_address.get(&key_of(net.trunc()));
        let users = users.into_iter().flat_map(|users| users.iter());
        let mut all: Vec<_> = users.map(|(of, claim)| (of, claim)).collect();
        all.sort_by(|(a, x), (b, y)| {
            (y.source, y.created)
                .cmp(&(x.source, x.created))
                .then_with(|| a.cmp(b))
        });
        all
    }

    /// What is said of the narrowest range of another node's pods that a prefix lies in.
    fn range_around(&self, net: IpNet) -> Option<&Claim> {
        let mut lengths = self.range_lengths.keys().rev();
        lengths.find_map(|length| {
            let around = IpNet::new(net.addr(), *length).ok()?;
            let (_, claim) = self.claims(around).into_iter().next()?;
            (*length < net.prefix_len() && is_range(&around, claim)).then_some(claim)
        })
    }

    /// The row of an address or prefix; `covers` are of the same index. A prefix of policies that lies among the pods of another node is not the world's: an
    /// address there that nobody announced yet is what the range says of it, and is covered by the prefix.
    pub fn row(&self, net: IpNet, cidrs: &CidrIndex, covers: &mut Covers) -> Option<Row> {
        let (_, claim) = self.claims(net).into_iter().next()?;
        let claim = match claim.location {
            Location::World => self.range_around(net).unwrap_or(claim),
            _ => claim,
        };
        Some(Row {
            identity: claim.identity,
            cover: covers.of(cidrs, net, claim.location.owner()),
            location: claim.location,
            encryption_key: claim.encryption_key,
            source: claim.source,
        })
    }
}

#[cfg(test)]
mod tests;
