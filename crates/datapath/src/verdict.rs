//! What becomes of a packet: the answer of every path.

use crate::abi::Drop;

/// What the hook does with the packet when the path is done. All rewriting and counting has been done by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// On to the stack, or on its way out (`TC_ACT_OK`).
    #[default]
    Pass,
    /// Out of the interface (`bpf_redirect`, flags 0).
    Redirect {
        /// Interface to send on.
        ifindex: u32,
    },
    /// Into the pod behind the host side of its pair (`bpf_redirect_peer`).
    RedirectPeer {
        /// The host side interface.
        ifindex: u32,
    },
    /// Out of the interface, next hop resolved by the kernel (`bpf_redirect_neigh` without parameters).
    RedirectNeighbour {
        /// Interface to send on.
        ifindex: u32,
    },
    /// The frame is now our answer: back out of the interface where it came in (`bpf_redirect`, flags 0).
    Answer {
        /// Interface to send on.
        ifindex: u32,
    },
    /// Dropped and counted with this reason (`TC_ACT_SHOT`).
    Drop(Drop),
}
