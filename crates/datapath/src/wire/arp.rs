//! ARP for IPv4 over Ethernet (RFC 826).

use crate::abi::{Mac, plain};

/// The packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArpPacket {
    /// 1 for Ethernet, network order.
    pub hardware: u16,
    /// 0x0800, network order.
    pub protocol: u16,
    /// 6.
    pub hardware_length: u8,
    /// 4.
    pub protocol_length: u8,
    /// See the constants, network order.
    pub operation: u16,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Address of the sender.
    pub sender: [u8; 4],
    /// Hardware address of the target.
    pub target_mac: Mac,
    /// Address of the target.
    pub target: [u8; 4],
}

/// Request, host order.
pub const REQUEST: u16 = 1;
/// Reply, host order.
pub const REPLY: u16 = 2;

plain!(ArpPacket = 28);
