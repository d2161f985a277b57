//! Ethernet II (IEEE 802.3).

use crate::abi::{Mac, plain};

/// Length of the header, octets; the IP header follows, VLAN tags are offloaded.
pub const LENGTH: u32 = 14;
/// IPv4, host order.
pub const IPV4: u16 = 0x0800;
/// ARP, host order.
pub const ARP: u16 = 0x0806;
/// IPv6, host order.
pub const IPV6: u16 = 0x86dd;

/// The header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EthHeader {
    /// Receiver.
    pub destination: Mac,
    /// Sender.
    pub source: Mac,
    /// Type of the payload, network order.
    pub ethertype: u16,
}

plain!(EthHeader = 14);
