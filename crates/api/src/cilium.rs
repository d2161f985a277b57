//! Custom resources of the group `cilium.io`, version v2.
//!
//! Fields of cloud providers and of diagnostics are kept as JSON, so that a replace by us loses nothing of them.

mod endpoint;
mod identity;
mod node;
mod policy;

pub use self::endpoint::{
    AddressPair, CiliumEndpoint, EncryptionKey, EndpointEnforcement, EndpointIdentity,
    EndpointNetworking, EndpointPolicy, EndpointStatus, ExternalIdentifiers, NamedPort,
};
pub use self::identity::{CIDRGroupSpec, CiliumCIDRGroup, CiliumIdentity};
pub use self::node::{
    AddressDemand, AllocatedPool, AllocationOwner, CiliumNode, HealthAddresses, IpamPools,
    IpamSpec, IpamStatus, NodeAddressEntry, NodeResourceSpec, NodeResourceStatus, RequestedPool,
};
pub use self::policy::{CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy, PolicyStatus};

/// API group of all kinds here.
pub const GROUP: &str = "cilium.io";

#[cfg(test)]
mod tests;
