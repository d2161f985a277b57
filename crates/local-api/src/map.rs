//! `/v1/map`: the eBPF maps and what the agent thinks of them.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/map`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BpfMapList {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub maps: Vec<BpfMap>,
}

/// A map and the agent's shadow of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BpfMap {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub path: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cache: Vec<BpfMapEntry>,
}

/// What remains to be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DesiredAction {
    /// Nothing.
    #[serde(rename = "ok")]
    Ok,
    /// To be written.
    #[serde(rename = "insert")]
    Insert,
    /// To be deleted.
    #[serde(rename = "delete")]
    Delete,
}

/// An entry of the shadow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BpfMapEntry {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub key: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_action: Option<DesiredAction>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_error: String,
}

/// A change, as `GET /v1/map/{name}/events` streams it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MapEvent {
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub timestamp: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub key: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub value: String,
    /// `update` or `delete`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_action: Option<DesiredAction>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_error: String,
}

/// Answer of `GET /v1/cgroup-dump-metadata`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CgroupDumpMetadata {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub pod_metadatas: Vec<CgroupPodMetadata>,
}

/// A pod's cgroups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CgroupPodMetadata {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub namespace: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ips: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub containers: Vec<CgroupContainerMetadata>,
}

/// A container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CgroupContainerMetadata {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cgroup_id: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cgroup_path: String,
}
