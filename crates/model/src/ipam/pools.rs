//! Many pools: how many addresses a node needs of each, and ranges that come and go.
//!
//! The node's object says what the node has. A range that is in it and is not known is the node's from now on. One that goes
//! is left first: nothing more is given from it, and only when nobody has an address of it does the node say that it
//! has it no more. From then on it may be another node's, so that what is left never comes back by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Family, Ipam, Range, Ranges};

/// Numbers of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// IPv4 addresses.
    pub ipv4: u128,
    /// IPv6 addresses.
    pub ipv6: u128,
}

impl Count {
    /// The number of a family.
    pub fn of(&self, family: Family) -> u128 {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    fn of_mut(&mut self, family: Family) -> &mut u128 {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

/// How a pool is used on this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// Addresses that somebody has.
    pub used: Count,
    /// Addresses in all, those that somebody has included.
    pub size: Count,
}

/// What a node wants to have of pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// Families that are on.
    pub families: Vec<Family>,
    /// Pool → addresses that are to be there before anybody asks for them.
    pub ahead: BTreeMap<Arc<str>, u32>,
}

/// What a look at the node's object changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Ranges that are the node's from now on.
    pub came: Vec<IpNet>,
    /// Ranges that are not its any more.
    pub went: Vec<IpNet>,
    /// Ranges that the object does not have although somebody has an address of them: nothing more is given from them.
    pub lost: Vec<IpNet>,
}

/// The number to ask for: the next but one multiple of `ahead`, so that at least that many are free, and that not every
/// pod that comes or goes is a change.
fn rounded(used: u128, ahead: u32) -> u128 {
    match u128::from(ahead) {
        0 => used,
        ahead => (used.div_ceil(ahead) + 1).saturating_mul(ahead),
    }
}

impl Ipam {
    fn used(&self, range: &Range) -> u128 {
        let (first, last) = (range.net.network(), range.net.broadcast());
        self.leases.range(first..=last).count() as u128
    }

    fn is_gone(&self, range: &Range) -> bool {
        range.leaving && self.used(range) == 0
    }

    /// How each pool is used.
    pub fn pools(&self) -> BTreeMap<Arc<str>, Use> {
        let mut pools: BTreeMap<Arc<str>, Use> = BTreeMap::new();
        for range in &self.ranges {
            let pool = pools.entry(Arc::clone(&range.pool)).or_default();
            let used = self.used(range);
            *pool.used.of_mut(range.family()) += used;
            let size = pool.size.of_mut(range.family());
            *size = size.saturating_add(if range.leaving { used } else { range.size() });
        }
        pools
    }

    /// The addresses that the node asks for, of each pool: those that somebody has or waits for, and those ahead. `waiting` has
    /// those who were refused one.
    pub fn needed<'a>(
        &self,
        wants: &Wants,
        waiting: impl Iterator<Item = (&'a Arc<str>, Family)>,
    ) -> BTreeMap<Arc<str>, Count> {
        let used = self.pools().into_iter();
        let mut needed: BTreeMap<Arc<str>, Count> =
            used.map(|(pool, of)| (pool, of.used)).collect();
        for (pool, family) in waiting {
            *needed.entry(Arc::clone(pool)).or_default().of_mut(family) += 1;
        }
        for (pool, ahead) in &wants.ahead {
            let count = needed.entry(Arc::clone(pool)).or_default();
            for family in &wants.families {
                let of = count.of_mut(*family);
                *of = rounded(*of, *ahead);
            }
        }
        // Who gives counts whole ranges, also what is left of those that go.
        for range in self.ranges.iter().filter(|range| range.leaving) {
            let used = self.used(range);
            if used > 0 {
                let count = needed.entry(Arc::clone(&range.pool)).or_default();
                *count.of_mut(range.family()) += range.size().saturating_sub(used);
            }
        }
        needed.retain(|_, count| *count != Count::default());
        needed
    }

    /// Ranges without which there is as much as is needed, and of which nobody has an address; those that came last first.
    pub fn excess(&self, needed: &BTreeMap<Arc<str>, Count>) -> Vec<IpNet> {
        let mut left: BTreeMap<(&Arc<str>, Family), u128> = BTreeMap::new();
        let kept = self.ranges.iter().filter(|range| !self.is_gone(range));
        for range in kept.clone() {
            let size = left.entry((&range.pool, range.family())).or_default();
            *size = size.saturating_add(range.size());
        }
        let mut excess = Vec::new();
        for range in kept.rev().filter(|range| !range.leaving) {
            let family = range.family();
            let needed = needed.get(&range.pool).map_or(0, |count| count.of(family));
            let Some(size) = left.get_mut(&(&range.pool, family)) else {
                continue;
            };
            let without = size.saturating_sub(range.size());
            if without >= needed && self.used(range) == 0 {
                *size = without;
                excess.push(range.net);
            }
        }
        excess
    }

    /// Gives nothing more from a range, unless somebody has an address of it.
    pub fn leave(&mut self, net: IpNet) {
        let Some(at) = self.ranges.iter().position(|range| range.net == net) else {
            return;
        };
        let unused = self.used(&self.ranges[at]) == 0;
        self.ranges[at].leaving |= unused;
    }

    /// What the node's object is to say that the node has, of what it says.
    pub fn said(&self, says: &Ranges) -> Ranges {
        let find = |pool: &Arc<str>, net: &IpNet| {
            let mut ranges = self.ranges.iter();
            ranges.find(|range| range.pool == *pool && range.net == *net)
        };
        let mut said = says.clone();
        for (pool, nets) in &mut said {
            nets.retain(|net| !find(pool, net).is_some_and(|range| self.is_gone(range)));
        }
        // What somebody uses stays the node's, whoever took it out.
        for range in self.ranges.iter().filter(|range| self.used(range) > 0) {
            let nets = said.entry(Arc::clone(&range.pool)).or_default();
            if !nets.contains(&range.net) {
                nets.push(range.net);
            }
        }
        said.retain(|_, nets| !nets.is_empty());
        said
    }

    /// Takes in what the node's object says that the node has. It must be what the store had after the last call.
    pub fn take_in(&mut self, says: &Ranges) -> Taken {
        let mut taken = Taken::default();
        let says_so = |range: &Range| {
            says.get(&range.pool)
                .is_some_and(|nets| nets.contains(&range.net))
        };
        for mut range in std::mem::take(&mut self.ranges) {
            if says_so(&range) {
                self.ranges.push(range);
            } else if self.used(&range) == 0 {
                taken.went.push(range.net);
            } else {
                if !range.leaving {
                    taken.lost.push(range.net);
                }
                range.leaving = true;
                self.ranges.push(range);
            }
        }
        for (pool, nets) in says {
            for net in nets {
                let known = |range: &Range| range.pool == *pool && range.net == *net;
                if !self.ranges.iter().any(known) {
                    self.ranges.push(Range::new(Arc::clone(pool), *net));
                    taken.came.push(*net);
                }
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
