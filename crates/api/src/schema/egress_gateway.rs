//! Egress gateways.

use schemars::JsonSchema;

use super::Cidr;
use crate::cilium::LabelSelector;

/// Which connections leave the cluster through which node.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EgressGatewaySpec {
    /// Pods whose connections are led; any of them.
    pub selectors: Vec<EgressSelector>,
    /// Destinations.
    #[schemars(rename = "destinationCIDRs", with = "Vec<Cidr>")]
    pub destination_cidrs: Vec<String>,
    /// Destinations to leave out.
    #[schemars(rename = "excludedCIDRs", with = "Option<Vec<Cidr>>")]
    pub excluded_cidrs: Option<Vec<String>>,
    /// The gateway.
    pub egress_gateway: EgressGateway,
    /// Several gateways; each endpoint has one of them.
    #[schemars(extend("x-default" = []))]
    pub egress_gateways: Option<Vec<EgressGateway>>,
}

/// Pods, by namespace, by label and by node.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EgressSelector {
    /// Namespaces; without it, all.
    pub namespace_selector: Option<LabelSelector>,
    /// Pods; without it, all.
    pub pod_selector: Option<LabelSelector>,
    /// Nodes; without it, all.
    pub node_selector: Option<LabelSelector>,
}

/// A node and the address that connections get there; without interface and address, that of the default route.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.interface) && has(self.egressIP))", "message": "interface and egressIP exclude each other",
}]))]
pub struct EgressGateway {
    /// The node.
    pub node_selector: LabelSelector,
    /// Interface whose first address is taken.
    pub interface: Option<String>,
    /// The address.
    #[schemars(rename = "egressIP", extend("format" = "ipv4"))]
    pub egress_ip: Option<String>,
}
