//! Network policies of `cilium.io`, left unparsed: the policy library reads them with field paths.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kubernetes::{ApiVersion, Condition, KindName, ObjectMeta, null_is_default, resource};

/// A policy for pods of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumNetworkPolicy {
    /// Type.
    pub api_version: ApiVersion<CiliumNetworkPolicy>,
    /// Type.
    pub kind: KindName<CiliumNetworkPolicy>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// One rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::policy::PolicyRule>")
    )]
    pub spec: Option<Value>,
    /// More rules; with `spec` all apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::policy::PolicyRule>>")
    )]
    pub specs: Option<Value>,
    /// Whether it is valid.
    #[serde(
        skip_serializing_if = "PolicyStatus::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub status: PolicyStatus,
}
resource!(
    CiliumNetworkPolicy,
    "cilium.io",
    "v2",
    "ciliumnetworkpolicies",
    namespaced
);

/// A policy for pods of all namespaces, or for nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumClusterwideNetworkPolicy {
    /// Type.
    pub api_version: ApiVersion<CiliumClusterwideNetworkPolicy>,
    /// Type.
    pub kind: KindName<CiliumClusterwideNetworkPolicy>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// One rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::policy::PolicyRule>")
    )]
    pub spec: Option<Value>,
    /// More rules; with `spec` all apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::policy::PolicyRule>>")
    )]
    pub specs: Option<Value>,
    /// Whether it is valid.
    #[serde(
        skip_serializing_if = "PolicyStatus::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub status: PolicyStatus,
}
resource!(
    CiliumClusterwideNetworkPolicy,
    "cilium.io",
    "v2",
    "ciliumclusterwidenetworkpolicies",
    cluster
);

/// What the validation said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyStatus {
    /// Condition `Valid`, with the error as its message.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::schema::status::PolicyCondition>", extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])))]
    pub conditions: Vec<Condition>,
    /// State of policies derived from this one, by node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            with = "Option<std::collections::BTreeMap<String, crate::schema::status::DerivedPolicy>>"
        )
    )]
    pub derivative_policies: Option<Value>,
}

impl PolicyStatus {
    /// Whether nothing has been stated.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.derivative_policies.is_none()
    }
}
