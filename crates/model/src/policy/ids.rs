//! Rule ids: the numbers that verdicts carry, and what each of them stands for.

use std::fmt;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use super::rule::{Action, Direction, ObjectKey};
use crate::labels::Label;

/// Number of a rule on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

impl RuleId {
    /// No rule: nothing is enforced, or nothing forbids it.
    pub const NONE: Self = Self(0);
    /// The node's own traffic to its pods.
    pub const LOCALHOST: Self = Self(1);
    /// Health probes of and by the health endpoint.
    pub const HEALTH: Self = Self(2);
    /// Default deny because `enable-policy` is `always`.
    pub const MODE_ALWAYS: Self = Self(3);
    /// Default deny because the endpoint has no labels yet.
    pub const INIT: Self = Self(4);
    /// Everything is denied because the rows of the policy do not fit.
    pub const LOCKDOWN: Self = Self(5);
    /// First number of a rule from an object.
    pub const FIRST: Self = Self(16);
}

/// What a rule id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A rule of an object.
    Rule {
        /// Which object.
        object: ObjectKey,
        /// metadata.uid of it.
        uid: Arc<str>,
        /// Field path of the rule, as `spec.ingress[0]`.
        path: Arc<str>,
        /// Direction.
        direction: Direction,
        /// What it does.
        action: Action,
        /// Labels of the rule.
        labels: Arc<[Label]>,
        /// Its policy log text.
        log: Arc<str>,
    },
    /// No rule allowed it, and these policies say that then it is denied.
    DefaultDeny {
        /// Direction.
        direction: Direction,
        /// In order.
        policies: Arc<[ObjectKey]>,
    },
    /// One of the constants of [`RuleId`], with a sentence.
    Fixed(&'static str),
}

/// One sentence for people: which rule of which object, or why by default.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { object, path, .. } => write!(f, "{object} {path}"),
            Self::DefaultDeny {
                direction,
                policies,
            } => {
                write!(f, "default deny for {direction}, because of ")?;
                for (at, policy) in policies.iter().enumerate() {
                    write!(f, "{}{policy}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Fixed(text) => f.write_str(text),
        }
    }
}

/// What makes two rules the same rule over time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Rule(ObjectKey, Arc<str>, Arc<str>),
    DefaultDeny(Direction, Arc<[ObjectKey]>),
}

fn name(origin: &Origin) -> Option<Name> {
    match origin {
        Origin::Rule {
            object, uid, path, ..
        } => Some(Name::Rule(object.clone(), uid.clone(), path.clone())),
        Origin::DefaultDeny {
            direction,
            policies,
        } => Some(Name::DefaultDeny(*direction, policies.clone())),
        Origin::Fixed(_) => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Active,
    Retired,
}

/// The table of rule ids.
///
/// A rule keeps its id as long as its object, uid and field path live. An id that is no longer active is *retired*: it
/// can still be looked up, since connections and records may hold it, and is not given to another rule before
/// [`RuleIds::release`] says that nothing holds it any more. Clones share their content.
#[derive(Clone, Debug)]
pub struct RuleIds {
    origins: OrdMap<RuleId, (Arc<Origin>, Use)>,
    ids: HashMap<Name, RuleId>,
    next: u32,
}

impl Default for RuleIds {
    fn default() -> Self {
        let fixed = [
            (RuleId::NONE, "no policy enforces anything here"),
            (
                RuleId::LOCALHOST,
                "the node's own traffic to its pods is always allowed",
            ),
            (
                RuleId::HEALTH,
                "health probes between nodes are always allowed",
            ),
            (
                RuleId::MODE_ALWAYS,
                "default deny, because enable-policy is always",
            ),
            (
                RuleId::INIT,
                "default deny, because the endpoint has no labels yet",
            ),
            (
                RuleId::LOCKDOWN,
                "everything is denied, because the policy has more rows than its quota",
            ),
        ];
        let fixed = fixed
            .into_iter()
            .map(|(id, text)| (id, (Arc::new(Origin::Fixed(text)), Use::Active)));
        Self {
            origins: fixed.collect(),
            ids: HashMap::new(),
            next: RuleId::FIRST.0,
        }
    }
}

impl RuleIds {
    /// What an id stands for, or stood for if it is retired.
    pub fn get(&self, id: RuleId) -> Option<&Arc<Origin>> {
        self.origins.get(&id).map(|(origin, _)| origin)
    }

    /// All ids in order, retired ones included.
    pub fn iter(&self) -> impl Iterator<Item = (RuleId, &Arc<Origin>)> {
        self.origins.iter().map(|(id, (origin, _))| (*id, origin))
    }

    /// Ids that are not active any more and wait for [`RuleIds::release`].
    pub fn retired(&self) -> impl Iterator<Item = RuleId> {
        self.origins
            .iter()
            .filter(|(_, (_, used))| *used == Use::Retired)
            .map(|(id, _)| *id)
    }

    /// The id of a rule: the one it has or had, else a free one; and whether the table says something new by it.
    pub(crate) fn activate(&mut self, origin: Origin) -> (RuleId, bool) {
        let Some(name) = name(&origin) else {
            return (RuleId::NONE, false);
        };
        let id = self
            .ids
            .get(&name)
            .copied()
            .unwrap_or_else(|| self.free_number());
        if self
            .origins
            .get(&id)
            .is_some_and(|(known, used)| *used == Use::Active && **known == origin)
        {
            return (id, false);
        }
        self.ids.insert(name, id);
        self.origins.insert(id, (Arc::new(origin), Use::Active));
        (id, true)
    }

    pub(crate) fn retire(&mut self, id: RuleId) {
        if let Some((_, used)) = self.origins.get_mut(&id).filter(|_| id >= RuleId::FIRST) {
            *used = Use::Retired;
        }
    }

    /// Says that no connection and no record holds a retired id any more. An active id stays.
    pub fn release(&mut self, id: RuleId) {
        if let Some((origin, Use::Retired)) = self.origins.get(&id) {
            if let Some(name) = name(origin) {
                self.ids.remove(&name);
            }
            self.origins.remove(&id);
        }
    }

    /// Keeps numbers out of use that were found in the kernel at start; they are retired, of unknown meaning.
    pub fn hold(&mut self, found: impl IntoIterator<Item = RuleId>) {
        for id in found.into_iter().filter(|id| *id >= RuleId::FIRST) {
            if !self.origins.contains_key(&id) {
                let unknown = Arc::new(Origin::Fixed("a rule from before the agent started"));
                self.origins.insert(id, (unknown, Use::Retired));
            }
        }
    }

    fn free_number(&mut self) -> RuleId {
        loop {
            let id = RuleId(self.next);
            self.next = self.next.checked_add(1).unwrap_or(RuleId::FIRST.0);
            if !self.origins.contains_key(&id) {
                return id;
            }
        }
    }
}
