//! The selectors in use, each once, found from a label set through one label that they need.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use super::{LabelSelector, Operator, Requirement};
use crate::labels::LabelSet;

/// Number of a selector while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectorId(pub u32);

#[derive(Clone, Debug)]
struct Entry {
    selector: LabelSelector,
    users: usize,
}

/// The selectors that cannot match without a certain key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Anchored {
    exists: Vec<SelectorId>,
    values: OrdMap<Arc<str>, Vec<SelectorId>>,
}

/// Selectors, deduplicated and counted, indexed by a label that each of them needs.
///
/// A lookup visits the selectors anchored at the labels of the set, and those that need no label at all (such as
/// `app notin (web)` alone); not all of them. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct SelectorIndex {
    entries: OrdMap<SelectorId, Entry>,
    ids: HashMap<LabelSelector, SelectorId>,
    anchors: HashMap<Arc<str>, Anchored>,
    loose: Vec<SelectorId>,
    next: u32,
}

/// The requirement through which a selector is found: a value if there is one, else a key.
fn anchor(selector: &LabelSelector) -> Option<&Requirement> {
    let narrow =
        selector
            .requirements()
            .iter()
            .filter_map(|requirement| match &requirement.operator {
                Operator::In(values) => Some((values.len(), requirement)),
                _ => None,
            });
    let narrow = narrow
        .min_by_key(|(values, _)| *values)
        .map(|(_, requirement)| requirement);
    let exists = || {
        selector
            .requirements()
            .iter()
            .find(|requirement| requirement.operator == Operator::Exists)
    };
    narrow.or_else(exists)
}

impl SelectorIndex {
    /// How many different selectors are in use.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A selector by its number.
    pub fn get(&self, id: SelectorId) -> Option<&LabelSelector> {
        self.entries.get(&id).map(|entry| &entry.selector)
    }

    /// The selectors in use, with the number of their users.
    pub fn iter(&self) -> impl Iterator<Item = (SelectorId, &LabelSelector, usize)> {
        self.entries
            .iter()
            .map(|(id, entry)| (*id, &entry.selector, entry.users))
    }

    /// Takes a selector into use; the flag says whether it is new.
    pub fn acquire(&mut self, selector: &LabelSelector) -> (SelectorId, bool) {
        if let Some(id) = self.ids.get(selector).copied() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.users += 1;
            }
            return (id, false);
        }
        let id = self.free_number();
        self.entries.insert(
            id,
            Entry {
                selector: selector.clone(),
                users: 1,
            },
        );
        self.ids.insert(selector.clone(), id);
        self.anchor_lists(selector, |list| list.push(id));
        (id, true)
    }

    /// Gives a use of a selector back; the last one removes it.
    pub fn release(&mut self, id: SelectorId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let selector = entry.selector.clone();
        self.entries.remove(&id);
        self.ids.remove(&selector);
        self.anchor_lists(&selector, |list| list.retain(|other| *other != id));
        if let Some(requirement) = anchor(&selector) {
            let empty =
                |anchored: &Anchored| anchored.exists.is_empty() && anchored.values.is_empty();
            if self.anchors.get(&requirement.key.key).is_some_and(empty) {
                self.anchors.remove(&requirement.key.key);
            }
        }
    }

    fn free_number(&mut self) -> SelectorId {
        loop {
            let id = SelectorId(self.next);
            self.next = self.next.wrapping_add(1);
            if !self.entries.contains_key(&id) {
                return id;
            }
        }
    }

    fn anchor_lists(
        &mut self,
        selector: &LabelSelector,
        mut change: impl FnMut(&mut Vec<SelectorId>),
    ) {
        let Some(requirement) = anchor(selector) else {
            return change(&mut self.loose);
        };
        let anchored = self.anchors.entry(requirement.key.key.clone()).or_default();
        let Operator::In(values) = &requirement.operator else {
            return change(&mut anchored.exists);
        };
        for value in values {
            let mut list = anchored.values.get(value).cloned().unwrap_or_default();
            change(&mut list);
            if list.is_empty() {
                anchored.values.remove(value);
            } else {
                anchored.values.insert(value.clone(), list);
            }
        }
    }

    /// The selectors that match a label set, in order of their numbers.
    pub fn matching(&self, labels: &LabelSet) -> Vec<SelectorId> {
        let mut candidates = self.loose.clone();
        for label in labels {
            if let Some(anchored) = self.anchors.get(&label.key) {
                candidates.extend(&anchored.exists);
                candidates.extend(anchored.values.get(&label.value).into_iter().flatten());
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|id| {
            self.get(*id)
                .is_some_and(|selector| selector.matches(labels))
        });
        candidates
    }
}
