//! Addresses for services of type LoadBalancer.

use schemars::JsonSchema;

use super::{Address, Cidr};
use crate::cilium::LabelSelector;

/// Addresses, and the services that get them.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PoolSpec {
    /// Addresses.
    pub blocks: Option<Vec<Block>>,
    /// Services; also by `io.kubernetes.service.namespace` and `io.kubernetes.service.name`. Without it, all.
    pub service_selector: Option<LabelSelector>,
    /// Whether nothing new is given; what was given stays.
    #[schemars(extend("x-default" = false))]
    pub disabled: Option<bool>,
    /// Whether the first and the last address of a prefix are given too.
    #[schemars(rename = "allowFirstLastIPs", extend("enum" = ["Yes", "No"]))]
    pub allow_first_last_ips: Option<String>,
}

/// A prefix, or a range from `start` to `stop`.
#[derive(JsonSchema)]
pub struct Block {
    /// Prefix.
    #[schemars(with = "Option<Cidr>")]
    pub cidr: Option<String>,
    /// First address.
    #[schemars(with = "Option<Address>")]
    pub start: Option<String>,
    /// Last address; without it, `start`.
    #[schemars(with = "Option<Address>")]
    pub stop: Option<String>,
}
