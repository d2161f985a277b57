//! Finding the identity of labels: what the store knows, or a new one that is created there.
//!
//! A new number is looked for from a place that the labels decide. Two agents with the same new labels, and one whose first
//! try failed after it had its effect, so try to create one object and not two; and labels whose identity was deleted
//! although they are in use get their number back.

mod ahead;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use api::cilium::CiliumIdentity;
use api::kubernetes::ObjectMeta;
use model::endpoint::PodName;
use model::identity::{
    Allocation, ClusterNumbers, Identity, KnownIdentities, MaxClusters, allocate, to_key,
    to_security_labels,
};
use model::labels::{Label, LabelFilter, LabelSet, NAMESPACE, PodLabels, Source, pod_labels};
use reconcile::table::{Changes, Revision};
use reconcile::{Backoff, Table};
use store::Client;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::{Command, Wanted, WantedLabels};
use crate::inputs::{Inputs, NamespaceRow, PodRow};
use crate::kvstore::Numbers;
use crate::view::ViewReader;

/// How long an endpoint waits for its pod to be known.
const POD_PATIENCE: Duration = Duration::from_secs(10);
/// Pauses after failures: a pod waits, but so may one on each of a thousand nodes.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// Why an endpoint has no identity yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod is not in the store.
    #[error("pod {0} is not known to the API server")]
    NoPod(PodName),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// etcd refused, or did not answer.
    #[error(transparent)]
    Etcd(#[from] store::etcd::Error),
    /// etcd could not be written to in time.
    #[error("etcd: no identity within {0:?}")]
    Late(Duration),
    /// The policies are not known yet.
    #[error("which labels policies use is not known yet")]
    NotReady,
    /// No number is free.
    #[error("all identities of this cluster are in use")]
    Exhausted,
}

/// A pod waits for the identity of labels that are new, and not for announcements: a full node's pods may come at once.
const CREATIONS_PER_SECOND: f64 = 100.0;
const CREATIONS_AT_ONCE: f64 = 300.0;

/// Numbers that are tried in etcd before the table is asked again.
const CHOICES: usize = 16;
/// How long an endpoint waits for etcd.
const ETCD_PATIENCE: Duration = Duration::from_secs(20);

/// Finds and creates identities.
#[derive(Clone)]
pub struct Identities {
    client: Client,
    inputs: Inputs,
    numbers: ClusterNumbers,
    cluster: Arc<str>,
    filter: LabelFilter,
    /// Which of those labels, if not all.
    by_need: Option<WantedLabels>,
    /// etcd, if numbers are given there.
    etcd: Option<Numbers>,
    // One at a time: two endpoints with the same new labels must not create two identities.
    creating: Arc<Mutex<()>>,
    index: Arc<std::sync::Mutex<Index>>,
}

/// The table by labels too, as of a revision.
#[derive(Default)]
struct Index {
    seen: Revision,
    known: KnownIdentities,
}

impl Identities {
    /// Over the tables of the store.
    pub fn new(client: &Client, inputs: Inputs, config: &Config, filter: LabelFilter) -> Self {
        let numbers = ClusterNumbers {
            cluster_id: config.cluster_id,
            clusters: MaxClusters::C255,
        };
        Self {
            client: client.at_pace(CREATIONS_PER_SECOND, CREATIONS_AT_ONCE),
            inputs,
            numbers,
            cluster: config.cluster.as_str().into(),
            filter,
            by_need: None,
            etcd: None,
            creating: Arc::default(),
            index: Arc::default(),
        }
    }

    /// Only some of the labels make an identity.
    pub fn by_need(mut self, wanted: Option<WantedLabels>) -> Self {
        self.by_need = wanted;
        self
    }

    /// Numbers are given in etcd.
    pub fn over(mut self, etcd: Option<Numbers>) -> Self {
        self.etcd = etcd;
        self
    }

    /// The numbers that pods of this cluster can get.
    pub fn numbers(&self) -> ClusterNumbers {
        self.numbers
    }

    /// The pod as the store knows it; waits a little for one that was just created.
    pub async fn pod(&self, name: &PodName) -> Result<Arc<PodRow>, Error> {
        until_some(&self.inputs.pods, name)
            .await
            .ok_or_else(|| Error::NoPod(name.clone()))
    }

    /// The pod's namespace, in the same way.
    pub async fn namespace(&self, of: &PodName) -> Arc<NamespaceRow> {
        until_some(&self.inputs.namespaces, &of.namespace)
            .await
            .unwrap_or_default()
    }

