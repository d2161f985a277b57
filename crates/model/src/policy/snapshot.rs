//! The inputs of all policies at one moment, what a change of them touches, and the rows of one policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use ipnet::IpNet;

use super::classes::{Decider, Peer, PolicyRows, Ranked, Refreshed, Scope, Signature, port_names};
use super::ids::{Origin, RuleId, RuleIds};
use super::parse::CidrGroup;
use super::parts::{PartId, Parts, PeerFacts, PeerList};
use super::resolve::{
    Audit, DefaultCause, DefaultVerdict, PolicyKey, Resolution, Settings, SubjectFacts, resolve,
};
use super::rule::{
    Action, Direction, NamedPorts, ObjectKey, PolicyObject, Ports, Protocol, Rule, Tier,
};
use crate::labels::{CLUSTER, Label, LabelSet, NAMESPACE};
use crate::selector::{LabelSelector, Requirement, SelectorIndex, SelectorKey};

use usual::are_alike;

mod objects;
mod peers;
mod subjects;
mod usual;

/// Which endpoint of this node; a number of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub u64);

/// One change of the inputs.
#[derive(Clone, Debug)]
pub enum Change {
    /// A policy object is there, as it is now. What could not be parsed is not a change: the last good version stays.
    Object(Arc<PolicyObject>),
    /// A policy object is gone.
    ObjectGone(ObjectKey),
    /// A CIDR group is there, as it is now.
    Group(Arc<CidrGroup>),
    /// A CIDR group is gone.
    GroupGone(Arc<str>),
    /// A peer is there, as it is now.
    Peer(Peer, PeerFacts),
    /// A peer is gone.
    PeerGone(Peer),
    /// An endpoint of this node is there, as it is now.
    Subject(SubjectId, SubjectFacts),
    /// An endpoint of this node is gone.
    SubjectGone(SubjectId),
    /// Other settings.
    Settings(Settings),
}

/// How much of a policy has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The rows of these peers, and of the classes that come or go with them.
    Peers(BTreeSet<Peer>),
    /// No endpoint uses it any more.
    Gone,
}

/// What a change touches. Everything else has the rows that it had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Policies.
    pub policies: BTreeMap<PolicyKey, Extent>,
    /// Endpoints that use another policy than before, in either direction.
    pub subjects: BTreeSet<SubjectId>,
    /// Rules that got an id, lost it, or mean something else now.
    pub rules: BTreeSet<RuleId>,
    /// Prefixes of CIDR selectors that came or went: addresses inside may need other peers. If there is one,
    /// [`Snapshot::cidrs`] is to be asked again.
    pub cidrs: BTreeSet<IpNet>,
}

impl Touched {
    fn whole(&mut self, key: &PolicyKey) {
        self.policies.insert(key.clone(), Extent::Whole);
    }

    fn peer(&mut self, key: &PolicyKey, peer: Peer) {
        match self
            .policies
            .entry(key.clone())
            .or_insert_with(|| Extent::Peers(BTreeSet::new()))
        {
            Extent::Peers(peers) => {
                peers.insert(peer);
            }
            Extent::Whole | Extent::Gone => {}
        }
    }

