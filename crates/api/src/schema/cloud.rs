//! What allocators of cloud providers keep in a CiliumNode.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// What is asked of AWS.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct EniSpec {
    /// Identifier of the instance.
    pub instance_id: Option<String>,
    /// Type of the instance.
    pub instance_type: Option<String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Identifier of the VPC.
    pub vpc_id: Option<String>,
    /// Subnet of the node's first interface.
    pub node_subnet_id: Option<String>,
    /// First interface for pods.
    #[schemars(range(min = 0))]
    pub first_interface_index: Option<i64>,
    /// Addresses given at once, at least.
    #[schemars(range(min = 0))]
    pub min_allocate: Option<i64>,
    /// Free addresses to keep.
    #[schemars(range(min = 0))]
    pub pre_allocate: Option<i64>,
    /// Addresses given beyond need, at most.
    #[schemars(range(min = 0))]
    pub max_above_watermark: Option<i64>,
    /// Security groups of new interfaces.
    pub security_groups: Option<Vec<String>>,
    /// The same by tags.
    pub security_group_tags: Option<BTreeMap<String, String>>,
    /// Subnets of new interfaces.
    pub subnet_ids: Option<Vec<String>>,
    /// The same by tags.
    pub subnet_tags: Option<BTreeMap<String, String>>,
    /// Interfaces to leave alone.
    pub exclude_interface_tags: Option<BTreeMap<String, String>>,
    /// Whether interfaces go with the instance.
    pub delete_on_termination: Option<bool>,
    /// Whether addresses are taken one by one.
    pub disable_prefix_delegation: Option<bool>,
    /// Whether the first address of an interface is for pods too.
    pub use_primary_address: Option<bool>,
}

/// What is asked of Azure.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AzureSpec {
    /// Interface for pods.
    pub interface_name: Option<String>,
}

/// What is asked of Alibaba Cloud.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AlibabaSpec {
    /// Type of the instance.
    pub instance_type: Option<String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Identifier of the VPC.
    pub vpc_id: Option<String>,
    /// Range of the VPC.
    pub cidr_block: Option<String>,
    /// Switches of new interfaces.
    pub vswitches: Option<Vec<String>>,
    /// The same by tags.
    pub vswitch_tags: Option<BTreeMap<String, String>>,
    /// Security groups of new interfaces.
    pub security_groups: Option<Vec<String>>,
    /// The same by tags.
    pub security_group_tags: Option<BTreeMap<String, String>>,
}

/// Interfaces at AWS.
#[derive(JsonSchema)]
pub struct EniStatus {
    /// By identifier.
    pub enis: Option<BTreeMap<String, Eni>>,
}

/// An interface at AWS.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct Eni {
    /// Identifier.
    pub id: Option<String>,
    /// First address.
    pub ip: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Public address.
    pub public_ip: Option<String>,
    /// Index on the instance.
    pub number: Option<i64>,
    /// Further addresses.
    pub addresses: Option<Vec<String>>,
    /// Further prefixes.
    pub prefixes: Option<Vec<String>>,
    /// Security groups.
    pub security_groups: Option<Vec<String>>,
    /// Subnet.
    pub subnet: Option<AwsSubnet>,
    /// VPC.
    pub vpc: Option<AwsVpc>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
}

/// A subnet at AWS.
#[derive(JsonSchema)]
pub struct AwsSubnet {
    /// Identifier.
    pub id: Option<String>,
    /// Range.
    pub cidr: Option<String>,
}

/// A VPC at AWS.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AwsVpc {
    /// Identifier.
    pub id: Option<String>,
    /// First range.
    pub primary_cidr: Option<String>,
    /// All ranges.
    pub cidrs: Option<Vec<String>>,
}

/// Interfaces at Azure.
#[derive(JsonSchema)]
pub struct AzureStatus {
    /// Interfaces.
    pub interfaces: Option<Vec<AzureInterface>>,
}

/// An interface at Azure.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AzureInterface {
    /// Identifier.
    pub id: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Security group.
    pub security_group: Option<String>,
    /// Gateway.
    pub gateway: Option<String>,
    /// Gateway, as older agents spell it.
    #[schemars(rename = "GatewayIP")]
    pub gateway_ip: Option<String>,
    /// Range.
    pub cidr: Option<String>,
    /// Addresses.
    pub addresses: Option<Vec<AzureAddress>>,
}

/// An address at Azure.
#[derive(JsonSchema)]
pub struct AzureAddress {
    /// Address.
    pub ip: Option<String>,
    /// Subnet.
    pub subnet: Option<String>,
    /// State.
    pub state: Option<String>,
}

/// Interfaces at Alibaba Cloud.
#[derive(JsonSchema)]
pub struct AlibabaStatus {
    /// By identifier.
    pub enis: Option<BTreeMap<String, AlibabaEni>>,
}

/// An interface at Alibaba Cloud.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AlibabaEni {
    /// Identifier.
    pub network_interface_id: Option<String>,
    /// Hardware address.
    pub mac_address: Option<String>,
    /// Type.
    #[schemars(rename = "type")]
    pub kind: Option<String>,
    /// Instance that has it.
    pub instance_id: Option<String>,
    /// Zone.
    pub zone_id: Option<String>,
    /// First address.
    pub primary_ip_address: Option<String>,
    /// Security groups.
    #[schemars(rename = "security-groupids")]
    pub security_group_ids: Option<Vec<String>>,
    /// Addresses.
    #[schemars(rename = "private-ipsets")]
    pub private_ip_sets: Option<Vec<AlibabaAddress>>,
    /// VPC.
    pub vpc: Option<AlibabaVpc>,
    /// Switch.
    pub vswitch: Option<AlibabaSwitch>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
}

/// An address at Alibaba Cloud.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AlibabaAddress {
    /// Whether it is the first of its interface.
    pub primary: Option<bool>,
    /// Address.
    pub private_ip_address: Option<String>,
}

/// A VPC at Alibaba Cloud.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AlibabaVpc {
    /// Identifier.
    pub vpc_id: Option<String>,
    /// Range.
    pub cidr: Option<String>,
    /// IPv6 range.
    #[schemars(rename = "ipv6-cidr")]
    pub ipv6_cidr: Option<String>,
    /// Further ranges.
    pub secondary_cidrs: Option<Vec<String>>,
}

/// A switch at Alibaba Cloud.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct AlibabaSwitch {
    /// Identifier.
    pub vswitch_id: Option<String>,
    /// Range.
    pub cidr: Option<String>,
    /// IPv6 range.
    #[schemars(rename = "ipv6-cidr")]
    pub ipv6_cidr: Option<String>,
}
