//! A plan: what to change so that the actual state becomes the desired one, as a value.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<K, V> {
    /// The key is missing.
    Create {
        /// The key.
        key: K,
        /// Its desired value.
        to: Arc<V>,
    },
    /// The key has another value, or one that is not known for sure after a failed step (`from` = `None`).
    Update {
        /// The key.
        key: K,
        /// Its last known value.
        from: Option<Arc<V>>,
        /// Its desired value.
        to: Arc<V>,
    },
    /// The key should not be there.
    Delete {
        /// The key.
        key: K,
        /// Its last known value; `None` after a failed step.
        from: Option<Arc<V>>,
    },
}

impl<K, V> Step<K, V> {
    /// The key this step is about.
    pub fn key(&self) -> &K {
        match self {
            Step::Create { key, .. } | Step::Update { key, .. } | Step::Delete { key, .. } => key,
        }
    }

    /// The value the key shall have afterwards.
    pub fn to(&self) -> Option<&Arc<V>> {
        match self {
            Step::Create { to, .. } | Step::Update { to, .. } => Some(to),
            Step::Delete { .. } => None,
        }
    }
}

impl<K: Debug, V: Debug> Display for Step<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create { key, to } => write!(f, "+ {key:?} {to:?}"),
            Step::Update {
                key,
                from: Some(from),
                to,
            } => write!(f, "~ {key:?} {from:?} -> {to:?}"),
            Step::Update {
                key,
                from: None,
                to,
            } => write!(f, "~ {key:?} ? -> {to:?}"),
            Step::Delete { key, .. } => write!(f, "- {key:?}"),
        }
    }
}

/// Steps in the order in which they are started: creations and updates first, deletions last (make before break).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<K, V> {
    /// The steps.
    pub steps: Vec<Step<K, V>>,
}

impl<K, V> Default for Plan<K, V> {
    fn default() -> Self {
        Self { steps: Vec::new() }
    }
}

impl<K: Debug, V: Debug> Display for Plan<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("nothing to do\n");
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// Whether what is not desired may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// The desired state is complete: the rest goes.
    Yes,
    /// The desired state is still being learnt: absent may mean unknown, so everything stays.
    NotYet,
}

/// What is known about a key in the real world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actual<'a, V> {
    /// It is not there.
    Absent,
    /// It has this value.
    Present(&'a Arc<V>),
    /// A step failed half-way: it may be there or not, with any value.
    Doubtful,
}

/// The step that one key needs, if any.
pub fn step<K: Clone, V: PartialEq>(
    key: &K,
    desired: Option<&Arc<V>>,
    actual: Actual<'_, V>,
    prune: Prune,
) -> Option<Step<K, V>> {
    let key = key.clone();
    match (desired, actual) {
        (Some(to), Actual::Absent) => Some(Step::Create {
            key,
            to: Arc::clone(to),
        }),
        (Some(to), Actual::Present(from)) if Arc::ptr_eq(to, from) || to == from => None,
        (Some(to), Actual::Present(from)) => Some(Step::Update {
            key,
            from: Some(Arc::clone(from)),
            to: Arc::clone(to),
        }),
        (Some(to), Actual::Doubtful) => Some(Step::Update {
            key,
            from: None,
            to: Arc::clone(to),
        }),
        (None, Actual::Absent) => None,
        (None, _) if prune == Prune::NotYet => None,
        (None, Actual::Present(from)) => Some(Step::Delete {
            key,
            from: Some(Arc::clone(from)),
        }),
        (None, Actual::Doubtful) => Some(Step::Delete { key, from: None }),
    }
}

/// The whole way from `actual` to `desired`.
pub fn diff<K: Ord + Clone, V: PartialEq>(
    desired: &BTreeMap<K, Arc<V>>,
    actual: &BTreeMap<K, Arc<V>>,
    prune: Prune,
) -> Plan<K, V> {
    let known = |key: &K| actual.get(key).map_or(Actual::Absent, Actual::Present);
    let puts = desired
        .iter()
        .filter_map(|(key, to)| step(key, Some(to), known(key), prune));
    let extra = actual.iter().filter(|(key, _)| !desired.contains_key(key));
    let deletes = extra.filter_map(|(key, from)| step(key, None, Actual::Present(from), prune));
    Plan {
        steps: puts.chain(deletes).collect(),
    }
}

#[cfg(test)]
mod tests;
