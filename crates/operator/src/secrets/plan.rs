//! What is to be done so that each wanted secret has its copy, and nobody else has one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::endpoint::PodName;

/// A secret, as far as a comparison goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    /// Identifier of the object.
    pub uid: Arc<str>,
    /// Version of the object.
    pub version: Arc<str>,
    /// Stands for what it holds.
    pub digest: u64,
    /// Of which secret it is a copy, as its labels say.
    pub owner: Option<PodName>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the copy of this name, in the namespace of copies, be what its secret is.
    Copy {
        /// Name of the copy.
        name: Arc<str>,
        /// The secret.
        of: PodName,
    },
    /// Remove the copy.
    Remove {
        /// Name of the copy.
        name: Arc<str>,
        /// The copy, as it was read.
        row: SecretRow,
    },
    /// Nothing can be done: somebody else has the name.
    Taken {
        /// Name of the copy.
        name: Arc<str>,
        /// The secret.
        of: PodName,
    },
}

/// The name of a secret's copy.
pub fn copy_name(of: &PodName) -> Arc<str> {
    format!("{}-{}", of.namespace, of.name).into()
}

/// The steps. `namespace` is that of the copies: what is in it already is not copied.
pub fn plan(
    wanted: &BTreeSet<PodName>,
    secrets: &BTreeMap<PodName, SecretRow>,
    namespace: &str,
) -> Vec<Step> {
    let copies: BTreeMap<&Arc<str>, &SecretRow> = secrets
        .iter()
        .filter(|(name, _)| *name.namespace == *namespace)
        .map(|(name, row)| (&name.name, row))
        .collect();
    let there: Vec<(Arc<str>, &PodName, &SecretRow)> = wanted
        .iter()
        .filter(|of| *of.namespace != *namespace)
        .filter_map(|of| Some((copy_name(of), of, secrets.get(of)?)))
        .collect();
    // Two names may lead to one copy: a-b/c and a/b-c. It stays whose it is, else it is the first one's.
    let mut owners: BTreeMap<&Arc<str>, &PodName> = BTreeMap::new();
    for (name, of, _) in &there {
        let owner = copies.get(name).and_then(|copy| copy.owner.as_ref());
        if owner == Some(*of) || !owners.contains_key(name) {
            owners.insert(name, of);
        }
    }
    let mut steps: Vec<Step> = there
        .iter()
        .filter_map(|(name, of, row)| {
            let (name, of) = (Arc::clone(name), (*of).clone());
            if owners.get(&name) != Some(&&of) {
                return Some(Step::Taken { name, of });
            }
            match copies.get(&name) {
                Some(copy) if copy.owner.is_none() => Some(Step::Taken { name, of }),
                Some(copy) if copy.owner.as_ref() == Some(&of) && copy.digest == row.digest => None,
                _ => Some(Step::Copy { name, of }),
            }
        })
        .collect();
    let left = copies
        .iter()
        .filter(|(name, copy)| copy.owner.is_some() && !owners.contains_key(*name));
    steps.extend(left.map(|(name, row)| Step::Remove {
        name: Arc::clone(name),
        row: (*row).clone(),
    }));
    steps
}