    /// Adds what a later change touches.
    pub fn merge(&mut self, later: Self) {
        for (key, extent) in later.policies {
            match (self.policies.get_mut(&key), extent) {
                (Some(Extent::Peers(peers)), Extent::Peers(more)) => peers.extend(more),
                (Some(Extent::Whole), Extent::Peers(_)) => {}
                // Gone and back within one round: the rows may still be there, and may be stale.
                (Some(known @ Extent::Gone), Extent::Peers(_)) => *known = Extent::Whole,
                (_, extent) => {
                    self.policies.insert(key, extent);
                }
            }
        }
        self.subjects.extend(later.subjects);
        self.rules.extend(later.rules);
        self.cidrs.extend(later.cidrs);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ActiveRule {
    ranked: Ranked,
}

#[derive(Clone, Debug)]
struct ActiveObject {
    object: Arc<PolicyObject>,
    /// Ids of the rules, per section.
    ids: Arc<[Vec<RuleId>]>,
}

#[derive(Clone, Debug, Default)]
struct ActivePeer {
    facts: Arc<PeerFacts>,
    parts: Arc<[PartId]>,
}

impl ActivePeer {
    /// A policy has few lists, a peer may be on many.
    fn is_on(&self, part: PartId) -> bool {
        self.parts.binary_search(&part).is_ok()
    }
}

#[derive(Clone, Debug)]
struct ActiveSubject {
    facts: Arc<SubjectFacts>,
    selected: OrdSet<(ObjectKey, usize)>,
    ingress: PolicyKey,
    egress: PolicyKey,
}

#[derive(Clone, Debug)]
struct ActiveKey {
    users: usize,
    /// The peer lists of its rules.
    parts: Arc<[PartId]>,
    /// Names of ports that are resolved at the peer.
    names: Arc<[(Arc<str>, Protocol)]>,
}

/// The inputs of all policies at one moment. Clones share their content and cost next to nothing.
#[derive(Clone, Debug)]
pub struct Snapshot {
    settings: Settings,
    objects: OrdMap<ObjectKey, ActiveObject>,
    groups: OrdMap<Arc<str>, Arc<CidrGroup>>,
    rules: OrdMap<RuleId, ActiveRule>,
    ids: RuleIds,
    parts: Parts,
    peers: OrdMap<Peer, ActivePeer>,
    bare: [ActivePeer; 3],
    subjects: OrdMap<SubjectId, ActiveSubject>,
    keys: OrdMap<PolicyKey, ActiveKey>,
}

/// A peer of a scope of which nothing is known but its scope. It decides what the default class of the world and of nodes is, and of
/// pods where no kind of them is more than half: any choice is right, since peers that differ from it have rows; this one makes
/// the rows few.
fn bare_peer(scope: Scope, cluster: &Arc<str>) -> PeerFacts {
    let labels: LabelSet = match scope {
        Scope::Cluster => [
            Label::k8s(NAMESPACE, ""),
            Label::k8s(CLUSTER, cluster.clone()),
        ]
        .into_iter()
        .collect(),
        Scope::World => [Label::reserved("world")].into_iter().collect(),
        Scope::Node => [Label::reserved("remote-node")].into_iter().collect(),
    };
    PeerFacts {
        labels,
        ..PeerFacts::default()
    }
}

impl Snapshot {
    /// Nothing but settings.
    pub fn new(settings: Settings) -> Self {
        let bare = Scope::ALL.map(|scope| ActivePeer {
            facts: Arc::new(bare_peer(scope, &settings.cluster)),
            parts: Arc::new([]),
        });
        let mut snapshot = Self {
            settings,
            objects: OrdMap::new(),
            groups: OrdMap::new(),
            rules: OrdMap::new(),
            ids: RuleIds::default(),
            parts: Parts::default(),
            peers: OrdMap::new(),
            bare,
            subjects: OrdMap::new(),
            keys: OrdMap::new(),
        };
        snapshot.add_fixed_rule(RuleId::LOCALHOST, &["host"]);
        snapshot.add_fixed_rule(RuleId::HEALTH, &["host", "remote-node", "health"]);
        snapshot
    }

    fn add_fixed_rule(&mut self, id: RuleId, peers: &[&str]) {
        let reserved =
            |name: &&str| LabelSelector::one(Requirement::exists(SelectorKey::reserved(*name)));
        let mut labels: Vec<LabelSelector> = peers.iter().map(reserved).collect();
        labels.sort_unstable();
        let (part, _) = self.parts.acquire(PeerList {
            labels,
            cidrs: Vec::new(),
        });
        self.match_part(part);
        let rank = (Tier::Node, 0, 0, Action::Allow);
        let ranked = Ranked {
            rank,
            id,
            name: "".into(),
            part: Some(part),
            ports: Ports::All,
        };
        self.rules.insert(id, ActiveRule { ranked });
    }

    /// What a change would touch.
    pub fn touched(&self, change: &Change) -> Touched {
        self.clone().apply(change.clone())
    }

    /// Takes a change in, and says what it touches.
    pub fn apply(&mut self, change: Change) -> Touched {
        let mut touched = Touched::default();
        match change {
            Change::Object(object) => self.set_object(&object, &mut touched),
            Change::ObjectGone(key) => self.remove_object(&key, &mut touched),
            Change::Group(group) => {
                self.groups.insert(group.name.clone(), group);
                self.refresh_groups(&mut touched);
            }
            Change::GroupGone(name) => {
                self.groups.remove(&name);
                self.refresh_groups(&mut touched);
            }
            Change::Peer(peer, facts) => self.set_peer(peer, facts, &mut touched),
            Change::PeerGone(peer) => self.remove_peer(peer, &mut touched),
            Change::Subject(id, facts) => self.set_subject(id, facts, &mut touched),
            Change::SubjectGone(id) => self.remove_subject(id, &mut touched),
            Change::Settings(settings) => self.set_settings(settings, &mut touched),
        }
        touched
    }

    fn set_settings(&mut self, settings: Settings, touched: &mut Touched) {
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        for scope in Scope::ALL {
            let facts = bare_peer(scope, &self.settings.cluster);
            self.bare[scope as usize] = ActivePeer {
                parts: self.parts.matching(&facts),
                facts: Arc::new(facts),
            };
        }
        let keys: Vec<PolicyKey> = self.keys.keys().cloned().collect();
        for key in &keys {
            touched.whole(key);
        }
        let subjects: Vec<SubjectId> = self.subjects.keys().copied().collect();
        for id in subjects {
            self.choose_policies(id, touched);
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The policy objects in force.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<PolicyObject>> {
        self.objects.values().map(|active| &active.object)
    }

    /// One policy object in force.
    pub fn object(&self, key: &ObjectKey) -> Option<&Arc<PolicyObject>> {
        self.objects.get(key).map(|active| &active.object)
    }

    /// What rule ids stand for.
    pub fn rule_ids(&self) -> &RuleIds {
        &self.ids
    }

    /// The same, to release ids or to hold those found in the kernel.
    pub fn rule_ids_mut(&mut self) -> &mut RuleIds {
        &mut self.ids
    }

    /// The label selectors of peers in use.
    pub fn selectors(&self) -> &SelectorIndex {
        &self.parts.selectors
    }

    /// The CIDR selectors in use.
    pub fn cidrs(&self) -> &super::cidr::CidrIndex {
        &self.parts.cidrs
    }

    /// What is known of a peer.
    pub fn peer(&self, peer: Peer) -> Option<&PeerFacts> {
        self.peers.get(&peer).map(|active| &*active.facts)
    }

    /// The peers known to all policies.
    pub fn peers(&self) -> impl Iterator<Item = (Peer, &PeerFacts)> {
        self.peers
            .iter()
            .map(|(peer, active)| (*peer, &*active.facts))
    }

    /// The endpoints.
    pub fn subjects(&self) -> impl Iterator<Item = (SubjectId, &SubjectFacts)> {
        self.subjects
            .iter()
            .map(|(id, active)| (*id, &*active.facts))
    }

    /// The policies in use.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyKey> {
        self.keys.keys()
    }

    /// Whether an endpoint uses a policy.
    pub fn uses(&self, key: &PolicyKey) -> bool {
        self.keys.contains_key(key)
    }

    /// The policy of an endpoint in a direction.
    pub fn policy_of(&self, subject: SubjectId, direction: Direction) -> Option<&PolicyKey> {
        self.subjects.get(&subject).map(|active| match direction {
            Direction::Ingress => &active.ingress,
            Direction::Egress => &active.egress,
        })
    }

    /// The rows of a policy; `before` gives classes the numbers that they have. `None` if no endpoint uses it.
    pub fn row(&self, key: &PolicyKey, before: Option<&PolicyRows>) -> Option<PolicyRows> {
        let active = self.keys.get(key)?;
        let own_ports = (key.direction == Direction::Ingress).then(|| key.named_ports.clone());
        let decider = Decider::new(self.ranked(&key.rules), key.default, own_ports);
        let [_, world, node] = &self.bare;
        let usual = [self.usual(active), world, node];
        let mut rows = PolicyRows::new(
            key.clone(),
            decider,
            usual.map(|of| signature(active, of)),
            self.settings.row_quota,
            before,
        );
        for (peer, of) in self
            .peers
            .iter()
            .map(|(peer, of)| (*peer, of))
            .chain(self.untold())
        {
            // Most peers are nothing special to most policies: that has to be seen without allocating.
            if !are_alike(active, of, usual[Scope::of(peer) as usize]) {
                rows.set_peer(peer, Some(signature(active, of)));
            }
        }
        rows.finish_whole();
        Some(rows)
    }

    pub(super) fn ranked(&self, rules: &[RuleId]) -> Vec<Ranked> {
        let known = rules.iter().filter_map(|id| self.rules.get(id));
        known.map(|rule| rule.ranked.clone()).collect()
    }

    /// What rules see of a peer, whether the snapshot knows it or not.
    pub(super) fn signature_of(&self, rules: &[Ranked], facts: &PeerFacts) -> Signature {
        let mut parts: Vec<PartId> = rules.iter().filter_map(|rule| rule.part).collect();
        parts.sort_unstable();
        parts.dedup();
        let names: Vec<_> = port_names(rules.iter().map(|rule| &rule.ports))
            .into_iter()
            .collect();
        let active = ActiveKey {
            users: 0,
            parts: parts.into(),
            names: names.into(),
        };
        let peer = ActivePeer {
            parts: self.parts.matching(facts),
            facts: Arc::new(facts.clone()),
        };
        signature(&active, &peer)
    }

    /// Brings rows up to date after a change; their verdicts become those that [`Snapshot::row`] makes.
    pub fn refresh(&self, rows: &mut PolicyRows, extent: &Extent) -> Refreshed {
        let Some(active) = self.keys.get(&rows.key) else {
            return Refreshed::Gone;
        };
        match extent {
            Extent::Gone => return Refreshed::Gone,
            Extent::Whole => return self.make_anew(rows),
            Extent::Peers(peers) => {
                for peer in peers {
                    let fixed = || {
                        peer.is_fixed()
                            .then_some(&self.bare[Scope::of(*peer) as usize])
                    };
                    let of = self.peers.get(peer).or_else(fixed);
                    rows.set_peer(*peer, of.map(|of| signature(active, of)));
                }
                rows.finish();
            }
        }
        if rows.wants_other_defaults() {
            return self.make_anew(rows);
        }
        rows.take_changed()
    }

    fn make_anew(&self, rows: &mut PolicyRows) -> Refreshed {
        match self.row(&rows.key.clone(), Some(rows)) {
            Some(new) => {
                *rows = new;
                rows.take_changed()
            }
            None => Refreshed::Gone,
        }
    }
}

/// What makes a peer what it is in the eyes of a policy.
fn signature(key: &ActiveKey, peer: &ActivePeer) -> Signature {
    let parts = key.parts.iter().copied();
    let parts = parts.filter(|part| peer.is_on(*part)).collect();
    let mut named = NamedPorts::default();
    for (name, protocol) in key.names.iter() {
        for port in peer.facts.named_ports.get(name, *protocol) {
            named.insert(name.clone(), *protocol, port);
        }
    }
    Signature { parts, named }
}

#[cfg(test)]
mod tests;
