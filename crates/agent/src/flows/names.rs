//! The names that flows have at this moment, out of the view and the store's tables.

mod at;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use arc_swap::ArcSwapOption;
use hashbrown::HashMap;
use hubble::names::{EndpointNames, Names, PolicyOrigin, ServiceName};
use imbl::ordmap::DiffItem;
use model::endpoint::{EndpointId, EndpointRow, PodName};
use model::identity::Identity;
use model::labels::{CLUSTER, LabelSet, Source};
use model::policy::{ObjectKey, Origin, Peer, RuleId};
use model::service::RowKey;
use reconcile::{Changes, Snapshot};

use crate::engine::ServiceRows;
use crate::inputs::{Inputs, RemoteEndpoint, Workload};
use crate::view::{View, ViewReader};
use at::At;

/// Names out of the view and the store's tables; what is looked up for every flow is indexed, and the index follows what
/// changed.
pub struct NamesNow {
    view: ViewReader,
    inputs: Inputs,
    devices: HashMap<u32, Arc<str>>,
    // Not a table: a cache that any reader may bring up to date.
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    /// The state of which it is.
    view: Option<Arc<View>>,
    /// How often it has followed what changed.
    follows: u64,
    /// Remote endpoints of which it is.
    remote: Option<Snapshot<PodName, RemoteEndpoint>>,
    /// Who has an address. Nearly always there is one; of several, as while an address is given anew, the last counts.
    pods: HashMap<IpAddr, Vec<Pod>>,
    /// Endpoints of this node, with the addresses that they gave.
    local: BTreeMap<EndpointId, (PodName, Vec<IpAddr>)>,
    /// Names of the interfaces of this node's pods.
    interfaces: HashMap<u32, Arc<str>>,
    services: HashMap<(IpAddr, u16), Claimants>,
    /// By backend and protocol; it has a name where one service alone has it.
    behind: HashMap<(IpAddr, u16, u8), Claimants>,
    /// Policies of the rules that were asked for. Any reader may add one, so it has a lock of its own.
    rules: RwLock<HashMap<u32, Vec<Arc<PolicyOrigin>>>>,
}

/// Services that have an address. Nearly always there is one.
type Claimants = Box<[Arc<ServiceName>]>;

/// Who has an address.
struct Pod {
    name: PodName,
    labels: LabelsOf,
    /// Since its first flow. Most pods elsewhere never have one.
    names: ArcSwapOption<Named>,
}

/// The names of a pod, with the facts that they are made of, and of when these are.
struct Named {
    facts: Facts,
    names: Arc<EndpointNames>,
    /// How often the index had followed what changed; labels are of its view.
    follows: AtomicU64,
    /// The revision of this node's pods; the workload is of them.
    pods: AtomicU64,
}

/// Where the labels of a pod are found.
#[derive(PartialEq, Eq)]
enum LabelsOf {
    /// A pod of this node has its own.
    Endpoint(LabelSet),
    /// Of a pod elsewhere we know the identity.
    Identity(Identity),
}

/// What names are made of. It may come after a pod's first flow.
#[derive(PartialEq, Eq)]
struct Facts {
    labels: LabelSet,
    workload: Option<Workload>,
}

impl Pod {
    fn new(name: &PodName, labels: LabelsOf) -> Self {
        Self {
            name: name.clone(),
            labels,
            names: ArcSwapOption::empty(),
        }
    }

    /// Its names at this moment: facts are looked up when something has changed since.
    fn names(&self, follows: u64, view: &View, inputs: &Inputs) -> Arc<EndpointNames> {
        let pods = inputs.pods.revision();
        let known = self.names.load();
        let known = known.as_ref();
        if let Some(known) = known.filter(|of| of.is_of(follows, pods)) {
            return Arc::clone(&known.names);
        }
        let labels = match &self.labels {
            LabelsOf::Endpoint(labels) => labels.clone(),
            LabelsOf::Identity(identity) => labels_of(view, *identity),
        };
        // Only pods of this node are in this table.
        let pod = inputs.pods.get(&self.name);
        let workload = pod.and_then(|pod| pod.workload.clone());
        let facts = Facts { labels, workload };
        if let Some(known) = known.filter(|of| of.facts == facts) {
            known.follows.store(follows, Ordering::Relaxed);
            known.pods.store(pods, Ordering::Relaxed);
            return Arc::clone(&known.names);
        }
        let names = Arc::new(self.named(&facts));
        self.names.store(Some(Arc::new(Named {
            facts,
            names: Arc::clone(&names),
            follows: follows.into(),
            pods: pods.into(),
        })));
        names
    }

    fn named(&self, facts: &Facts) -> EndpointNames {
        let workload = facts.workload.clone();
        EndpointNames {
            namespace: Arc::clone(&self.name.namespace),
            pod_name: Arc::clone(&self.name.name),
            workloads: workload.map(|of| (of.name, of.kind)).into_iter().collect(),
            ..labelled(&facts.labels)
        }
    }
}

