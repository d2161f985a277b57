//! Definitions of custom resources, left as written but for their metadata.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiVersion, KindName, ObjectMeta, resource};

/// A definition of a custom resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomResourceDefinition {
    /// Type.
    pub api_version: ApiVersion<CustomResourceDefinition>,
    /// Type.
    pub kind: KindName<CustomResourceDefinition>,
    /// Metadata; the name is `plural.group`.
    pub metadata: ObjectMeta,
    /// Names, scope and versions with their schemas.
    pub spec: Value,
    /// What the server states of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}
resource!(
    CustomResourceDefinition,
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    cluster
);
