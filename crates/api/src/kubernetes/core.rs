//! Pods, namespaces, service accounts, ConfigMaps and secrets of the core group.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Type.
    pub api_version: ApiVersion<Pod>,
    /// Type.
    pub kind: KindName<Pod>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Desired state.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: PodSpec,
    /// Observed state, written by the kubelet.
    #[serde(deserialize_with = "null_is_default")]
    pub status: PodStatus,
}
resource!(Pod, "", "v1", "pods", namespaced);

/// Desired state of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Node the pod is bound to; empty before scheduling.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Whether the pod shares the node's network namespace (and so is no endpoint of ours).
    #[serde(skip_serializing_if = "is_false")]
    pub host_network: bool,
    /// Service account, a source of identity labels.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// First label of the pod's DNS name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Headless service the DNS name hangs under.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subdomain: String,
    /// Containers, for their ports.
    #[serde(deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
    /// Init containers; those that stay running (side cars) may name ports too.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub init_containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name, unique in the pod.
    pub name: String,
    /// Ports the container says it listens on.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub ports: Vec<ContainerPort>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name that policies and services may refer to; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Port in the pod.
    pub container_port: u16,
    /// Port on the node, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Node address for `host_port`; empty is all.
    #[serde(rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// `TCP`, `UDP` or `SCTP`; empty means TCP.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
}

/// Observed state of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Conditions; `Ready` decides whether services send traffic.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub conditions: Vec<PodCondition>,
    /// First address of the node.
    #[serde(rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// First address of the pod.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// All addresses of the pod, at most one per family.
    #[serde(
        rename = "podIPs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub pod_ips: Vec<PodIp>,
}

/// One address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodIp {
    /// IPv4 or IPv6 address as text.
    pub ip: String,
}

/// One condition of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// What it states, as `Ready`.
    #[serde(rename = "type")]
    pub condition: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A word for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

/// A namespace; its labels are part of its pods' identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// Type.
    pub api_version: ApiVersion<Namespace>,
    /// Type.
    pub kind: KindName<Namespace>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Observed state.
    #[serde(deserialize_with = "null_is_default")]
    pub status: NamespaceStatus,
}
resource!(Namespace, "", "v1", "namespaces", cluster);

/// Observed state of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
}

/// A service account; only its metadata matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    /// Type.
    pub api_version: ApiVersion<ServiceAccount>,
    /// Type.
    pub kind: KindName<ServiceAccount>,
    /// Metadata.
    pub metadata: ObjectMeta,
}
resource!(ServiceAccount, "", "v1", "serviceaccounts", namespaced);

/// A ConfigMap; what is not text is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// Type.
    pub api_version: ApiVersion<ConfigMap>,
    /// Type.
    pub kind: KindName<ConfigMap>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Texts by key.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub data: BTreeMap<String, String>,
}
resource!(ConfigMap, "", "v1", "configmaps", namespaced);

/// A secret. What it holds is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Type.
    pub api_version: ApiVersion<Secret>,
    /// Type.
    pub kind: KindName<Secret>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What it holds by key, in base64; nothing is an empty value.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub data: BTreeMap<String, Option<String>>,
    /// `Opaque`, or a kind of content that the server checks.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub of_type: String,
    /// Neither the content nor this may be changed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}
resource!(Secret, "", "v1", "secrets", namespaced);

/// Without annotations as well: one of them may repeat the content.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectMeta {
            namespace, name, ..
        } = &self.metadata;
        write!(f, "Secret {namespace}/{name}")
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde's skip_serializing_if asks for"
)]
fn is_false(value: &bool) -> bool {
    !value
}