impl Named {
    /// Labels and workload do not depend on each other, so it does not matter whether both numbers were written by one reader.
    fn is_of(&self, follows: u64, pods: u64) -> bool {
        self.follows.load(Ordering::Relaxed) == follows && self.pods.load(Ordering::Relaxed) == pods
    }
}

fn labels_of(view: &View, identity: Identity) -> LabelSet {
    let peer = view.policy.peer(Peer(identity.0));
    peer.map(|facts| facts.labels.clone()).unwrap_or_default()
}

/// What labels alone tell of an end. One without the label of a cluster, as the world, belongs to none.
fn labelled(labels: &LabelSet) -> EndpointNames {
    EndpointNames {
        labels: labels.to_texts().into_iter().map(Into::into).collect(),
        cluster_name: labels.get(&Source::K8s, CLUSTER).unwrap_or_default().into(),
        ..EndpointNames::default()
    }
}

impl Index {
    /// Follows what changed: remote endpoints by the log of their table, all else by comparing two states that share what
    /// they have in common.
    fn follow(&mut self, view: &Arc<View>, inputs: &Inputs) {
        self.follows += 1;
        let rules = self.rules.get_mut();
        rules.unwrap_or_else(PoisonError::into_inner).clear();
        self.follow_remote(inputs);
        self.follow_local(&view.endpoints);
        let before = self.view.replace(Arc::clone(view));
        let before = before.map(|view| view.services.clone()).unwrap_or_default();
        let changed: BTreeSet<&RowKey> = before
            .diff(&view.services)
            .map(|item| match item {
                DiffItem::Add(key, _)
                | DiffItem::Remove(key, _)
                | DiffItem::Update { new: (key, _), .. } => key,
            })
            .collect();
        let mut last = None;
        for key in changed {
            // All ports of a service at once, since two of them may share an address and number.
            if last.replace(&key.service) != Some(&key.service) {
                self.take_service(key, &before, Taking::Away);
                self.take_service(key, &view.services, Taking::In);
            }
        }
    }

    fn follow_remote(&mut self, inputs: &Inputs) {
        let now = inputs.endpoints.snapshot();
        let before = self.remote.replace(now.clone());
        let old = |name: &PodName| before.as_ref()?.get_shared(name);
        let seen = before.as_ref().map_or(0, Snapshot::revision);
        // In the order of the changes, so that who was given an address last has it.
        let names: Vec<PodName> = match now.changes_since(seen) {
            Changes::Since(changes) => changes.into_iter().map(|of| of.key).collect(),
            Changes::Everything => {
                let known = before.iter().flat_map(Snapshot::keys);
                let all: BTreeSet<&PodName> = known.chain(now.keys()).collect();
                all.into_iter().cloned().collect()
            }
        };
        for name in names {
            for address in old(&name).iter().flat_map(|row| &row.addresses) {
                self.forget(*address, &name);
            }
            let Some(row) = now.get(&name) else { continue };
            for address in &row.addresses {
                self.claim(*address, Pod::new(&name, LabelsOf::Identity(row.identity)));
            }
        }
    }

    fn claim(&mut self, address: IpAddr, pod: Pod) {
        self.forget(address, &pod.name);
        let pods = self.pods.entry(address).or_default();
        pods.reserve_exact(1);
        pods.push(pod);
    }

    fn forget(&mut self, address: IpAddr, name: &PodName) {
        if let Some(pods) = self.pods.get_mut(&address) {
            pods.retain(|of| of.name != *name);
            if pods.is_empty() {
                self.pods.remove(&address);
            }
        }
    }

    /// This node knows its own pods first and best.
    fn follow_local(&mut self, endpoints: &[EndpointRow]) {
        let names = endpoints.iter();
        self.interfaces = names
            .map(|row| (row.ifindex, Arc::clone(&row.ifname)))
            .collect();
        let ids: BTreeSet<EndpointId> = endpoints.iter().map(|row| row.id).collect();
        let gone: Vec<EndpointId> = self
            .local
            .keys()
            .filter(|id| !ids.contains(id))
            .copied()
            .collect();
        for id in gone {
            if let Some((name, addresses)) = self.local.remove(&id) {
                for address in addresses {
                    self.forget(address, &name);
                }
            }
        }
        for row in endpoints {
            let Some(name) = &row.pod else {
                continue;
            };
            for address in row.ips.iter() {
                let last = self.pods.get(&address).and_then(|pods| pods.last());
                let same = |of: &Pod| {
                    of.name == *name
                        && matches!(&of.labels, LabelsOf::Endpoint(labels) if *labels == row.labels)
                };
                if !last.is_some_and(same) {
                    let labels = LabelsOf::Endpoint(row.labels.clone());
                    self.claim(address, Pod::new(name, labels));
                }
            }
            self.local
                .entry(row.id)
                .or_insert_with(|| (name.clone(), row.ips.iter().collect()));
        }
    }

