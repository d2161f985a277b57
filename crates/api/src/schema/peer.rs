//! Peers of policy rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{CidrOrAddress, LabelValue};

/// Labels that all must be there; keys may begin with a source, as `k8s:`. An empty selector selects everything in its scope.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct PeerSelector {
    /// Labels with their values.
    #[schemars(with = "Option<BTreeMap<String, LabelValue>>")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Requirements beyond equality.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Option<Vec<Requirement>>,
}

/// What is required of one label.
#[derive(JsonSchema)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// How its value relates to `values`.
    #[schemars(extend("enum" = ["In", "NotIn", "Exists", "DoesNotExist"]))]
    pub operator: String,
    /// Values for In and NotIn; else empty.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Option<Vec<String>>,
}

/// A peer by what it is.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Entity {
    /// Everybody.
    All,
    /// Everything outside the cluster.
    World,
    /// The same over IPv4.
    #[schemars(rename = "world-ipv4")]
    WorldIpv4,
    /// The same over IPv6.
    #[schemars(rename = "world-ipv6")]
    WorldIpv6,
    /// All endpoints and nodes of this cluster.
    Cluster,
    /// The endpoint's own node.
    Host,
    /// Endpoints whose labels are not known yet.
    Init,
    /// The ingress proxy.
    Ingress,
    /// Pods that are not ours.
    Unmanaged,
    /// The other nodes.
    RemoteNode,
    /// What answers health probes.
    Health,
    /// Nobody.
    None,
    /// The API server.
    KubeApiserver,
}

/// Addresses: a prefix, or those of a CiliumCIDRGroup.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend(
    "oneOf" = [{"required": ["cidr"]}, {"required": ["cidrGroupRef"]}, {"required": ["cidrGroupSelector"]}],
))]
pub struct CidrRule {
    /// Prefix.
    #[schemars(with = "Option<CidrOrAddress>")]
    pub cidr: Option<String>,
    /// Name of a CiliumCIDRGroup.
    #[schemars(length(max = 253), extend("pattern" = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"))]
    pub cidr_group_ref: Option<String>,
    /// CiliumCIDRGroups by their labels.
    pub cidr_group_selector: Option<PeerSelector>,
    /// Prefixes to leave out; they lie inside `cidr`.
    #[schemars(with = "Option<Vec<CidrOrAddress>>")]
    pub except: Option<Vec<String>>,
}

/// A group of a cloud provider.
#[derive(JsonSchema)]
pub struct CloudGroup {
    /// Instances of AWS.
    pub aws: Option<AwsGroup>,
}

/// Instances of AWS.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct AwsGroup {
    /// Region.
    pub region: Option<String>,
    /// Tags of the instances.
    pub labels: Option<BTreeMap<String, String>>,
    /// Identifiers of security groups.
    pub security_groups_ids: Option<Vec<String>>,
    /// Names of security groups.
    pub security_groups_names: Option<Vec<String>>,
}

/// Services by name or by label.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ServicePeer {
    /// By name.
    #[schemars(rename = "k8sService")]
    pub service: Option<ServiceName>,
    /// By label.
    #[schemars(rename = "k8sServiceSelector")]
    pub service_selector: Option<ServiceSelector>,
}

/// A service by name.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ServiceName {
    /// Name.
    pub service_name: Option<String>,
    /// Namespace; without it, any.
    pub namespace: Option<String>,
}

/// Services by label.
#[derive(JsonSchema)]
pub struct ServiceSelector {
    /// Labels of the services.
    pub selector: PeerSelector,
    /// Namespace; without it, any.
    pub namespace: Option<String>,
}

/// A DNS name or a pattern of names.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("oneOf" = [{"required": ["matchName"]}, {"required": ["matchPattern"]}]))]
pub struct FqdnSelector {
    /// The name, exactly.
    #[schemars(length(max = 255), extend("pattern" = "^([-a-zA-Z0-9_]+[.]?)+$"))]
    pub match_name: Option<String>,
    /// `*` stands for any characters of one label, `**.` at the beginning for one or more labels, `*` alone for every name.
    #[schemars(length(max = 255), extend("pattern" = "^([-a-zA-Z0-9_*]+[.]?)+$"))]
    pub match_pattern: Option<String>,
}
