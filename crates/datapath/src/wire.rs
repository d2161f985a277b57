//! Wire formats as values: each header is read and written whole, fields in network order as they lie in the packet.

pub mod arp;
pub mod csum;
pub mod eth;
pub mod icmp;
pub mod ip;
pub mod nd;
pub mod tcp;
pub mod udp;
