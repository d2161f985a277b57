//! The hook of the node's own interface.

use super::hook;

hook! {
    /// Egress of the node's own interface towards pods.
    from_host
}
