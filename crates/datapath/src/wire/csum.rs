//! Internet checksum (RFC 1071) of what we build ourselves.

use crate::abi::{Address, Plain};

/// A sum in progress: words in memory order, which the sum does not care about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds a value of even length.
    #[inline(always)]
    #[must_use]
    pub fn with<T: Plain>(self, value: &T) -> Self {
        let mut sum = self.0;
        for pair in value.as_bytes().chunks_exact(2) {
            if let [first, second] = pair {
                sum += u64::from(u16::from_ne_bytes([*first, *second]));
            }
        }
        Self(sum)
    }

    /// Adds a word in network order.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds the pseudo header of IPv6 (RFC 8200, 8.1); right for IPv4 too, because `::ffff:0:0` adds zero to the sum.
    #[inline(always)]
    #[must_use]
    pub fn pseudo(self, source: &Address, destination: &Address, length: u16, next: u8) -> Self {
        self.with(source)
            .with(destination)
            .word(length.to_be())
            .word(u16::from(next).to_be())
    }

    /// The checksum, network order.
    #[inline(always)]
    pub const fn fold(self) -> u16 {
        let mut sum = self.0;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }
}
