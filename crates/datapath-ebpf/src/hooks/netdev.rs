//! Hooks of the uplink.

use super::hook;

hook! {
    /// Ingress of the uplink.
    from_netdev
}

hook! {
    /// Egress of the uplink.
    to_netdev
}
