//! `/v1/endpoint`: the workloads of this node.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::health::ControllerStatus;
use crate::identity::Identity;
use crate::ipam::AddressPair;
use crate::node::NodeAddressing;
use crate::policy::{EndpointPolicyStatus, Port};

/// Where an endpoint is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndpointState {
    /// Known, has no identity yet.
    #[serde(rename = "waiting-for-identity")]
    WaitingForIdentity,
    /// Waits for something its log names.
    #[serde(rename = "not-ready")]
    NotReady,
    /// Its desired state changed.
    #[serde(rename = "waiting-to-regenerate")]
    WaitingToRegenerate,
    /// Being written to the kernel.
    #[serde(rename = "regenerating")]
    Regenerating,
    /// Found at start, not yet taken over.
    #[serde(rename = "restoring")]
    Restoring,
    /// In force.
    #[serde(rename = "ready")]
    Ready,
    /// Being removed.
    #[serde(rename = "disconnecting")]
    Disconnecting,
    /// Removed.
    #[serde(rename = "disconnected")]
    Disconnected,
    /// Cannot be created; its log says why.
    #[serde(rename = "invalid")]
    Invalid,
}

/// Health of one aspect of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndpointHealthStatus {
    /// In force.
    #[serde(rename = "OK")]
    Ok,
    /// Not yet for the first time.
    Bootstrap,
    /// A change is being applied.
    Pending,
    /// In force, a later change failed.
    Warning,
    /// Not in force.
    Failure,
    /// Not applicable.
    Disabled,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Endpoint {
    /// Node-local number, 1 to 65535.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<EndpointConfigurationSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<EndpointStatus>,
}

/// What is known of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_identifiers: Option<EndpointIdentifiers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelConfigurationStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<EndpointConfigurationSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networking: Option<EndpointNetworking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<EndpointPolicyStatus>,
    /// Newest first.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub log: Vec<EndpointStatusChange>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub controllers: Vec<ControllerStatus>,
    pub state: Option<EndpointState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<EndpointHealth>,
    #[serde(rename = "namedPorts", skip_serializing_if = "crate::is_default")]
    pub named_ports: Vec<Port>,
}

/// Body of `PUT` and `PATCH /v1/endpoint/{id}`. What the CNI plugin sends is listed in the documentation of crate `cni`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointChangeRequest {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_id: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_name: String,
    /// As the agent sees it: `/var/run/cilium/netns/<name>`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_netns_path: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub docker_endpoint_id: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub labels: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub docker_network_id: String,
    /// Host end, `lxc…`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interface_name: String,
    /// Host end.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interface_index: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub parent_interface_index: i64,
    /// Pod end, usually `eth0`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_interface_name: String,
    pub state: Option<EndpointState>,
    /// Pod end.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mac: String,
    /// Host end; the pod's gateway MAC.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub host_mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addressing: Option<AddressPair>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_pod_name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_namespace: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_uid: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub datapath_map_id: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub policy_enabled: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub pid: i64,
    /// Answer only when the endpoint is in force (host end up, first policy written) or failed.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub sync_build_endpoint: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub disable_legacy_identifiers: bool,
    /// Decimal `SO_NETNS_COOKIE` of the pod's namespace.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub netns_cookie: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datapath_configuration: Option<EndpointDatapathConfiguration>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub properties: BTreeMap<String, serde_json::Value>,
}

/// How an endpoint differs from the usual pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointDatapathConfiguration {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub require_arp_passthrough: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub require_egress_prog: bool,
    /// The address is not from the agent's pools and must not be released to them.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub external_ipam: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub require_routing: bool,
    /// The host needs a route `<ip> dev lxc…`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub install_endpoint_route: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub disable_sip_verification: bool,
}

/// Body of `DELETE /v1/endpoint`: all endpoints of one container. Also the content of a queued delete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointBatchDeleteRequest {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_id: String,
    /// Ours: only the attachment of this interface; empty means all.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_interface_name: String,
}

/// What may be changed at an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointConfigurationSpec {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_configuration: Option<LabelConfigurationSpec>,
}

/// Answer of `GET /v1/endpoint/{id}/config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointConfigurationStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<EndpointConfigurationSpec>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub immutable: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub error: String,
}

/// Labels set by hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct LabelConfigurationSpec {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub user: Vec<String>,
}

/// Labels and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct LabelConfigurationStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<LabelConfigurationSpec>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub security_relevant: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub derived: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub disabled: Vec<String>,
}

/// Answer of `GET /v1/endpoint/{id}/labels`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct LabelConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<LabelConfigurationSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<LabelConfigurationStatus>,
}

/// Answer of `GET /v1/endpoint/{id}/healthz`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointHealth {
    #[serde(rename = "overallHealth", skip_serializing_if = "Option::is_none")]
    pub overall_health: Option<EndpointHealthStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpf: Option<EndpointHealthStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<EndpointHealthStatus>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub connected: bool,
}

/// One line of an endpoint's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointStatusChange {
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub timestamp: String,
    /// `ok` or `failed`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub code: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<EndpointState>,
}

/// Addresses and devices of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointNetworking {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub addressing: Vec<AddressPair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_addressing: Option<NodeAddressing>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub host_mac: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mac: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interface_name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interface_index: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_interface_name: String,
}

/// Names others use for an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointIdentifiers {
    /// `<container id>:<interface>`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cni_attachment_id: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_id: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub container_name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub docker_endpoint_id: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub docker_network_id: String,
    /// `namespace/pod`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub pod_name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_pod_name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_namespace: String,
}
