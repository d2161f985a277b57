//! Services, as `GET /v1/healthz` shows them.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

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
