//! Ranges of many pools: each node says how many addresses of which pool it needs, and gets ranges until it has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cilium::{CiliumPodIPPool, IpamPools, PoolRanges};
use ipnet::IpNet;

use super::keep::NodeRow;
use super::plan::Plan;
use super::pool::{Cursor, Pool};
use super::ranges::{Ranges, first_of, last_of};
use super::{Claim, Claims};

/// Ranges that a node gets at once, at most: a claim of them must fit beside those of other nodes. It gets more in the
/// next round.
const AT_ONCE: usize = 32;

/// Where the search in each pool goes on, by name and whether it is IPv4.
pub type PoolCursors = BTreeMap<(Arc<str>, bool), Cursor>;

/// A CiliumPodIPPool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolRow {
    /// Its ranges of each family that it has.
    pub families: Vec<Pool>,
    /// Why it has less than its object says.
    pub error: String,
}

/// The row of an object.
pub fn pool_row(of: &CiliumPodIPPool) -> PoolRow {
    let mut row = PoolRow::default();
    for (ranges, is_ipv4) in [(&of.spec.ipv4, true), (&of.spec.ipv6, false)] {
        match ranges.as_ref().map(|ranges| read(ranges, is_ipv4)) {
            None => {}
            Some(Ok(pool)) => row.families.push(pool),
            Some(Err(error)) => row.error = error,
        }
    }
    row
}

fn read(ranges: &PoolRanges, is_ipv4: bool) -> Result<Pool, String> {
    let mut cidrs: Vec<IpNet> = Vec::new();
    for text in &ranges.cidrs {
        match text.parse::<IpNet>() {
            Ok(cidr) if cidr.addr().is_ipv4() == is_ipv4 => cidrs.push(cidr),
            _ => return Err(format!("{text:?} is not a prefix of the family")),
        }
    }
    Pool::new(&cidrs, ranges.mask_size).map_err(|error| error.to_string())
}

/// What a node asks of pools, and has of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePools {
    /// Pool → addresses needed, of IPv4 and of IPv6.
    pub requested: BTreeMap<Arc<str>, (u128, u128)>,
    /// Pool → ranges.
    pub allocated: BTreeMap<Arc<str>, Vec<IpNet>>,
}

impl NodePools {
    /// Of an object; texts that are no ranges come into `unreadable`.
    pub(super) fn read(of: Option<&IpamPools>, unreadable: &mut Vec<String>) -> Self {
        let mut pools = Self::default();
        let Some(of) = of else {
            return pools;
        };
        let number = |of: i64| u128::try_from(of).unwrap_or_default();
        for wish in &of.requested {
            let needed = (
                number(wish.needed.ipv4_addrs),
                number(wish.needed.ipv6_addrs),
            );
            pools.requested.insert(wish.pool.as_str().into(), needed);
        }
        for given in &of.allocated {
            let ranges = pools
                .allocated
                .entry(given.pool.as_str().into())
                .or_default();
            for text in &given.cidrs {
                match text.parse::<IpNet>() {
                    Ok(cidr) => ranges.push(cidr.trunc()),
                    Err(_) => unreadable.push(text.clone()),
                }
            }
        }
        pools
    }

    fn ranges(&self) -> impl Iterator<Item = (&Arc<str>, &IpNet)> {
        let all = self.allocated.iter();
        all.flat_map(|(pool, ranges)| ranges.iter().map(move |range| (pool, range)))
    }
}

/// Addresses of a range that pods can have: not the network's own, and in IPv4 not the broadcast address. Ranges of one or
/// two addresses have neither (RFC 3021, RFC 6164).
pub(super) fn usable(range: &IpNet) -> u128 {
    let span = last_of(range) - first_of(range);
    match range {
        _ if span < 2 => span + 1,
        IpNet::V4(_) => span - 1,
        IpNet::V6(_) => span,
    }
}

struct Planner<'a> {
    pools: &'a BTreeMap<Arc<str>, PoolRow>,
    cursors: &'a mut PoolCursors,
    /// Of all pools: they may overlap, what nodes have must not.
    taken: (Ranges, Ranges),
    faults: BTreeMap<Arc<str>, BTreeSet<String>>,
    plan: Plan,
}

/// Decides, like [`super::plan`]: what nodes have is theirs, and what is claimed is the claimant's.
pub fn plan_pools<'a>(
    pools: &BTreeMap<Arc<str>, PoolRow>,
    nodes: impl Iterator<Item = (&'a Arc<str>, &'a NodeRow)>,
    claims: &Claims,
    cursors: &mut PoolCursors,
) -> Plan {
    let mut nodes: Vec<(&Arc<str>, &NodeRow)> = nodes.collect();
    nodes.sort_by(|(name, row), (other, of)| (&row.created, name).cmp(&(&of.created, other)));
    let mut planner = Planner {
        pools,
        cursors,
        taken: <(Ranges, Ranges)>::default(),
        faults: BTreeMap::new(),
        plan: Plan::default(),
    };
    for (name, row) in &nodes {
        planner.take_over(name, row);
    }
    for claim in claims.values() {
        for range in claim.ranges() {
            planner.taken_of(range).take(range, &claim.node);
        }
    }
    for (name, row) in nodes.into_iter().filter(|(_, row)| !row.ignored) {
        match claims.get(name) {
            Some(claim) => planner.plan.assign.push(claim.clone()),
            None => planner.complete(name, row),
        }
    }
    planner.finish()
}

