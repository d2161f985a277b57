//! Endpoints: how agents tell each other which address has which identity.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kubernetes::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// One pod as its agent sees it; named like the pod and owned by it. It has no status subresource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumEndpoint {
    /// Type.
    pub api_version: ApiVersion<CiliumEndpoint>,
    /// Type.
    pub kind: KindName<CiliumEndpoint>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// All there is to say.
    #[serde(deserialize_with = "null_is_default")]
    pub status: EndpointStatus,
}
resource!(
    CiliumEndpoint,
    "cilium.io",
    "v2",
    "ciliumendpoints",
    namespaced
);

/// State of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["networking"])))]
#[serde(rename_all = "kebab-case", default)]
pub struct EndpointStatus {
    /// Number of the endpoint on its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Names of the endpoint elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_identifiers: Option<ExternalIdentifiers>,
    /// Security identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<EndpointIdentity>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networking: Option<EndpointNetworking>,
    /// Encryption key in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionKey>,
    /// Enforcement by direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<EndpointPolicy>,
    /// Named ports, sorted.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub named_ports: Vec<NamedPort>,
    /// As `ready`, `waiting-for-identity`, `disconnected`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
            "creating", "waiting-for-identity", "not-ready", "waiting-to-regenerate", "regenerating", "restoring", "ready",
            "disconnecting", "disconnected", "invalid",
        ])))]
    pub state: String,
    /// Service account of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account: String,
    /// Health of each part; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::endpoint::Health>")
    )]
    pub health: Option<Value>,
    /// Loops that work on the endpoint; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::endpoint::Controller>>")
    )]
    pub controllers: Option<Value>,
    /// What happened to the endpoint; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::endpoint::LogEntry>>")
    )]
    pub log: Option<Value>,
}

/// Names of an endpoint elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct ExternalIdentifiers {
    /// Identifier of the sandbox container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// Name of the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_name: String,
    /// Container and interface.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cni_attachment_id: String,
    /// `namespace/name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_name: String,
    /// Name of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub k8s_pod_name: String,
    /// Namespace of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub k8s_namespace: String,
    /// Endpoint identifier of the Docker network driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_endpoint_id: String,
    /// Network identifier of the Docker network driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_network_id: String,
}

/// Security identity of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EndpointIdentity {
    /// Number.
    pub id: i64,
    /// `source:key=value`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub labels: Vec<String>,
}

/// Addresses of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["addressing"])))]
#[serde(default)]
pub struct EndpointNetworking {
    /// Address of its node, the end of the tunnel.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Address pairs.
    #[serde(deserialize_with = "null_is_default")]
    pub addressing: Vec<AddressPair>,
}

/// Up to one address per family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AddressPair {
    /// IPv4 address; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipv4: String,
    /// IPv6 address; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipv6: String,
}

/// Key number of the encryption in use; 255 means WireGuard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EncryptionKey {
    /// Key number; 0 is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<i64>,
}

/// Enforcement by direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EndpointPolicy {
    /// Towards the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<EndpointEnforcement>,
    /// From the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<EndpointEnforcement>,
}

/// Enforcement in one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["enforcing"])))]
#[serde(default)]
pub struct EndpointEnforcement {
    /// Whether policy is enforced.
    pub enforcing: bool,
    /// As `enforcing`, `disabled`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Identities and ports; normally absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::endpoint::IdentityPort>>")
    )]
    pub allowed: Option<Value>,
    /// Identities and ports; normally absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::endpoint::IdentityPort>>")
    )]
    pub denied: Option<Value>,
    /// Identities and ports that are being added; normally absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::endpoint::IdentityPort>>")
    )]
    pub adding: Option<Value>,
    /// Identities and ports that are being removed; normally absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::endpoint::IdentityPort>>")
    )]
    pub removing: Option<Value>,
}

/// A named port of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NamedPort {
    /// Name.
    pub name: String,
    /// Number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}
