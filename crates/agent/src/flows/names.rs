//! The names that flows have at this moment, out of the view and the store's tables.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use hubble::names::{EndpointNames, Names, PolicyOrigin, ServiceName};
use model::endpoint::PodName;
use model::labels::{CLUSTER, LabelSet, Source};
use model::policy::{ObjectKey, Origin, Peer, RuleId};

use crate::inputs::Inputs;
use crate::view::{View, ViewReader};

/// Names out of the view and the store's tables; what is looked up for every flow is indexed once per commit.
pub struct NamesNow {
    view: ViewReader,
    inputs: Inputs,
    devices: HashMap<u32, Arc<str>>,
    // Not a table: a cache that any reader may fill anew.
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    /// Keeps the view's address from being given to another one, not the view.
    of: Weak<View>,
    pods: HashMap<IpAddr, Arc<EndpointNames>>,
    interfaces: HashMap<u32, Arc<str>>,
    services: HashMap<(IpAddr, u16), Arc<ServiceName>>,
    /// By backend and protocol; nothing where several services share one.
    behind: HashMap<(IpAddr, u16, u8), Option<Arc<ServiceName>>>,
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

    fn indexed<T>(&self, look: impl Fn(&Index) -> T) -> T {
        let view = self.view.get();
        {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            if std::ptr::eq(index.of.as_ptr(), Arc::as_ptr(&view)) {
                return look(&index);
            }
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        *index = self.build(&view);
        look(&index)
    }

    fn build(&self, view: &Arc<View>) -> Index {
        let mut index = Index {
            of: Arc::downgrade(view),
            ..Index::default()
        };
        for (name, remote) in self.inputs.endpoints.snapshot().iter() {
            let names = Arc::new(self.pod_names(name, &Self::labels(view, remote.identity.0)));
            index.pods.extend(
                remote
                    .addresses
                    .iter()
                    .map(|address| (*address, Arc::clone(&names))),
            );
        }
        for row in &view.endpoints {
            index
                .interfaces
                .insert(row.ifindex, Arc::clone(&row.ifname));
            if let Some(pod) = &row.pod {
                let names = Arc::new(self.pod_names(pod, &row.labels));
                index
                    .pods
                    .extend(row.ips.iter().map(|address| (address, Arc::clone(&names))));
            }
        }
        for (key, _, row) in &view.services {
            let name = ServiceName {
                name: Arc::clone(&key.service.name),
                namespace: Arc::clone(&key.service.namespace),
            };
            let name = Arc::new(name);
            index.services.extend(
                row.frontends
                    .iter()
                    .map(|f| ((f.address.address, f.address.port), Arc::clone(&name))),
            );
            for backend in &row.backends {
                let at = backend.address;
                index
                    .behind
                    .entry((at.address, at.port, at.protocol.number()))
                    .and_modify(|known| {
                        known.take_if(|known| **known != *name);
                    })
                    .or_insert_with(|| Some(Arc::clone(&name)));
            }
        }
        index
    }

    fn pod_names(&self, name: &PodName, labels: &LabelSet) -> EndpointNames {
        // Only pods of this node are in this table.
        let pod = self.inputs.pods.get(name);
        let workload = pod.and_then(|pod| pod.workload.clone());
        EndpointNames {
            namespace: Arc::clone(&name.namespace),
            pod_name: Arc::clone(&name.name),
            workloads: workload.map(|of| (of.name, of.kind)).into_iter().collect(),
            ..labelled(labels)
        }
    }

    fn labels(view: &View, identity: u32) -> LabelSet {
        let peer = view.policy.peer(Peer(identity));
        peer.map(|facts| facts.labels.clone()).unwrap_or_default()
    }
}

/// What labels alone tell of an end. One without the label of a cluster, as the world, belongs to none.
fn labelled(labels: &LabelSet) -> EndpointNames {
    EndpointNames {
        labels: labels.to_texts().into_iter().map(Into::into).collect(),
        cluster_name: labels.get(&Source::K8s, CLUSTER).unwrap_or_default().into(),
        ..EndpointNames::default()
    }
}

impl Names for NamesNow {
    fn endpoint(&self, address: IpAddr, identity: u32) -> Option<Arc<EndpointNames>> {
        self.indexed(|index| index.pods.get(&address).cloned())
            .or_else(|| {
                let labels = Self::labels(&self.view.get(), identity);
                (!labels.is_empty()).then(|| Arc::new(labelled(&labels)))
            })
    }

    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        self.indexed(|index| index.services.get(&(address, port)).cloned())
    }

    fn service_behind(&self, address: IpAddr, port: u16, protocol: u8) -> Option<Arc<ServiceName>> {
        self.indexed(|index| index.behind.get(&(address, port, protocol)).cloned())
            .flatten()
    }

    fn fqdns(&self, _asker: u16, _address: IpAddr) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        let view = self.view.get();
        let Some(origin) = view.policy.rule_ids().get(RuleId(rule)) else {
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

    fn interface(&self, number: u32) -> Option<Arc<str>> {
        let of_pod = |index: &Index| index.interfaces.get(&number).cloned();
        self.indexed(of_pod)
            .or_else(|| self.devices.get(&number).cloned())
    }
}

#[cfg(test)]
mod tests;
