//! Who gets which range, and what is wrong with those that nodes have.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::keep::NodeRow;
use super::pool::{Cursor, Pool};
use super::ranges::Ranges;
use super::{Claim, Claims};

/// Where the search of each pool goes on.
pub type Cursors = Vec<Cursor>;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ranges to claim and write, the oldest node first.
    pub assign: Vec<Claim>,
    /// What is wrong with a node's ranges; nodes that are not named are fine.
    pub errors: BTreeMap<Arc<str>, String>,
    /// Nodes that lack a range.
    pub lacking: usize,
    /// Addresses in ranges that nodes have.
    pub used: u128,
    /// Addresses that no node has.
    pub free: u128,
    /// Addresses in ranges that nodes lack.
    pub needed: u128,
}

/// One family.
struct Family<'a> {
    pool: &'a Pool,
    taken: Ranges,
}

/// Decides. `claims` are those of which it is not known yet whether they were written.
///
/// What nodes have is theirs, also where it lies outside of the pools. Of two that have addresses in common the older object
/// keeps them without an error, and neither is changed: which of them has pods with these addresses, nobody here knows.
pub fn plan<'a>(
    pools: &[Pool],
    nodes: impl Iterator<Item = (&'a Arc<str>, &'a NodeRow)>,
    claims: &Claims,
    cursors: &mut Cursors,
) -> Plan {
    let mut nodes: Vec<(&Arc<str>, &NodeRow)> = nodes.collect();
    nodes.sort_by(|(name, row), (other, of)| (&row.created, name).cmp(&(&of.created, other)));
    let mut families: Vec<Family> = pools
        .iter()
        .map(|pool| Family {
            pool,
            taken: Ranges::default(),
        })
        .collect();
    let mut plan = Plan::default();
    for (name, row) in &nodes {
        let faults = take_over(&mut families, &mut plan, name, row);
        if !faults.is_empty() && !row.ignored {
            plan.errors.insert(Arc::clone(name), faults.join("; "));
        }
    }
    for claim in claims.values() {
        for cidr in claim.ranges() {
            if let Some(family) = family_of(&mut families, cidr) {
                family.taken.take(cidr, &claim.node);
            }
        }
    }
    cursors.resize(pools.len(), Cursor::default());
    for (name, row) in nodes.into_iter().filter(|(_, row)| !row.ignored) {
        if let Some(claim) = claims.get(name) {
            plan.assign.push(claim.clone());
            continue;
        }
        if let Some(cidrs) = complete(&mut families, &mut plan, cursors, name, row) {
            plan.assign.push(Claim {
                node: Arc::clone(name),
                uid: row.uid.to_string(),
                version: row.version.to_string(),
                cidrs,
                pools: BTreeMap::new(),
            });
        }
    }
    let size = pools
        .iter()
        .fold(0, |sum: u128, pool| sum.saturating_add(pool.size()));
    plan.free = size.saturating_sub(plan.used);
    plan
}

fn family_of<'a, 'b>(families: &'a mut [Family<'b>], cidr: &IpNet) -> Option<&'a mut Family<'b>> {
    let is_ipv4 = cidr.addr().is_ipv4();
    families.iter_mut().find(|of| of.pool.is_ipv4() == is_ipv4)
}

/// What a node has becomes taken; gives what is wrong with it.
fn take_over(
    families: &mut [Family],
    plan: &mut Plan,
    name: &Arc<str>,
    row: &NodeRow,
) -> Vec<String> {
    let mut faults: Vec<String> = row
        .unreadable
        .iter()
        .map(|text| format!("{text:?} is not a prefix"))
        .collect();
    for cidr in &row.cidrs {
        let Some(family) = family_of(families, cidr) else {
            continue;
        };
        match family.taken.owner(cidr) {
            Some((_, owner)) if owner == name => {}
            Some((range, owner)) if range == *cidr => {
                faults.push(format!("{cidr} is the range of node {owner}"));
            }
            Some((range, owner)) => {
                faults.push(format!("{cidr} overlaps with {range} of node {owner}"));
            }
            None if !family.pool.contains(cidr) => {
                let pool: Vec<String> = family
                    .pool
                    .cidrs()
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                faults.push(format!(
                    "{cidr} is not in the cluster's pool {}",
                    pool.join(",")
                ));
            }
            None => {
                let size = super::ranges::last_of(cidr) - super::ranges::first_of(cidr);
                plan.used = plan.used.saturating_add(size.saturating_add(1));
            }
        }
        family.taken.take(cidr, name);
    }
    faults
}

/// The ranges that a node should have, if it lacks one that there is; IPv4 comes first.
fn complete(
    families: &mut [Family],
    plan: &mut Plan,
    cursors: &mut Cursors,
    name: &Arc<str>,
    row: &NodeRow,
) -> Option<Vec<IpNet>> {
    if !row.unreadable.is_empty() {
        return None;
    }
    let mut cidrs = row.cidrs.clone();
    let mut lacks = false;
    for (family, cursor) in families.iter_mut().zip(cursors) {
        let is_ipv4 = family.pool.is_ipv4();
        if row
            .cidrs
            .iter()
            .any(|cidr| cidr.addr().is_ipv4() == is_ipv4)
        {
            continue;
        }
        lacks = true;
        plan.needed = plan.needed.saturating_add(family.pool.range_size());
        if let Some(range) = family.pool.next_free(&family.taken, cursor) {
            family.taken.take(&range, name);
            cidrs.push(range);
        } else {
            let pool: Vec<String> = family
                .pool
                .cidrs()
                .iter()
                .map(ToString::to_string)
                .collect();
            let fault = format!("no range is free in the cluster's pool {}", pool.join(","));
            let errors = plan.errors.entry(Arc::clone(name)).or_default();
            if !errors.is_empty() {
                errors.push_str("; ");
            }
            errors.push_str(&fault);
        }
    }
    plan.lacking += usize::from(lacks);
    cidrs.sort_by_key(|cidr| !cidr.addr().is_ipv4());
    (cidrs.len() > row.cidrs.len()).then_some(cidrs)
}
