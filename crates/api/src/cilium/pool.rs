//! Pools of pod addresses.

use serde::{Deserialize, Serialize};

use super::LabelSelector;
use crate::kubernetes::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// Ranges that nodes get their pods' addresses from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata", "spec"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumPodIPPool {
    /// Type.
    pub api_version: ApiVersion<CiliumPodIPPool>,
    /// Type.
    pub kind: KindName<CiliumPodIPPool>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Ranges, and the pods that they are for.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: PodPoolSpec,
}
resource!(
    CiliumPodIPPool,
    "cilium.io",
    "v2alpha1",
    "ciliumpodippools",
    cluster
);

/// Ranges, and the pods that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PodPoolSpec {
    /// IPv4 ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::pool::Ipv4Ranges>")
    )]
    pub ipv4: Option<PoolRanges>,
    /// IPv6 ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::pool::Ipv6Ranges>")
    )]
    pub ipv6: Option<PoolRanges>,
    /// Namespaces whose pods get addresses of the pool; without it, those that name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Pods that get addresses of the pool; without it, those that name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
}

/// Ranges of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolRanges {
    /// CIDRs as text.
    #[serde(deserialize_with = "null_is_default")]
    pub cidrs: Vec<String>,
    /// Length of the prefix that a node gets at once.
    pub mask_size: u8,
}
