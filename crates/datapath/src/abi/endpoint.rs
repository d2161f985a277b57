//! Local endpoints, and hops: where a packet goes next.

use super::{Address, Mac, plain};

/// Bits of [`Endpoint::flags`].
pub mod flags {
    /// Nothing may be sent or received yet: the first policy is not in the maps.
    pub const NOT_READY: u16 = 1;
    /// The node itself.
    pub const HOST: u16 = 2;
    /// The source address of what it sends is not checked.
    pub const NO_SOURCE_CHECK: u16 = 4;
    /// What it sends over IPv4 leaves the cluster under its own address.
    pub const SKIP_MASQUERADE_IPV4: u16 = 8;
    /// The same over IPv6.
    pub const SKIP_MASQUERADE_IPV6: u16 = 16;
}

/// Value of the array `endpoints`, indexed by the low 16 bits of the host interface's index; valid only if
/// `ifindex` is the whole index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Index of the host side interface; 0 in a free slot.
    pub ifindex: u32,
    /// Security identity.
    pub identity: u32,
    /// Endpoint id, 1 to 65535.
    pub id: u16,
    /// Dense number of the endpoint on this node, index of its counters, below [`MAX_SLOTS`].
    pub slot: u16,
    /// Policy of what it sends: index into `policies`.
    pub egress_policy: u16,
    /// Policy of what it receives.
    pub ingress_policy: u16,
    /// Hardware address inside the pod.
    pub mac: Mac,
    /// Hardware address of the host side, which is the pod's gateway.
    pub gateway_mac: Mac,
    /// Its IPv4 address, [`Address::NONE`] without one.
    pub ipv4: Address,
    /// Its IPv6 address, [`Address::NONE`] without one.
    pub ipv6: Address,
    /// Hop that leads to it: index in the low 16 bits, incarnation above.
    pub hop: u32,
    /// See [`flags`].
    pub flags: u16,
    /// Largest IP packet that it takes, bytes.
    pub mtu: u16,
}

/// Number of endpoints that one node can count.
pub const MAX_SLOTS: u32 = 4096;

/// Size of the array `endpoints`.
pub const ENDPOINT_SLOTS: u32 = 65536;

/// What kind of way a [`Hop`] is.
pub mod hop_kind {
    /// Nothing: packets are dropped as unroutable.
    pub const NONE: u8 = 0;
    /// A pod of this node, by its host interface.
    pub const LOCAL: u8 = 1;
    /// Another node, through the overlay.
    pub const TUNNEL: u8 = 2;
    /// The node's own stack.
    pub const STACK: u8 = 3;
    /// Out of the node, next hop by the kernel's routing table.
    pub const ROUTE: u8 = 4;
    /// The proxy of this node.
    pub const PROXY: u8 = 5;
}

/// Index of the hop that is the node's own stack.
pub const HOP_STACK: u32 = 1;
/// Index of the hop that asks the routing table.
pub const HOP_ROUTE: u32 = 2;
/// First index that is handed out.
pub const HOP_FIRST: u32 = 16;
/// Size of the array `hops`.
pub const HOPS: u32 = 65536;

/// Value of the array `hops`. Updated in place; connections hold ids, never copies.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// See [`hop_kind`].
    pub kind: u8,
    /// Raised when the index is used anew; an id with another incarnation is stale.
    pub incarnation: u8,
    /// Largest IP packet that fits without fragmentation, bytes; 0 for no limit.
    pub mtu: u16,
    /// Interface to send on.
    pub ifindex: u32,
    /// Destination hardware address (local).
    pub destination_mac: Mac,
    /// Source hardware address (local).
    pub source_mac: Mac,
    /// Address of the other end of the tunnel.
    pub tunnel: Address,
    /// Slot of the local endpoint, for its counters.
    pub slot: u16,
    /// Endpoint id of the local endpoint.
    pub endpoint: u16,
    /// Room to grow.
    pub reserved: u32,
}

/// Value of the per-CPU array `traffic`, indexed by slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that the endpoint sent and we forwarded.
    pub egress_packets: u64,
    /// Bytes of the same.
    pub egress_bytes: u64,
    /// Packets delivered to the endpoint.
    pub ingress_packets: u64,
    /// Bytes of the same.
    pub ingress_bytes: u64,
}

plain!(Endpoint = 68, Hop = 44, Traffic = 32);
