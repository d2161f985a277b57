//! Identities and groups of CIDRs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kubernetes::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// A number for a set of labels; the name is the number in decimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata", "security-labels"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumIdentity {
    /// Type.
    pub api_version: ApiVersion<CiliumIdentity>,
    /// Type.
    pub kind: KindName<CiliumIdentity>,
    /// Metadata; its labels carry only the pods' namespace.
    pub metadata: ObjectMeta,
    /// `source:key` → value.
    #[serde(rename = "security-labels", deserialize_with = "null_is_default")]
    pub security_labels: BTreeMap<String, String>,
}
resource!(
    CiliumIdentity,
    "cilium.io",
    "v2",
    "ciliumidentities",
    cluster
);

/// A named list of CIDRs that policies refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata", "spec"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumCIDRGroup {
    /// Type.
    pub api_version: ApiVersion<CiliumCIDRGroup>,
    /// Type.
    pub kind: KindName<CiliumCIDRGroup>,
    /// Metadata; its labels can be selected by policies.
    pub metadata: ObjectMeta,
    /// Members.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: CIDRGroupSpec,
}
resource!(
    CiliumCIDRGroup,
    "cilium.io",
    "v2",
    "ciliumcidrgroups",
    cluster
);

/// Members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["externalCIDRs"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CIDRGroupSpec {
    /// CIDRs as text.
    #[serde(rename = "externalCIDRs", deserialize_with = "null_is_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::schema::CidrOrAddress>")
    )]
    pub external_cidrs: Vec<String>,
}
