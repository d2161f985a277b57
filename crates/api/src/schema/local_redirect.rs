//! Redirection to pods of the same node.

use schemars::JsonSchema;

use super::Address;
use super::status::Condition;
use crate::cilium::LabelSelector;

/// What is led to which pods of the node.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct LocalRedirectSpec {
    /// What is redirected.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "redirectFrontend cannot be changed"}]))]
    pub redirect_frontend: RedirectFrontend,
    /// Where to.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "redirectBackend cannot be changed"}]))]
    pub redirect_backend: RedirectBackend,
    /// Whether the backends themselves reach the original destination.
    #[schemars(extend(
        "x-default" = false,
        "x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "skipRedirectFromBackend cannot be changed"}],
    ))]
    pub skip_redirect_from_backend: Option<bool>,
    /// A text for people.
    pub description: Option<String>,
}

/// What is redirected: an address or a service.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("oneOf" = [{"required": ["addressMatcher"]}, {"required": ["serviceMatcher"]}]))]
pub struct RedirectFrontend {
    /// An address that is not of a service.
    pub address_matcher: Option<AddressMatcher>,
    /// A service of the policy's namespace with an address in the cluster.
    pub service_matcher: Option<ServiceMatcher>,
}

/// An address and its ports.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct AddressMatcher {
    /// Address.
    #[schemars(with = "Address")]
    pub ip: String,
    /// Ports.
    pub to_ports: Vec<RedirectPort>,
}

/// A service and its ports.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ServiceMatcher {
    /// Name.
    pub service_name: String,
    /// Namespace, that of the policy.
    pub namespace: String,
    /// Ports; without it, all.
    pub to_ports: Option<Vec<RedirectPort>>,
}

/// Pods of the node and their ports.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct RedirectBackend {
    /// Pods.
    pub local_endpoint_selector: LabelSelector,
    /// Ports; of several each has the name of its counterpart.
    pub to_ports: Vec<RedirectPort>,
}

/// A port.
#[derive(JsonSchema)]
pub struct RedirectPort {
    /// Number as text.
    #[schemars(extend("pattern" = "^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"))]
    pub port: String,
    /// Protocol.
    #[schemars(extend("enum" = ["TCP", "UDP"]))]
    pub protocol: String,
    /// Name.
    #[schemars(extend("pattern" = "^([0-9]{1,4})?([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$"))]
    pub name: Option<String>,
}

/// What became of the policy.
#[derive(JsonSchema)]
pub struct LocalRedirectStatus {
    /// Whether it is in force.
    pub ok: Option<bool>,
    /// Present state, one entry for each type of condition.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}
