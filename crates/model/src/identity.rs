//! Identities: numbers for sets of labels, which of them are reserved, and who gets which.

mod key;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use imbl::{OrdMap, OrdSet};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::labels::{
    CLUSTER, Label, LabelError, LabelSet, NAMESPACE, NAMESPACE_LABELS, SERVICE_ACCOUNT, Source,
};

pub use key::{from_key, to_key};

/// A numeric identity: 32 bits here, 24 of them on the wire.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Identity(pub u32);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identities whose number never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reserved {
    /// This node, and its host endpoint.
    Host = 1,
    /// Outside the cluster.
    World = 2,
    /// A pod that we do not manage.
    Unmanaged = 3,
    /// The health endpoint.
    Health = 4,
    /// An endpoint that has no labels yet.
    Init = 5,
    /// Another node.
    RemoteNode = 6,
    /// The API server, on another node.
    KubeApiserver = 7,
    /// The ingress proxy.
    Ingress = 8,
    /// Outside the cluster, IPv4, when both families are on.
    WorldIpv4 = 9,
    /// Outside the cluster, IPv6, when both families are on.
    WorldIpv6 = 10,
}

impl Reserved {
    /// All of them, by number.
    pub const ALL: [Self; 10] = [
        Self::Host,
        Self::World,
        Self::Unmanaged,
        Self::Health,
        Self::Init,
        Self::RemoteNode,
        Self::KubeApiserver,
        Self::Ingress,
        Self::WorldIpv4,
        Self::WorldIpv6,
    ];

    /// The number.
    pub const fn id(self) -> Identity {
        Identity(self as u32)
    }

    /// The name, which is also the key of its `reserved:` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::World => "world",
            Self::Unmanaged => "unmanaged",
            Self::Health => "health",
            Self::Init => "init",
            Self::RemoteNode => "remote-node",
            Self::KubeApiserver => "kube-apiserver",
            Self::Ingress => "ingress",
            Self::WorldIpv4 => "world-ipv4",
            Self::WorldIpv6 => "world-ipv6",
        }
    }

    /// The reserved identity with a number.
    pub fn from_id(id: Identity) -> Option<Self> {
        Self::ALL.into_iter().find(|reserved| reserved.id() == id)
    }

    /// The reserved identity with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reserved| reserved.name() == name)
    }

    /// Its labels.
    pub fn labels(self) -> LabelSet {
        let own = Label::reserved(self.name());
        match self {
            // The API server is seen on a node here; outside the cluster it is a local identity of its address.
            Self::KubeApiserver => [own, Label::reserved(Self::RemoteNode.name())]
                .into_iter()
                .collect(),
            _ => std::iter::once(own).collect(),
        }
    }

    /// The one that a set of labels means, if it is reserved.
    fn of_labels(labels: &LabelSet) -> Option<Self> {
        if labels.has_reserved(Self::Host.name()) {
            return Some(Self::Host);
        }
        Self::ALL
            .into_iter()
            .find(|reserved| reserved.labels() == *labels)
    }
}

/// Who knows an identity by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityScope {
    /// Everybody: reserved, well known, and those of pods.
    Global,
    /// This node only: prefixes and names outside the cluster.
    LocalWorld,
    /// This node only: other nodes, where they can be told apart.
    LocalNode,
    /// This node only: parts of an identity that a CIDR selector cuts through. Never an identity, only a peer.
    LocalPart,
}

impl IdentityScope {
    /// The scope of a number, which its top byte tells.
    pub const fn of(id: Identity) -> Self {
        match id.0 >> 24 {
            0 => Self::Global,
            1 => Self::LocalWorld,
            2 => Self::LocalNode,
            _ => Self::LocalPart,
        }
    }

    /// The scope that a set of labels gets its number from.
    pub fn of_labels(labels: &LabelSet) -> Self {
        if labels.has_reserved(Reserved::RemoteNode.name()) {
            return Self::LocalNode;
        }
        let local = |label: &Label| {
            matches!(
                label.source,
                Source::Cidr | Source::Fqdn | Source::Reserved | Source::CidrGroup
            )
        };
        if !labels.is_empty() && labels.iter().all(local) {
            Self::LocalWorld
        } else {
            Self::Global
        }
    }

