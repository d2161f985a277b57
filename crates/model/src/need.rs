//! Which labels policies use, and how what is used changes without a wrong verdict in between.
//!
//! With identities by need, only labels that some policy looks at make an identity. A policy that looks at further ones waits
//! until all pods have identities with these; while it waits nothing in force looks at them, so endpoints move from their old
//! identities to the new ones without a change of any verdict. See docs/decisions/0014.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::labels::{CLUSTER, Label, LabelSet, NAMESPACE, Source};
use crate::policy::{Direction, ObjectKey, PeerTerm, Peers, PolicyObject, PortTerm, Ports};
use crate::selector::{KeySource, LabelSelector, SelectorKey};

/// Something that policies tell pods apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Used {
    /// Labels with this key.
    Label(SelectorKey),
    /// Ports with this name, to which pods give numbers of their own. Where identities share a number, a rule for the port
    /// would be one for the ports of all of them.
    Port(Arc<str>),
}

/// What an object tells pods apart by.
pub fn used_by(object: &PolicyObject) -> BTreeSet<Used> {
    let mut used = BTreeSet::new();
    for section in &object.sections {
        add(&mut used, section.subject.selector());
        for rule in &section.rules {
            if let Peers::Of(terms) = &rule.peers {
                for term in terms {
                    // Groups are selected by labels of their own.
                    if let PeerTerm::Labels(selector) = term {
                        add(&mut used, selector);
                    }
                }
            }
            // Those of a subject are looked up at the endpoint itself.
            if let (Direction::Egress, Ports::Of(terms)) = (rule.direction, &rule.ports) {
                used.extend(terms.iter().filter_map(|term| match term {
                    PortTerm::Named { name, .. } => Some(Used::Port(Arc::clone(name))),
                    PortTerm::Range { .. } => None,
                }));
            }
        }
    }
    used
}

fn add(used: &mut BTreeSet<Used>, selector: &LabelSelector) {
    let keys = selector.requirements().iter();
    used.extend(keys.map(|requirement| Used::Label(requirement.key.clone())));
}

/// Everything that pods are told apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse(BTreeSet<Used>);

impl FromIterator<Used> for InUse {
    fn from_iter<I: IntoIterator<Item = Used>>(used: I) -> Self {
        Self(used.into_iter().collect())
    }
}

impl InUse {
    /// All of it, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Used> {
        self.0.iter()
    }

    /// Whether all of `used` is among it.
    pub fn covers(&self, used: &BTreeSet<Used>) -> bool {
        used.is_subset(&self.0)
    }

    /// Whether a label is part of an identity. Namespace and cluster always are, and what is not of Kubernetes.
    fn keeps(&self, label: &Label) -> bool {
        if label.source != Source::K8s || [NAMESPACE, CLUSTER].contains(&&*label.key) {
            return true;
        }
        let asked = |source| {
            let key = Arc::clone(&label.key);
            self.0.contains(&Used::Label(SelectorKey { source, key }))
        };
        asked(KeySource::Any) || asked(KeySource::Is(Source::K8s))
    }

    /// The labels of a pod's identity, of all that could be part of it. While a policy looks at ports by their names, all: what is
    /// left of one pod's labels may be all that another one has, whose ports are others.
    pub fn apply(&self, labels: &LabelSet) -> LabelSet {
        if self.0.iter().any(|used| matches!(used, Used::Port(_))) {
            return labels.clone();
        }
        let labels = labels.iter().filter(|label| self.keeps(label));
        labels.cloned().collect()
    }
}

/// How long what takes how long; times are of any clock that does not go backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From the announcement of an identity until its first packet: all nodes know it by then.
    pub announce: Duration,
    /// From the first sight of a policy until it may come into force: all nodes have seen it by then, and have moved their
    /// endpoints.
    pub settle: Duration,
    /// It may come into force after so long even where endpoints of this node could not move.
    pub longest: Duration,
    /// What nobody uses any more goes on to be part of identities for so long.
    pub grace: Duration,
}

impl Times {
    /// By the time after which all nodes know what one of them announced. A policy takes it to reach the last node, that
    /// node's identities take it once more, and its endpoints then the third time.
    pub fn of(announce: Duration) -> Self {
        Self {
            announce,
            settle: announce * 3,
            longest: announce * 12,
            grace: announce * 120,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::of(Duration::from_secs(5))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Part of new identities; no policy in force may look at it yet.
    Coming(Duration),
    /// Part of all identities.
    Ready,
    /// The same, and nobody looks at it since then.
    Going(Duration),
}

/// What is in use, and what is about to be.
#[derive(Clone, Debug, Default)]
pub struct Need {
    times: Times,
    objects: BTreeMap<ObjectKey, BTreeSet<Used>>,
    states: BTreeMap<Used, State>,
}

impl Need {
    /// With what was ready before, in an earlier run.
    pub fn new(times: Times, ready: InUse) -> Self {
        Self {
            times,
            objects: BTreeMap::new(),
            states: ready.0.into_iter().map(|of| (of, State::Ready)).collect(),
        }
    }

    /// The times.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Takes in what the newest version of an object uses, or that it is gone.
    pub fn note(&mut self, key: &ObjectKey, used: Option<BTreeSet<Used>>, now: Duration) {
        for of in used.iter().flatten() {
            let state = self.states.entry(of.clone()).or_insert(State::Coming(now));
            if matches!(state, State::Going(_)) {
                *state = State::Ready;
            }
        }
        match used {
            Some(used) => self.objects.insert(key.clone(), used),
            None => self.objects.remove(key),
        };
    }

    /// All that was noted is ready: nothing was in force before that could be wrong meanwhile.
    pub fn begin(&mut self) {
        self.states.values_mut().for_each(|of| *of = State::Ready);
    }

    /// Lets time pass. `moved`: all endpoints of this node have identities by [`Self::wanted`]. `held`: what versions in
    /// force use, where they are not the newest.
    pub fn advance(&mut self, now: Duration, moved: bool, held: &BTreeSet<Used>) {
        let used: BTreeSet<&Used> = self.objects.values().flatten().chain(held).collect();
        let times = self.times;
        self.states.retain(|of, state| {
            let is_used = used.contains(of);
            match *state {
                State::Coming(since) => {
                    let waited = now.saturating_sub(since);
                    if !is_used {
                        // Identities have it already, and others may use it.
                        *state = State::Going(now);
                    } else if (moved && waited >= times.settle) || waited >= times.longest {
                        *state = State::Ready;
                    }
                }
                State::Ready if !is_used => *state = State::Going(now),
                State::Going(_) if is_used => *state = State::Ready,
                State::Going(since) => return now.saturating_sub(since) < times.grace,
                State::Ready => {}
            }
            true
        });
    }

    /// What identities are made of.
    pub fn wanted(&self) -> InUse {
        self.states.keys().cloned().collect()
    }

    /// What policies in force may look at.
    pub fn ready(&self) -> InUse {
        let ready = self.states.iter();
        ready
            .filter(|(_, state)| !matches!(state, State::Coming(_)))
            .map(|(of, _)| of.clone())
            .collect()
    }

    /// Whether something waits for its time.
    pub fn waits(&self) -> bool {
        self.states.values().any(|of| *of != State::Ready)
    }
}

#[cfg(test)]
mod tests;
