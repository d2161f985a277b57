//! CIDR selectors: which addresses they cover, and into which prefixes they cut the address space.
//!
//! A policy never looks at an address: addresses become peers in the ipcache, and a peer carries its [`Cover`], the set
//! of CIDR selectors that cover its addresses. Two addresses of one identity with different covers are two peers.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};
use ipnet::IpNet;

/// Whose addresses a CIDR selector matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Only what the cluster does not manage: Cilium's CIDR rules.
    World,
    /// Nodes too: Cilium's CIDR rules with `policy-cidr-match-mode=nodes`.
    WorldAndNodes,
    /// Pods and nodes too: the ipBlock of a NetworkPolicy.
    Everything,
}

/// Whose address it is that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Nobody we know.
    World,
    /// A node, this one included.
    Node,
    /// A pod, or anything else that the cluster manages.
    Pod,
}

impl Reach {
    /// Whether an owner's addresses can match.
    pub fn includes(self, owner: Owner) -> bool {
        match owner {
            Owner::World => true,
            Owner::Node => self != Self::World,
            Owner::Pod => self == Self::Everything,
        }
    }
}

/// A prefix less some exceptions. The prefixes have no host bits, the exceptions lie inside and are sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrSelector {
    net: IpNet,
    except: Arc<[IpNet]>,
    reach: Reach,
}

impl CidrSelector {
    /// A selector. Exceptions beside the prefix except nothing and are left out; one around it excepts all of it, which
    /// happens when a group's member lies inside an exception.
    pub fn new(net: IpNet, except: impl IntoIterator<Item = IpNet>, reach: Reach) -> Self {
        let net = net.trunc();
        let overlap = |except: IpNet| {
            let except = except.trunc();
            if except.contains(&net) {
                Some(net)
            } else {
                net.contains(&except).then_some(except)
            }
        };
        let mut inside: Vec<IpNet> = except.into_iter().filter_map(overlap).collect();
        inside.sort_unstable();
        inside.dedup();
        Self {
            net,
            except: inside.into(),
            reach,
        }
    }

    /// The prefix.
    pub fn net(&self) -> IpNet {
        self.net
    }

    /// What is left out of it.
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// Whose addresses it matches.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Whether an address of that owner is covered.
    pub fn covers(&self, address: IpAddr, owner: Owner) -> bool {
        self.reach.includes(owner)
            && self.net.contains(&address)
            && !self.except.iter().any(|e| e.contains(&address))
    }

    /// Whether a whole prefix of the world is covered: it lies inside, and not inside an exception.
    ///
    /// Exceptions *inside* the prefix do not count: they are prefixes of their own in the partition.
    pub fn covers_prefix(&self, prefix: &IpNet) -> bool {
        self.net.contains(prefix) && !self.except.iter().any(|e| e.contains(prefix))
    }
}

/// `10.0.0.0/8` or `10.0.0.0/8 except 10.1.0.0/16`.
impl fmt::Display for CidrSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.net)?;
        for (at, except) in self.except.iter().enumerate() {
            write!(f, "{}{except}", if at == 0 { " except " } else { ", " })?;
        }
        Ok(())
    }
}

/// The set of CIDR selectors that cover an address: sorted, shared, compared by content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cover(Arc<[CidrSelector]>);

impl Ord for Cover {
    /// Most that are compared are one and the same, of as many selectors as there are policies with prefixes.
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            Ordering::Equal
        } else {
            self.0.cmp(&other.0)
        }
    }
}

impl PartialOrd for Cover {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Cover {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl FromIterator<CidrSelector> for Cover {
    fn from_iter<I: IntoIterator<Item = CidrSelector>>(selectors: I) -> Self {
        let mut sorted: Vec<CidrSelector> = selectors.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self(sorted.into())
    }
}

impl Cover {
    /// The selectors, sorted.
    pub fn selectors(&self) -> &[CidrSelector] {
        &self.0
    }

