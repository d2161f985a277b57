//! The hook of the overlay's interface.

use super::hook;

hook! {
    /// Ingress of the overlay's interface.
    from_overlay
}
