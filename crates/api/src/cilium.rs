//! Custom resources of the group `cilium.io`, each in the version that is stored.
//!
//! Fields of cloud providers and of diagnostics are kept as JSON, so that a replace by us loses nothing of them.

mod accepted;
mod endpoint;
mod endpoint_slice;
mod identity;
mod node;
mod node_config;
mod policy;
mod pool;
mod selector;

pub use self::accepted::{
    AcceptedStatus, CiliumBGPAdvertisement, CiliumBGPClusterConfig, CiliumBGPNodeConfig,
    CiliumBGPNodeConfigOverride, CiliumBGPPeerConfig, CiliumClusterwideEnvoyConfig,
    CiliumEgressGatewayPolicy, CiliumEnvoyConfig, CiliumGatewayClassConfig,
    CiliumL2AnnouncementPolicy, CiliumLoadBalancerIPPool, CiliumLocalRedirectPolicy,
};
pub use self::endpoint::{
    AddressPair, CiliumEndpoint, EncryptionKey, EndpointEnforcement, EndpointIdentity,
    EndpointNetworking, EndpointPolicy, EndpointStatus, ExternalIdentifiers, NamedPort,
};
pub use self::endpoint_slice::{CiliumEndpointSlice, SlicedEndpoint};
pub use self::identity::{CIDRGroupSpec, CiliumCIDRGroup, CiliumIdentity};
pub use self::node::{
    AddressDemand, AllocatedPool, AllocationOwner, CiliumNode, HealthAddresses, IpamPools,
    IpamSpec, IpamStatus, NodeAddressEntry, NodeResourceSpec, NodeResourceStatus, RequestedPool,
};
pub use self::node_config::{CiliumNodeConfig, NodeConfigSpec};
pub use self::policy::{CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy, PolicyStatus};
pub use self::pool::{CiliumPodIPPool, PodPoolSpec, PoolRanges};
pub use self::selector::{LabelRequirement, LabelSelector};

/// API group of all kinds here.
pub const GROUP: &str = "cilium.io";

#[cfg(test)]
mod tests;
