//! Nodes as agents announce them: addresses, pod ranges, keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kubernetes::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// A node; named like the Kubernetes node and owned by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["metadata", "spec"])))]
#[serde(rename_all = "camelCase", default)]
pub struct CiliumNode {
    /// Type.
    pub api_version: ApiVersion<CiliumNode>,
    /// Type.
    pub kind: KindName<CiliumNode>,
    /// Metadata; annotation `network.cilium.io/wg-pub-key` carries the WireGuard key.
    pub metadata: ObjectMeta,
    /// What the agent announces.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: NodeResourceSpec,
    /// What is in use.
    #[serde(deserialize_with = "null_is_default")]
    pub status: NodeResourceStatus,
}
resource!(CiliumNode, "cilium.io", "v2", "ciliumnodes", cluster);

/// What the agent announces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NodeResourceSpec {
    /// Addresses of the node.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub addresses: Vec<NodeAddressEntry>,
    /// Addresses that answer health probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthAddresses>,
    /// Addresses of the node's ingress listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<HealthAddresses>,
    /// Encryption key in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<super::EncryptionKey>,
    /// Address management.
    #[serde(deserialize_with = "null_is_default")]
    pub ipam: IpamSpec,
    /// Identity of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodeidentity: Option<i64>,
    /// Changes with every boot.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootid: String,
    /// Name of the machine with its provider.
    #[serde(rename = "instance-id", skip_serializing_if = "String::is_empty")]
    pub instance_id: String,
    /// What the allocator of AWS keeps; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::cloud::EniSpec>")
    )]
    pub eni: Option<Value>,
    /// What the allocator of Azure keeps; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::cloud::AzureSpec>")
    )]
    pub azure: Option<Value>,
    /// What the allocator of Alibaba Cloud keeps; left as written.
    #[serde(rename = "alibaba-cloud", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::cloud::AlibabaSpec>")
    )]
    pub alibaba_cloud: Option<Value>,
}

/// One address of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NodeAddressEntry {
    /// `InternalIP`, `ExternalIP`, `CiliumInternalIP`, `Hostname`.
    #[serde(rename = "type")]
    pub address_type: String,
    /// Address as text.
    pub ip: String,
}

/// Up to one address per family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct HealthAddresses {
    /// IPv4 address; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipv4: String,
    /// IPv6 address; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipv6: String,
}

/// Address management of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct IpamSpec {
    /// Ranges of the node's pods.
    #[serde(
        rename = "podCIDRs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub pod_cidrs: Vec<String>,
    /// Addresses given to the node, with their users.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub pool: BTreeMap<String, AllocationOwner>,
    /// IPv6 addresses given to the node, with their users.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub ipv6_pool: BTreeMap<String, AllocationOwner>,
    /// Pools asked for and given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<IpamPools>,
    /// Addresses given at once, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub min_allocate: Option<i64>,
    /// Addresses given in all, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub max_allocate: Option<i64>,
    /// Free addresses to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub pre_allocate: Option<i64>,
    /// Addresses given beyond need, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub max_above_watermark: Option<i64>,
    /// Tags by which a fixed address is found.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub static_ip_tags: BTreeMap<String, String>,
}

/// User of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AllocationOwner {
    /// `namespace/name` of the pod, or a word for ours.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// What the address hangs on with the provider.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
}

/// Pools asked for and given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct IpamPools {
    /// Asked for by the agent.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub requested: Vec<RequestedPool>,
    /// Given by the operator.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub allocated: Vec<AllocatedPool>,
}

/// A pool asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["pool"])))]
#[serde(default)]
pub struct RequestedPool {
    /// Name of the pool.
    pub pool: String,
    /// How many addresses.
    pub needed: AddressDemand,
}

/// How many addresses are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct AddressDemand {
    /// IPv4 addresses.
    pub ipv4_addrs: i64,
    /// IPv6 addresses.
    pub ipv6_addrs: i64,
}

/// A pool given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["pool"])))]
#[serde(default)]
pub struct AllocatedPool {
    /// Name of the pool.
    pub pool: String,
    /// Ranges of it.
    #[serde(deserialize_with = "null_is_default")]
    pub cidrs: Vec<String>,
}

/// What is in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NodeResourceStatus {
    /// Address management.
    #[serde(deserialize_with = "null_is_default")]
    pub ipam: IpamStatus,
    /// What the allocator of AWS keeps; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::cloud::EniStatus>")
    )]
    pub eni: Option<Value>,
    /// What the allocator of Azure keeps; left as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::cloud::AzureStatus>")
    )]
    pub azure: Option<Value>,
    /// What the allocator of Alibaba Cloud keeps; left as written.
    #[serde(rename = "alibaba-cloud", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::cloud::AlibabaStatus>")
    )]
    pub alibaba_cloud: Option<Value>,
}

/// Address management in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct IpamStatus {
    /// Addresses in use.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub used: BTreeMap<String, AllocationOwner>,
    /// IPv6 addresses in use.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub ipv6_used: BTreeMap<String, AllocationOwner>,
    /// State of each range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<BTreeMap<String, crate::schema::node::PodCidrState>>")
    )]
    pub pod_cidrs: Option<Value>,
    /// Hand-shake about addresses that go back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<BTreeMap<String, crate::schema::node::ReleaseState>>")
    )]
    pub release_ips: Option<Value>,
    /// Hand-shake about IPv6 addresses that go back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<BTreeMap<String, crate::schema::node::ReleaseState>>")
    )]
    pub release_ipv6s: Option<Value>,
    /// What the operator says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::schema::node::OperatorStatus>")
    )]
    pub operator_status: Option<Value>,
    /// Fixed address of the node.
    #[serde(
        rename = "assigned-static-ip",
        skip_serializing_if = "String::is_empty"
    )]
    pub assigned_static_ip: String,
}
