//! ICMP (RFC 792, 1191) and ICMPv6 (RFC 4443).

use crate::abi::plain;

/// The first eight octets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpHeader {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum, network order.
    pub checksum: u16,
    /// Echo: identifier, network order. Errors: unused, or the high half of the MTU (ICMPv6).
    pub id: u16,
    /// Echo: sequence. Errors: MTU of the next hop, network order.
    pub sequence: u16,
}

/// Offset of the checksum.
pub const CHECKSUM: u32 = 2;
/// Length of the part above.
pub const LENGTH: u32 = 8;

/// Types of ICMP for IPv4.
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Code of `UNREACHABLE`: port unreachable.
    pub const PORT_UNREACHABLE: u8 = 3;
    /// Code of `UNREACHABLE`: fragmentation needed.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Types of ICMPv6.
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Code of `UNREACHABLE`: port unreachable.
    pub const PORT_UNREACHABLE: u8 = 4;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Parameter problem, the last of the errors.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
}

plain!(IcmpHeader = 8);
