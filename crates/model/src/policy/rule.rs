//! The ordered rule form: what every policy object is turned into before anything is decided.

use std::fmt;
use std::sync::Arc;

use super::cidr::CidrSelector;
use crate::labels::{Label, LabelSet};
use crate::selector::LabelSelector;

/// Which way traffic goes, seen from the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the subject.
    Ingress,
    /// From the subject.
    Egress,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Tiers, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// What the node itself needs (its own traffic to its pods); not open to objects.
    Node,
    /// Before the policies of namespaces.
    Admin,
    /// NetworkPolicy, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy.
    Normal,
    /// After the policies of namespaces.
    Baseline,
}

/// What a rule does with what it matches. The order is that among rules of equal rank: deny beats all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Drops it.
    Deny,
    /// Skips the rest of the tier.
    Pass,
    /// Lets it through.
    Allow,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Pass => "pass",
            Self::Allow => "allow",
        })
    }
}

/// One peer that a rule names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerTerm {
    /// Everybody, known or not.
    Everyone,
    /// By labels.
    Labels(LabelSelector),
    /// By address.
    Cidr(CidrSelector),
    /// The members of CIDR groups, each less the exceptions. A group that does not exist has no members.
    Groups(GroupTerm),
}

/// Which CIDR groups are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTerm {
    /// Over the labels of the group, its name among them.
    pub selector: LabelSelector,
    /// Left out of each member.
    pub except: Vec<ipnet::IpNet>,
    /// Whose addresses the members match.
    pub reach: super::cidr::Reach,
}

/// Whom a rule is about. "Nobody" is `Of` an empty list, and never becomes "anybody".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// The rule does not look at the peer.
    Any,
    /// Any of these.
    Of(Vec<PeerTerm>),
}

/// IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// In a row: every protocol that has no rows of its own.
    pub const OTHER: Self = Self(0);
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// IGMP.
    pub const IGMP: Self = Self(2);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// VRRP.
    pub const VRRP: Self = Self(112);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// What stands in the port field of an ICMP or ICMPv6 packet: the type in the high octet; the code is not looked at.
    pub const fn icmp_port(icmp_type: u8) -> u16 {
        (icmp_type as u16) << 8
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OTHER => f.write_str("ANY"),
            Self::ICMP => f.write_str("ICMP"),
            Self::IGMP => f.write_str("IGMP"),
            Self::TCP => f.write_str("TCP"),
            Self::UDP => f.write_str("UDP"),
            Self::ICMPV6 => f.write_str("ICMPv6"),
            Self::VRRP => f.write_str("VRRP"),
            Self::SCTP => f.write_str("SCTP"),
            Self(number) => write!(f, "protocol {number}"),
        }
    }
}

/// Ports of one protocol, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortTerm {
    /// By number; for ICMP see [`Protocol::icmp_port`].
    Range {
        /// Protocol.
        protocol: Protocol,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// By name, resolved at the destination.
    Named {
        /// Protocol.
        protocol: Protocol,
        /// Name of a container port.
        name: Arc<str>,
    },
}

/// Which ports a rule is about. "No port" is `Of` an empty list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// The rule does not look at protocol and port.
    All,
    /// Any of these.
    Of(Vec<PortTerm>),
}

/// Named ports of a pod, or of all pods of an identity: (name, protocol) → numbers. Sorted; nearly always there are few, for which
/// maps would be ten times as large.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPorts(Box<[(Arc<str>, Protocol, u16)]>);

