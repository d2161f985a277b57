//! Neighbour discovery for IPv6 (RFC 4861).

use crate::abi::{Mac, plain};

/// Neighbour solicitation or advertisement with one link-layer address option.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeighbourMessage {
    /// ICMPv6 type.
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Checksum, network order.
    pub checksum: u16,
    /// Advertisement: router, solicited, override in the top bits, network order.
    pub flags: u32,
    /// The address asked for.
    pub target: [u32; 4],
    /// Type of the option: 1 source, 2 target link-layer address.
    pub option: u8,
    /// 1: eight octets.
    pub option_length: u8,
    /// The hardware address.
    pub mac: Mac,
}

/// Offset of the target in the message.
pub const TARGET: u32 = 8;
/// Flags of an advertisement by a router, in answer, overriding what was known; host order.
pub const ROUTER_SOLICITED_OVERRIDE: u32 = 0xe000_0000;
/// Option: hardware address of the target.
pub const TARGET_MAC: u8 = 2;
/// Hop limit that proves the sender is on the link.
pub const HOP_LIMIT: u8 = 255;

plain!(NeighbourMessage = 32);
