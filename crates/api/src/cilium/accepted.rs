//! Kinds that are accepted, while nothing acts on them: the spec stays as written, and the status can say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kubernetes::{ApiVersion, Condition, KindName, ObjectMeta, null_is_default, resource};

/// What is stated of an object, and what else its status holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcceptedStatus {
    /// Present state, one entry for each type of condition.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub conditions: Vec<Condition>,
    /// The rest, as written.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

impl AcceptedStatus {
    /// Whether nothing has been stated.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.rest.is_empty()
    }
}

/// Kinds that differ in names and schemas only.
macro_rules! accepted {
    ($($(#[$doc:meta])* $name:ident, $version:literal, $plural:literal, $scope:ident, $required:tt, $spec:literal, $status:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(extend("required" = $required)))]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            /// Type.
            pub api_version: ApiVersion<$name>,
            /// Type.
            pub kind: KindName<$name>,
            /// Metadata.
            pub metadata: ObjectMeta,
            /// What is wanted.
            #[cfg_attr(feature = "schema", schemars(with = $spec))]
            pub spec: Value,
            /// What is stated of it.
            #[serde(skip_serializing_if = "AcceptedStatus::is_empty", deserialize_with = "null_is_default")]
            #[cfg_attr(feature = "schema", schemars(with = $status))]
            pub status: AcceptedStatus,
        }
        resource!($name, "cilium.io", $version, $plural, $scope);
    )+ };
}

accepted! {
    /// Connections of pods that leave the cluster through chosen nodes.
    CiliumEgressGatewayPolicy, "v2", "ciliumegressgatewaypolicies", cluster, ["metadata"],
        "crate::schema::egress_gateway::EgressGatewaySpec", "crate::schema::status::Conditions";
    /// Connections that are led to pods of the same node.
    CiliumLocalRedirectPolicy, "v2", "ciliumlocalredirectpolicies", namespaced, ["metadata"],
        "crate::schema::local_redirect::LocalRedirectSpec", "crate::schema::local_redirect::LocalRedirectStatus";
    /// Addresses for services of type LoadBalancer.
    CiliumLoadBalancerIPPool, "v2", "ciliumloadbalancerippools", cluster, ["metadata", "spec"],
        "crate::schema::load_balancer::PoolSpec", "crate::schema::status::Conditions";
    /// Answers to ARP and neighbour discovery for addresses of services.
    CiliumL2AnnouncementPolicy, "v2alpha1", "ciliuml2announcementpolicies", cluster, ["metadata"],
        "crate::schema::l2_announcement::AnnouncementSpec", "crate::schema::status::Conditions";
    /// BGP instances of nodes, and their peers.
    CiliumBGPClusterConfig, "v2", "ciliumbgpclusterconfigs", cluster, ["metadata", "spec"],
        "crate::schema::bgp::ClusterConfigSpec", "crate::schema::status::Conditions";
    /// What several BGP peers have in common.
    CiliumBGPPeerConfig, "v2", "ciliumbgppeerconfigs", cluster, ["metadata", "spec"],
        "crate::schema::bgp::PeerConfigSpec", "crate::schema::status::Conditions";
    /// What is advertised to BGP peers.
    CiliumBGPAdvertisement, "v2", "ciliumbgpadvertisements", cluster, ["metadata", "spec"],
        "crate::schema::bgp::AdvertisementSpec", "crate::schema::status::Conditions";
    /// The BGP sessions of one node.
    CiliumBGPNodeConfig, "v2", "ciliumbgpnodeconfigs", cluster, ["metadata", "spec"],
        "crate::schema::bgp::NodeConfigSpec", "crate::schema::bgp::NodeStatus";
    /// What is other in the BGP sessions of one node.
    CiliumBGPNodeConfigOverride, "v2", "ciliumbgpnodeconfigoverrides", cluster, ["metadata", "spec"],
        "crate::schema::bgp::OverrideSpec", "crate::schema::status::Conditions";
    /// Configuration of Envoy for services of a namespace.
    CiliumEnvoyConfig, "v2", "ciliumenvoyconfigs", namespaced, ["metadata"],
        "crate::schema::envoy::EnvoyConfigSpec", "crate::schema::status::Conditions";
    /// Configuration of Envoy for services of all namespaces.
    CiliumClusterwideEnvoyConfig, "v2", "ciliumclusterwideenvoyconfigs", cluster, ["metadata"],
        "crate::schema::envoy::EnvoyConfigSpec", "crate::schema::status::Conditions";
    /// Parameters of gateway classes.
    CiliumGatewayClassConfig, "v2alpha1", "ciliumgatewayclassconfigs", namespaced, ["metadata"],
        "crate::schema::gateway_class::GatewayClassSpec", "crate::schema::status::Conditions";
}
