//! Routing, encryption, other clusters and the like, as `GET /v1/healthz` shows them.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
