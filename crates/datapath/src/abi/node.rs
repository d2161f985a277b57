//! The node: what is fixed when programs are loaded, and what can change while they run.

use super::{Address, Mac, plain};

/// Constants patched into `.rodata` before the programs are loaded; the verifier removes what they switch off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Ticks of the kernel's clock per second (`CONFIG_HZ`).
    pub hz: u32,
    /// 1: IPv4 is on.
    pub ipv4: u8,
    /// 1: IPv6 is on.
    pub ipv6: u8,
    /// 1: pods of other nodes are reached through VXLAN, 0: by routing.
    pub tunnel: u8,
    /// 1: IPv4 sources of pods are rewritten towards the world.
    pub masquerade_ipv4: u8,
    /// 1: the same for IPv6.
    pub masquerade_ipv6: u8,
    /// 1: the node reaches its own pods whatever the policy says.
    pub allow_localhost: u8,
    /// 1: services are translated per packet where sockets did not.
    pub services: u8,
    /// 1: a service without backends is answered, 0: dropped.
    pub reject_no_backend: u8,
    /// 1: new connections and denials go to the ring.
    pub events: u8,
    /// 1: policy of the node itself is enforced.
    pub host_policy: u8,
    /// 1: payload is sampled.
    pub capture: u8,
    /// Always zero.
    pub pad: u8,
    /// First port of NodePorts, host order.
    pub nodeport_min: u16,
    /// Last port of NodePorts, host order.
    pub nodeport_max: u16,
    /// First source port of masqueraded connections, host order.
    pub snat_min: u16,
    /// Last source port of masqueraded connections, host order.
    pub snat_max: u16,
}

/// The only value of the array `node`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The node's address on the underlay, IPv4.
    pub ipv4: Address,
    /// The node's address on the underlay, IPv6.
    pub ipv6: Address,
    /// Gateway address of its pods, IPv4.
    pub router_ipv4: Address,
    /// Gateway address of its pods, IPv6.
    pub router_ipv6: Address,
    /// Interface towards other nodes.
    pub uplink: u32,
    /// The overlay's interface, 0 without one.
    pub overlay: u32,
    /// The node's own interface towards pods (`cilium_host`).
    pub host: u32,
    /// Largest IP packet to a pod or the world, bytes.
    pub mtu: u16,
    /// UDP port of the overlay, host order.
    pub tunnel_port: u16,
    /// Hardware address of `host`.
    pub host_mac: Mac,
    /// Always zero.
    pub pad: u16,
    /// Identity of the world for IPv4 (2, or 9 in a dual-stack cluster).
    pub world_ipv4: u32,
    /// Identity of the world for IPv6 (2, or 10 in a dual-stack cluster).
    pub world_ipv6: u32,
}

/// Bits of the packet mark (values of upstream).
pub mod mark {
    /// Which bits hold the meaning.
    pub const MASK: u32 = 0x0f00;
    /// Source address already rewritten.
    pub const SNAT_DONE: u32 = 0x0300;
    /// Came from the node itself.
    pub const HOST: u32 = 0x0c00;
    /// Judged: carries the sender's identity, see [`with_identity`].
    pub const IDENTITY: u32 = 0x0f00;

    /// The mark of a judged packet: identity bits 15–0 in 31–16, bits 23–16 in 7–0.
    #[inline(always)]
    pub const fn with_identity(identity: u32) -> u32 {
        ((identity & 0xffff) << 16) | ((identity >> 16) & 0xff) | IDENTITY
    }

    /// The identity of a mark made by [`with_identity`].
    #[inline(always)]
    pub const fn identity(mark: u32) -> u32 {
        (mark >> 16) | ((mark & 0xff) << 16)
    }
}

plain!(Features = 24, Node = 96);
