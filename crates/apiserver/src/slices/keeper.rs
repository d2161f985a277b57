//! The task that follows services, pods and slices, and writes what the plan says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::kubernetes::{EndpointSlice, Pod, Resource, Service};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::desired::{MANAGED_BY, OURS, Plan, SERVICE_NAME, is_kept, plan, selects};
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::object::{self, Part};
use crate::store::{Change, Durable, Event, Key, Store, Transaction, View};

const SLICES: &str = "endpointslices.discovery.k8s.io";
/// Events taken at a time.
const BATCH: usize = 1024;
/// Services written side by side, so that they share commits.
const SIDE_BY_SIDE: usize = 64;
/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Namespace and name.
type Name = (String, String);

/// What the keeper has seen.
#[derive(Default)]
struct Seen {
    cursor: u64,
    services: BTreeMap<Name, Service>,
    pods: BTreeMap<String, BTreeMap<String, Pod>>,
    slices: BTreeMap<Name, BTreeMap<String, (u64, EndpointSlice)>>,
    touched: BTreeSet<Name>,
}

/// Follows the store until `shutdown`.
pub(crate) async fn keep(store: Store, shutdown: CancellationToken) {
    let mut revisions = store.revisions();
    let mut seen = Seen::default();
    let mut listed = false;
    loop {
        if !listed {
            match list(&store).await {
                Ok(fresh) => {
                    seen = fresh;
                    listed = true;
                }
                Err(error) => tracing::warn!("endpoint slices: {error}"),
            }
        }
        revisions.borrow_and_update();
        let newer = listed && follow(&store, &mut seen, &mut listed);
        let failed = settle(&store, &mut seen).await;
        if newer {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = revisions.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if failed || !listed => {}
        }
    }
}

/// The present state; every service is touched, also one that only slices remain of.
async fn list(store: &Store) -> Result<Seen, ApiError> {
    let look = store.read(|view| {
        let mut seen = Seen {
            cursor: view.revision()?,
            ..Seen::default()
        };
        for service in all::<Service>(view, "services")? {
            seen.touched.insert(name_of(&service));
            seen.services.insert(name_of(&service), service);
        }
        for pod in all::<Pod>(view, "pods")? {
            let (namespace, name) = name_of(&pod);
            seen.pods.entry(namespace).or_default().insert(name, pod);
        }
        for slice in all::<EndpointSlice>(view, SLICES)? {
            seen.remember(slice);
        }
        Ok(seen)
    });
    look.await
}

fn all<T: DeserializeOwned>(view: &View, resource: &str) -> Result<Vec<T>, ApiError> {
    let mut objects = Vec::new();
    view.scan(&Arc::from(resource), None, |_, bytes| {
        objects.extend(decode(bytes));
    })?;
    Ok(objects)
}

/// An object that does not have the shape of its kind concerns no service.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::debug!("endpoint slices: {error}"))
        .ok()
}

fn name_of<T: Resource>(object: &T) -> Name {
    (object.meta().namespace.clone(), object.meta().name.clone())
}

fn revision_of(slice: &EndpointSlice) -> u64 {
    slice.metadata.resource_version.parse().unwrap_or(0)
}

/// The service of a slice kept here.
fn owner(slice: &EndpointSlice) -> Option<Name> {
    let labels = &slice.metadata.labels;
    let ours = labels.get(MANAGED_BY).is_some_and(|by| by == OURS);
    let service = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some((slice.metadata.namespace.clone(), service.clone()))
}

/// Takes in new events; whether there were any. Asks for a new list when the past is gone.
fn follow(store: &Store, seen: &mut Seen, listed: &mut bool) -> bool {
    match store.events_after(seen.cursor, BATCH) {
        Err(_) => {
            *listed = false;
            true
        }
        Ok(events) => {
            for event in &events {
                seen.cursor = event.revision;
                seen.take(event);
            }
            !events.is_empty()
        }
    }
}

impl Seen {
    fn take(&mut self, event: &Event) {
        let name = (event.key.namespace.clone(), event.key.name.clone());
        match &*event.key.resource {
            "services" => {
                self.services.remove(&name);
                if event.change != Change::Deleted
                    && let Some(service) = decode(&event.object)
                {
                    self.services.insert(name.clone(), service);
                }
                self.touched.insert(name);
            }
            "pods" => self.take_pod(&name, event),
            SLICES => self.take_slice(event),
            _ => {}
        }
    }

    fn take_pod(&mut self, (namespace, name): &Name, event: &Event) {
        let pods = self.pods.entry(namespace.clone()).or_default();
        let old = pods.remove(name);
        let new: Option<Pod> = (event.change != Change::Deleted)
            .then(|| decode(&event.object))
            .flatten();
        let in_namespace = self.services.range((namespace.clone(), String::new())..);
        for (key, service) in in_namespace.take_while(|(key, _)| key.0 == *namespace) {
            if is_kept(service)
                && [&old, &new]
                    .into_iter()
                    .flatten()
                    .any(|pod| selects(service, pod))
            {
                self.touched.insert(key.clone());
            }
        }
        if let Some(pod) = new {
            pods.insert(name.clone(), pod);
        }
    }

