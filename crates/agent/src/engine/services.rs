//! Services: from rows of the store to frontends, slots and backends, under numbers that survive a restart.

mod entries;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imbl::OrdMap;
use kernel::{MapError, Maps};
use model::endpoint::PodName;
use model::numbers::Numbers;
use model::service::{
    BackendAddress, Change, FrontendAddress, Row, RowKey, Service, ServiceIds, ServiceName,
    Snapshot,
};
use reconcile::Changes;

use crate::config::Config;
use crate::inputs::SliceRow;

pub use entries::Entries;
use entries::{Stale, frontend_address, recover_backends};

/// Rows with their numbers; clones share their content.
pub type ServiceRows = OrdMap<RowKey, (u32, Arc<Row>)>;

/// The services of the cluster, as this node sees them.
pub struct Services {
    enabled: bool,
    snapshot: Snapshot,
    /// Those that have a number.
    rows: ServiceRows,
    /// Who claims an address, in order; the first has it.
    claims: HashMap<FrontendAddress, Vec<RowKey>>,
    ids: ServiceIds,
    /// One for each service that a backend is of: a client's last backend counts while it is of that service.
    backends: Numbers<(u32, BackendAddress)>,
    /// Which service each slice is of.
    slices: BTreeMap<PodName, ServiceName>,
    seen: (u64, u64),
    stale: Stale,
    /// Services that there are, and what became of them since somebody asked.
    known: BTreeSet<ServiceName>,
    events: Vec<&'static str>,
}

impl Services {
    /// Takes over the numbers that the kernel's tables hold.
    pub fn recover(config: &Config, maps: &Maps) -> Result<Self, MapError> {
        let mut ids = ServiceIds::default();
        let frontends = maps.frontends.dump()?;
        ids.restore(
            frontends
                .iter()
                .filter_map(|(key, value)| Some((frontend_address(key)?, value.service))),
        );
        let backends = recover_backends(maps)?;
        Ok(Self::new(
            config.services.enabled,
            &config.node,
            ids,
            backends,
        ))
    }