    /// Takes the addresses of all rows of a service in, or away.
    fn take_service(&mut self, of: &RowKey, rows: &ServiceRows, taking: Taking) {
        let name = Arc::new(ServiceName {
            name: Arc::clone(&of.service.name),
            namespace: Arc::clone(&of.service.namespace),
        });
        let (mut frontends, mut backends) = (BTreeSet::new(), BTreeSet::new());
        let rows = ports_of(of, rows);
        for (_, row) in rows {
            frontends.extend(
                row.frontends
                    .iter()
                    .map(|of| (of.address.address, of.address.port)),
            );
            backends.extend(row.backends.iter().map(|of| {
                let at = of.address;
                (at.address, at.port, at.protocol.number())
            }));
        }
        for key in frontends {
            take(&mut self.services, key, &name, taking);
        }
        for key in backends {
            take(&mut self.behind, key, &name, taking);
        }
    }
}

/// The rows of the service that a key is of.
fn ports_of<'a>(
    of: &'a RowKey,
    rows: &'a ServiceRows,
) -> impl Iterator<Item = &'a (u32, Arc<model::service::Row>)> {
    let first = RowKey {
        port: "".into(),
        protocol: model::service::Protocol::Tcp,
        family: model::ipam::Family::Ipv4,
        reach: model::service::Reach::All,
        ..of.clone()
    };
    let rows = rows.range(first..);
    rows.take_while(|(key, _)| key.service == of.service)
        .map(|(_, row)| row)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Taking {
    In,
    Away,
}

fn take<K: Eq + Hash>(
    claims: &mut HashMap<K, Claimants>,
    key: K,
    name: &Arc<ServiceName>,
    taking: Taking,
) {
    let before = claims.remove(&key).unwrap_or_default();
    let others = before.into_iter().filter(|other| **other != **name);
    let added = (taking == Taking::In).then(|| Arc::clone(name));
    let after: Claimants = others.chain(added).collect();
    if !after.is_empty() {
        claims.insert(key, after);
    }
}

/// The policies that a rule comes from.
fn policies_of(view: &View, rule: RuleId) -> Vec<Arc<PolicyOrigin>> {
    let Some(origin) = view.policy.rule_ids().get(rule) else {
        return Vec::new();
    };
    let of = |key: &ObjectKey, labels: Vec<Arc<str>>, log: &Arc<str>| {
        Arc::new(PolicyOrigin {
            name: Arc::clone(&key.name),
            namespace: Arc::clone(&key.namespace),
            kind: key.kind.as_str().into(),
            labels,
            revision: view.revision,
            log: Arc::clone(log),
        })
    };
    match &**origin {
        Origin::Rule {
            object,
            labels,
            log,
            ..
        } => vec![of(
            object,
            labels
                .iter()
                .map(|label| label.to_string().into())
                .collect(),
            log,
        )],
        Origin::DefaultDeny { policies, .. } => policies
            .iter()
            .map(|key| of(key, Vec::new(), &"".into()))
            .collect(),
        Origin::Fixed(_) => Vec::new(),
    }
}

impl NamesNow {
    /// Over the view, the tables and the node's own devices.
    pub fn new(
        view: ViewReader,
        inputs: Inputs,
        devices: impl IntoIterator<Item = (u32, Arc<str>)>,
    ) -> Self {
        Self {
            view,
            inputs,
            devices: devices.into_iter().collect(),
            index: RwLock::default(),
        }
    }

    /// Whether nobody may look at what the pod with this address says.
    pub fn is_private(&self, address: IpAddr) -> bool {
        let pod = self.pod_at(address);
        let namespace = pod.and_then(|pod| self.inputs.namespaces.get(&pod.namespace));
        namespace.is_some_and(|namespace| namespace.private)
    }

    /// The pod that has an address.
    pub fn pod_at(&self, address: IpAddr) -> Option<PodName> {
        let now = self.now();
        Some(now.index.pods.get(&address)?.last()?.name.clone())
    }

    /// The names of this moment.
    fn now(&self) -> At<'_> {
        let view = self.view.get();
        let is_of = |index: &Index| index.view.as_ref().is_some_and(|of| Arc::ptr_eq(of, &view));
        let mut index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        if !is_of(&index) {
            drop(index);
            let mut behind = self.index.write().unwrap_or_else(PoisonError::into_inner);
            behind.follow(&view, &self.inputs);
            index = RwLockWriteGuard::downgrade(behind);
        }
        At {
            index,
            view,
            inputs: &self.inputs,
            devices: &self.devices,
        }
    }
}

impl Names for NamesNow {
    fn held(&self) -> Option<Box<dyn Names + '_>> {
        Some(Box::new(self.now()))
    }

    fn endpoint(&self, address: IpAddr, identity: u32) -> Option<Arc<EndpointNames>> {
        self.now().endpoint(address, identity)
    }

    fn is_node(&self, address: IpAddr) -> bool {
        self.now().is_node(address)
    }

    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        self.now().service(address, port)
    }

    fn service_behind(&self, address: IpAddr, port: u16, protocol: u8) -> Option<Arc<ServiceName>> {
        self.now().service_behind(address, port, protocol)
    }

    fn fqdns(&self, asker: u16, address: IpAddr) -> Vec<Arc<str>> {
        self.now().fqdns(asker, address)
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        self.now().rule(rule)
    }

    fn interface(&self, number: u32) -> Option<Arc<str>> {
        self.now().interface(number)
    }
}

#[cfg(test)]
mod tests;