    /// The numbers that an agent hands out in a local scope, with a [`crate::numbers::Numbers`]; `None` for the global one.
    pub const fn numbers(self) -> Option<RangeInclusive<u32>> {
        match self {
            Self::Global => None,
            Self::LocalWorld => Some(0x0100_0001..=0x01ff_ffff),
            Self::LocalNode => Some(0x0200_0001..=0x02ff_ffff),
            Self::LocalPart => Some(0x0300_0001..=0x03ff_ffff),
        }
    }
}

/// The part of the global numbers that belongs to one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterNumbers {
    /// Id of the cluster; 0 = the only one.
    pub cluster_id: u16,
    /// How many clusters can know each other.
    pub clusters: MaxClusters,
}

/// How a number is split between cluster and identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxClusters {
    /// 8 bits of cluster, 16 of identity.
    #[default]
    C255,
    /// 9 bits of cluster, 15 of identity.
    C511,
}

impl ClusterNumbers {
    const fn shift(self) -> u32 {
        match self.clusters {
            MaxClusters::C255 => 16,
            MaxClusters::C511 => 15,
        }
    }

    /// The numbers that pods of this cluster can get.
    pub const fn range(self) -> RangeInclusive<u32> {
        let base = (self.cluster_id as u32) << self.shift();
        // Below 256 are the reserved, well-known and user-defined ones.
        let first = if self.cluster_id == 0 { 256 } else { base };
        first..=base + (1 << self.shift()) - 1
    }

    /// The cluster that a global number belongs to.
    pub const fn cluster_of(self, id: Identity) -> u16 {
        ((id.0 & 0x00ff_ffff) >> self.shift()) as u16
    }
}

/// Number, labels of the pods, namespace and service account of a well-known identity.
type WellKnown<'a> = (u32, &'a [(&'a str, &'a str)], &'a str, &'a str);

/// The well-known identities of a cluster, which have their numbers without being allocated.
/// `agents` is the namespace that the agents run in.
pub fn well_known(cluster: &str, agents: &str) -> Vec<(Identity, LabelSet)> {
    const EKS: (&str, &str) = ("eks.amazonaws.com/component", "kube-dns");
    const OPERATOR: &[(&str, &str)] = &[
        ("name", "cilium-operator"),
        ("io.cilium/app", "operator"),
        ("app.kubernetes.io/part-of", "cilium"),
        ("app.kubernetes.io/name", "cilium-operator"),
    ];
    let dns = [("k8s-app", "kube-dns")];
    let eks_dns = [("k8s-app", "kube-dns"), EKS];
    let eks_core_dns = [
        ("k8s-app", "kube-dns"),
        ("eks.amazonaws.com/component", "coredns"),
    ];
    let rows: [WellKnown; 5] = [
        (102, &dns, "kube-system", "kube-dns"),
        (103, &eks_dns, "kube-system", "kube-dns"),
        (104, &dns, "kube-system", "coredns"),
        (105, OPERATOR, agents, "cilium-operator"),
        (106, &eks_core_dns, "kube-system", "coredns"),
    ];
    let mut all = Vec::with_capacity(rows.len() * 2);
    for (id, own, namespace, account) in rows {
        let mut labels: Vec<Label> = own
            .iter()
            .map(|&(key, value)| Label::k8s(key, value))
            .collect();
        labels.push(Label::k8s(NAMESPACE, namespace));
        labels.push(Label::k8s(SERVICE_ACCOUNT, account));
        labels.push(Label::k8s(CLUSTER, cluster));
        all.push((Identity(id), labels.iter().cloned().collect()));
        // The second number is for clusters that label namespaces with their names, as all do today.
        labels.push(Label::k8s(
            format!("{NAMESPACE_LABELS}.kubernetes.io/metadata.name"),
            namespace,
        ));
        all.push((Identity(id + 8), labels.into_iter().collect()));
    }
    all
}

/// Which families are on; decides how the world is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// One family: the world is `reserved:world`.
    Single,
    /// Both: the world is `reserved:world-ipv4` or `reserved:world-ipv6`.
    Dual,
}

/// The world as seen at an address or prefix.
pub fn world_of(prefix: &IpNet, stack: Stack) -> Reserved {
    match (stack, prefix) {
        (Stack::Single, _) => Reserved::World,
        (Stack::Dual, IpNet::V4(_)) => Reserved::WorldIpv4,
        (Stack::Dual, IpNet::V6(_)) => Reserved::WorldIpv6,
    }
}

