//! Who an address is: identity, peer and the way to it. Hosts in a hash (`addresses`), prefixes in a trie (`cidrs`).

use super::{Address, plain};

/// Key of the hash `addresses`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressKey {
    /// The address.
    pub address: Address,
    /// Which network it belongs to, as in the connection key.
    pub net: u16,
    /// Always zero.
    pub pad: u16,
}

/// Bits of [`AddressRow::flags`].
pub mod flags {
    /// The address of a pod on this node: `ifindex` leads to its endpoint.
    pub const LOCAL_ENDPOINT: u16 = 1;
    /// An address of this node itself.
    pub const LOCAL_NODE: u16 = 2;
    /// An address of another node.
    pub const REMOTE_NODE: u16 = 4;
    /// Traffic to it is never masqueraded.
    pub const NO_MASQUERADE: u16 = 8;
}

/// Value of `addresses` and `cidrs`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressRow {
    /// Security identity; this number goes on the wire.
    pub identity: u32,
    /// What policies know it by on this node: the identity, or a number of this node's own where a CIDR selector
    /// cuts through the identity.
    pub peer: u32,
    /// Hop that leads there: index in the low 16 bits, incarnation above.
    pub hop: u32,
    /// Host interface of the local endpoint, else 0.
    pub ifindex: u32,
    /// See [`flags`].
    pub flags: u16,
    /// Always zero.
    pub pad: u16,
}

/// Where an identity stands, which decides its class in a policy that does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Scope {
    /// Pods, and everything else that the cluster manages.
    Cluster = 0,
    /// Outside the cluster.
    World = 1,
    /// Nodes, this one included.
    Node = 2,
}

/// Reserved identities (numbers of upstream).
pub mod identity {
    /// Not known.
    pub const UNKNOWN: u32 = 0;
    /// This node.
    pub const HOST: u32 = 1;
    /// Outside the cluster.
    pub const WORLD: u32 = 2;
    /// A pod that is not ours.
    pub const UNMANAGED: u32 = 3;
    /// The health endpoint.
    pub const HEALTH: u32 = 4;
    /// An endpoint without labels yet.
    pub const INIT: u32 = 5;
    /// Another node.
    pub const REMOTE_NODE: u32 = 6;
    /// The API server.
    pub const KUBE_APISERVER: u32 = 7;
    /// The ingress proxy.
    pub const INGRESS: u32 = 8;
    /// Outside the cluster, IPv4, in a dual-stack cluster.
    pub const WORLD_IPV4: u32 = 9;
    /// Outside the cluster, IPv6, in a dual-stack cluster.
    pub const WORLD_IPV6: u32 = 10;
    /// First of the numbers of this node's own for parts of the world (CIDR).
    pub const LOCAL_WORLD: u32 = 0x0100_0000;
    /// First of the numbers of this node's own for nodes, or parts of them.
    pub const LOCAL_NODE: u32 = 0x0200_0000;
    /// First of the numbers of this node's own for parts of a pod identity that a CIDR selector cuts through.
    pub const LOCAL_CLUSTER: u32 = 0x0300_0000;
}

/// The scope of a peer, from its number alone.
#[inline(always)]
pub const fn scope_of(peer: u32) -> Scope {
    match peer >> 24 {
        0 => match peer {
            identity::WORLD | identity::WORLD_IPV4 | identity::WORLD_IPV6 => Scope::World,
            identity::HOST | identity::REMOTE_NODE | identity::KUBE_APISERVER => Scope::Node,
            _ => Scope::Cluster,
        },
        1 => Scope::World,
        2 => Scope::Node,
        _ => Scope::Cluster,
    }
}

plain!(AddressKey = 20, AddressRow = 20);