    fn new(
        enabled: bool,
        node: &str,
        ids: ServiceIds,
        backends: Numbers<(u32, BackendAddress)>,
    ) -> Self {
        Self {
            enabled,
            snapshot: Snapshot::new(node),
            rows: ServiceRows::new(),
            claims: HashMap::new(),
            ids,
            backends,
            slices: BTreeMap::new(),
            seen: (0, 0),
            stale: Stale::default(),
            known: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// Takes in what changed; says whether anything did.
    pub fn absorb(
        &mut self,
        services: &reconcile::Snapshot<ServiceName, Service>,
        slices: &reconcile::Snapshot<PodName, SliceRow>,
    ) -> bool {
        if !self.enabled {
            return false;
        }
        let mut touched = BTreeSet::new();
        for (name, value) in changes(services, self.seen.0, || self.names()) {
            self.note_event(&name, value.is_some());
            touched.extend(self.snapshot.apply(Change::Service(name, value)));
        }
        for (name, value) in changes(slices, self.seen.1, || {
            self.slices.keys().cloned().collect()
        }) {
            let of = value.as_ref().map(|row| &row.service);
            if let Some(old) = self.slices.remove(&name).filter(|old| Some(old) != of) {
                let gone = Change::Slice(old, Arc::clone(&name.name), None);
                touched.extend(self.snapshot.apply(gone));
            }
            if let Some(row) = value {
                self.slices.insert(name.clone(), row.service.clone());
                let slice = Some(Arc::clone(&row.slice));
                let change = Change::Slice(row.service.clone(), name.name, slice);
                touched.extend(self.snapshot.apply(change));
            }
        }
        self.seen = (services.revision(), slices.revision());
        for key in &touched {
            self.refresh(key);
        }
        !touched.is_empty()
    }

    fn note_event(&mut self, name: &ServiceName, there: bool) {
        let event = if there && self.known.insert(name.clone()) {
            "add"
        } else if there {
            "update"
        } else if self.known.remove(name) {
            "delete"
        } else {
            return;
        };
        self.events.push(event);
    }

    /// What became of services since the last call: add, update, delete.
    pub fn take_events(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.events)
    }

    fn names(&self) -> Vec<ServiceName> {
        let names: BTreeSet<ServiceName> = self
            .snapshot
            .keys()
            .into_iter()
            .map(|key| key.service)
            .collect();
        names.into_iter().collect()
    }

    /// Makes one row anew, and notes which entries that may change.
    fn refresh(&mut self, key: &RowKey) {
        let (new, old) = (self.snapshot.row(key), self.rows.remove(key));
        if let Some((service, row)) = &old {
            self.note_stale(*service, row);
        }
        let number = new.as_ref().and_then(|row| self.ids.assign(key, row));
        if new.is_some() && number.is_none() {
            tracing::error!(service = %key.service, "a service has no number and is left out");
        }
        let new = number.zip(new.map(Arc::new));
        for backend in numbered(new.as_ref()) {
            if let Err(error) = self.backends.acquire(&backend) {
                tracing::error!(service = %key.service, %error, "a backend has no number and is left out");
            }
        }
        for backend in numbered(old.as_ref()) {
            if self.backends.release(&backend) == model::numbers::Release::Unused
                && let Some(id) = self.backends.get(&backend)
            {
                self.backends.forget(id);
            }
        }
        self.claim(
            key,
            old.as_ref().map(|(_, row)| &**row),
            new.as_ref().map(|(_, row)| &**row),
        );
        if let Some(row) = new {
            self.rows.insert(key.clone(), row);
            self.stale.rows.insert(key.clone());
        } else {
            self.ids.release(key);
        }
    }

    /// What a row has in the tables may go, or change.
    fn note_stale(&mut self, service: u32, row: &Row) {
        let slots = self.slots_of(service, row);
        let noted = self.stale.slots.entry(service).or_default();
        *noted = slots.max(*noted);
        let ids = row.backends.iter();
        let ids = ids.filter_map(|backend| self.backends.get(&(service, backend.address)));
        self.stale.backends.extend(ids);
    }

    fn claim(&mut self, key: &RowKey, old: Option<&Row>, new: Option<&Row>) {
        let of = |row: Option<&Row>| -> BTreeSet<FrontendAddress> {
            let frontends = row.map_or(&[][..], |row| &row.frontends);
            frontends.iter().map(|frontend| frontend.address).collect()
        };
        let (before, after) = (of(old), of(new));
        for address in before.difference(&after) {
            if let Some(keys) = self.claims.get_mut(address) {
                keys.retain(|other| other != key);
                if keys.is_empty() {
                    self.claims.remove(address);
                }
            }
            self.stale.frontends.insert(*address);
        }
        for address in after.difference(&before) {
            let keys = self.claims.entry(*address).or_default();
            if let Err(at) = keys.binary_search(key) {
                keys.reserve_exact(1);
                keys.insert(at, key.clone());
            }
            self.stale.frontends.insert(*address);
        }
    }

    /// Frees numbers that a former run gave and nobody took over.
    pub fn forget_restored(&mut self) {
        self.ids.forget_restored();
        for id in self.backends.unused() {
            self.backends.forget(id);
        }
    }

    /// All rows with their numbers.
    pub fn rows(&self) -> ServiceRows {
        self.rows.clone()
    }
}

fn numbered(row: Option<&(u32, Arc<Row>)>) -> Vec<(u32, BackendAddress)> {
    let of = |(service, row): &(u32, Arc<Row>)| {
        let backends = row.backends.iter();
        backends
            .map(|backend| (*service, backend.address))
            .collect()
    };
    row.map(of).unwrap_or_default()
}

type Changed<K, V> = Vec<(K, Option<Arc<V>>)>;

fn changes<K: reconcile::table::Key, V: reconcile::table::Value>(
    snapshot: &reconcile::Snapshot<K, V>,
    since: u64,
    known: impl FnOnce() -> Vec<K>,
) -> Changed<K, V> {
    match snapshot.changes_since(since) {
        Changes::Since(changes) => changes
            .into_iter()
            .map(|change| (change.key, change.value))
            .collect(),
        Changes::Everything => super::absorb::everything(snapshot, known()),
    }
}

#[cfg(test)]
mod tests;
