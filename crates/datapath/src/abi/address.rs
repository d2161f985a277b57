//! Addresses as maps hold them: sixteen bytes for both families.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plain;

/// An IP address in network order; IPv4 is held as `::ffff:a.b.c.d`, which cannot collide because that range is
/// dropped when it appears on the wire. Four words, so that the kernel compares and hashes it in words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u32; 4]);

impl Address {
    /// The unspecified address of neither family: absent.
    pub const NONE: Self = Self([0; 4]);

    /// An IPv4 address from its four octets in network order.
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self([0, 0, u32::from_be(0x0000_ffff), u32::from_ne_bytes(octets)])
    }

    /// An IPv6 address from its sixteen octets in network order.
    #[inline(always)]
    pub const fn v6(o: [u8; 16]) -> Self {
        Self([
            u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
            u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
            u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
            u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
        ])
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        let [a, b, c, _] = self.0;
        a == 0 && b == 0 && c == u32::from_be(0x0000_ffff)
    }

    /// The four octets of an IPv4 address (the last four of an IPv6 one).
    #[inline(always)]
    pub const fn v4_octets(&self) -> [u8; 4] {
        let [_, _, _, d] = self.0;
        d.to_ne_bytes()
    }

    /// All sixteen octets in network order.
    #[inline(always)]
    pub const fn octets(&self) -> [u8; 16] {
        let [a, b, c, d] = self.0;
        let (a, b, c, d) = (
            a.to_ne_bytes(),
            b.to_ne_bytes(),
            c.to_ne_bytes(),
            d.to_ne_bytes(),
        );
        [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1],
            d[2], d[3],
        ]
    }

    /// Whether no address is held.
    #[inline(always)]
    pub const fn is_none(&self) -> bool {
        let [a, b, c, d] = self.0;
        (a | b | c | d) == 0
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        if address.is_v4() {
            Self::V4(Ipv4Addr::from(address.v4_octets()))
        } else {
            Self::V6(Ipv6Addr::from(address.octets()))
        }
    }
}

/// A hardware address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

/// A prefix as the key of a longest-prefix trie. `prefix_len` counts bits of `address`, so an IPv4 /24 is 96 + 24.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrefixKey {
    /// Number of significant bits of `address`, 0 to 128, in host order as the kernel's trie wants it.
    pub prefix_len: u32,
    /// The address; bits beyond the prefix are zero.
    pub address: Address,
}

plain!(Address = 16, Mac = 6, PrefixKey = 20);
