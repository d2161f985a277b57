//! The kinds of Kubernetes that the agents read, with only the fields that are needed.
//!
//! Unknown fields are ignored and `null` reads as absent, so an object of a newer cluster still decodes. Writing such a
//! value back with a replace would drop what is not modelled here: change other people's objects with a patch.

mod apiextensions;
mod coordination;
mod core;
mod discovery;
mod meta;
mod networking;
mod node;
mod service;

pub use self::apiextensions::CustomResourceDefinition;
pub use self::coordination::{Lease, LeaseSpec};
pub use self::core::{
    ConfigMap, Container, ContainerPort, Namespace, NamespaceStatus, Pod, PodCondition, PodIp,
    PodSpec, PodStatus, Secret, ServiceAccount,
};
pub use self::discovery::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference,
};
pub use self::meta::{
    ApiVersion, Condition, KindName, List, ListMeta, ObjectMeta, OwnerReference, Resource, Status,
    StatusCause, StatusDetails,
};
pub use self::networking::NetworkPolicy;
pub use self::node::{Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, Taint};
pub use self::service::{
    ClientIpConfig, IntOrString, LoadBalancerIngress, LoadBalancerStatus, Service, ServicePort,
    ServiceSpec, ServiceStatus, SessionAffinityConfig,
};

pub(crate) use self::meta::{null_is_default, resource};

#[cfg(test)]
mod tests;
