//! Hooks of a pod's host interface.

use super::hook;

hook! {
    /// Ingress of a pod's host interface: what the pod sends.
    from_container
}

hook! {
    /// Egress of a pod's host interface: what the stack sends to the pod.
    to_container
}
