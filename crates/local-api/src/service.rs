//! `/v1/service`: frontends and their backends.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

/// A frontend with its backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<ServiceSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ServiceStatus>,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServiceStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<ServiceSpec>,
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServiceSpec {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: i64,
    pub frontend_address: Option<FrontendAddress>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub backend_addresses: Vec<BackendAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<ServiceFlags>,
    #[serde(rename = "updateServices", skip_serializing_if = "crate::is_default")]
    pub update_services: bool,
}

/// Who may use a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FrontendScope {
    /// Anybody.
    #[serde(rename = "external")]
    External,
    /// The cluster.
    #[serde(rename = "internal")]
    Internal,
}

/// Address clients use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct FrontendAddress {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip: String,
    /// `tcp`, `udp` or `any`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<FrontendScope>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub port: u16,
}

/// Whether a backend takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BackendState {
    /// New and old.
    #[serde(rename = "active")]
    Active,
    /// Old only.
    #[serde(rename = "terminating")]
    Terminating,
    /// Old only, not answering.
    #[serde(rename = "terminating-not-serving")]
    TerminatingNotServing,
    /// Unhealthy.
    #[serde(rename = "quarantined")]
    Quarantined,
    /// Taken out by hand.
    #[serde(rename = "maintenance")]
    Maintenance,
}

/// Address that serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BackendAddress {
    pub ip: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub protocol: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub port: u16,
    #[serde(rename = "nodeName", skip_serializing_if = "crate::is_default")]
    pub node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<BackendState>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub preferred: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub weight: u16,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub zone: String,
}

/// Properties of a frontend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServiceFlags {
    /// `ClusterIP`, `NodePort`, `ExternalIPs`, `HostPort`, `LoadBalancer` or `LocalRedirect`.
    #[serde(rename = "type", skip_serializing_if = "crate::is_default")]
    pub kind: String,
    /// `Cluster` or `Local`.
    #[serde(rename = "trafficPolicy", skip_serializing_if = "crate::is_default")]
    pub traffic_policy: String,
    #[serde(rename = "extTrafficPolicy", skip_serializing_if = "crate::is_default")]
    pub ext_traffic_policy: String,
    #[serde(rename = "intTrafficPolicy", skip_serializing_if = "crate::is_default")]
    pub int_traffic_policy: String,
    /// `None`, `Nat46` or `Nat64`.
    #[serde(rename = "natPolicy", skip_serializing_if = "crate::is_default")]
    pub nat_policy: String,
    #[serde(
        rename = "healthCheckNodePort",
        skip_serializing_if = "crate::is_default"
    )]
    pub health_check_node_port: u16,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub namespace: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cluster: String,
}

/// A local redirect policy: a row of `GET /v1/lrp`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct LrpSpec {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub uid: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub namespace: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub frontend_type: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub lrp_type: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub service_id: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub frontend_mappings: Vec<FrontendMapping>,
}

/// A redirected frontend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct FrontendMapping {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend_address: Option<FrontendAddress>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub backends: Vec<LrpBackend>,
}

/// A pod it is redirected to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct LrpBackend {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub pod_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_address: Option<BackendAddress>,
}
