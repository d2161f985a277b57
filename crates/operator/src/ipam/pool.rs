//! Prefixes of one family that nodes' ranges are cut from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::ranges::{Ranges, first_of, last_of};

/// Prefixes of one family, and the length that a node gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    cidrs: Vec<IpNet>,
    length: u8,
}

/// Why there can be no such pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Nothing to cut from.
    #[error("no prefix is given")]
    Empty,
    /// A node's range would be larger than its pool, or none at all.
    #[error("a node's range cannot have a length of {0} in {1}")]
    Length(u8, IpNet),
    /// Two prefixes have addresses in common.
    #[error("{0} and {1} overlap")]
    Overlap(IpNet, IpNet),
    /// Prefixes of two families.
    #[error("{0} and {1} are of different families")]
    Families(IpNet, IpNet),
}

/// Where the search for a free range begins: behind the last one that was given, so that one that was just freed is the
/// last to be given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    cidr: usize,
    address: u128,
}

impl Pool {
    /// A pool of these prefixes, of which a node gets a range with a prefix of `length`.
    pub fn new(cidrs: &[IpNet], length: u8) -> Result<Self, PoolError> {
        let cidrs: Vec<IpNet> = cidrs.iter().map(IpNet::trunc).collect();
        let Some(first) = cidrs.first() else {
            return Err(PoolError::Empty);
        };
        for (index, cidr) in cidrs.iter().enumerate() {
            if cidr.addr().is_ipv4() != first.addr().is_ipv4() {
                return Err(PoolError::Families(*first, *cidr));
            }
            if length == 0 || length < cidr.prefix_len() || length > cidr.max_prefix_len() {
                return Err(PoolError::Length(length, *cidr));
            }
            let before = cidrs.iter().take(index);
            let overlap = |other: &&IpNet| other.contains(cidr) || cidr.contains(*other);
            if let Some(other) = before.into_iter().find(overlap) {
                return Err(PoolError::Overlap(*other, *cidr));
            }
        }
        Ok(Self { cidrs, length })
    }

    /// The prefixes.
    pub fn cidrs(&self) -> &[IpNet] {
        &self.cidrs
    }

    /// Whether its ranges are of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.cidrs.iter().all(|cidr| cidr.addr().is_ipv4())
    }

    /// Whether a range lies in the pool.
    pub fn contains(&self, range: &IpNet) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(range))
    }

    fn bits(&self) -> u8 {
        if self.is_ipv4() { 32 } else { 128 }
    }

    /// Addresses of a node's range, less one, which always fits.
    fn span(&self) -> u128 {
        match u32::from(self.bits() - self.length) {
            128 => u128::MAX,
            host => (1 << host) - 1,
        }
    }

    /// Addresses of a node's range.
    pub fn range_size(&self) -> u128 {
        self.span().saturating_add(1)
    }

    /// Addresses of the pool.
    pub fn size(&self) -> u128 {
        let sizes = self.cidrs.iter();
        let sizes = sizes.map(|cidr| (last_of(cidr) - first_of(cidr)).saturating_add(1));
        sizes.fold(0, u128::saturating_add)
    }

    fn range_at(&self, address: u128) -> Option<IpNet> {
        let address: IpAddr = if self.is_ipv4() {
            Ipv4Addr::from(u32::try_from(address).ok()?).into()
        } else {
            Ipv6Addr::from(address).into()
        };
        IpNet::new(address, self.length).ok()
    }

    /// The next range behind the cursor that overlaps with none of `taken`, which moves the cursor behind it.
    pub fn next_free(&self, taken: &Ranges, cursor: &mut Cursor) -> Option<IpNet> {
        let number = self.cidrs.len();
        let begin = cursor.cidr.min(number);
        // The one of the cursor comes last once more, from its beginning.
        for step in 0..=number {
            let index = (begin + step) % number;
            let cidr = self.cidrs.get(index)?;
            let from = if step == 0 { cursor.address } else { 0 };
            if let Some(address) = self.free_in(cidr, from, taken) {
                let range = self.range_at(address)?;
                *cursor = Cursor {
                    cidr: index,
                    address: address.saturating_add(self.span()).saturating_add(1),
                };
                return Some(range);
            }
        }
        None
    }

    fn free_in(&self, cidr: &IpNet, from: u128, taken: &Ranges) -> Option<u128> {
        let (mut address, last) = (first_of(cidr).max(from), last_of(cidr));
        loop {
            // On a boundary of a range.
            let within = address & self.span();
            if within > 0 {
                address = (address - within)
                    .checked_add(self.span())?
                    .checked_add(1)?;
            }
            if address > last {
                return None;
            }
            let range = self.range_at(address)?;
            match taken.overlapping(&range) {
                None => return Some(address),
                Some(other) => address = last_of(&other).max(last_of(&range)).checked_add(1)?,
            }
        }
    }
}
