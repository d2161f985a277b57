//! From tables of the store to models: what changed since the last look, key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::endpoint::{EndpointId, NamedPort, PodName};
use model::identity::{Identity, cidr_labels};
use model::labels::{LabelSet, PodLabels, pod_labels};
use model::policy::{
    Change, CidrsTouched, Extent, Kind, NamedPorts, ObjectKey, Peer, PeerFacts, Protocol,
    SubjectFacts, SubjectId, Touched,
};
use model::{ipcache, node};
use reconcile::{Changes, Revision, Snapshot, Table};

use super::{Engine, Wanted};
use crate::inputs::{PolicyRow, RemoteEndpoint};

/// Numbers that identities of the store can have.
const GLOBAL: std::ops::Range<u32> = 256..1 << 24;

/// Up to which revision each table has been taken in, and what could not be.
#[derive(Debug, Default)]
pub struct Seen {
    tables: BTreeMap<&'static str, Revision>,
    faults: BTreeMap<ObjectKey, String>,
    complete: bool,
    /// Identities of remote endpoints, for the named ports of identities.
    remote: BTreeMap<PodName, (Identity, Vec<NamedPort>)>,
}

impl Seen {
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

fn everything<K: reconcile::table::Key, V: reconcile::table::Value>(
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
        let mut touched = Touched::default();
        let mut changed = self.absorb_nodes();
        let identities = self.absorb_identities(&mut touched);
        changed |= identities;
        changed |= self.absorb_remote_endpoints(&mut touched);
        changed |= self.absorb_policies(&mut touched);
        changed |= self.absorb_pods(identities);
        let (services, slices) = (self.inputs.services.clone(), self.inputs.slices.clone());
        changed |= self
            .services
            .absorb(&services.snapshot(), &slices.snapshot());
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
        if touched.cidrs == CidrsTouched::Yes {
            self.claim_prefixes(&mut touched);
        }
        self.refresh_addresses(&mut touched);
        self.refresh_policies(&touched);
    }

    fn absorb_nodes(&mut self) -> bool {
        let (nodes, announced) = (
            self.inputs.nodes.clone(),
            self.inputs.announced_nodes.clone(),
        );
        let known: Vec<Arc<str>> = self.nodes.keys().cloned().collect();
        let mut names: BTreeSet<Arc<str>> = self
            .seen
            .changes(&nodes, || known.clone())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.extend(
            self.seen
                .changes(&announced, || known)
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
            self.ipcache
                .apply(&ipcache::Resource::Node(Arc::clone(name)), claims);
            match row {
                Some(row) => self.nodes.insert(Arc::clone(name), row),
                None => self.nodes.remove(name),
            };
        }
        !names.is_empty()
    }

    fn absorb_identities(&mut self, touched: &mut Touched) -> bool {
        let table = self.inputs.identities.clone();
        let known = || {
            let peers = self.policy.peers().map(|(peer, _)| Identity(peer.0));
            peers.filter(|id| GLOBAL.contains(&id.0)).collect()
        };
        let changes = self.seen.changes(&table, known);
        for (id, labels) in &changes {
            match labels {
                Some(labels) => self.tell_peer(*id, labels, touched),
                None => touched.merge(self.policy.apply(Change::PeerGone(Peer(id.0)))),
            }
        }
        !changes.is_empty()
    }

    fn tell_peer(&mut self, id: Identity, labels: &LabelSet, touched: &mut Touched) {
        let facts = PeerFacts {
            labels: labels.clone(),
            named_ports: self.named_ports_of(id),
            ..PeerFacts::default()
        };
        touched.merge(self.policy.apply(Change::Peer(Peer(id.0), facts)));
    }

    /// Named ports of all pods of an identity, here and elsewhere.
    fn named_ports_of(&self, id: Identity) -> NamedPorts {
        let remote = self
            .seen
            .remote
            .values()
            .filter(|(of, _)| *of == id)
            .flat_map(|(_, ports)| ports);
        let local = self
            .endpoints
            .values()
            .filter(|row| row.identity == Some(id))
            .flat_map(|row| &row.named_ports);
        named_ports(remote.chain(local))
    }

