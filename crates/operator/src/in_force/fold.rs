//! From what nodes tell to what is said of each policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::in_force::{Differ, Digest, Version};

/// Nodes that are named, at most.
const NAMED: usize = 10;

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// What it told last.
    Told {
        /// Digest of what is in force.
        digest: Arc<str>,
        /// Why something is not; may be empty.
        reason: Arc<str>,
    },
    /// It tells nothing: its agent is away, or does not know how to.
    Silent,
}

/// Whether a policy is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// On all nodes.
    True,
    /// Not on all of them.
    False,
    /// On all nodes that are known of.
    Unknown,
}

impl Status {
    /// The word of a condition's status.
    pub fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The word for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::True => "OnAllNodes",
            Self::False => "NotOnAllNodes",
            Self::Unknown => "NotKnownOfAllNodes",
        }
    }

    /// Reads a condition's status.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::True, Self::False, Self::Unknown];
        all.into_iter().find(|status| status.word() == word)
    }
}

/// What is said of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The condition's status.
    pub status: Status,
    /// Its message. While a policy is in force everywhere it does not depend on the number of nodes, so that a node more
    /// does not change all policies.
    pub message: String,
}

/// Nodes that lack a policy, and nodes of which it is not known.
#[derive(Clone, Debug, Default)]
struct Lacking<'a> {
    absent: Vec<(&'a str, &'a str)>,
    unknown: Vec<&'a str>,
}

/// What is to be said of policies (version and generation by key), by what all nodes tell.
pub fn fold<K: Ord + Clone>(
    policies: &BTreeMap<K, (Version, i64)>,
    nodes: &BTreeMap<Arc<str>, NodeState>,
) -> BTreeMap<K, Statement> {
    let own: Digest = policies.values().map(|(version, _)| *version).collect();
    let mut lacking: BTreeMap<&K, Lacking<'_>> = BTreeMap::new();
    let mut silent = Vec::new();
    // Most nodes tell the same.
    let mut differences: BTreeMap<&str, Option<Vec<(&K, Differ)>>> = BTreeMap::new();
    for (name, state) in nodes {
        let NodeState::Told { digest, reason } = state else {
            silent.push(&**name);
            continue;
        };
        let difference = differences.entry(digest).or_insert_with(|| {
            let difference = own.difference(&Digest::parse(digest)?);
            let differ = policies
                .iter()
                .map(|(key, (version, _))| (key, difference.by(*version)));
            Some(differ.filter(|(_, of)| *of != Differ::No).collect())
        });
        let Some(difference) = difference else {
            silent.push(name);
            continue;
        };
        for (key, differ) in difference {
            let lacking = lacking.entry(*key).or_default();
            match differ {
                Differ::Yes => lacking.absent.push((name, reason)),
                Differ::Perhaps | Differ::No => lacking.unknown.push(name),
            }
        }
    }
    let statements = policies.iter().map(|(key, (_, generation))| {
        let mut lacking = lacking.remove(key).unwrap_or_default();
        lacking.unknown.extend(&silent);
        lacking.unknown.sort_unstable();
        (key.clone(), statement(*generation, nodes.len(), &lacking))
    });
    statements.collect()
}

fn statement(generation: i64, nodes: usize, lacking: &Lacking<'_>) -> Statement {
    let (absent, unknown) = (&lacking.absent, &lacking.unknown);
    let status = match (absent.is_empty(), unknown.is_empty()) {
        (true, true) => Status::True,
        (false, _) => Status::False,
        (true, false) => Status::Unknown,
    };
    let mut parts = Vec::new();
    if status == Status::True {
        parts.push(format!("generation {generation} is in force on all nodes"));
    } else {
        let known = nodes - absent.len() - unknown.len();
        parts.push(format!(
            "generation {generation} is in force on {known} of {nodes} nodes"
        ));
    }
    if !absent.is_empty() {
        let names = absent.iter().map(|(name, reason)| match *reason {
            "" => (*name).to_owned(),
            reason => format!("{name} ({reason})"),
        });
        parts.push(format!("not on {}", listed(names, absent.len())));
    }
    if !unknown.is_empty() {
        let names = unknown.iter().map(|name| (*name).to_owned());
        parts.push(format!("not known of {}", listed(names, unknown.len())));
    }
    let message = parts.join("; ");
    Statement { status, message }
}

fn listed(names: impl Iterator<Item = String>, number: usize) -> String {
    let named: Vec<String> = names.take(NAMED).collect();
    let named = named.join(", ");
    match number.saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
