//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, and the extension headers we walk.

use crate::abi::plain;

/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// SCTP.
pub const SCTP: u8 = 132;
/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;

/// Fixed part of the IPv4 header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V4Header {
    /// Version (4) in the high half, header length in words in the low one.
    pub version_length: u8,
    /// Type of service.
    pub tos: u8,
    /// Length of the datagram, network order.
    pub total_length: u16,
    /// Identification, network order.
    pub id: u16,
    /// Flags and offset in units of eight octets, network order.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum, network order.
    pub checksum: u16,
    /// Source, network order.
    pub source: [u8; 4],
    /// Destination, network order.
    pub destination: [u8; 4],
}

/// Bits of [`V4Header::fragment`] in host order.
pub mod fragment {
    /// Do not fragment.
    pub const DONT: u16 = 0x4000;
    /// More fragments follow.
    pub const MORE: u16 = 0x2000;
    /// Offset, in units of eight octets.
    pub const OFFSET: u16 = 0x1fff;
}

/// Offset of the checksum in the IPv4 header.
pub const V4_CHECKSUM: u32 = 10;
/// Offset of TTL and protocol in the IPv4 header.
pub const V4_TTL: u32 = 8;
/// Offset of the source address in the IPv4 header.
pub const V4_SOURCE: u32 = 12;
/// Offset of the destination address in the IPv4 header.
pub const V4_DESTINATION: u32 = 16;

/// The IPv6 header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V6Header {
    /// Version, traffic class, flow label, network order.
    pub version_class_flow: [u8; 4],
    /// Length of what follows the header, network order.
    pub payload_length: u16,
    /// Type of the next header.
    pub next: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source, network order.
    pub source: [u32; 4],
    /// Destination, network order.
    pub destination: [u32; 4],
}

/// Length of the IPv6 header.
pub const V6_LENGTH: u32 = 40;
/// Offset of the hop limit in the IPv6 header.
pub const V6_HOP_LIMIT: u32 = 7;
/// Offset of the source address in the IPv6 header.
pub const V6_SOURCE: u32 = 8;
/// Offset of the destination address in the IPv6 header.
pub const V6_DESTINATION: u32 = 24;

/// Start of an IPv6 extension header; the fragment header in full.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHeader {
    /// Type of the next header.
    pub next: u8,
    /// Length beyond the first eight octets, in units of eight (four for authentication).
    pub length: u8,
    /// Fragment header: offset and flags, network order.
    pub fragment: u16,
    /// Fragment header: identification, network order.
    pub id: u32,
}

/// Most extension headers in one packet; a longer chain is dropped.
pub const MAX_EXTENSIONS: u32 = 6;
/// Hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Routing header.
pub const ROUTING: u8 = 43;
/// Fragment header.
pub const FRAGMENT: u8 = 44;
/// Authentication header.
pub const AUTHENTICATION: u8 = 51;
/// No next header.
pub const NONE: u8 = 59;
/// Destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

plain!(V4Header = 20, V6Header = 40, ExtensionHeader = 8);
