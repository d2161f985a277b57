//! Named ports of other nodes' pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::endpoint::{NamedPort, PodName};
use model::identity::Identity;

use crate::inputs::RemoteEndpoint;

/// Named ports of endpoints, as their agents announce them; of those that have any. Pods of one identity mostly have the same, which
/// are held once.
#[derive(Debug, Default)]
pub struct AnnouncedPorts {
    /// Lists of ports, and how many pods have each.
    by_identity: BTreeMap<Identity, BTreeMap<Arc<[NamedPort]>, usize>>,
    by_pod: BTreeMap<PodName, (Identity, Arc<[NamedPort]>)>,
}

impl AnnouncedPorts {
    /// Takes in the named ports of an announced endpoint; names the identities that have others now.
    pub(super) fn note(&mut self, name: &PodName, row: Option<&RemoteEndpoint>) -> Vec<Identity> {
        let new = row.filter(|row| !row.named_ports.is_empty());
        let old = self.by_pod.get(name);
        if old.map(|(id, ports)| (*id, &**ports))
            == new.map(|row| (row.identity, row.named_ports.as_slice()))
        {
            return Vec::new();
        }
        let mut changed = Vec::new();
        if let Some((id, ports)) = self.by_pod.remove(name) {
            self.release(id, &ports);
            changed.push(id);
        }
        if let Some(row) = new {
            let lists = self.by_identity.entry(row.identity).or_default();
            let known = lists.get_key_value(row.named_ports.as_slice());
            let ports =
                known.map_or_else(|| row.named_ports.clone().into(), |(of, _)| Arc::clone(of));
            *lists.entry(Arc::clone(&ports)).or_default() += 1;
            self.by_pod.insert(name.clone(), (row.identity, ports));
            changed.push(row.identity);
        }
        changed
    }

    fn release(&mut self, id: Identity, ports: &Arc<[NamedPort]>) {
        let Some(lists) = self.by_identity.get_mut(&id) else {
            return;
        };
        if let Some(pods) = lists.get_mut(ports) {
            *pods -= 1;
            if *pods == 0 {
                lists.remove(ports);
            }
        }
        if lists.is_empty() {
            self.by_identity.remove(&id);
        }
    }

    /// Pods that have any.
    pub(super) fn pods(&self) -> impl Iterator<Item = &PodName> {
        self.by_pod.keys()
    }

    /// Ports of an identity's pods.
    pub(super) fn of(&self, id: Identity) -> impl Iterator<Item = &NamedPort> {
        let lists = self.by_identity.get(&id).into_iter();
        lists
            .flat_map(BTreeMap::keys)
            .flat_map(|ports| ports.iter())
    }
}
