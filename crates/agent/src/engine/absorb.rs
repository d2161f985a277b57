//! From tables of the store to models: what changed since the last look, key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::endpoint::{EndpointId, NamedPort};
use model::identity::Identity;
use model::labels::LabelSet;
use model::policy::{
    Change, Extent, Kind, NamedPorts, ObjectKey, Peer, PeerFacts, Protocol, Refreshed,
    SubjectFacts, SubjectId, Touched,
};
use model::{ipcache, node};
use reconcile::{Changes, Revision, Snapshot, Table};

use super::compose::place_of;
use super::{ByNeed, Engine, Wanted};
use crate::inputs::{PolicyRow, RemoteEndpoint};
use crate::metrics::Outcome;

/// Numbers that identities of the store can have.
const GLOBAL: std::ops::Range<u32> = 256..1 << 24;

/// Up to which revision each table has been taken in, and what could not be.
#[derive(Debug, Default)]
pub struct Seen {
    tables: BTreeMap<&'static str, Revision>,
    faults: BTreeMap<ObjectKey, String>,
    complete: bool,
}

/// What became of the store's identities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IdentitiesChanged {
    No,
    Yes,
    /// One that is in use may be among them.
    SomeGone,
}

impl Seen {
    /// Whether all inputs had been read once at the end of the last look.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Objects that could not be read.
    pub fn faults(&self) -> BTreeMap<ObjectKey, String> {
        self.faults.clone()
    }

    /// Keys that changed since the last call, with their rows. After a gap the keys in `known` that are gone are among them.
    fn changes<K: reconcile::table::Key, V: reconcile::table::Value>(
        &mut self,
        table: &Table<K, V>,
        known: impl FnOnce() -> Vec<K>,
    ) -> Vec<(K, Option<Arc<V>>)> {
        let snapshot = table.snapshot();
        let since = self
            .tables
            .insert(table.name(), snapshot.revision())
            .unwrap_or_default();
        match snapshot.changes_since(since) {
            Changes::Since(changes) => changes
                .into_iter()
                .map(|change| (change.key, change.value))
                .collect(),
            Changes::Everything => everything(&snapshot, known()),
        }
    }
}

pub(super) fn everything<K: reconcile::table::Key, V: reconcile::table::Value>(
    snapshot: &Snapshot<K, V>,
    known: Vec<K>,
) -> Vec<(K, Option<Arc<V>>)> {
    let keys: BTreeSet<K> = known.into_iter().chain(snapshot.keys().cloned()).collect();
    keys.into_iter()
        .map(|key| {
            let value = snapshot.get_shared(&key);
            (key, value)
        })
        .collect()
}

impl Engine {
    /// Takes in everything that changed; says whether anything did.
    pub(super) fn absorb(&mut self) -> bool {
        self.meter.begin();
        let mut touched = Touched::default();
        let mut changed = self.absorb_nodes();
        let identities = self.absorb_identities(&mut touched);
        changed |= identities != IdentitiesChanged::No;
        changed |= self.absorb_remote_endpoints(&mut touched);
        changed |= self.absorb_policies(&mut touched);
        changed |= self.absorb_need(&mut touched);
        changed |= self.absorb_pods(identities);
        let (services, slices) = (&self.inputs.services, &self.inputs.slices);
        changed |= self
            .services
            .absorb(&services.snapshot(), &slices.snapshot());
        self.meter.services(self.services.take_events());
        let complete = self.inputs.waiting_for().is_empty();
        changed |= complete != std::mem::replace(&mut self.seen.complete, complete);
        changed |= self.forwarding.policies.has_retired();
        if changed {
            self.settle(touched);
        }
        changed
    }

