//! From a subject to the rules that hold for it: what it is selected by, and what happens when no rule decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ids::RuleId;
use super::rule::{DefaultDeny, Direction, NamedPorts, ObjectKey, PolicyObject, Section};
use crate::labels::LabelSet;

/// `enable-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Enforcement {
    /// What policies select is restricted.
    Default,
    /// All endpoints are, except the node itself and its health endpoint.
    Always,
    /// Nothing is.
    Never,
}

/// `allow-localhost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AllowLocalhost {
    /// Traffic of a node to its own pods is allowed, whatever policies say (kubelet's probes).
    Always,
    /// Policies decide.
    Policy,
}

/// `policy-audit-mode`, of the node or of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audit {
    /// What is denied is dropped.
    #[default]
    Off,
    /// What would be denied passes, and is reported.
    On,
}

/// What holds for all policies of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// See [`Enforcement`].
    pub enforcement: Enforcement,
    /// See [`AllowLocalhost`].
    pub allow_localhost: AllowLocalhost,
    /// See [`Audit`]; an endpoint can turn it on for itself.
    pub audit: Audit,
    /// Name of this cluster.
    pub cluster: Arc<str>,
    /// How many rows, of peers and ports together, a policy may have.
    pub row_quota: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enforcement: Enforcement::Default,
            allow_localhost: AllowLocalhost::Always,
            audit: Audit::Off,
            cluster: "default".into(),
            row_quota: 65_536,
        }
    }
}

/// What policies need to know of an endpoint of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectFacts {
    /// Labels of its identity; for the host endpoint `reserved:host` and the node's labels.
    pub labels: LabelSet,
    /// Ports of its containers that have names.
    pub named_ports: NamedPorts,
    /// Audit for this endpoint alone.
    pub audit: Audit,
}

/// What happens when no rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultVerdict {
    /// It passes.
    Allow,
    /// It is denied; the id stands for the reasons.
    Deny(RuleId),
}

/// Why a direction is denied by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultCause {
    /// It is not.
    NotDenied,
    /// These policies say so, in order.
    Policies(Arc<[ObjectKey]>),
    /// `enable-policy` is `always`.
    Mode,
    /// The endpoint has no labels yet.
    Init,
}

/// The rules that hold for a subject in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Ids of the rules, ascending.
    pub rules: Vec<RuleId>,
    /// Why everything else is denied, if it is.
    pub cause: DefaultCause,
}

/// A policy of one direction: everything that its rows depend on, except the peers.
///
/// Endpoints with an equal key share the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Direction.
    pub direction: Direction,
    /// The rules, ascending.
    pub rules: Arc<[RuleId]>,
    /// See [`DefaultVerdict`].
    pub default: DefaultVerdict,
    /// The subject's named ports that its ingress rules use.
    pub named_ports: NamedPorts,
    /// See [`Audit`].
    pub audit: Audit,
}

/// The fixed rules that hold for a subject beside those of objects.
fn fixed_rules(labels: &LabelSet, direction: Direction, settings: &Settings) -> Vec<RuleId> {
    let mut rules = Vec::new();
    if direction == Direction::Ingress
        && settings.allow_localhost == AllowLocalhost::Always
        && !labels.has_reserved("host")
    {
        rules.push(RuleId::LOCALHOST);
    }
    if labels.has_reserved("health") {
        rules.push(RuleId::HEALTH);
    }
    rules
}

/// The rules that hold for a subject, out of the sections that select it.
///
/// `selected` yields each section with its object and the ids of its rules, in the order of the section's rules.
pub(crate) fn resolve<'a>(
    labels: &LabelSet,
    direction: Direction,
    settings: &Settings,
    selected: impl Iterator<Item = (&'a PolicyObject, &'a Section, &'a [RuleId])>,
) -> Resolution {
    let nothing = Resolution {
        rules: Vec::new(),
        cause: DefaultCause::NotDenied,
    };
    if settings.enforcement == Enforcement::Never {
        return nothing;
    }
    let mut rules: BTreeSet<RuleId> = BTreeSet::new();
    let mut policies: BTreeSet<ObjectKey> = BTreeSet::new();
    for (object, section, ids) in selected {
        if section.default_deny(direction) == DefaultDeny::On {
            policies.insert(object.key.clone());
        }
        let of_direction = section
            .rules
            .iter()
            .zip(ids)
            .filter(|(rule, _)| rule.direction == direction);
        rules.extend(of_direction.map(|(_, id)| *id));
    }
    let exempt = labels.has_reserved("host") || labels.has_reserved("health");
    let cause = if !policies.is_empty() {
        DefaultCause::Policies(policies.into_iter().collect())
    } else if labels.has_reserved("init") {
        DefaultCause::Init
    } else if settings.enforcement == Enforcement::Always && !exempt {
        DefaultCause::Mode
    } else {
        DefaultCause::NotDenied
    };
    if rules.is_empty() && cause == DefaultCause::NotDenied {
        return nothing;
    }
    rules.extend(fixed_rules(labels, direction, settings));
    Resolution {
        rules: rules.into_iter().collect(),
        cause,
    }
}
