//! Parts: the peer lists of rules, each different list once, and which peers match which of them.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use super::cidr::{CidrIndex, CidrSelector, Cover};
use super::rule::NamedPorts;
use crate::labels::LabelSet;
use crate::selector::{LabelSelector, SelectorId, SelectorIndex};

/// Number of a peer list while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartId(pub(crate) u32);

/// The peers of a rule after groups are expanded: sorted, without duplicates; with nothing in it, it is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PeerList {
    pub(crate) labels: Vec<LabelSelector>,
    pub(crate) cidrs: Vec<CidrSelector>,
}

impl PeerList {
    pub(crate) fn matches(&self, facts: &PeerFacts) -> bool {
        self.labels
            .iter()
            .any(|selector| selector.matches(&facts.labels))
            || facts
                .cover
                .selectors()
                .iter()
                .any(|cidr| self.cidrs.binary_search(cidr).is_ok())
    }
}

/// What policies need to know of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// Labels of its identity.
    pub labels: LabelSet,
    /// The CIDR selectors that cover its addresses, as they were when it got its number.
    pub cover: Cover,
    /// Named ports of its pods, for egress rules that name ports.
    pub named_ports: NamedPorts,
}

#[derive(Clone, Debug)]
struct Entry {
    list: Arc<PeerList>,
    selectors: Arc<[SelectorId]>,
    users: usize,
}

/// All peer lists in use. Clones share their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    entries: OrdMap<PartId, Entry>,
    ids: HashMap<Arc<PeerList>, PartId>,
    by_selector: HashMap<SelectorId, Vec<PartId>>,
    by_cidr: HashMap<CidrSelector, Vec<PartId>>,
    pub(crate) selectors: SelectorIndex,
    pub(crate) cidrs: CidrIndex,
    next: u32,
}

/// What taking a list into use, or giving it back, changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Nothing,
    /// The list came or went.
    List,
    /// The list came or went, and with it a CIDR selector.
    ListAndCidrs,
}

impl Parts {
    pub(crate) fn get(&self, id: PartId) -> Option<&Arc<PeerList>> {
        self.entries.get(&id).map(|entry| &entry.list)
    }

    pub(crate) fn acquire(&mut self, list: PeerList) -> (PartId, Changed) {
        if let Some(id) = self.ids.get(&list).copied() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.users += 1;
            }
            return (id, Changed::Nothing);
        }
        let id = loop {
            let id = PartId(self.next);
            self.next = self.next.wrapping_add(1);
            if !self.entries.contains_key(&id) {
                break id;
            }
        };
        let list = Arc::new(list);
        let selectors: Arc<[SelectorId]> = list
            .labels
            .iter()
            .map(|s| self.selectors.acquire(s).0)
            .collect();
        for selector in selectors.iter() {
            self.by_selector.entry(*selector).or_default().push(id);
        }
        let mut changed = Changed::List;
        for cidr in &list.cidrs {
            if self.cidrs.acquire(cidr) {
                changed = Changed::ListAndCidrs;
            }
            self.by_cidr.entry(cidr.clone()).or_default().push(id);
        }
        self.entries.insert(
            id,
            Entry {
                list: list.clone(),
                selectors,
                users: 1,
            },
        );
        self.ids.insert(list, id);
        (id, changed)
    }

    pub(crate) fn release(&mut self, id: PartId) -> Changed {
        let Some(entry) = self.entries.get_mut(&id) else {
            return Changed::Nothing;
        };
        entry.users -= 1;
        if entry.users > 0 {
            return Changed::Nothing;
        }
        let Entry {
            list, selectors, ..
        } = entry.clone();
        self.entries.remove(&id);
        self.ids.remove(&list);
        for selector in selectors.iter() {
            drop_from(&mut self.by_selector, selector, id);
            self.selectors.release(*selector);
        }
        let mut changed = Changed::List;
        for cidr in &list.cidrs {
            drop_from(&mut self.by_cidr, cidr, id);
            if self.cidrs.release(cidr) {
                changed = Changed::ListAndCidrs;
            }
        }
        changed
    }

    /// The lists that a peer is on, in order of their numbers.
    pub(crate) fn matching(&self, facts: &PeerFacts) -> Arc<[PartId]> {
        let by_labels = self.selectors.matching(&facts.labels);
        let by_labels = by_labels
            .iter()
            .filter_map(|selector| self.by_selector.get(selector));
        let by_cidrs = facts
            .cover
            .selectors()
            .iter()
            .filter_map(|cidr| self.by_cidr.get(cidr));
        let mut parts: Vec<PartId> = by_labels.chain(by_cidrs).flatten().copied().collect();
        parts.sort_unstable();
        parts.dedup();
        parts.into()
    }
}

fn drop_from<K>(lists: &mut HashMap<K, Vec<PartId>>, key: &K, id: PartId)
where
    K: std::hash::Hash + Eq + Clone,
{
    if let Some(list) = lists.get_mut(key) {
        list.retain(|other| *other != id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}