    fn absorb_remote_endpoints(&mut self, touched: &mut Touched) -> bool {
        let table = self.inputs.endpoints.clone();
        let known: Vec<PodName> = self.seen.remote.keys().cloned().collect();
        let changes = self.seen.changes(&table, || known);
        let own = self.own_addresses();
        let mut identities = BTreeSet::new();
        for (name, row) in &changes {
            let claims = row
                .as_deref()
                .and_then(remote_endpoint)
                .map(|of| ipcache::remote_endpoint_claims(&of, &own));
            self.ipcache.apply(
                &ipcache::Resource::CiliumEndpoint(name.clone()),
                claims.unwrap_or_default(),
            );
            let new = row
                .as_ref()
                .map(|row| (row.identity, row.named_ports.clone()));
            let old = match new.clone() {
                Some(new) => self.seen.remote.insert(name.clone(), new),
                None => self.seen.remote.remove(name),
            };
            if old != new {
                let with_ports = old
                    .into_iter()
                    .chain(new)
                    .filter(|(_, ports)| !ports.is_empty());
                identities.extend(with_ports.map(|(id, _)| id));
            }
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
                if self.is_news(&key, row.as_deref()) {
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
    fn is_news(&self, key: &ObjectKey, row: Option<&PolicyRow>) -> bool {
        let good = row.and_then(|row| row.judged.good.as_ref());
        let fault = row.and_then(|row| row.judged.complaint());
        self.policy.object(key) != good.map(|good| &good.object)
            || self.seen.faults.get(key) != fault.as_ref()
    }

    fn take_policy(&mut self, key: ObjectKey, row: Option<&PolicyRow>) -> Touched {
        match row.and_then(|row| row.judged.complaint()) {
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

    /// Labels and ports of this node's pods; asks for identities of labels that changed, and for one that somebody deleted
    /// although it is in use.
    fn absorb_pods(&mut self, identities_changed: bool) -> bool {
        let pods = self.inputs.pods.clone();
        let namespaces = self.inputs.namespaces.clone();
        let any = !self.seen.changes(&pods, Vec::new).is_empty()
            | !self.seen.changes(&namespaces, Vec::new).is_empty();
        if !any && !identities_changed {
            return false;
        }
        let identities = self.inputs.identities.snapshot();
        let lost = |id: Identity| identities.is_initialized() && identities.get(&id).is_none();
        let ids: Vec<EndpointId> = self.endpoints.keys().copied().collect();
        for id in ids {
            let Some(labels) = self.labels_now(id) else {
                continue;
            };
            let stale = self
                .endpoints
                .get(&id)
                .is_some_and(|row| row.labels != labels || row.identity.is_none_or(lost));
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

    fn labels_now(&self, id: EndpointId) -> Option<LabelSet> {
        let name = self.endpoints.get(&id)?.pod.as_ref()?;
        let pod = self.inputs.pods.get(name)?;
        let namespace = self.inputs.namespaces.get(&name.namespace)?;
        let facts = PodLabels {
            pod: pod.labels.iter().map(|(k, v)| (&**k, &**v)),
            namespace: &name.namespace,
            namespace_labels: namespace.iter().map(|(k, v)| (&**k, &**v)),
            service_account: pod.service_account.as_deref(),
            cluster: &self.config.cluster,
        };
        Some(pod_labels(facts, &self.filter))
    }

    /// Gives every prefix that policies name an identity of its own; the world's own covers what is left.
    fn claim_prefixes(&mut self, touched: &mut Touched) {
        let partition = self.policy.cidrs().partition();
        let gone: Vec<IpNet> = self
            .claimed
            .iter()
            .copied()
            .filter(|net| !partition.contains_key(net))
            .collect();
        for net in gone {
            self.claimed.remove(&net);
            self.ipcache
                .apply(&ipcache::Resource::Prefix(net), Vec::new());
            let number = self.prefixes.get(&net);
            self.prefixes.release(&net);
            if let Some(number) = number {
                touched.merge(self.policy.apply(Change::PeerGone(Peer(number))));
                self.prefixes.forget(number);
            }
        }
        let stack = self.stack();
        for (net, cover) in partition {
            let identity = if net.prefix_len() == 0 {
                model::identity::world_of(&net, stack).id()
            } else {
                let known = self
                    .prefixes
                    .get(&net)
                    .filter(|_| self.claimed.contains(&net));
                match known.map_or_else(|| self.prefixes.acquire(&net), Ok) {
                    Ok(number) => Identity(number),
                    Err(error) => {
                        tracing::error!(prefix = %net, %error, "a prefix has no identity, it stays the world's");
                        continue;
                    }
                }
            };
            if net.prefix_len() > 0 {
                self.claimed.insert(net);
            }
            let facts = PeerFacts {
                labels: cidr_labels(&net, stack),
                cover,
                ..PeerFacts::default()
            };
            touched.merge(self.policy.apply(Change::Peer(Peer(identity.0), facts)));
            if net.prefix_len() > 0 {
                self.ipcache.apply(
                    &ipcache::Resource::Prefix(net),
                    ipcache::prefix_claims(net, identity),
                );
            }
        }
    }

    /// Rows of all addresses, with the peers by which policies know them.
    fn refresh_addresses(&mut self, touched: &mut Touched) {
        let mut rows = BTreeMap::new();
        for net in self.ipcache.keys() {
            let Some(row) = self.ipcache.row(net, self.policy.cidrs()) else {
                continue;
            };
            let peer = match self.peers.acquire(&row) {
                Ok(peer) => peer,
                Err(error) => {
                    tracing::error!(address = %net, %error, "an address has no peer number and is left out");
                    continue;
                }
            };
            if let Some(part) = row.part()
                && let Some(facts) = self.facts_of_part(&part)
            {
                touched.merge(self.policy.apply(Change::Peer(Peer(peer), facts)));
            }
            rows.insert(net, (row, peer));
        }
        for (row, _) in std::mem::replace(&mut self.addresses, rows).values() {
            if let Some(number) = self.peers.release(row) {
                touched.merge(self.policy.apply(Change::PeerGone(Peer(number))));
                self.peers.forget(number);
            }
        }
    }

    fn facts_of_part(&self, part: &ipcache::PartKey) -> Option<PeerFacts> {
        let whole = self.policy.peer(Peer(part.identity.0))?.clone();
        Some(PeerFacts {
            cover: part.cover.clone(),
            ..whole
        })
    }

    fn refresh_policies(&mut self, touched: &Touched) {
        for (key, extent) in &touched.policies {
            let kept = match self.rows.get_mut(key) {
                Some(rows) => self.policy.refresh(rows, extent),
                None if *extent == Extent::Gone => false,
                None => match self.policy.row(key, None) {
                    Some(rows) => {
                        self.rows.insert(key.clone(), rows);
                        true
                    }
                    None => false,
                },
            };
            if kept {
                self.dirty.insert(key.clone());
            } else {
                self.dirty.remove(key);
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
        ips: row.addresses.clone(),
        node,
        encryption_key: 0,
        created: 0,
    })
}
