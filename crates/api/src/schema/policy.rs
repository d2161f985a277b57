//! Rules of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy. The policy library reads them with field paths; what is
//! refused here it refuses too.

use schemars::JsonSchema;

use super::peer::{CidrRule, CloudGroup, FqdnSelector, PeerSelector, ServicePeer};
use super::port::{DenyPortRule, IcmpRule, PortRule};
use super::{CidrOrAddress, peer::Entity};

/// What is allowed and denied to the endpoints or nodes that are selected.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend(
    "oneOf" = [{"required": ["endpointSelector"]}, {"required": ["nodeSelector"]}],
    "anyOf" = [{"required": ["ingress"]}, {"required": ["ingressDeny"]}, {"required": ["egress"]}, {"required": ["egressDeny"]}],
))]
pub struct PolicyRule {
    /// Pods that the rule is about; in a namespaced policy, of its namespace only.
    pub endpoint_selector: Option<PeerSelector>,
    /// Nodes that the rule is about; in cluster-wide policies only.
    pub node_selector: Option<PeerSelector>,
    /// What may come in.
    pub ingress: Option<Vec<IngressRule>>,
    /// What may not come in, whatever is allowed.
    pub ingress_deny: Option<Vec<IngressDenyRule>>,
    /// What may go out.
    pub egress: Option<Vec<EgressRule>>,
    /// What may not go out, whatever is allowed.
    pub egress_deny: Option<Vec<EgressDenyRule>>,
    /// Whether what no rule allows is denied.
    pub enable_default_deny: Option<DefaultDeny>,
    /// Labels of the rule, beside those that it gets by itself.
    pub labels: Option<Vec<RuleLabel>>,
    /// A text for people.
    pub description: Option<String>,
    /// What flows that the rule decides are marked with.
    pub log: Option<LogMark>,
}

/// Whether what no rule allows is denied; a direction that is not named is closed if the rule has entries for it.
#[derive(JsonSchema)]
pub struct DefaultDeny {
    /// Of what comes in.
    pub ingress: Option<bool>,
    /// Of what goes out.
    pub egress: Option<bool>,
}

/// A label of a rule.
#[derive(JsonSchema)]
pub struct RuleLabel {
    /// Key.
    pub key: String,
    /// Value.
    pub value: Option<String>,
    /// Where the label is from, as `k8s`.
    pub source: Option<String>,
}

/// What flows are marked with.
#[derive(JsonSchema)]
pub struct LogMark {
    /// At most 32 printable characters.
    #[schemars(length(max = 32), extend("pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"))]
    pub value: Option<String>,
}

/// Whether both ends must prove who they are.
#[derive(JsonSchema)]
pub struct Authentication {
    /// How.
    #[schemars(extend("enum" = ["disabled", "required", "test-always-fail"]))]
    pub mode: String,
}

/// From whom connections come.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct IngressPeers {
    /// Pods, and what else has labels.
    pub from_endpoints: Option<Vec<PeerSelector>>,
    /// No longer supported.
    #[schemars(length(max = 0))]
    pub from_requires: Option<Vec<PeerSelector>>,
    /// Addresses outside the cluster.
    #[schemars(rename = "fromCIDR", with = "Option<Vec<CidrOrAddress>>")]
    pub from_cidr: Option<Vec<String>>,
    /// Addresses outside the cluster, with exceptions.
    #[schemars(rename = "fromCIDRSet")]
    pub from_cidr_set: Option<Vec<CidrRule>>,
    /// Peers by what they are.
    pub from_entities: Option<Vec<Entity>>,
    /// Nodes by their labels.
    pub from_nodes: Option<Vec<PeerSelector>>,
    /// Groups of a cloud provider.
    pub from_groups: Option<Vec<CloudGroup>>,
}

/// To whom connections go.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EgressPeers {
    /// Pods, and what else has labels.
    pub to_endpoints: Option<Vec<PeerSelector>>,
    /// No longer supported.
    #[schemars(length(max = 0))]
    pub to_requires: Option<Vec<PeerSelector>>,
    /// Addresses outside the cluster.
    #[schemars(rename = "toCIDR", with = "Option<Vec<CidrOrAddress>>")]
    pub to_cidr: Option<Vec<String>>,
    /// Addresses outside the cluster, with exceptions.
    #[schemars(rename = "toCIDRSet")]
    pub to_cidr_set: Option<Vec<CidrRule>>,
    /// Peers by what they are.
    pub to_entities: Option<Vec<Entity>>,
    /// Nodes by their labels.
    pub to_nodes: Option<Vec<PeerSelector>>,
    /// Groups of a cloud provider.
    pub to_groups: Option<Vec<CloudGroup>>,
    /// Services; ports are those of their backends.
    pub to_services: Option<Vec<ServicePeer>>,
}

/// Peers and ports from which connections are allowed. An entry names one kind of peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct IngressRule {
    /// From whom.
    #[schemars(flatten)]
    pub peers: IngressPeers,
    /// Ports; without it, all.
    pub to_ports: Option<Vec<PortRule>>,
    /// Types of ICMP messages; not together with `toPorts`.
    pub icmps: Option<Vec<IcmpRule>>,
    /// Whether both ends must prove who they are.
    pub authentication: Option<Authentication>,
}

/// Peers and ports from which connections are denied. An entry names one kind of peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct IngressDenyRule {
    /// From whom.
    #[schemars(flatten)]
    pub peers: IngressPeers,
    /// Ports; without it, all.
    pub to_ports: Option<Vec<DenyPortRule>>,
    /// Types of ICMP messages; not together with `toPorts`.
    pub icmps: Option<Vec<IcmpRule>>,
}

/// Peers and ports to which connections are allowed. An entry names one kind of peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EgressRule {
    /// To whom.
    #[schemars(flatten)]
    pub peers: EgressPeers,
    /// Names, whose addresses are learnt as endpoints look them up.
    #[schemars(rename = "toFQDNs")]
    pub to_fqdns: Option<Vec<FqdnSelector>>,
    /// Ports; without it, all.
    pub to_ports: Option<Vec<PortRule>>,
    /// Types of ICMP messages; not together with `toPorts`.
    pub icmps: Option<Vec<IcmpRule>>,
    /// Whether both ends must prove who they are.
    pub authentication: Option<Authentication>,
}

/// Peers and ports to which connections are denied. An entry names one kind of peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EgressDenyRule {
    /// To whom.
    #[schemars(flatten)]
    pub peers: EgressPeers,
    /// Ports; without it, all.
    pub to_ports: Option<Vec<DenyPortRule>>,
    /// Types of ICMP messages; not together with `toPorts`.
    pub icmps: Option<Vec<IcmpRule>>,
}
