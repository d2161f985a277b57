//! Nodes and their addresses: `/v1/cluster/nodes`, `/v1/node/ids`.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

/// A node's address and range, per family.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NodeAddressing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<NodeAddressingElement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<NodeAddressingElement>,
}

/// Address and range of one family.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NodeAddressingElement {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub enabled: bool,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ip: String,
    /// Prefix the node's pods take addresses from.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub alloc_range: String,
    /// `InternalIP`, `ExternalIP`, …
    #[serde(skip_serializing_if = "crate::is_default")]
    pub address_type: String,
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NodeElement {
    /// `cluster/node`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_address: Option<NodeAddressing>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub secondary_addresses: Vec<NodeAddressingElement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_endpoint_address: Option<NodeAddressing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_address: Option<NodeAddressing>,
    /// Where it was learnt: `local`, `custom-resource`, `kvstore`, …
    #[serde(skip_serializing_if = "crate::is_default")]
    pub source: String,
}

/// Answer of `GET /v1/cluster/nodes`; with the header `client-id` only what changed since that client's last call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ClusterNodeStatus {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub client_id: i64,
    /// Name of this node, `cluster/node`.
    #[serde(rename = "self", skip_serializing_if = "crate::is_default")]
    pub this_node: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub nodes_added: Vec<NodeElement>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub nodes_removed: Vec<NodeElement>,
}

/// A node number and its addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NodeId {
    pub id: i64,
    pub ips: Vec<String>,
}
