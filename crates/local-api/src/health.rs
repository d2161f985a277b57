//! What `GET /v1/healthz` answers: the agent's own state and that of all it depends on.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::node::NodeElement;

mod network;
mod services;

pub use network::{
    BandwidthManager, BigTcp, ChainingMode, ClockSource, ClusterMeshStatus, CniChainingStatus,
    EncryptionStatus, IpsecStatus, Masquerading, Protocols, RemoteCluster, RemoteClusterConfig,
    RemoteClusterSynced, Routing, Srv6, WireguardInterface, WireguardPeer, WireguardStatus,
};
pub use services::{
    Enabled, KprDevice, KprFeatures, KprHostReachable, KprMode, KprNat46x64, KprNat46x64Gateway,
    KprNodePort, KubeProxyReplacement,
};

/// Health of one part of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Works.
    Ok,
    /// Works with losses that the message names.
    Warning,
    /// Does not work.
    Failure,
    /// Switched off.
    Disabled,
}

/// State and one sentence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub msg: String,
}

/// Answer of `GET /v1/healthz`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct StatusResponse {
    /// Overall state: `Ok` exactly when the agent is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cilium: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kvstore: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni_file: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_runtime: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_firewall: Option<HostFirewall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hubble: Option<HubbleStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hubble_metrics: Option<HubbleMetricsStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<K8sStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datapath_mode: Option<DatapathMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_mode: Option<AttachMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_proxy_replacement: Option<KubeProxyReplacement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam: Option<IpamStatus>,
    #[serde(rename = "nodeMonitor", skip_serializing_if = "Option::is_none")]
    pub node_monitor: Option<MonitorStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterStatus>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub controllers: Vec<ControllerStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_range: Option<IdentityRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_big_tcp: Option<BigTcp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_big_tcp: Option<BigTcp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_manager: Option<BandwidthManager>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masquerading: Option<Masquerading>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_source: Option<ClockSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srv6: Option<Srv6>,
    /// Probe name → RFC 3339 time since when it gives no answer.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub stale: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub client_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_mesh: Option<ClusterMeshStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpf_maps: Option<BpfMapStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni_chaining: Option<CniChainingStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_certificate_provider: Option<Status>,
}

/// Whether the node's own traffic is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HostFirewallMode {
    /// Not judged.
    Disabled,
    /// Judged.
    Enabled,
}

/// Host firewall.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HostFirewall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<HostFirewallMode>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub devices: Vec<String>,
}

/// State of the flow observer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HubbleStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub msg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observer: Option<HubbleObserver>,
}

/// Fill of the flow ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HubbleObserver {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub max_flows: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub current_flows: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub seen_flows: i64,
    /// Duration as Go prints it, e.g. `1h2m3s`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub uptime: String,
}

/// State of the flow metrics server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HubbleMetricsStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub msg: String,
}

/// State of the connection to the API server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct K8sStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_api_versions: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub msg: String,
}

/// Kind of the pods' devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DatapathMode {
    /// Virtual Ethernet pairs.
    #[serde(rename = "veth")]
    Veth,
    /// netkit pairs.
    #[serde(rename = "netkit")]
    Netkit,
    /// netkit pairs in layer 2 mode.
    #[serde(rename = "netkit-l2")]
    NetkitL2,
}

/// How programs are attached to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttachMode {
    /// cls_bpf filters.
    #[serde(rename = "tc")]
    Tc,
    /// tcx links.
    #[serde(rename = "tcx")]
    Tcx,
}

/// Addresses of this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IpamStatus {
    /// Address → owner (`namespace/pod`, `router`, `health`, …).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub allocations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv4: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv6: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub status: String,
}

/// This node's view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ClusterStatus {
    #[serde(rename = "ciliumHealth", skip_serializing_if = "Option::is_none")]
    pub cilium_health: Option<Status>,
    /// Name of this node, `cluster/node`.
    #[serde(rename = "self", skip_serializing_if = "crate::is_default")]
    pub this_node: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub nodes: Vec<NodeElement>,
}

/// A background task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ControllerStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ControllerConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ControllerOutcome>,
}

/// How often a background task runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ControllerConfiguration {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interval: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub error_retry_base: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub error_retry: bool,
}

/// How a background task fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ControllerOutcome {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub success_count: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_success_timestamp: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub failure_count: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_failure_timestamp: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub consecutive_failure_count: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_failure_msg: String,
}

/// The event ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MonitorStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cpus: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub npages: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub pagesize: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub lost: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub unknown: i64,
}

/// L7 proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProxyStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub port_range: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub total_redirects: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub total_ports: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub redirects: Vec<ProxyRedirect>,
    /// `embedded` or `external`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub envoy_deployment_mode: String,
}

/// Traffic handed to a proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProxyRedirect {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub proxy: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub proxy_port: i64,
}

/// Numbers for cluster identities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IdentityRange {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub min_identity: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub max_identity: i64,
}

/// Sizes of the eBPF maps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BpfMapStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub dynamic_size_ratio: f64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub maps: Vec<BpfMapProperties>,
}

/// Size of one map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BpfMapProperties {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    /// Entries.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub size: i64,
}
