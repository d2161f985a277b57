//! Pools of pod addresses.

use schemars::JsonSchema;

use super::Cidr;

/// IPv4 ranges of a pool.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Ipv4Ranges {
    /// Prefixes.
    #[schemars(with = "Vec<Cidr>", length(min = 1))]
    pub cidrs: Vec<String>,
    /// Length of the prefix that a node gets at once.
    #[schemars(range(min = 1, max = 32))]
    pub mask_size: i32,
}

/// IPv6 ranges of a pool.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Ipv6Ranges {
    /// Prefixes.
    #[schemars(with = "Vec<Cidr>", length(min = 1))]
    pub cidrs: Vec<String>,
    /// Length of the prefix that a node gets at once.
    #[schemars(range(min = 1, max = 128))]
    pub mask_size: i32,
}
