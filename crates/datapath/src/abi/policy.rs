//! Policy tables: classes, not products. See docs/decisions/0003.
//!
//! A verdict is two lookups: (policy, version, peer) gives the class, or the default class of the peer's scope where
//! there is no row; (policy, version, class, protocol, port) gives the verdict by the longest prefix of the port.

use super::plain;

/// Value of the array `policies`: one word, so that switching a version is one store.
///
/// Bits 0–7 flags, 8–31 version of the peers, 32–55 version of the ports. The zero word is "not installed".
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyHead(pub u64);

/// Bits of [`PolicyHead::flags`].
pub mod flags {
    /// The policy is complete; without this bit every packet it should judge is dropped.
    pub const INSTALLED: u8 = 1;
    /// Something is enforced; without this bit everything passes, unknown peers included.
    pub const ENFORCED: u8 = 2;
    /// What would be denied passes and is reported.
    pub const AUDIT: u8 = 4;
    /// Its rows did not fit: everything is denied.
    pub const LOCKDOWN: u8 = 8;
}

impl PolicyHead {
    /// A head out of its parts; versions keep their low 24 bits.
    #[inline(always)]
    pub const fn new(flags: u8, peers_version: u32, ports_version: u32) -> Self {
        Self(
            flags as u64
                | ((peers_version as u64 & 0xff_ffff) << 8)
                | ((ports_version as u64 & 0xff_ffff) << 32),
        )
    }
    /// See [`flags`].
    #[inline(always)]
    pub const fn flags(self) -> u8 {
        self.0 as u8
    }
    /// Version of the rows of `policy_peers` in force.
    #[inline(always)]
    pub const fn peers_version(self) -> u32 {
        (self.0 >> 8) as u32 & 0xff_ffff
    }
    /// Version of the rows of `policy_ports` in force.
    #[inline(always)]
    pub const fn ports_version(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }
}

/// Size of the array `policies`; index 0 is never used.
pub const POLICIES: u32 = 65536;

/// Key of the hash `policy_peers`; the value is the class, a `u32` below 65536.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerKey {
    /// Index of the policy.
    pub policy: u32,
    /// Version of the peers.
    pub version: u32,
    /// The peer's number.
    pub peer: u32,
}

/// Key of the trie `policy_ports`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// [`PortKey::FIXED_BITS`] plus 0 to 16 bits of the port.
    pub prefix_len: u32,
    /// Version of the ports.
    pub version: u32,
    /// Index of the policy.
    pub policy: u16,
    /// Class of the peer.
    pub class: u16,
    /// IP protocol number; 0 holds the rows of every protocol that has no rows of its own.
    pub protocol: u8,
    /// Always zero.
    pub pad: u8,
    /// Destination port in network order; for ICMP the type in the first octet.
    pub port: u16,
}

impl PortKey {
    /// Bits of the key before the port.
    pub const FIXED_BITS: u32 = 80;
}

/// What a [`PortVerdict`] says.
pub mod verdict {
    /// Denied because no rule allows it.
    pub const DEFAULT_DENY: u8 = 0;
    /// Allowed.
    pub const ALLOW: u8 = 1;
    /// Denied by a rule.
    pub const DENY: u8 = 2;
    /// Allowed through the proxy.
    pub const REDIRECT: u8 = 3;
}

/// Value of the trie `policy_ports`. No row is [`verdict::DEFAULT_DENY`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortVerdict {
    /// See [`verdict`].
    pub verdict: u8,
    /// How it was matched, in Hubble's numbers: 1 peer, 2 peer and port, 3 port, 4 everything, 5 peer and protocol,
    /// 6 protocol.
    pub match_type: u8,
    /// Port of the proxy, network order.
    pub proxy_port: u16,
    /// The rule that decided.
    pub rule: u32,
}

plain!(PolicyHead = 8, PeerKey = 12, PortKey = 16, PortVerdict = 8);
