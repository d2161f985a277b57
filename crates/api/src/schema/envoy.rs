//! Configuration of Envoy.

use schemars::JsonSchema;

use super::AnyObject;
use crate::cilium::LabelSelector;

/// Resources of Envoy, and the services that they are for.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EnvoyConfigSpec {
    /// Services whose connections are led to a listener.
    pub services: Option<Vec<ServiceListener>>,
    /// Services whose backends Envoy is told of.
    pub backend_services: Option<Vec<BackendService>>,
    /// Listeners, routes, clusters, assignments and secrets, each with its `@type`.
    #[schemars(with = "Vec<AnyObject>")]
    pub resources: Vec<serde_json::Value>,
    /// Nodes; without it, all.
    pub node_selector: Option<LabelSelector>,
}

/// A service whose connections are led to a listener.
#[derive(JsonSchema)]
pub struct ServiceListener {
    /// Name.
    pub name: String,
    /// Namespace; without it, that of the object.
    pub namespace: Option<String>,
    /// Ports; without it, all.
    #[schemars(inner(range(min = 0, max = 65535)))]
    pub ports: Option<Vec<i32>>,
    /// Listener; without it, the first.
    pub listener: Option<String>,
}

/// A service whose backends Envoy is told of.
#[derive(JsonSchema)]
pub struct BackendService {
    /// Name.
    pub name: String,
    /// Namespace; without it, that of the object.
    pub namespace: Option<String>,
    /// Ports by number or name; without it, all.
    pub number: Option<Vec<String>>,
}
