//! What `GET /v1/healthz` answers: the agent's own state and that of all it depends on.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::node::NodeElement;

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

/// Whether services are handled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KprMode {
    /// Yes.
    True,
    /// No.
    False,
}

/// Services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KubeProxyReplacement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<KprMode>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub devices: Vec<String>,
    #[serde(rename = "deviceList", skip_serializing_if = "crate::is_default")]
    pub device_list: Vec<KprDevice>,
    #[serde(
        rename = "directRoutingDevice",
        skip_serializing_if = "crate::is_default"
    )]
    pub direct_routing_device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<KprFeatures>,
}

/// A device services are reachable on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KprDevice {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip: Vec<String>,
}

/// What of services is on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KprFeatures {
    #[serde(rename = "nodePort", skip_serializing_if = "Option::is_none")]
    pub node_port: Option<KprNodePort>,
    #[serde(rename = "hostPort", skip_serializing_if = "Option::is_none")]
    pub host_port: Option<Enabled>,
    #[serde(rename = "externalIPs", skip_serializing_if = "Option::is_none")]
    pub external_ips: Option<Enabled>,
    #[serde(
        rename = "hostReachableServices",
        skip_serializing_if = "Option::is_none"
    )]
    pub host_reachable_services: Option<KprHostReachable>,
    #[serde(rename = "socketLB", skip_serializing_if = "Option::is_none")]
    pub socket_lb: Option<Enabled>,
    #[serde(rename = "sessionAffinity", skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<Enabled>,
    #[serde(
        rename = "gracefulTermination",
        skip_serializing_if = "Option::is_none"
    )]
    pub graceful_termination: Option<Enabled>,
    #[serde(rename = "nat46X64", skip_serializing_if = "Option::is_none")]
    pub nat46x64: Option<KprNat46x64>,
    #[serde(rename = "socketLBTracing", skip_serializing_if = "Option::is_none")]
    pub socket_lb_tracing: Option<Enabled>,
    #[serde(
        rename = "bpfSocketLBHostnsOnly",
        skip_serializing_if = "crate::is_default"
    )]
    pub bpf_socket_lb_hostns_only: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub annotations: Vec<String>,
}

/// A switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Enabled {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
}

/// NodePort settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KprNodePort {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    /// `SNAT`, `DSR` or `Hybrid`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mode: String,
    /// `IP Option/Extension`, `IPIP` or `Geneve`.
    #[serde(rename = "dsrMode", skip_serializing_if = "crate::is_default")]
    pub dsr_mode: String,
    /// `Random` or `Maglev`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub algorithm: String,
    /// `None`, `Native`, `Generic` or `Best-Effort`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub acceleration: String,
    #[serde(rename = "portMin", skip_serializing_if = "crate::is_default")]
    pub port_min: i64,
    #[serde(rename = "portMax", skip_serializing_if = "crate::is_default")]
    pub port_max: i64,
    #[serde(rename = "lutSize", skip_serializing_if = "crate::is_default")]
    pub lut_size: i64,
}

/// Socket translation for the node's own processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KprHostReachable {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub protocols: Vec<String>,
}

/// NAT between families.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KprNat46x64 {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Enabled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<KprNat46x64Gateway>,
}

/// NAT between families for others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KprNat46x64Gateway {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub prefixes: Vec<String>,
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

/// Segments above 64 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BigTcp {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    /// Bytes.
    #[serde(rename = "maxGRO", skip_serializing_if = "crate::is_default")]
    pub max_gro: i64,
    /// Bytes.
    #[serde(rename = "maxGSO", skip_serializing_if = "crate::is_default")]
    pub max_gso: i64,
}

/// Pod bandwidth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BandwidthManager {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub devices: Vec<String>,
    /// `cubic` or `bbr`.
    #[serde(
        rename = "congestionControl",
        skip_serializing_if = "crate::is_default"
    )]
    pub congestion_control: String,
}

/// A switch per family.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Protocols {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv4: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv6: bool,
}

/// Source NAT towards the world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Masquerading {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    #[serde(rename = "enabledProtocols", skip_serializing_if = "Option::is_none")]
    pub enabled_protocols: Option<Protocols>,
    /// `BPF` or `iptables`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mode: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip_masq_agent: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub snat_exclusion_cidr: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub snat_exclusion_cidr_v4: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub snat_exclusion_cidr_v6: String,
}

/// Ways between and within nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Routing {
    /// `Native` or `Tunnel`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub inter_host_routing_mode: String,
    /// `BPF` or `Legacy`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub intra_host_routing_mode: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub tunnel_protocol: String,
}

/// Clock of the data plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ClockSource {
    /// `ktime` or `jiffies`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mode: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub hertz: i64,
}

/// Segment routing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Srv6 {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    /// `SRH` or `Reduced`.
    #[serde(rename = "srv6EncapMode", skip_serializing_if = "crate::is_default")]
    pub srv6_encap_mode: String,
}

/// Other clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ClusterMeshStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub clusters: Vec<RemoteCluster>,
}

/// One other cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RemoteCluster {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ready: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced: Option<RemoteClusterSynced>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<RemoteClusterConfig>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub num_nodes: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub num_shared_services: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub num_service_exports: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub num_identities: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub num_endpoints: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub status: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub num_failures: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_failure: String,
}

/// What has been read completely.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RemoteClusterSynced {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub nodes: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub services: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub service_exports: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub endpoints: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub identities: bool,
}

/// What the other cluster declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RemoteClusterConfig {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub required: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub retrieved: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub kvstoremesh: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub sync_canaries: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub service_exports_enabled: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cluster_id: i64,
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

/// Encryption between nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EncryptionStatus {
    /// `Disabled`, `IPsec`, `Wireguard` or `Ztunnel`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mode: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub msg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipsec: Option<IpsecStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wireguard: Option<WireguardStatus>,
}

/// IPsec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IpsecStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub decrypt_interfaces: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub max_seq_number: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub keys_in_use: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub error_count: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub xfrm_errors: BTreeMap<String, i64>,
}

/// WireGuard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct WireguardStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub node_encryption: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub node_encrypt_opt_out_labels: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interfaces: Vec<WireguardInterface>,
}

/// A WireGuard device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct WireguardInterface {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub public_key: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub listen_port: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub peer_count: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub peers: Vec<WireguardPeer>,
}

/// A WireGuard peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct WireguardPeer {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub public_key: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub endpoint: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_handshake_time: String,
    /// Bytes.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub transfer_tx: i64,
    /// Bytes.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub transfer_rx: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub allowed_ips: Vec<String>,
}

/// Another CNI plugin this one is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChainingMode {
    /// Alone.
    #[serde(rename = "none")]
    None,
    /// AWS VPC CNI.
    #[serde(rename = "aws-cni")]
    AwsCni,
    /// Flannel.
    #[serde(rename = "flannel")]
    Flannel,
    /// Any plugin that makes veth pairs.
    #[serde(rename = "generic-veth")]
    GenericVeth,
    /// The host port plugin.
    #[serde(rename = "portmap")]
    Portmap,
}

/// CNI chaining.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CniChainingStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ChainingMode>,
}