/// Labels of the identity of a prefix outside the cluster. The prefix of length 0 is only the world.
pub fn cidr_labels(prefix: &IpNet, stack: Stack) -> LabelSet {
    let world = Label::reserved(world_of(prefix, stack).name());
    if prefix.prefix_len() == 0 {
        return std::iter::once(world).collect();
    }
    [Label::new(Source::Cidr, cidr_key(prefix), ""), world]
        .into_iter()
        .collect()
}

/// The key of a `cidr:` label: colons become dashes, and a dash at either end gets a zero.
pub fn cidr_key(prefix: &IpNet) -> String {
    let prefix = prefix.trunc();
    let mut address = prefix.addr().to_string().replace(':', "-");
    if address.starts_with('-') {
        address.insert(0, '0');
    }
    if address.ends_with('-') {
        address.push('0');
    }
    format!("{address}/{}", prefix.prefix_len())
}

/// Labels as the field `security-labels` of a CiliumIdentity holds them: `source:key` → value.
pub fn to_security_labels(labels: &LabelSet) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|label| (label.name(), label.value.to_string()))
        .collect()
}

/// Reads the field `security-labels` of a CiliumIdentity. The error names the offending label.
pub fn from_security_labels(map: &BTreeMap<String, String>) -> Result<LabelSet, LabelError> {
    map.iter()
        .map(|(name, value)| Label::parse(&format!("{name}={value}")))
        .collect()
}

/// The identities that the store knows, found by number and by labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownIdentities {
    by_id: OrdMap<Identity, LabelSet>,
    // Pairs, and no set of numbers for each labels: nearly all have one number, and a set of one takes 390 octets.
    by_labels: OrdSet<(LabelSet, Identity)>,
}

impl KnownIdentities {
    /// Takes in an identity; the labels of a number may have changed only if it was deleted in between.
    pub fn insert(&mut self, id: Identity, labels: LabelSet) {
        self.remove(id);
        self.by_labels.insert((labels.clone(), id));
        self.by_id.insert(id, labels);
    }

    /// Forgets an identity.
    pub fn remove(&mut self, id: Identity) {
        if let Some(labels) = self.by_id.remove(&id) {
            self.by_labels.remove(&(labels, id));
        }
    }

    /// The labels of a number.
    pub fn labels(&self, id: Identity) -> Option<&LabelSet> {
        self.by_id.get(&id)
    }

    /// The number of a set of labels. Two agents may have created one each at the same moment: all choose the lowest.
    pub fn id(&self, labels: &LabelSet) -> Option<Identity> {
        let mut from = self.by_labels.range((labels.clone(), Identity(0))..);
        let (of, id) = from.next()?;
        (of == labels).then_some(*id)
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (Identity, &LabelSet)> {
        self.by_id.iter().map(|(id, labels)| (*id, labels))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// How an endpoint comes by its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// It exists: reserved, well known, or found in the store.
    Exists(Identity),
    /// Try to create it in the store under this number. If the name is taken, take in what the store says and decide anew.
    Create(Identity),
    /// Every number of this cluster is taken.
    Exhausted,
}

/// Decides the number of a set of labels. `random` returns any 32 random bits; it is asked once.
pub fn allocate(
    labels: &LabelSet,
    known: &KnownIdentities,
    well_known: &[(Identity, LabelSet)],
    numbers: ClusterNumbers,
    random: u32,
) -> Allocation {
    if labels.is_empty() {
        return Allocation::Exists(Reserved::Init.id());
    }
    if let Some(reserved) = Reserved::of_labels(labels) {
        return Allocation::Exists(reserved.id());
    }
    if let Some((id, _)) = well_known.iter().find(|(_, of)| of == labels) {
        return Allocation::Exists(*id);
    }
    if let Some(id) = known.id(labels) {
        return Allocation::Exists(id);
    }
    // Random, so that agents deciding at the same moment seldom clash; from there the next free one.
    let (first, last) = numbers.range().into_inner();
    let start = first + random % (last - first + 1);
    let free = |id: &u32| known.labels(Identity(*id)).is_none();
    (start..=last)
        .chain(first..start)
        .find(free)
        .map_or(Allocation::Exhausted, |id| Allocation::Create(Identity(id)))
}

#[cfg(test)]
mod tests;
