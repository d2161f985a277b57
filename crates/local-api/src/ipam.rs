//! `/v1/ipam`: addresses for workloads.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

use crate::node::NodeAddressing;

/// Answer of `POST /v1/ipam` (201).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IpamResponse {
    pub address: Option<AddressPair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpamAddressResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpamAddressResponse>,
    pub host_addressing: Option<NodeAddressing>,
}

/// One address and how to use it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IpamAddressResponse {
    /// Without prefix length.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip: String,
    /// Next hop of the pod's routes; empty: the router address of `host-addressing`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub gateway: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub cidrs: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub master_mac: String,
    /// To be repeated in the endpoint's `addressing`, which stops the expiry.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub expiration_uuid: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interface_number: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub skip_masquerade: bool,
}

/// Addresses of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct AddressPair {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv4: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv4_expiration_uuid: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv4_pool_name: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv6: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv6_expiration_uuid: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ipv6_pool_name: String,
}
