//! Answers to ARP and neighbour discovery for addresses of services.

use schemars::JsonSchema;

use crate::cilium::LabelSelector;

/// Which nodes answer for which services.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct AnnouncementSpec {
    /// Nodes; without it, all.
    pub node_selector: Option<LabelSelector>,
    /// Services; without it, all.
    pub service_selector: Option<LabelSelector>,
    /// Interfaces, as regular expressions; without it, all.
    pub interfaces: Option<Vec<String>>,
    /// Whether external addresses are answered for.
    #[schemars(rename = "externalIPs")]
    pub external_ips: Option<bool>,
    /// Whether addresses of load balancers are answered for.
    #[schemars(rename = "loadBalancerIPs")]
    pub load_balancer_ips: Option<bool>,
}
