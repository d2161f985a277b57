//! Settings of agents on some nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LabelSelector;
use crate::kubernetes::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// Settings that replace those of the ConfigMap on some nodes; of several objects the last by name wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["spec"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumNodeConfig {
    /// Type.
    pub api_version: ApiVersion<CiliumNodeConfig>,
    /// Type.
    pub kind: KindName<CiliumNodeConfig>,
    /// Metadata; the namespace is that of the agents.
    pub metadata: ObjectMeta,
    /// Settings, and the nodes that they are for.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: NodeConfigSpec,
}
resource!(
    CiliumNodeConfig,
    "cilium.io",
    "v2",
    "ciliumnodeconfigs",
    namespaced
);

/// Settings, and the nodes that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["defaults", "nodeSelector"])))]
#[serde(rename_all = "camelCase", default)]
pub struct NodeConfigSpec {
    /// Nodes.
    #[serde(deserialize_with = "null_is_default")]
    pub node_selector: LabelSelector,
    /// Settings by the keys of the ConfigMap.
    #[serde(deserialize_with = "null_is_default")]
    pub defaults: BTreeMap<String, String>,
}
