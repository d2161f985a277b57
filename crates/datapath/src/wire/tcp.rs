//! TCP (RFC 9293).

use crate::abi::plain;

/// Fixed part of the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port, network order.
    pub source: u16,
    /// Destination port, network order.
    pub destination: u16,
    /// Sequence number, network order.
    pub sequence: u32,
    /// Acknowledgement number, network order.
    pub acknowledgement: u32,
    /// Header length in words in the high half.
    pub data_offset: u8,
    /// See [`flags`].
    pub flags: u8,
    /// Window, network order, unscaled.
    pub window: u16,
    /// Checksum, network order.
    pub checksum: u16,
    /// Urgent pointer, network order.
    pub urgent: u16,
}

/// Offset of the header's length.
pub const DATA_OFFSET: u32 = 12;
/// Offset of the checksum in the header.
pub const CHECKSUM: u32 = 16;

/// Bits of [`TcpHeader::flags`].
pub mod flags {
    /// Last segment of its sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 16;
}

plain!(TcpHeader = 20);
