//! Prefixes that are taken, and by whom. Two prefixes lie in each other or are apart, which makes the search short.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// Prefixes of one family, each with its node.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// First address and length → range and node.
    taken: BTreeMap<(u128, u8), (IpNet, Arc<str>)>,
    /// Length → how many have it.
    lengths: BTreeMap<u8, usize>,
}

/// The first address as a number.
pub(super) fn first_of(range: &IpNet) -> u128 {
    number(range.network())
}

/// The last address as a number.
pub(super) fn last_of(range: &IpNet) -> u128 {
    number(range.broadcast())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl Ranges {
    /// A range is a node's from now on. The one that has the same range already keeps it.
    pub fn take(&mut self, range: &IpNet, node: &Arc<str>) {
        let key = (first_of(range), range.prefix_len());
        if self.taken.contains_key(&key) {
            return;
        }
        self.taken.insert(key, (range.trunc(), Arc::clone(node)));
        *self.lengths.entry(range.prefix_len()).or_default() += 1;
    }

    fn found(&self, range: &IpNet) -> Option<&(IpNet, Arc<str>)> {
        let (first, last) = (first_of(range), last_of(range));
        // Within: each begins in it, and is not longer than it.
        let mut within = self
            .taken
            .range((first, range.prefix_len())..=(last, u8::MAX));
        if let Some((_, found)) = within.next() {
            return Some(found);
        }
        // Around: of each length one can be.
        let shorter = self.lengths.range(..range.prefix_len());
        shorter.into_iter().find_map(|(length, _)| {
            let around = IpNet::new(range.addr(), *length).ok()?.trunc();
            self.taken.get(&(first_of(&around), *length))
        })
    }

    /// One that has addresses in common with `range`.
    pub fn overlapping(&self, range: &IpNet) -> Option<IpNet> {
        self.found(range).map(|(range, _)| *range)
    }

    /// One that has addresses in common with `range`, and its node.
    pub fn owner(&self, range: &IpNet) -> Option<(IpNet, &Arc<str>)> {
        self.found(range).map(|(range, node)| (*range, node))
    }
}