    /// Lets changes work through: prefixes of policies, rows of addresses, parts of identities, rows of policies.
    pub(super) fn settle(&mut self, mut touched: Touched) {
        if !touched.cidrs.is_empty() {
            self.covers.clear();
            self.claim_prefixes(&mut touched);
            for net in &touched.cidrs {
                self.stale.nets.extend(self.ipcache.inside(*net));
            }
        }
        self.refresh_addresses(&mut touched);
        self.refresh_policies(&touched);
        for SubjectId(id) in &touched.subjects {
            let id = u16::try_from(*id).map(EndpointId);
            if let Some(row) = id.ok().and_then(|id| self.endpoints.get(&id)) {
                self.stale.places.insert(place_of(row));
            }
        }
    }

    /// Tells the policies, and notes whom they know now.
    pub(super) fn tell_policy(&mut self, change: Change, touched: &mut Touched) {
        if let Change::Peer(peer, _) | Change::PeerGone(peer) = &change {
            self.stale.peers.insert(*peer);
        }
        touched.merge(self.policy.apply(change));
    }

    fn absorb_nodes(&mut self) -> bool {
        let (nodes, announced) = (
            self.inputs.nodes.clone(),
            self.inputs.announced_nodes.clone(),
        );
        let known = || self.nodes.keys().cloned().collect();
        let mut names: BTreeSet<Arc<str>> = self
            .seen
            .changes(&nodes, known)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.extend(
            self.seen
                .changes(&announced, known)
                .into_iter()
                .map(|(name, _)| name),
        );
        for name in &names {
            let (kubernetes, agent) = (nodes.get(name), announced.get(name));
            let row = node::row(
                name,
                kubernetes.as_deref(),
                agent.as_deref(),
                &self.config.node,
            );
            let claims = row.as_ref().map(ipcache::node_claims).unwrap_or_default();
            self.claim(&ipcache::Resource::Node(Arc::clone(name)), claims);
            let (there, own) = (row.is_some(), **name == *self.config.node);
            let before = match row {
                Some(row) => self.nodes.insert(Arc::clone(name), row),
                None => self.nodes.remove(name),
            };
            match (before.is_some(), there) {
                (false, true) => self.meter.node("add", own),
                (true, true) => self.meter.node("update", own),
                (true, false) => self.meter.node("delete", own),
                (false, false) => {}
            }
        }
        self.stale.spare |= !names.is_empty();
        !names.is_empty()
    }

    fn absorb_identities(&mut self, touched: &mut Touched) -> IdentitiesChanged {
        let table = self.inputs.identities.clone();
        let known = || {
            let peers = self.policy.peers().map(|(peer, _)| Identity(peer.0));
            peers.filter(|id| GLOBAL.contains(&id.0)).collect()
        };
        let changes = self.seen.changes(&table, known);
        if changes.is_empty() {
            return IdentitiesChanged::No;
        }
        self.meter.identities();
        let rows = self.endpoints.values();
        let held: BTreeMap<Identity, LabelSet> = rows
            .filter_map(|row| Some((row.identity?, row.labels.clone())))
            .collect();
        let mut changed = IdentitiesChanged::No;
        for (id, labels) in &changes {
            if let Some(labels) = labels {
                // A number can come to mean other labels when the store is restored from a backup.
                let taken = held.get(id).is_some_and(|of| *of != **labels);
                changed = changed.max(if taken {
                    IdentitiesChanged::SomeGone
                } else {
                    IdentitiesChanged::Yes
                });
                self.tell_peer(*id, labels, touched);
            } else {
                changed = IdentitiesChanged::SomeGone;
                self.departing.insert(id.0);
            }
        }
        changed
    }

    pub(super) fn tell_peer(&mut self, id: Identity, labels: &LabelSet, touched: &mut Touched) {
        let facts = PeerFacts {
            labels: labels.clone(),
            named_ports: self.named_ports_of(id),
            cover: self.peers.cover_of(id),
        };
        self.tell_policy(Change::Peer(Peer(id.0), facts), touched);
        self.tell_parts_of(id, touched);
    }

