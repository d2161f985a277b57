//! What the programs tell user space: one fixed record, and counters.

use super::{Address, plain};

/// What an [`Event`] tells.
pub mod kind {
    /// A connection was admitted: first packet.
    pub const OPENED: u8 = 1;
    /// A packet was denied by policy.
    pub const DENIED: u8 = 2;
    /// A packet was dropped for another reason.
    pub const DROPPED: u8 = 3;
    /// A connection was closed or reset by its ends: a hint to collect it now.
    pub const CLOSING: u8 = 4;
    /// A connection got its first answer.
    pub const ANSWERED: u8 = 5;
}

/// Which program.
pub mod hook {
    /// Ingress of a pod's host interface.
    pub const FROM_CONTAINER: u8 = 1;
    /// Egress of a pod's host interface.
    pub const TO_CONTAINER: u8 = 2;
    /// Ingress of the uplink.
    pub const FROM_NETDEV: u8 = 3;
    /// Egress of the uplink.
    pub const TO_NETDEV: u8 = 4;
    /// Ingress of the overlay's interface.
    pub const FROM_OVERLAY: u8 = 5;
    /// Egress of the node's own interface towards pods.
    pub const FROM_HOST: u8 = 6;
    /// Number of hooks, 0 included: size of the array `hooks`.
    pub const COUNT: u32 = 8;
}

/// Whose side judged.
pub mod direction {
    /// Not judged.
    pub const NONE: u8 = 0;
    /// The receiver.
    pub const INGRESS: u8 = 1;
    /// The sender.
    pub const EGRESS: u8 = 2;
}

/// One record of the ring `events`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Monotonic nanoseconds.
    pub time_ns: u64,
    /// See [`kind`].
    pub kind: u8,
    /// See [`hook`].
    pub hook: u8,
    /// See [`direction`]: the side that denied; for an admitted connection both rules are given.
    pub direction: u8,
    /// Number of a [`super::Drop`], 0 when forwarded.
    pub reason: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags of the packet; for ICMP its type.
    pub tcp_flags: u8,
    /// For ICMP its code.
    pub icmp_code: u8,
    /// Hubble's number for how the policy matched.
    pub match_type: u8,
    /// Source as the packet had it.
    pub source: Address,
    /// Destination as the packet had it.
    pub destination: Address,
    /// Destination after service translation, [`Address::NONE`] without one.
    pub translated: Address,
    /// Source port, network order; identifier of ICMP echo.
    pub source_port: u16,
    /// Destination port, network order.
    pub destination_port: u16,
    /// Destination port after translation, network order.
    pub translated_port: u16,
    /// Length of the packet at the IP layer, bytes, capped.
    pub length: u16,
    /// Identity of the source.
    pub source_identity: u32,
    /// Identity of the destination.
    pub destination_identity: u32,
    /// Rule that decided for the sender, 0 for none.
    pub egress_rule: u32,
    /// Rule that decided for the receiver, 0 for none.
    pub ingress_rule: u32,
    /// Endpoint id of the source when it is local.
    pub source_endpoint: u16,
    /// Endpoint id of the destination when it is local.
    pub destination_endpoint: u16,
    /// Interface on which the packet arrived.
    pub ifindex: u32,
    /// Index of the policy that decided, 0 for none.
    pub policy: u32,
    /// Kind of the hop that it was sent to.
    pub hop_kind: u8,
    /// 1: admitted only because audit mode is on.
    pub audited: u8,
    /// Always zero.
    pub pad: u16,
    /// Hardware addresses, destination then source.
    pub macs: [u8; 12],
    /// Always zero.
    pub pad2: [u32; 3],
}

/// Key of the per-CPU hash `drops`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// Endpoint id judged, 0 for none.
    pub endpoint: u16,
    /// Number of a [`super::Drop`].
    pub reason: u8,
    /// See [`direction`].
    pub direction: u8,
    /// Rule that denied, 0 for none.
    pub rule: u32,
}

/// Value of `drops` and of the per-CPU array `hooks`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes at the IP layer.
    pub bytes: u64,
}

/// What became of the packets of a hook, each of which is counted once, where it ended.
pub mod outcome {
    /// Went on, or to the stack.
    pub const FORWARDED: u32 = 0;
    /// Was dropped.
    pub const DROPPED: u32 = 1;
    /// Was answered by us (ARP, neighbour discovery, too-big, reset).
    pub const ANSWERED: u32 = 2;
    /// Number of outcomes.
    pub const COUNT: u32 = 3;

    /// Index of a counter in `hooks`; `hook` is one of [`super::hook`].
    #[inline(always)]
    pub const fn counter(hook: u8, outcome: u32) -> u32 {
        hook as u32 * COUNT + outcome
    }

    /// Hook and outcome of an index.
    pub const fn of(counter: u32) -> (u8, u32) {
        ((counter / COUNT) as u8, counter % COUNT)
    }
}

plain!(Event = 128, DropKey = 8, Count = 16);
