//! IPAM: addresses for pods out of the node's ranges; never one for two, and none reused sooner than need be.
//!
//! Each range is of a pool. A node that has one range for each family has one pool, [`DEFAULT_POOL`]; with many pools ranges
//! come and go ([`pools`]), and a pod's own [`choice`] says from which its addresses are.

pub mod choice;
pub mod pools;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Name of the pool for who names no other, unless the configuration calls it differently.
pub const DEFAULT_POOL: &str = "default";

/// Ranges of each pool.
pub type Ranges = BTreeMap<Arc<str>, Vec<IpNet>>;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// Who has an address, and whether he has said that he uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// `namespace/pod`, or a word as `router`.
    pub owner: Arc<str>,
    /// With a token, the address goes back by [`Ipam::expire`] unless it was confirmed before.
    pub expiration: Option<Token>,
}

/// Names one allocation; a later one of the same address has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Whether an allocation lasts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is released.
    UntilReleased,
    /// Until it expires, if it is not confirmed.
    UntilConfirmed,
}

/// Why an address was not given, taken back or confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// Every usable address is taken.
    #[error("no free {family} address in {ranges} of pool {pool}: all {size} are in use")]
    Exhausted {
        /// Pool asked for.
        pool: Arc<str>,
        /// Family asked for.
        family: Family,
        /// The ranges, separated by commas.
        ranges: String,
        /// Usable addresses in them.
        size: u128,
    },
    /// The node has no range of the pool and family.
    #[error("the node has no range of {family} addresses of pool {pool}")]
    NoRange {
        /// Pool asked for.
        pool: Arc<str>,
        /// Family asked for.
        family: Family,
    },
    /// The address is not in a range, or is the network's, the broadcast or the router's address.
    #[error("{address} is not an address that pods of this node can have")]
    NotUsable {
        /// Address asked for.
        address: IpAddr,
    },
    /// Somebody else has it.
    #[error("{address} belongs to {owner}")]
    Taken {
        /// Address asked for.
        address: IpAddr,
        /// Who has it.
        owner: Arc<str>,
    },
    /// Nobody has it.
    #[error("{address} is not in use")]
    NotInUse {
        /// Address given back.
        address: IpAddr,
    },
    /// The token is of an allocation that has ended.
    #[error("{address} was allocated anew since")]
    OtherToken {
        /// Address confirmed.
        address: IpAddr,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    pool: Arc<str>,
    net: IpNet,
    /// Nothing more is given from it: it goes when nobody has an address of it any more.
    leaving: bool,
    /// First and last usable address, as numbers.
    first: u128,
    last: u128,
    /// Where the next search begins.
    next: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::from(number as u32)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

impl Range {
    /// The usable addresses: without the network's own and, in IPv4, without the broadcast address. Ranges of one or
    /// two addresses have neither (RFC 3021, RFC 6164).
    fn new(pool: Arc<str>, net: IpNet) -> Self {
        let net = net.trunc();
        let (low, high) = (number(net.network()), number(net.broadcast()));
        let (first, last) = match net {
            _ if high - low < 2 => (low, high),
            IpNet::V4(_) => (low + 1, high - 1),
            IpNet::V6(_) => (low + 1, high),
        };
        Self {
            pool,
            net,
            leaving: false,
            first,
            last,
            next: first,
        }
    }

    fn family(&self) -> Family {
        Family::of(self.net.addr())
    }

    /// Usable addresses.
    fn size(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    fn contains(&self, family: Family, n: u128) -> bool {
        self.family() == family && (self.first..=self.last).contains(&n)
    }
}

/// The router's address of a range: its first usable one.
pub fn router_of(range: IpNet) -> IpAddr {
    let range = Range::new(DEFAULT_POOL.into(), range);
    address(range.family(), range.first)
}

/// The addresses of this node's pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ipam {
    ranges: Vec<Range>,
    leases: BTreeMap<IpAddr, Lease>,
    next_token: u64,
}

impl Ipam {
    /// An allocator over the node's ranges. The router takes its address like anybody else, with [`Self::allocate_at`].
    pub fn new(ranges: &Ranges) -> Self {
        let nets = ranges
            .iter()
            .flat_map(|(pool, nets)| nets.iter().map(|net| Range::new(Arc::clone(pool), *net)));
        Self {
            ranges: nets.collect(),
            leases: BTreeMap::new(),
            next_token: 0,
        }
    }

    /// The ranges, with their pools.
    pub fn ranges(&self) -> impl Iterator<Item = (&Arc<str>, IpNet)> {
        self.ranges.iter().map(|range| (&range.pool, range.net))
    }

    /// The pool of an address.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Arc<str>> {
        let mut ranges = self.ranges.iter();
        let range = ranges.find(|range| range.net.contains(&address))?;
        Some(&range.pool)
    }

    /// All addresses in use.
    pub fn leases(&self) -> &BTreeMap<IpAddr, Lease> {
        &self.leases
    }

    fn lease(&mut self, owner: &Arc<str>, lasting: Lasting) -> (Lease, Option<Token>) {
        let expiration = match lasting {
            Lasting::UntilReleased => None,
            Lasting::UntilConfirmed => {
                self.next_token += 1;
                Some(Token(self.next_token))
            }
        };
        (
            Lease {
                owner: Arc::clone(owner),
                expiration,
            },
            expiration,
        )
    }

    /// Gives the next free address of a pool and family, with the token that confirms it if it may expire.
    pub fn allocate(
        &mut self,
        pool: &Arc<str>,
        family: Family,
        owner: &Arc<str>,
        lasting: Lasting,
    ) -> Result<(IpAddr, Option<Token>), IpamError> {
        let at = self.find_free(pool, family)?;
        let (lease, token) = self.lease(owner, lasting);
        self.leases.insert(at, lease);
        Ok((at, token))
    }

    fn find_free(&mut self, pool: &Arc<str>, family: Family) -> Result<IpAddr, IpamError> {
        let leases = &self.leases;
        let asked =
            |range: &Range| range.pool == *pool && range.family() == family && !range.leaving;
        for range in self.ranges.iter_mut().filter(|range| asked(range)) {
            let free = |n: &u128| !leases.contains_key(&address(family, *n));
            // From where the last search ended, so that an address rests as long as possible before it is given again.
            if let Some(n) = (range.next..=range.last)
                .chain(range.first..range.next)
                .find(free)
            {
                range.next = if n == range.last { range.first } else { n + 1 };
                return Ok(address(family, n));
            }
        }
        let full: Vec<&Range> = self.ranges.iter().filter(|range| asked(range)).collect();
        let (pool, size) = (Arc::clone(pool), full.iter().map(|range| range.size()));
        let size = size.fold(0, u128::saturating_add);
        let texts: Vec<String> = full.iter().map(|range| range.net.to_string()).collect();
        if full.is_empty() {
            return Err(IpamError::NoRange { pool, family });
        }
        Err(IpamError::Exhausted {
            pool,
            family,
            ranges: texts.join(", "),
            size,
        })
    }

    /// Takes a given address, for the router or at a restore. To ask again for what one has is no error.
    pub fn allocate_at(
        &mut self,
        address: IpAddr,
        owner: &Arc<str>,
        lasting: Lasting,
    ) -> Result<Option<Token>, IpamError> {
        let held = self.leases.contains_key(&address);
        let usable = |range: &Range| {
            range.contains(Family::of(address), number(address)) && (held || !range.leaving)
        };
        if !self.ranges.iter().any(usable) {
            return Err(IpamError::NotUsable { address });
        }
        if let Some(lease) = self
            .leases
            .get(&address)
            .filter(|lease| lease.owner != *owner)
        {
            return Err(IpamError::Taken {
                address,
                owner: Arc::clone(&lease.owner),
            });
        }
        let (lease, token) = self.lease(owner, lasting);
        self.leases.insert(address, lease);
        Ok(token)
    }

    /// Keeps an address that is in use from before a restart, even outside of the ranges (they may have changed).
    pub fn restore(&mut self, address: IpAddr, owner: &Arc<str>) -> Result<(), IpamError> {
        match self.leases.get(&address) {
            Some(lease) if lease.owner != *owner => Err(IpamError::Taken {
                address,
                owner: Arc::clone(&lease.owner),
            }),
            _ => {
                self.leases.insert(
                    address,
                    Lease {
                        owner: Arc::clone(owner),
                        expiration: None,
                    },
                );
                Ok(())
            }
        }
    }

    /// Says that an allocation is in use, so that it does not expire.
    pub fn confirm(&mut self, address: IpAddr, token: Token) -> Result<(), IpamError> {
        let lease = self
            .leases
            .get_mut(&address)
            .ok_or(IpamError::NotInUse { address })?;
        match lease.expiration {
            Some(of) if of == token => lease.expiration = None,
            _ => return Err(IpamError::OtherToken { address }),
        }
        Ok(())
    }

    /// Takes an allocation back whose time is over, unless it was confirmed, released or given anew since.
    pub fn expire(&mut self, address: IpAddr, token: Token) -> Option<Lease> {
        let expired = self
            .leases
            .get(&address)
            .is_some_and(|lease| lease.expiration == Some(token));
        if expired {
            self.leases.remove(&address)
        } else {
            None
        }
    }

    /// Takes an address back.
    pub fn release(&mut self, address: IpAddr) -> Result<Lease, IpamError> {
        self.leases
            .remove(&address)
            .ok_or(IpamError::NotInUse { address })
    }

    /// Takes an address back if it is that owner's: a late deletion must not free the address of a newer pod.
    pub fn release_from(&mut self, address: IpAddr, owner: &str) -> Result<Lease, IpamError> {
        match self.leases.get(&address) {
            Some(lease) if *lease.owner != *owner => Err(IpamError::Taken {
                address,
                owner: Arc::clone(&lease.owner),
            }),
            _ => self.release(address),
        }
    }
}

#[cfg(test)]
mod tests;