    /// Named ports of all pods of an identity, here and elsewhere.
    fn named_ports_of(&self, id: Identity) -> NamedPorts {
        let remote = self.announced_ports.of(id);
        let local = self
            .endpoints
            .values()
            .filter(|row| row.identity == Some(id))
            .flat_map(|row| &row.named_ports);
        named_ports(remote.chain(local))
    }

    fn absorb_remote_endpoints(&mut self, touched: &mut Touched) -> bool {
        let table = self.inputs.endpoints.clone();
        let known = || {
            let claiming = self.ipcache.resources().filter_map(|of| match of {
                ipcache::Resource::CiliumEndpoint(name) => Some(name.clone()),
                _ => None,
            });
            let with_ports = self.announced_ports.pods().cloned();
            claiming.chain(with_ports).collect()
        };
        let changes = self.seen.changes(&table, known);
        let own = self.own_addresses();
        let mut identities = BTreeSet::new();
        for (name, row) in &changes {
            let claims = row
                .as_deref()
                .and_then(remote_endpoint)
                .map(|of| ipcache::remote_endpoint_claims(&of, &own));
            self.claim(
                &ipcache::Resource::CiliumEndpoint(name.clone()),
                claims.unwrap_or_default(),
            );
            identities.extend(self.announced_ports.note(name, row.as_deref()));
        }
        for id in identities {
            if let Some(labels) = self.inputs.identities.get(&id) {
                self.tell_peer(id, &labels, touched);
            }
        }
        !changes.is_empty()
    }

    fn absorb_policies(&mut self, touched: &mut Touched) -> bool {
        let inputs = self.inputs.clone();
        let mut tables = vec![
            (Kind::CiliumNetworkPolicy, inputs.cilium_policies),
            (
                Kind::CiliumClusterwideNetworkPolicy,
                inputs.clusterwide_policies,
            ),
        ];
        if self.config.policy.kubernetes {
            tables.push((Kind::NetworkPolicy, inputs.network_policies));
        }
        let mut changed = false;
        for (kind, table) in tables {
            let known = || {
                let keys = self.policy.objects().map(|object| object.key.clone());
                keys.filter(|key| key.kind == kind).collect()
            };
            let changes = self.seen.changes(&table, known);
            for (key, row) in changes {
                if self.admits(&key, row.as_deref()) && self.is_news(&key, row.as_deref()) {
                    changed = true;
                    touched.merge(self.take_policy(key, row.as_deref()));
                }
            }
        }
        for (name, row) in self.seen.changes(&inputs.groups, Vec::new) {
            changed = true;
            if let Some(fault) = row.as_ref().and_then(|row| row.fault.as_ref()) {
                tracing::warn!(group = %name, error = %fault, "a CIDR group is refused, its last good version stays in force");
            }
            let change = match row.as_ref().and_then(|row| row.good.as_ref()) {
                Some(good) => Change::Group(Arc::clone(&good.object)),
                None => Change::GroupGone(name),
            };
            touched.merge(self.policy.apply(change));
        }
        if changed {
            self.revision += 1;
        }
        changed
    }

    /// A status that was written, by us or by others, changes nothing that is in force.
    pub(super) fn is_news(&self, key: &ObjectKey, row: Option<&PolicyRow>) -> bool {
        let good = row.and_then(|row| row.judged.good.as_ref());
        let fault = row.and_then(|row| row.judged.complaint());
        self.policy.object(key) != good.map(|good| &good.object)
            || self.seen.faults.get(key) != fault.as_ref()
    }

    pub(super) fn take_policy(&mut self, key: ObjectKey, row: Option<&PolicyRow>) -> Touched {
        let complaint = row.and_then(|row| row.judged.complaint());
        self.meter
            .policy(key.kind, Outcome::of(complaint.is_none()));
        match complaint {
            Some(fault) => {
                tracing::warn!(policy = %key, error = fault, "a policy is refused");
                self.seen.faults.insert(key.clone(), fault);
            }
            None => {
                self.seen.faults.remove(&key);
            }
        }
        match row.and_then(|row| row.judged.good.as_ref()) {
            Some(good) if self.policy.object(&key) == Some(&good.object) => Touched::default(),
            Some(good) => self.policy.apply(Change::Object(Arc::clone(&good.object))),
            None => self.policy.apply(Change::ObjectGone(key)),
        }
    }

