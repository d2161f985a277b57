//! Named ports of other nodes' pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::endpoint::{NamedPort, PodName};
use model::identity::Identity;

use crate::inputs::RemoteEndpoint;

/// Lists of ports, and how many pods have each. Nearly always there is one, for which a map would be ten times as large.
type Lists = Vec<(Arc<[NamedPort]>, usize)>;

/// Named ports of endpoints, as their agents announce them; of those that have any. Pods of one identity mostly have the same, which
/// are held once.
#[derive(Debug, Default)]
pub struct AnnouncedPorts {
    by_identity: BTreeMap<Identity, Lists>,
    by_pod: BTreeMap<PodName, (Identity, Arc<[NamedPort]>)>,
}

impl AnnouncedPorts {
    /// Takes in the named ports of an announced endpoint; names the identities that have others now.
    pub(super) fn note(&mut self, name: &PodName, row: Option<&RemoteEndpoint>) -> Vec<Identity> {
        let new = row.filter(|row| !row.named_ports.is_empty());
        let old = self.by_pod.get(name);
        if old.map(|(id, ports)| (*id, &**ports))
            == new.map(|row| (row.identity, &*row.named_ports))
        {
            return Vec::new();
        }
        let mut changed = Vec::new();
        if let Some((id, ports)) = self.by_pod.remove(name) {
            self.release(id, &ports);
            changed.push(id);
        }
        if let Some(row) = new {
            let ports = self.hold(row.identity, &row.named_ports);
            self.by_pod.insert(name.clone(), (row.identity, ports));
            changed.push(row.identity);
        }
        changed
    }

    fn hold(&mut self, id: Identity, ports: &[NamedPort]) -> Arc<[NamedPort]> {
        let lists = self.by_identity.entry(id).or_default();
        if let Some((known, pods)) = lists.iter_mut().find(|(of, _)| **of == *ports) {
            *pods += 1;
            return Arc::clone(known);
        }
        let ports: Arc<[NamedPort]> = ports.into();
        lists.reserve_exact(1);
        lists.push((Arc::clone(&ports), 1));
        ports
    }

    fn release(&mut self, id: Identity, ports: &Arc<[NamedPort]>) {
        let Some(lists) = self.by_identity.get_mut(&id) else {
            return;
        };
        if let Some((_, pods)) = lists.iter_mut().find(|(of, _)| of == ports) {
            *pods -= 1;
        }
        lists.retain(|(_, pods)| *pods > 0);
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
        lists.flatten().flat_map(|(ports, _)| ports.iter())
    }
}
