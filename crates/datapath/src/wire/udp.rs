//! UDP (RFC 768), and the ports whose meaning the data path knows.

use crate::abi::plain;

/// The header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port, network order.
    pub source: u16,
    /// Destination port, network order.
    pub destination: u16,
    /// Length of header and payload, network order.
    pub length: u16,
    /// Checksum, network order; 0 for none (IPv4).
    pub checksum: u16,
}

/// Offset of the checksum in the header.
pub const CHECKSUM: u32 = 6;
/// DNS (RFC 1035), host order.
pub const DNS: u16 = 53;
/// DHCP server (RFC 2131), host order.
pub const DHCP_SERVER: u16 = 67;
/// DHCPv6 server (RFC 9915), host order.
pub const DHCPV6_SERVER: u16 = 547;

plain!(UdpHeader = 8);