    /// Labels and ports of this node's pods; asks for identities of labels that changed, and for one that somebody deleted,
    /// or gave to other labels, although it is in use.
    fn absorb_pods(&mut self, identities: IdentitiesChanged) -> bool {
        let (pods, namespaces) = (&self.inputs.pods, &self.inputs.namespaces);
        let any = !self.seen.changes(pods, Vec::new).is_empty()
            | !self.seen.changes(namespaces, Vec::new).is_empty()
            | self.by_need.as_mut().is_some_and(ByNeed::take_look);
        if !any && identities == IdentitiesChanged::No {
            return false;
        }
        let all = any || identities == IdentitiesChanged::SomeGone;
        let rows = self.endpoints.values();
        let rows = rows.filter(|row| all || row.identity.is_none());
        let ids: Vec<EndpointId> = rows.map(|row| row.id).collect();
        let table = self.inputs.identities.snapshot();
        let lost = |id: Identity, labels: &LabelSet| {
            table.is_initialized() && table.get(&id) != Some(labels)
        };
        for id in ids {
            let Some(labels) = self.labels_now(id) else {
                continue;
            };
            let stale = self.endpoints.get(&id).is_some_and(|row| {
                row.labels != labels || row.identity.is_none_or(|of| lost(of, &labels))
            });
            if stale && self.asked.get(&id) != Some(&labels) {
                self.asked.insert(id, labels.clone());
                // The receiver is gone only when the agent stops.
                let _ = self.wanted.send(Wanted {
                    endpoint: id,
                    labels,
                });
            }
        }
        any
    }

    fn refresh_policies(&mut self, touched: &Touched) {
        for (key, extent) in &touched.policies {
            let refreshed = match self.rows.get_mut(key) {
                Some(rows) => self.policy.refresh(rows, extent),
                None if *extent == Extent::Gone => Refreshed::Gone,
                None => match self.policy.row(key, None) {
                    Some(rows) => {
                        self.rows.insert(key.clone(), rows);
                        Refreshed::Changed
                    }
                    None => Refreshed::Gone,
                },
            };
            match refreshed {
                Refreshed::Same => {}
                Refreshed::Changed => {
                    self.dirty.insert(key.clone());
                }
                Refreshed::Gone => {
                    self.dirty.remove(key);
                    self.stale.policies.insert(key.clone());
                }
            }
        }
    }

    /// What policies need to know of an endpoint.
    pub(super) fn tell_subject(&mut self, id: EndpointId) -> Touched {
        let Some(row) = self.endpoints.get(&id) else {
            return self
                .policy
                .apply(Change::SubjectGone(SubjectId(id.0.into())));
        };
        let facts = SubjectFacts {
            labels: row.labels.clone(),
            named_ports: named_ports(&row.named_ports),
            ..SubjectFacts::default()
        };
        self.policy
            .apply(Change::Subject(SubjectId(id.0.into()), facts))
    }
}

fn named_ports<'a>(ports: impl IntoIterator<Item = &'a NamedPort>) -> NamedPorts {
    let mut named = NamedPorts::default();
    for port in ports {
        named.insert(
            Arc::clone(&port.name),
            Protocol(port.protocol.number()),
            port.port,
        );
    }
    named
}

fn remote_endpoint(row: &RemoteEndpoint) -> Option<ipcache::RemoteEndpoint> {
    let node: IpAddr = row.node?;
    Some(ipcache::RemoteEndpoint {
        identity: row.identity,
        ips: row.addresses.to_vec(),
        node,
        encryption_key: 0,
        created: 0,
    })
}
