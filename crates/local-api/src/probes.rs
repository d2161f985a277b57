//! What nodes learn of each other by probes: the health API, base path `/v1beta`, on a socket of its own.
//!
//! `GET /v1beta/healthz` → [`HealthResponse`]. `GET /v1beta/status` → [`HealthStatusResponse`], what is known now.
//! `PUT /v1beta/status/probe` → the same after all nodes were probed.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::health::StatusResponse;

/// Prefix of the paths.
pub const BASE: &str = "/v1beta";

/// Where the agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/cilium/health.sock";

/// Environment variables that name the socket, the first one set counts.
pub const SOCKET_VARIABLES: [&str; 2] = ["AXONEME_HEALTH_SOCK", "CILIUM_HEALTH_SOCK"];

/// The health API's socket of an agent whose own socket is `agent`: beside it.
pub fn socket_beside(agent: &Path) -> PathBuf {
    agent.with_file_name("health.sock")
}

/// Answer of `GET /v1beta/healthz`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HealthResponse {
    /// The agent of this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cilium: Option<StatusResponse>,
    /// Since when it runs, as `1h2m3s`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub uptime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_load: Option<LoadResponse>,
}

/// Load of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadResponse {
    #[serde(rename = "last1min", skip_serializing_if = "crate::is_default")]
    pub last_1min: String,
    #[serde(rename = "last5min", skip_serializing_if = "crate::is_default")]
    pub last_5min: String,
    #[serde(rename = "last15min", skip_serializing_if = "crate::is_default")]
    pub last_15min: String,
}

/// Answer of `GET /v1beta/status` and of `PUT /v1beta/status/probe`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthStatusResponse {
    /// When the last round of probes ended, RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub timestamp: String,
    /// Time between rounds, as `1m9.1s`.
    #[serde(rename = "probeInterval", skip_serializing_if = "crate::is_default")]
    pub probe_interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SelfStatus>,
    /// Those that were probed, this one among them.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub nodes: Vec<NodeStatus>,
}

/// The node that answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelfStatus {
    /// `cluster/node`, or `node` in a cluster without a name of its own.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
}

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NodeStatus {
    /// `cluster/node`, or `node` in a cluster without a name of its own.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    /// The node itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Addresses>,
    /// Its health endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_endpoint: Option<Addresses>,
}

impl NodeStatus {
    /// Whether every path to it works.
    pub fn is_reached(&self) -> bool {
        let parts = self.host.iter().chain(&self.health_endpoint);
        parts.into_iter().all(Addresses::is_reached)
    }
}

/// The addresses of a node, or of its health endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Addresses {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_address: Option<PathStatus>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub secondary_addresses: Vec<PathStatus>,
}

impl Addresses {
    /// All of them, the primary first.
    pub fn iter(&self) -> impl Iterator<Item = &PathStatus> {
        self.primary_address.iter().chain(&self.secondary_addresses)
    }

    /// Whether every path works.
    pub fn is_reached(&self) -> bool {
        self.iter().all(PathStatus::is_reached)
    }
}

/// What is known of an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<ConnectivityStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<ConnectivityStatus>,
}

impl PathStatus {
    /// Whether all that was tried worked.
    pub fn is_reached(&self) -> bool {
        let tried = self.icmp.iter().chain(&self.http);
        tried.into_iter().all(|of| of.status.is_empty())
    }
}

/// What came of a probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectivityStatus {
    /// Time to the answer, nanoseconds.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub latency: i64,
    /// Why there was none; empty if there was.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub status: String,
    /// RFC 3339.
    #[serde(rename = "lastProbed", skip_serializing_if = "crate::is_default")]
    pub last_probed: String,
}