    /// Whether nothing covers it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a selector is in the set.
    pub fn contains(&self, selector: &CidrSelector) -> bool {
        self.0.binary_search(selector).is_ok()
    }
}

/// The CIDR selectors in use, found by address. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct CidrIndex {
    users: OrdMap<CidrSelector, usize>,
    by_net: HashMap<IpNet, OrdSet<CidrSelector>>,
    /// Every prefix that a selector or an exception names, and how many do.
    named: OrdMap<IpNet, usize>,
    /// How many named prefixes have a given length, per family: what has to be tried for an address.
    lengths: OrdMap<(Family, u8), usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

fn family(net: &IpNet) -> Family {
    match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

fn count_up<K: Ord + Clone>(counts: &mut OrdMap<K, usize>, key: K) -> usize {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count
}

fn count_down<K: Ord + Clone>(counts: &mut OrdMap<K, usize>, key: &K) -> usize {
    let left = counts.get(key).map_or(0, |count| count.saturating_sub(1));
    if left == 0 {
        counts.remove(key);
    } else {
        counts.insert(key.clone(), left);
    }
    left
}

impl CidrIndex {
    /// Takes a selector into use; true if it is new.
    pub fn acquire(&mut self, selector: &CidrSelector) -> bool {
        if count_up(&mut self.users, selector.clone()) > 1 {
            return false;
        }
        self.by_net
            .entry(selector.net)
            .or_default()
            .insert(selector.clone());
        for prefix in std::iter::once(&selector.net).chain(selector.except.iter()) {
            count_up(&mut self.named, *prefix);
            count_up(&mut self.lengths, (family(prefix), prefix.prefix_len()));
        }
        true
    }

    /// Gives a use back; true if it was the last.
    pub fn release(&mut self, selector: &CidrSelector) -> bool {
        if !self.users.contains_key(selector) || count_down(&mut self.users, selector) > 0 {
            return false;
        }
        if let Some(selectors) = self.by_net.get_mut(&selector.net) {
            selectors.remove(selector);
            if selectors.is_empty() {
                self.by_net.remove(&selector.net);
            }
        }
        for prefix in std::iter::once(&selector.net).chain(selector.except.iter()) {
            count_down(&mut self.named, prefix);
            count_down(&mut self.lengths, &(family(prefix), prefix.prefix_len()));
        }
        true
    }

    /// The selectors in use, with their users.
    pub fn iter(&self) -> impl Iterator<Item = (&CidrSelector, usize)> {
        self.users
            .iter()
            .map(|(selector, users)| (selector, *users))
    }

    /// The prefix and those around it that could be named, the widest first.
    fn around(&self, net: IpNet) -> impl DoubleEndedIterator<Item = IpNet> {
        let of_family = self
            .lengths
            .range((family(&net), 0)..=(family(&net), net.prefix_len()));
        of_family
            .filter_map(move |((_, length), _)| Some(IpNet::new(net.addr(), *length).ok()?.trunc()))
    }

    fn containing(&self, net: IpNet) -> impl Iterator<Item = &CidrSelector> {
        self.around(net)
            .filter_map(|wider| self.by_net.get(&wider))
            .flatten()
    }

    /// The prefix of the partition that a prefix lies in.
    fn cell(&self, net: IpNet) -> Option<IpNet> {
        let named = |wider: &IpNet| self.named.contains_key(wider);
        self.around(net).rev().find(named)
    }

    /// Which selectors cover an address of that owner.
    pub fn cover(&self, address: IpAddr, owner: Owner) -> Cover {
        let host = IpNet::from(address);
        self.containing(host)
            .filter(|selector| selector.covers(address, owner))
            .cloned()
            .collect()
    }

    /// Which selectors cover a prefix of the world; right for the prefixes of [`CidrIndex::partition`].
    pub fn cover_prefix(&self, prefix: &IpNet) -> Cover {
        self.containing(prefix.trunc())
            .filter(|selector| selector.covers_prefix(prefix))
            .cloned()
            .collect()
    }

    /// The prefixes into which the selectors cut the world, each with what covers it.
    ///
    /// An address belongs to the longest of them that contains it, or to none. A prefix may be covered by nothing: it
    /// is an exception, and has to be there to keep its addresses out of the wider one. Prefixes of length 0 are there
    /// too; their peer is the world's own identity of that family.
    pub fn partition(&self) -> BTreeMap<IpNet, Cover> {
        self.named
            .iter()
            .map(|(prefix, _)| (*prefix, self.cover_prefix(prefix)))
            .collect()
    }
}

/// Covers that were asked for, each once: all addresses of a prefix of the partition share theirs, which among many policies
/// with prefixes is the largest part of what is known of an address. To be cleared when a selector came or went.
#[derive(Clone, Debug, Default)]
pub struct Covers(HashMap<(IpNet, Owner), Cover>);

impl Covers {
    /// Which selectors cover a prefix of that owner.
    pub fn of(&mut self, index: &CidrIndex, net: IpNet, owner: Owner) -> Cover {
        let Some(cell) = index.cell(net.trunc()) else {
            return Cover::default();
        };
        let covers = || {
            let all = index.cover_prefix(&cell);
            let reaching = all.selectors().iter();
            let reaching = reaching.filter(|selector| selector.reach().includes(owner));
            reaching.cloned().collect()
        };
        self.0.entry((cell, owner)).or_insert_with(covers).clone()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests;
