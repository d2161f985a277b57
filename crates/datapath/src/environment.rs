//! The seam towards everything else that decides: clock, chance, routes, sockets, and constants fixed at load time.

use crate::{
    abi::{Address, Mac, connection::Entry},
    apart::Apart,
    context::State,
};

/// What the paths ask besides packet and tables. In a text case every answer is an input of the case.
pub trait Environment {
    /// Monotonic nanoseconds (`bpf_ktime_get_ns`): for stamps of new connections and events only, it costs 33 ns.
    fn now_ns(&self) -> u64;

    /// Jiffies (`bpf_jiffies64`), free of cost: for liveness.
    fn jiffies(&self) -> u64;

    /// 32 random bits (`bpf_get_prandom_u32`).
    fn random(&self) -> u32;

    /// The kernel's answer to "where does a packet like this go" (`bpf_fib_lookup` in forwarding direction).
    fn route(&self, query: &RouteQuery) -> Route;

    /// Whether a socket of the node itself is bound to, or connected from, this address and port
    /// (`bpf_sk_lookup_udp`, `bpf_skc_lookup_tcp` in the node's namespace).
    fn socket_in_use(&self, query: &SocketQuery) -> bool;

    /// Whether a feature was on when the programs were loaded. Each is read from its own field of the constants, so that
    /// the verifier removes what it switches off.
    fn on(&self, feature: Feature) -> bool;

    /// A number fixed when the programs were loaded.
    fn constant(&self, constant: Constant) -> u32;

    /// The same number, of which the verifier knows nothing any more. At the end of a loop's body it makes all ways through
    /// the body one, where the verifier would otherwise walk their combinations.
    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        value
    }

    /// Runs a stage as a function of its own and gives what [`crate::context::Cx::code`] made of its result; `None` where the caller
    /// has to run it.
    #[inline(always)]
    fn apart(&self, _stage: Apart, _state: &mut State, _entry: Option<Entry<'_>>) -> Option<u32> {
        None
    }

    /// A stage begins. Nothing in the kernel; tests collect the list.
    #[inline(always)]
    fn stage(&self, _name: &'static str) {}
}

/// Switches of [`crate::abi::node::Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `ipv4`
    Ipv4,
    /// `ipv6`
    Ipv6,
    /// `tunnel`
    Tunnel,
    /// `masquerade_ipv4`
    MasqueradeIpv4,
    /// `masquerade_ipv6`
    MasqueradeIpv6,
    /// `allow_localhost`
    AllowLocalhost,
    /// `services`
    Services,
    /// `reject_no_backend`
    RejectNoBackend,
    /// `events`
    Events,
    /// `host_policy`
    HostPolicy,
    /// `capture`
    Capture,
}

/// Numbers of [`crate::abi::node::Features`], host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// `hz`
    Hz,
    /// `nodeport_min`
    NodeportMin,
    /// `nodeport_max`
    NodeportMax,
    /// `snat_min`
    SnatMin,
    /// `snat_max`
    SnatMax,
}

/// A question to the routing table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteQuery {
    /// Where the packet comes from.
    pub source: Address,
    /// Where it shall go.
    pub destination: Address,
    /// The interface on which it came in.
    pub ifindex: u32,
    /// Largest IP packet of this frame (a segment's, not the whole frame's), octets.
    pub length: u16,
    /// Type of service or traffic class.
    pub tos: u8,
    /// IP protocol number.
    pub protocol: u8,
}

/// An answer of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Out of `ifindex` with these hardware addresses.
    Neighbour {
        /// Interface to send on.
        ifindex: u32,
        /// Hardware address of the next hop.
        destination_mac: Mac,
        /// Hardware address of the interface.
        source_mac: Mac,
    },
    /// Out of `ifindex`; the kernel must resolve the next hop first (`bpf_redirect_neigh`).
    Unresolved {
        /// Interface to send on.
        ifindex: u32,
    },
    /// For this node itself, or not to be forwarded by us: the stack decides.
    Stack,
    /// Larger than the route takes; its MTU in octets.
    TooBig {
        /// Largest IP packet of the route.
        mtu: u32,
    },
    /// No way there (no route, blackhole, unreachable, prohibited, forwarding off).
    Unreachable,
}

/// A question about the node's sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketQuery {
    /// The node's address.
    pub local: Address,
    /// The node's port, network order.
    pub local_port: u16,
    /// The other end.
    pub remote: Address,
    /// Its port, network order.
    pub remote_port: u16,
    /// 6 (TCP) or 17 (UDP).
    pub protocol: u8,
}
