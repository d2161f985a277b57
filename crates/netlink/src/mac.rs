//! Ethernet addresses: parse, print, generate.

use std::{fmt, io, str::FromStr};

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Text that is not six hexadecimal octets separated by colons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address: expected six hexadecimal octets separated by colons")]
pub struct ParseMacError(String);

impl Mac {
    /// A random unicast, locally administered address (bit 1 of the first octet set, bit 0 clear).
    pub fn random() -> io::Result<Self> {
        let mut octets = [0_u8; 6];
        // SAFETY: the pointer and length describe `octets`, which lives across the call.
        let read = unsafe { libc::getrandom(octets.as_mut_ptr().cast(), octets.len(), 0) };
        if read != octets.len() as isize {
            return Err(io::Error::last_os_error());
        }
        octets[0] = (octets[0] | 0x02) & 0xfe;
        Ok(Self(octets))
    }

    /// A locally administered address that is a function of `seed`: the same seed gives the same address.
    pub fn from_seed(seed: [u8; 6]) -> Self {
        let mut octets = seed;
        octets[0] = (octets[0] | 0x02) & 0xfe;
        Self(octets)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let wrong = || ParseMacError(text.to_owned());
        let mut octets = [0_u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(wrong)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            Err(wrong())
        } else {
            Ok(Self(octets))
        }
    }
}
