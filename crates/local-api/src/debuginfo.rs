//! `/v1/debuginfo`: all of the above in one answer.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::health::{StatusResponse, WireguardStatus};
use crate::policy::Policy;
use crate::service::Service;

/// Answer of `GET /v1/debuginfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DebugInfo {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cilium_version: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub kernel_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cilium_status: Option<StatusResponse>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub endpoint_list: Vec<Endpoint>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub service_list: Vec<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cilium_memory_map: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cilium_nodemonitor_memory_map: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub environment_variables: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub subsystem: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<DebugEncryption>,
}

/// Encryption in the debug answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DebugEncryption {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wireguard: Option<WireguardStatus>,
}
