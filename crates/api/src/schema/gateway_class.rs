//! Parameters of gateway classes.

use schemars::JsonSchema;

/// What gateways of the class have in common.
#[derive(JsonSchema)]
pub struct GatewayClassSpec {
    /// A text for people.
    #[schemars(length(max = 64))]
    pub description: Option<String>,
    /// The service of each gateway.
    pub service: Option<GatewayService>,
}

/// The service of a gateway.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct GatewayService {
    /// Type.
    #[schemars(rename = "type", extend("enum" = ["LoadBalancer", "NodePort"], "x-default" = "LoadBalancer"))]
    pub kind: Option<String>,
    /// Whether traffic from outside may go to other nodes.
    #[schemars(extend("enum" = ["Cluster", "Local"], "x-default" = "Cluster"))]
    pub external_traffic_policy: Option<String>,
    /// Who gives the address.
    pub load_balancer_class: Option<String>,
    /// Who may come in.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Whether the ranges are those that may come in or those that may not.
    #[schemars(extend("enum" = ["Allow", "Deny"], "x-default" = "Allow"))]
    pub load_balancer_source_ranges_policy: Option<String>,
    /// Families.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ip_families: Option<Vec<String>>,
    /// How many families.
    pub ip_family_policy: Option<String>,
    /// Whether there are ports on the nodes.
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// Which backends are preferred.
    pub traffic_distribution: Option<String>,
}
