//! Network policies of Kubernetes, left unparsed: the policy library reads them with field paths.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiVersion, KindName, ObjectMeta, resource};

/// A network policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicy {
    /// Type.
    pub api_version: ApiVersion<NetworkPolicy>,
    /// Type.
    pub kind: KindName<NetworkPolicy>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// The policy as written.
    pub spec: Value,
}
resource!(
    NetworkPolicy,
    "networking.k8s.io",
    "v1",
    "networkpolicies",
    namespaced
);