    /// The labels of a pod's identity.
    pub async fn labels(&self, name: &PodName, pod: &PodRow) -> Result<LabelSet, Error> {
        let namespace = self.namespace(name).await;
        let facts = PodLabels {
            pod: pod.labels.iter().map(|(k, v)| (&**k, &**v)),
            namespace: &name.namespace,
            namespace_labels: namespace.labels.iter().map(|(k, v)| (&**k, &**v)),
            service_account: pod.service_account.as_deref(),
            cluster: &self.cluster,
        };
        let labels = pod_labels(facts, &self.filter);
        let Some(mut wanted) = self.by_need.clone() else {
            return Ok(labels);
        };
        let known = wanted.wait_for(Option::is_some);
        let known = tokio::time::timeout(POD_PATIENCE, known).await;
        let in_use = known.ok().and_then(Result::ok).and_then(|of| of.clone());
        let in_use = in_use.ok_or(Error::NotReady)?;
        Ok(in_use.apply(&labels))
    }

    /// The identity of labels, created if there is none.
    pub async fn identity(&self, labels: &LabelSet) -> Result<Identity, Error> {
        self.inputs.identities.until_initialized().await;
        // Nobody waits for the making of another's.
        if let Some(id) = self.at_hand(labels) {
            return Ok(id);
        }
        let _one = self.creating.lock().await;
        if let Some(etcd) = &self.etcd {
            return tokio::time::timeout(ETCD_PATIENCE, self.number(labels, etcd))
                .await
                .unwrap_or(Err(Error::Late(ETCD_PATIENCE)));
        }
        for _ in 0..16 {
            match self.choice(labels) {
                Allocation::Exists(id) => return Ok(id),
                Allocation::Exhausted => return Err(Error::Exhausted),
                Allocation::Create(id) => match self.client.create(&object(id, labels)).await {
                    Ok(_) => {
                        // The table tells when the policies know it too.
                        until_some(&self.inputs.identities, &id).await;
                        return Ok(id);
                    }
                    Err(error) if error.is_conflict() => {
                        until_some(&self.inputs.identities, &id).await;
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err(Error::Exhausted)
    }

    /// The identity of labels, if nobody has to be asked for it.
    fn at_hand(&self, labels: &LabelSet) -> Option<Identity> {
        let Allocation::Exists(id) = self.choice(labels) else {
            return None;
        };
        let Some(etcd) = &self.etcd else {
            return Some(id);
        };
        // Reserved ones have their numbers everywhere; of others etcd must know that this node uses them.
        let is_reserved = !self.numbers.range().contains(&id.0);
        let is_used = || {
            let view = etcd.view.get();
            let mut rows = view.endpoints.iter();
            rows.any(|row| row.identity == Some(id) && row.labels == *labels)
        };
        (is_reserved || is_used() || etcd.holds.keep(&to_key(labels), id)).then_some(id)
    }

    /// The identity of labels in etcd, where this node uses it from then on.
    async fn number(&self, labels: &LabelSet, etcd: &Numbers) -> Result<Identity, Error> {
        if let Some(id) = self.at_hand(labels) {
            return Ok(id);
        }
        let mut known = self.known();
        let mut free = Vec::new();
        let start = first_choice(labels);
        let exists = loop {
            match allocate(labels, &known, &[], self.numbers, start) {
                Allocation::Exists(id) => break Some(id),
                Allocation::Create(id) if free.len() < CHOICES => {
                    free.push(id.0);
                    known.insert(id, std::iter::once(Label::reserved("taken")).collect());
                }
                Allocation::Create(_) | Allocation::Exhausted => break None,
            }
        };
        let text = to_key(labels);
        let numbers = free.iter().copied();
        let known = exists.map(|id| id.0);
        let number = etcd.keys.number(&text, known, numbers).await?;
        let id = Identity(number.ok_or(Error::Exhausted)?);
        etcd.holds.hold(&text, id);
        // The table tells when the policies know it too.
        until_some(&self.inputs.identities, &id).await;
        Ok(id)
    }

    fn choice(&self, labels: &LabelSet) -> Allocation {
        allocate(
            labels,
            &self.known(),
            &[],
            self.numbers,
            first_choice(labels),
        )
    }

    /// What the table holds now; of ten thousand only what changed is looked at.
    fn known(&self) -> KnownIdentities {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.inputs.identities.snapshot();
        match now.changes_since(index.seen) {
            Changes::Since(changes) => {
                for change in changes {
                    match change.value {
                        Some(labels) => index.known.insert(change.key, (*labels).clone()),
                        None => index.known.remove(change.key),
                    }
                }
            }
            Changes::Everything => {
                index.known = KnownIdentities::default();
                for (id, labels) in now.iter() {
                    index.known.insert(*id, labels.clone());
                }
            }
        }
        index.seen = now.revision();
        index.known.clone()
    }

    /// Answers the engine's requests until `stop`; one that fails is tried again.
    pub async fn serve(
        self,
        mut wanted: mpsc::UnboundedReceiver<Wanted>,
        engine: mpsc::Sender<Command>,
        stop: CancellationToken,
    ) {
        loop {
            let wanted = tokio::select! {
                () = stop.cancelled() => return,
                wanted = wanted.recv() => match wanted { Some(wanted) => wanted, None => return },
            };
            let mut failures = 0;
            let identity = loop {
                match self.identity(&wanted.labels).await {
                    Ok(identity) => break identity,
                    Err(error) => {
                        tracing::warn!(endpoint = %wanted.endpoint, %error, "no identity yet, trying again");
                        failures += 1;
                        let pause = RETRY.after(failures, &mut rand::rng());
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                    }
                }
            };
            if engine
                .send(Command::Identify(wanted.endpoint, wanted.labels, identity))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// FNV-1a over the labels' texts: the same on every node and in every version.
pub fn first_choice(labels: &LabelSet) -> u32 {
    let texts = labels.to_texts();
    let octets = texts.iter().flat_map(|text| text.bytes().chain([b';']));
    octets.fold(0x811c_9dc5, |hash: u32, octet| {
        (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
    })
}

/// The row of a key, waiting for it to appear.
async fn until_some<K: reconcile::table::Key, V: reconcile::table::Value>(
    table: &Table<K, V>,
    key: &K,
) -> Option<Arc<V>> {
    let mut subscription = table.subscribe();
    let wait = async {
        loop {
            if let Some(row) = table.get(key) {
                return row;
            }
            subscription.changed().await;
        }
    };
    tokio::time::timeout(POD_PATIENCE, wait).await.ok()
}

/// Keeps a CiliumIdentity for each identity that an endpoint of this node has, until `stop`: who reads objects then knows
/// what was allocated in etcd.
pub async fn keep_objects(
    client: Client,
    mut view: ViewReader,
    numbers: ClusterNumbers,
    stop: CancellationToken,
) {
    let client = client.at_pace(CREATIONS_PER_SECOND, CREATIONS_AT_ONCE);
    let mut there = BTreeSet::new();
    let mut failures = 0;
    loop {
        let used: BTreeMap<Identity, LabelSet> = view
            .get()
            .endpoints
            .iter()
            .filter_map(|row| Some((row.identity?, row.labels.clone())))
            .filter(|(id, _)| numbers.range().contains(&id.0))
            .collect();
        there.retain(|id| used.contains_key(id));
        let mut failed = None;
        for (id, labels) in used
            .iter()
            .filter(|(id, _)| !there.contains(*id))
            .collect::<Vec<_>>()
        {
            match client.create(&object(*id, labels)).await {
                Ok(_) => drop(there.insert(*id)),
                Err(error) if error.is_conflict() => drop(there.insert(*id)),
                Err(error) => failed = Some(error),
            }
        }
        failures = if failed.is_some() { failures + 1 } else { 0 };
        if let Some(error) = &failed
            && failures == 1
        {
            tracing::warn!(%error, "an identity of etcd cannot be written as an object yet, trying again");
        }
        let pause = RETRY.after(failures.max(1), &mut rand::rng());
        tokio::select! {
            () = stop.cancelled() => return,
            more = view.changed() => if !more { return },
            () = tokio::time::sleep(pause), if failed.is_some() => {}
        }
    }
}

fn object(id: Identity, labels: &LabelSet) -> CiliumIdentity {
    let namespace = labels
        .get(&Source::K8s, NAMESPACE)
        .map(|value| (NAMESPACE.to_owned(), value.to_owned()));
    CiliumIdentity {
        metadata: ObjectMeta {
            name: id.to_string(),
            labels: namespace.into_iter().collect(),
            ..ObjectMeta::default()
        },
        security_labels: to_security_labels(labels),
        ..CiliumIdentity::default()
    }
}