impl NamedPorts {
    /// Adds a port; a name may stand for several.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, protocol: Protocol, port: u16) {
        let new = (name.into(), protocol, port);
        if let Err(at) = self.0.binary_search(&new) {
            let mut all = std::mem::take(&mut self.0).into_vec();
            all.insert(at, new);
            self.0 = all.into();
        }
    }

    /// The numbers that a name stands for.
    pub fn get(&self, name: &str, protocol: Protocol) -> impl Iterator<Item = u16> {
        let first = self.0.partition_point(|(of, ..)| **of < *name);
        let named = self.0[first..].iter();
        named
            .take_while(move |(of, ..)| **of == *name)
            .filter(move |(_, of, _)| *of == protocol)
            .map(|(.., port)| *port)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Protocol, u16)> {
        let all = self.0.iter();
        all.map(|(name, protocol, port)| (name, *protocol, *port))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One rule of an object. Rank: tier, then priority, then order, then action (deny, pass, allow).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Tier.
    pub tier: Tier,
    /// Lower is asked first.
    pub priority: u32,
    /// Place within the object, where the object's kind gives meaning to it; 0 for all rules where it does not.
    pub order: u32,
    /// What happens.
    pub action: Action,
    /// Seen from the subject.
    pub direction: Direction,
    /// The other side.
    pub peers: Peers,
    /// Protocols and destination ports.
    pub ports: Ports,
    /// Field path in the object, as `spec.ingress[0]`.
    pub path: Arc<str>,
}

impl Rule {
    /// What rules are sorted by; comparing tuples, so that no priority can overflow into a tier.
    pub fn rank(&self) -> (Tier, u32, u32, Action) {
        (self.tier, self.priority, self.order, self.action)
    }
}

/// Which endpoints a part of an object is about. Pods and nodes are different types: a pod that carries the labels of a
/// node is not selected by a selector for nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Endpoints other than the node itself.
    Endpoints(LabelSelector),
    /// The host endpoint of nodes (host policy).
    Nodes(LabelSelector),
}

impl Subject {
    /// Whether an endpoint with these labels is meant.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        match self {
            Self::Endpoints(selector) => !labels.has_reserved("host") && selector.matches(labels),
            Self::Nodes(selector) => labels.has_reserved("host") && selector.matches(labels),
        }
    }

    /// The selector, whatever it is over.
    pub fn selector(&self) -> &LabelSelector {
        match self {
            Self::Endpoints(selector) | Self::Nodes(selector) => selector,
        }
    }
}

/// Whether the subjects of a part of an object lose everything that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultDeny {
    /// They do not.
    Off,
    /// They do.
    On,
}

/// One `spec` of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// About whom.
    pub subject: Subject,
    /// For traffic to the subject.
    pub ingress_default: DefaultDeny,
    /// For traffic from the subject.
    pub egress_default: DefaultDeny,
    /// The rules of both directions.
    pub rules: Vec<Arc<Rule>>,
    /// Labels of the rules: the user's and the automatic ones.
    pub labels: Arc<[Label]>,
    /// Free text.
    pub description: Arc<str>,
    /// `log.value`: shown as the policy log of verdicts.
    pub log: Arc<str>,
    /// Field path, as `spec` or `specs[1]`.
    pub path: Arc<str>,
}

impl Section {
    /// The default of one direction.
    pub fn default_deny(&self, direction: Direction) -> DefaultDeny {
        match direction {
            Direction::Ingress => self.ingress_default,
            Direction::Egress => self.egress_default,
        }
    }
}

/// Kinds of policy objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// networking.k8s.io NetworkPolicy.
    NetworkPolicy,
    /// cilium.io CiliumNetworkPolicy.
    CiliumNetworkPolicy,
    /// cilium.io CiliumClusterwideNetworkPolicy.
    CiliumClusterwideNetworkPolicy,
    /// policy.networking.k8s.io ClusterNetworkPolicy: ordered rules in the admin and baseline tiers.
    ClusterNetworkPolicy,
}

impl Kind {
    /// The word in `kind:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty for cluster-wide kinds.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// `Kind namespace/name`, or `Kind name`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind.as_str(), self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind.as_str(), self.name),
        }
    }
}

/// A valid policy object in rule form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyObject {
    /// Which object.
    pub key: ObjectKey,
    /// metadata.uid, empty if there is none.
    pub uid: Arc<str>,
    /// Its parts; all apply.
    pub sections: Vec<Section>,
    /// What is valid but does not mean what it may seem to mean: sentences with field paths.
    pub warnings: Vec<String>,
}