impl Planner<'_> {
    fn taken_of(&mut self, range: &IpNet) -> &mut Ranges {
        if range.addr().is_ipv4() {
            &mut self.taken.0
        } else {
            &mut self.taken.1
        }
    }

    fn fault(&mut self, node: &Arc<str>, fault: String) {
        self.faults
            .entry(Arc::clone(node))
            .or_default()
            .insert(fault);
    }

    /// What a node has becomes taken.
    fn take_over(&mut self, name: &Arc<str>, row: &NodeRow) {
        if !row.ignored {
            for text in &row.unreadable {
                self.fault(name, format!("{text:?} is not a prefix"));
            }
        }
        for (pool, range) in row.pools.ranges() {
            let owner = self.taken_of(range).owner(range);
            let stranger = owner.filter(|(_, owner)| *owner != name);
            let stranger = stranger.map(|(other, owner)| (other, Arc::clone(owner)));
            let known = self.pools.get(pool);
            let strange = known.is_some_and(|of| !of.families.iter().any(|of| of.contains(range)));
            match stranger {
                _ if row.ignored => {}
                Some((other, owner)) => {
                    self.fault(
                        name,
                        format!("{range} overlaps with {other} of node {owner}"),
                    );
                }
                None if strange => self.fault(name, format!("{range} is not in pool {pool}")),
                None => self.plan.used = self.plan.used.saturating_add(usable(range)),
            }
            self.taken_of(range).take(range, name);
        }
    }

    /// Gives a node what it lacks, of each pool and family.
    fn complete(&mut self, name: &Arc<str>, row: &NodeRow) {
        if !row.unreadable.is_empty() {
            return;
        }
        let mut allocated = row.pools.allocated.clone();
        let (mut given, mut lacks) = (0, false);
        for (pool, needed) in &row.pools.requested {
            for (is_ipv4, needed) in [(true, needed.0), (false, needed.1)] {
                let of_family = |range: &&IpNet| range.addr().is_ipv4() == is_ipv4;
                let has = allocated.get(pool).into_iter().flatten().filter(of_family);
                let mut has = has.map(usable).fold(0, u128::saturating_add);
                self.plan.needed = self.plan.needed.saturating_add(needed.saturating_sub(has));
                lacks |= has < needed;
                while has < needed && given < AT_ONCE {
                    match self.next(pool, is_ipv4) {
                        Ok(range) => {
                            self.taken_of(&range).take(&range, name);
                            has = has.saturating_add(usable(&range));
                            allocated.entry(Arc::clone(pool)).or_default().push(range);
                            given += 1;
                        }
                        Err(fault) => {
                            self.fault(name, fault);
                            break;
                        }
                    }
                }
            }
        }
        self.plan.lacking += usize::from(lacks);
        if given > 0 {
            self.plan.assign.push(Claim {
                node: Arc::clone(name),
                uid: row.uid.to_string(),
                version: row.version.to_string(),
                cidrs: Vec::new(),
                pools: allocated,
            });
        }
    }

    fn next(&mut self, name: &Arc<str>, is_ipv4: bool) -> Result<IpNet, String> {
        let family = if is_ipv4 { "IPv4" } else { "IPv6" };
        let row = self.pools.get(name);
        let row = row.ok_or_else(|| format!("there is no pool {name}"))?;
        let pool = row.families.iter().find(|pool| pool.is_ipv4() == is_ipv4);
        let pool = pool.ok_or_else(|| match row.error.as_str() {
            "" => format!("pool {name} has no {family} addresses"),
            error => format!("pool {name}: {error}"),
        })?;
        let taken = if is_ipv4 {
            &self.taken.0
        } else {
            &self.taken.1
        };
        let cursor = self.cursors.entry((Arc::clone(name), is_ipv4)).or_default();
        let free = pool.next_free(taken, cursor);
        free.ok_or_else(|| format!("no {family} range is free in pool {name}"))
    }

    fn finish(self) -> Plan {
        let mut plan = self.plan;
        let text = |faults: BTreeSet<String>| Vec::from_iter(faults).join("; ");
        let faults = self.faults.into_iter();
        plan.errors = faults.map(|(node, faults)| (node, text(faults))).collect();
        let sizes = self.pools.values().flat_map(|pool| &pool.families);
        let size = sizes.map(Pool::size).fold(0, u128::saturating_add);
        plan.free = size.saturating_sub(plan.used);
        plan
    }
}

#[cfg(test)]
mod tests;
