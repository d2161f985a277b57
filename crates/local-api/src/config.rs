//! `/v1/config`: what the agent runs with, and what may be changed while it runs.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::health::{DatapathMode, MonitorStatus, Protocols};
use crate::node::NodeAddressing;

/// When policy is enforced at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyEnforcement {
    /// Where a policy selects it.
    #[serde(rename = "default")]
    Default,
    /// Everywhere.
    #[serde(rename = "always")]
    Always,
    /// Nowhere.
    #[serde(rename = "never")]
    Never,
}

/// Answer of `GET /v1/config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DaemonConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<DaemonConfigurationSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<DaemonConfigurationStatus>,
}

/// Body of `PATCH /v1/config`: what may be changed at run time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DaemonConfigurationSpec {
    /// Option → `enabled`/`disabled` or a value.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_enforcement: Option<PolicyEnforcement>,
}

/// What the agent runs with. The CNI plugin reads the MTUs, the addressing and the families from here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DaemonConfigurationStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<DaemonConfigurationSpec>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub immutable: BTreeMap<String, String>,
    /// Router addresses of this node: the pods' gateways. A family that is off is absent or `enabled: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addressing: Option<NodeAddressing>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_endpoint: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub k8s_configuration: String,
    #[serde(rename = "nodeMonitor", skip_serializing_if = "Option::is_none")]
    pub node_monitor: Option<MonitorStatus>,
    #[serde(
        rename = "kvstoreConfiguration",
        skip_serializing_if = "Option::is_none"
    )]
    pub kvstore_configuration: Option<KvstoreConfiguration>,
    /// MTU of the pods' devices, bytes.
    #[serde(rename = "deviceMTU", skip_serializing_if = "crate::is_default")]
    pub device_mtu: i64,
    /// MTU metric of the pods' routes, bytes: device MTU less the overlay's overhead.
    #[serde(rename = "routeMTU", skip_serializing_if = "crate::is_default")]
    pub route_mtu: i64,
    #[serde(
        rename = "enableRouteMTUForCNIChaining",
        skip_serializing_if = "crate::is_default"
    )]
    pub enable_route_mtu_for_cni_chaining: bool,
    /// `disabled`, `blackhole` or `always`: value for net.ipv4.tcp_mtu_probing in pods.
    #[serde(
        rename = "packetizationLayerPMTUDMode",
        skip_serializing_if = "crate::is_default"
    )]
    pub packetization_layer_pmtud_mode: String,
    #[serde(rename = "datapathMode", skip_serializing_if = "Option::is_none")]
    pub datapath_mode: Option<DatapathMode>,
    /// `cluster-pool`, `kubernetes`, `delegated-plugin`, …
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipam_mode: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub masquerade: bool,
    #[serde(
        rename = "masqueradeProtocols",
        skip_serializing_if = "Option::is_none"
    )]
    pub masquerade_protocols: Option<Protocols>,
    #[serde(
        rename = "installUplinkRoutesForDelegatedIPAM",
        skip_serializing_if = "crate::is_default"
    )]
    pub install_uplink_routes_for_delegated_ipam: bool,
    /// The whole validated configuration, key → value.
    #[serde(
        rename = "daemonConfigurationMap",
        skip_serializing_if = "crate::is_default"
    )]
    pub daemon_configuration_map: BTreeMap<String, serde_json::Value>,
    /// Bytes; 0 leaves the kernel's default. IPv6.
    #[serde(rename = "GSOMaxSize", skip_serializing_if = "crate::is_default")]
    pub gso_max_size: i64,
    /// Bytes; 0 leaves the kernel's default. IPv6.
    #[serde(rename = "GROMaxSize", skip_serializing_if = "crate::is_default")]
    pub gro_max_size: i64,
    /// Bytes; 0 leaves the kernel's default.
    #[serde(rename = "GSOIPv4MaxSize", skip_serializing_if = "crate::is_default")]
    pub gso_ipv4_max_size: i64,
    /// Bytes; 0 leaves the kernel's default.
    #[serde(rename = "GROIPv4MaxSize", skip_serializing_if = "crate::is_default")]
    pub gro_ipv4_max_size: i64,
    #[serde(rename = "deviceHeadroom", skip_serializing_if = "crate::is_default")]
    pub device_headroom: i64,
    #[serde(rename = "deviceTailroom", skip_serializing_if = "crate::is_default")]
    pub device_tailroom: i64,
    /// Value for net.ipv4.ip_local_reserved_ports in pods.
    #[serde(
        rename = "ipLocalReservedPorts",
        skip_serializing_if = "crate::is_default"
    )]
    pub ip_local_reserved_ports: String,
    #[serde(
        rename = "enableBBRHostNamespaceOnly",
        skip_serializing_if = "crate::is_default"
    )]
    pub enable_bbr_host_namespace_only: bool,
}

/// Key-value store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KvstoreConfiguration {
    #[serde(rename = "type", skip_serializing_if = "crate::is_default")]
    pub kind: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub options: BTreeMap<String, String>,
}