    fn take_slice(&mut self, event: &Event) {
        let Some(slice) = decode::<EndpointSlice>(&event.object) else {
            return;
        };
        let Some(owner) = owner(&slice) else { return };
        let known = self
            .slices
            .get(&owner)
            .and_then(|slices| slices.get(&slice.metadata.name));
        // What was written here is known before its event comes.
        if known.is_some_and(|(revision, _)| *revision >= event.revision) {
            return;
        }
        if event.change == Change::Deleted {
            if self.forget(&owner, &slice.metadata.name) {
                self.touched.insert(owner);
            }
        } else {
            self.remember(slice);
        }
    }

    fn remember(&mut self, slice: EndpointSlice) {
        if let Some(owner) = owner(&slice) {
            self.touched.insert(owner.clone());
            let entry = (revision_of(&slice), slice);
            self.slices
                .entry(owner)
                .or_default()
                .insert(entry.1.metadata.name.clone(), entry);
        }
    }

    fn forget(&mut self, owner: &Name, slice: &str) -> bool {
        let Some(slices) = self.slices.get_mut(owner) else {
            return false;
        };
        let known = slices.remove(slice).is_some();
        if slices.is_empty() {
            self.slices.remove(owner);
        }
        known
    }

    /// Takes in what was written here, before its events come.
    fn learn(&mut self, service: &Name, removed: &[String], written: &[Bytes]) {
        for slice in removed {
            self.forget(service, slice);
        }
        let touched = std::mem::take(&mut self.touched);
        for slice in written.iter().filter_map(|bytes| decode(bytes)) {
            self.remember(slice);
        }
        self.touched = touched;
    }

    fn plan(&self, name: &Name) -> Option<Plan> {
        let existing: Vec<&EndpointSlice> = self
            .slices
            .get(name)
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|(_, slice)| slice)
            .collect();
        let Some(service) = self.services.get(name) else {
            let remove = existing
                .iter()
                .map(|slice| slice.metadata.name.clone())
                .collect();
            return Some(Plan {
                write: Vec::new(),
                remove,
            });
        };
        // Slices of a service without a selector are its user's.
        if !is_kept(service) {
            return None;
        }
        let pods: Vec<&Pod> = self
            .pods
            .get(&name.0)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        Some(plan(service, &pods, &existing))
    }
}

/// Writes the plans of all touched services; whether one failed, which is then still touched.
async fn settle(store: &Store, seen: &mut Seen) -> bool {
    let Some(kind) = store.registry().by_resource(SLICES) else {
        return false;
    };
    let touched = std::mem::take(&mut seen.touched);
    let plans: Vec<(Name, Plan)> = touched
        .into_iter()
        .filter_map(|name| Some((seen.plan(&name)?, name)))
        .map(|(plan, name)| (name, plan))
        .collect();
    let plans = plans
        .into_iter()
        .filter(|(_, plan)| *plan != Plan::default());
    let results = stream::iter(plans)
        .map(|(name, plan)| {
            let service = seen
                .services
                .get(&name)
                .map(|service| service.metadata.uid.clone());
            let service = service.map(|uid| (Key::new("services".into(), &name.0, &name.1), uid));
            let (kind, removed, namespace) =
                (Arc::clone(&kind), plan.remove.clone(), name.0.clone());
            async move {
                let write = store.write(Durable::Yes, move |transaction| {
                    apply(transaction, &kind, &namespace, service.as_ref(), plan)
                });
                (name, removed, write.await)
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<_>>()
        .await;
    let mut failed = false;
    for (name, removed, result) in results {
        match result {
            Ok(Some(written)) => seen.learn(&name, &removed, &written),
            // The service has changed hands meanwhile: its event is on the way.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    namespace = name.0,
                    service = name.1,
                    "endpoint slices: {error}"
                );
                seen.touched.insert(name);
                failed = true;
            }
        }
    }
    failed
}

/// One plan in one transaction; `None` if the service is no longer the one the plan was made for.
fn apply(
    transaction: &mut Transaction<'_>,
    kind: &Kind,
    namespace: &str,
    service: Option<&(Key, String)>,
    plan: Plan,
) -> Result<Option<Vec<Bytes>>, ApiError> {
    if let Some((key, uid)) = service {
        let current = transaction.get(key)?;
        if current.is_none_or(|current| object::meta(&current, "uid") != uid) {
            return Ok(None);
        }
    }
    let key = |name: &str| Key::new(kind.shared_resource(), namespace, name);
    let mut written = Vec::new();
    for slice in plan.write {
        let key = key(&slice.metadata.name);
        let mut new =
            serde_json::to_value(&slice).map_err(|error| ApiError::internal(error.to_string()))?;
        let old = transaction.get(&key)?;
        object::set_meta(&mut new, "resourceVersion", "");
        match &old {
            None => object::prepare_create(kind, "v1", namespace, &mut new)?,
            Some(old) => {
                object::take_type(kind, "v1", &mut new)?;
                object::prepare_update(kind, Part::Object, old, &mut new)?;
            }
        }
        written.push(transaction.put(key, new, old.as_ref())?);
    }
    for name in plan.remove {
        let key = key(&name);
        if let Some(old) = transaction.get(&key)? {
            transaction.remove(key, old)?;
        }
    }
    Ok(Some(written))
}
