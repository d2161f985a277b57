//! Kubernetes and cilium.io object types, and the gRPC definitions of Hubble. No logic lives here.

pub mod cilium;
pub mod hubble;
pub mod kubernetes;
#[cfg(feature = "schema")]
pub mod schema;
