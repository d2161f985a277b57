//! Many endpoints in one object, for agents of large clusters.

use serde::{Deserialize, Serialize};

use super::{EncryptionKey, EndpointNetworking, NamedPort};
use crate::kubernetes::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// Endpoints of one namespace, put together by the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["endpoints", "metadata"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumEndpointSlice {
    /// Type.
    pub api_version: ApiVersion<CiliumEndpointSlice>,
    /// Type.
    pub kind: KindName<CiliumEndpointSlice>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Namespace of the endpoints.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The endpoints.
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints: Vec<SlicedEndpoint>,
}
resource!(
    CiliumEndpointSlice,
    "cilium.io",
    "v2alpha1",
    "ciliumendpointslices",
    cluster
);

/// What others must know of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["networking"])))]
#[serde(rename_all = "kebab-case", default)]
pub struct SlicedEndpoint {
    /// Name of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Number of the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Addresses.
    #[serde(deserialize_with = "null_is_default")]
    pub networking: EndpointNetworking,
    /// Encryption key in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionKey>,
    /// Named ports, sorted.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub named_ports: Vec<NamedPort>,
    /// Service account of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account: String,
}
