//! Slices in the store: read whole, written one by one, each write for the version that is known.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::cilium::CiliumEndpointSlice;
use api::kubernetes::ObjectMeta;
use reconcile::{Fetched, Step, Table, Target};
use store::Scope;

use super::{Content, Rate, Rates};
use crate::ipam::NodeRow;
use crate::leader::{Error, Leader};
use crate::metrics::{Metrics, Outcome, SliceChange};

const PAGE: u32 = 100;

/// Versions are numbers that grow (KEP-5504).
pub(super) fn version_of(meta: &ObjectMeta) -> u64 {
    meta.resource_version.parse().unwrap_or_default()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Slices as we last read or wrote them, for the versions.
#[derive(Clone, Default)]
pub(super) struct Known(
    // A table would not do: steps that run at once write it.
    Arc<Mutex<BTreeMap<Arc<str>, ObjectMeta>>>,
);

impl Known {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, ObjectMeta>> {
        lock(&self.0)
    }

    fn learn(&self, meta: ObjectMeta) {
        self.lock().insert(meta.name.as_str().into(), meta);
    }

    /// A whole list came; what was written since it was made is newer.
    fn replace(&self, listed: BTreeMap<Arc<str>, ObjectMeta>) {
        let mut known = self.lock();
        let before = std::mem::replace(&mut *known, listed);
        for (name, meta) in before {
            if let Some(listed) = known.get_mut(&name)
                && version_of(listed) < version_of(&meta)
            {
                *listed = meta;
            }
        }
    }

    /// Whether others wrote or deleted something, or we do not know yet what we wrote.
    pub(super) fn differs<'a>(&self, there: impl Iterator<Item = (&'a Arc<str>, &'a u64)>) -> bool {
        let known = self.lock();
        let mut number = 0;
        for (name, version) in there {
            number += 1;
            if known.get(name).is_none_or(|of| version_of(of) < *version) {
                return true;
            }
        }
        number != known.len()
    }
}

/// The slices of the cluster.
pub(super) struct Slices {
    leader: Leader,
    rates: Rates,
    nodes: Table<Arc<str>, NodeRow>,
    // A table would not do: it is made anew when the rate changes.
    writer: Mutex<(Rate, Leader)>,
    known: Known,
    /// What the pages of a list that is under way brought.
    listed: Mutex<BTreeMap<Arc<str>, ObjectMeta>>,
    metrics: Arc<Metrics>,
}

impl Slices {
    pub(super) fn new(
        leader: &Leader,
        rates: Rates,
        nodes: Table<Arc<str>, NodeRow>,
        known: Known,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let rate = rates.of(0);
        Self {
            leader: leader.clone(),
            rates,
            nodes,
            writer: Mutex::new((rate, leader.at_pace(rate.limit, rate.burst))),
            known,
            listed: Mutex::default(),
            metrics: Arc::clone(metrics),
        }
    }

    fn writer(&self) -> Leader {
        let rate = self.rates.of(self.nodes.snapshot().len());
        let mut writer = lock(&self.writer);
        if writer.0 != rate {
            *writer = (rate, self.leader.at_pace(rate.limit, rate.burst));
        }
        writer.1.clone()
    }

    async fn write(&self, step: &Step<Arc<str>, Content>) -> Result<(), Error> {
        let name = step.key();
        let known = self.known.lock().get(name).cloned();
        let known = match (known, step) {
            (None, Step::Update { .. } | Step::Delete { .. }) => {
                let found = self.leader.find::<CiliumEndpointSlice>(None, name).await?;
                found.map(|of| of.metadata)
            }
            (known, _) => known,
        };
        match (step.to(), known) {
            (Some(content), Some(meta)) => {
                let written = self.writer().replace(&object(meta, content)).await?;
                self.known.learn(written.metadata);
            }
            (Some(content), None) => {
                let meta = ObjectMeta {
                    name: name.to_string(),
                    ..ObjectMeta::default()
                };
                let written = self.writer().create(&object(meta, content)).await?;
                self.known.learn(written.metadata);
            }
            (None, Some(meta)) => {
                self.writer().delete::<CiliumEndpointSlice>(&meta).await?;
                self.known.lock().remove(name);
            }
            (None, None) => {}
        }
        Ok(())
    }
}

fn object(metadata: ObjectMeta, content: &Content) -> CiliumEndpointSlice {
    let endpoints = content.endpoints.values();
    CiliumEndpointSlice {
        metadata,
        namespace: content.namespace.to_string(),
        endpoints: endpoints.map(|of| (**of).clone()).collect(),
        ..CiliumEndpointSlice::default()
    }
}

/// A slice of which it is not known what was in it counts as one that was empty.
fn change(step: &Step<Arc<str>, Content>) -> SliceChange {
    let nothing = BTreeMap::new();
    let before = match step {
        Step::Update { from, .. } | Step::Delete { from, .. } => from.as_ref(),
        Step::Create { .. } => None,
    };
    let before = before.map_or(&nothing, |of| &of.endpoints);
    let after = step.to().map_or(&nothing, |of| &of.endpoints);
    let only = |of: &BTreeMap<Arc<str>, _>, not: &BTreeMap<Arc<str>, _>| {
        of.keys().filter(|name| !not.contains_key(*name)).count()
    };
    SliceChange {
        size: after.len(),
        inserted: only(after, before),
        removed: only(before, after),
    }
}

impl Target for Slices {
    type Key = Arc<str>;
    type Value = Content;
    type Cursor = String;
    type Error = Error;

    async fn fetch(
        &self,
        from: Option<String>,
    ) -> Result<Fetched<Arc<str>, Content, String>, Error> {
        let token = from.unwrap_or_default();
        if token.is_empty() {
            lock(&self.listed).clear();
        }
        let list = self.leader.reader();
        let page = list
            .list_page::<CiliumEndpointSlice>(&Scope::all(), PAGE, &token)
            .await?;
        let mut entries = Vec::new();
        for text in page.items {
            match serde_json::from_str::<CiliumEndpointSlice>(text.get()) {
                Ok(slice) => {
                    let name: Arc<str> = slice.metadata.name.as_str().into();
                    lock(&self.listed).insert(Arc::clone(&name), slice.metadata.clone());
                    entries.push((name, Content::read(slice)));
                }
                Err(error) => tracing::error!(%error, "a slice cannot be read and stays as it is"),
            }
        }
        let next = Some(page.metadata.continue_token).filter(|token| !token.is_empty());
        if next.is_none() {
            self.known.replace(std::mem::take(&mut *lock(&self.listed)));
        }
        Ok(Fetched { entries, next })
    }

    async fn apply(&self, step: &Step<Arc<str>, Content>) -> Result<(), Error> {
        let result = self.write(step).await;
        self.metrics.slice(Outcome::of(&result), change(step));
        if result.is_err() {
            // Whether it was done nobody knows: it is read before the next try.
            self.known.lock().remove(step.key());
        }
        result
    }
}
