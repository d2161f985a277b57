//! Services: frontends, their slots, backends, affinity, and what a socket really asked for.

use super::{Address, plain};

/// Key of the hash `frontends`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrontendKey {
    /// Address that clients use; the unspecified address of the family stands for every address of the node.
    pub address: Address,
    /// Port, network order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 0: for everybody, 1: for clients inside the cluster where that differs.
    pub scope: u8,
}

/// Bits of [`Frontend::flags`].
pub mod flags {
    /// Session affinity by client address.
    pub const AFFINITY: u16 = 1;
    /// A NodePort.
    pub const NODEPORT: u16 = 2;
    /// Clients outside are served by this node's backends only, and keep their address.
    pub const EXTERNAL_LOCAL: u16 = 4;
    /// Clients inside are served by this node's backends only.
    pub const INTERNAL_LOCAL: u16 = 8;
    /// Backends are chosen by the Maglev table.
    pub const MAGLEV: u16 = 16;
}

/// Value of the hash `frontends`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frontend {
    /// Service id; frontends of one service port share it.
    pub service: u32,
    /// Number of slots, from 0; none means no backend.
    pub slots: u32,
    /// Seconds of session affinity.
    pub affinity_seconds: u32,
    /// See [`flags`].
    pub flags: u16,
    /// Always zero.
    pub pad: u16,
}

/// Key of the hash `service_slots`; the value is the backend's id, a `u32`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// Service id.
    pub service: u32,
    /// Slot, below [`Frontend::slots`].
    pub slot: u32,
}

/// What a backend can do.
pub mod backend_state {
    /// Takes new connections.
    pub const ACTIVE: u8 = 0;
    /// Keeps what it has.
    pub const TERMINATING: u8 = 1;
}

/// Value of the hash `backends`, keyed by id (`u32`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// Address of the backend.
    pub address: Address,
    /// Port, network order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// See [`backend_state`].
    pub state: u8,
}

/// Key of the LRU hash `affinity`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AffinityKey {
    /// The client: its address, or the cookie of its network namespace in the first two words.
    pub client: Address,
    /// Service id.
    pub service: u32,
    /// 1: `client` is a cookie.
    pub cookie: u32,
}

/// Value of the LRU hash `affinity`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// When it was last used, jiffies.
    pub last_used: u64,
    /// Backend id.
    pub backend: u32,
    /// Always zero.
    pub pad: u32,
}

/// Key of the LRU hash `socket_peers`: what a socket was connected to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketKey {
    /// Cookie of the socket.
    pub cookie: u64,
    /// Backend address.
    pub address: Address,
    /// Backend port, network order.
    pub port: u16,
    /// Always zero.
    pub pad: [u16; 3],
}

/// Value of the LRU hash `socket_peers`: what it asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketPeer {
    /// Frontend address.
    pub address: Address,
    /// Service id.
    pub service: u32,
    /// Frontend port, network order.
    pub port: u16,
    /// IP protocol number of the socket.
    pub protocol: u8,
    /// Always zero.
    pub pad: u8,
}

plain!(
    FrontendKey = 20,
    Frontend = 16,
    SlotKey = 8,
    Backend = 20,
    AffinityKey = 24,
    Affinity = 16,
    SocketKey = 32,
    SocketPeer = 24,
);
