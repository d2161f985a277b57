//! What this node has in force of the policies that have a status, told to the operator by a lease of the node's own.
//!
//! The lease lies in a namespace where agents may write nothing else that matters. It is written when something else is in
//! force, at a rate that all nodes share, and renewed as long as the agent lives. See docs/decisions/0013.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::kubernetes::{Lease, LeaseSpec, ObjectMeta, OwnerReference};
use model::in_force::{DIGEST, Digest, NAMESPACE, REASON, Version, pause};
use model::policy::{Direction, ObjectKey, Origin, SubjectId};
use rand::Rng;
use reconcile::Backoff;
use serde_json::{Value, json};
use store::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::config::Enforcement;
use crate::inputs::Inputs;
use crate::view::{View, ViewReader};

/// A node that has not renewed its lease for so long is not known any more.
pub const SILENCE: Duration = Duration::from_mins(5);
/// Pause between two renewals.
const RENEW: Duration = Duration::from_mins(2);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(2));
/// A reason is as long, at most.
const LONGEST: usize = 256;

/// What is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    versions: BTreeSet<Version>,
    reason: String,
}

/// Versions that the view's commit brought into force. While it could not do all, a version that was not in force before is
/// not taken to be.
fn told(inputs: &Inputs, view: &View, before: &Told) -> Told {
    let refused = refused(view);
    let tables = [
        inputs.cilium_policies.snapshot(),
        inputs.clusterwide_policies.snapshot(),
    ];
    let rows = tables.iter().flat_map(reconcile::Snapshot::iter);
    let taken = rows.filter_map(|(key, row)| {
        let good = row.judged.good.as_ref()?;
        let known = view.policy.object(key) == Some(&good.object);
        (known && !refused.contains(key)).then(|| Version::new(&good.uid, good.generation))
    });
    let failed = view.error.is_some();
    let versions = taken.filter(|version| !failed || before.versions.contains(version));
    let reason = view.error.as_deref().unwrap_or_default().chars();
    Told {
        versions: versions.collect(),
        reason: reason.take(LONGEST).collect(),
    }
}

/// Objects of the policies that the kernel refused.
fn refused(view: &View) -> BTreeSet<ObjectKey> {
    let subjects = view.refused.keys().map(|id| SubjectId(id.0.into()));
    let keys = subjects.flat_map(|subject| {
        Direction::BOTH.map(|direction| view.policy.policy_of(subject, direction))
    });
    let rules = keys.flatten().flat_map(|key| key.rules.iter());
    let origins = rules.filter_map(|rule| view.policy.rule_ids().get(*rule));
    origins
        .filter_map(|origin| match &**origin {
            Origin::Rule { object, .. } => Some(object.clone()),
            _ => None,
        })
        .collect()
}

/// The lease of a node.
pub struct Teller {
    client: Client,
    inputs: Inputs,
    view: ViewReader,
    node: String,
    /// uid of the Node, with which the lease goes.
    uid: Arc<str>,
    enforcement: Enforcement,
}

impl Teller {
    /// For this node.
    pub fn new(
        client: &Client,
        inputs: &Inputs,
        view: &ViewReader,
        (node, uid): (&str, &str),
        enforcement: Enforcement,
    ) -> Self {
        Self {
            client: client.clone(),
            inputs: inputs.clone(),
            view: view.clone(),
            node: node.to_owned(),
            uid: uid.into(),
            enforcement,
        }
    }

    /// Tells until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let _: Option<()> = stop.run_until_cancelled(self.tell()).await;
    }

    async fn tell(self) {
        let mut view = self.view.clone();
        let mut changed = (
            self.inputs.cilium_policies.subscribe(),
            self.inputs.clusterwide_policies.subscribe(),
        );
        let mut failures = 0;
        let (mut now, mut written) = (Told::default(), None);
        let mut due = tokio::time::Instant::now();
        loop {
            let state = view.get();
            let complete = state.waiting_for.is_empty();
            if complete && self.enforcement != Enforcement::Never {
                now = told(&self.inputs, &state, &now);
            }
            let late = tokio::time::Instant::now() >= due;
            if complete && (late || written.as_ref() != Some(&now)) {
                match self.write(&now).await {
                    Ok(()) => {
                        (failures, written) = (0, Some(now.clone()));
                        due = tokio::time::Instant::now() + part_of(RENEW);
                        tokio::time::sleep(part_of(pause(self.inputs.nodes.snapshot().len())))
                            .await;
                    }
                    Err(error) => {
                        if failures == 0 {
                            tracing::info!(%error, "nobody is told yet which policies are in force here");
                        }
                        failures += 1;
                        let pause = RETRY.after(failures, &mut rand::rng());
                        tokio::time::sleep(pause).await;
                    }
                }
                continue;
            }
            tokio::select! {
                more = view.changed() => if !more { return },
                _ = changed.0.changed() => {}
                _ = changed.1.changed() => {}
                () = tokio::time::sleep_until(due) => {}
            }
            // The nodes do not all write in the moment in which a policy comes, and what comes together is written together.
            let nodes = self.inputs.nodes.snapshot().len();
            let pause = rand::rng().random_range(Duration::ZERO..=pause(nodes));
            tokio::time::sleep(pause).await;
        }
    }

    async fn write(&self, told: &Told) -> Result<(), Error> {
        let patch = patch(told, &self.node);
        let namespace = Some(NAMESPACE);
        let merged = self
            .client
            .merge::<Lease>(namespace, &self.node, None, &patch);
        match merged.await {
            Err(error) if error.is_not_found() => {
                let lease = lease(told, &self.node, &self.uid);
                self.client.create(&lease).await.map(drop)
            }
            result => result.map(drop),
        }
    }
}

/// Three quarters to five quarters of it, by chance: what began together does not go on together.
fn part_of(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.75..=1.25))
}

fn spec(node: &str) -> LeaseSpec {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: i32::try_from(SILENCE.as_secs()).ok(),
        renew_time: Some(now.to_string()),
        ..LeaseSpec::default()
    }
}

fn digest(told: &Told) -> String {
    let digest: Digest = told.versions.iter().copied().collect();
    digest.to_text()
}

fn patch(told: &Told, node: &str) -> Value {
    // Without a reason the annotation goes.
    let reason = Some(&told.reason).filter(|reason| !reason.is_empty());
    json!({
        "metadata": { "annotations": { DIGEST: digest(told), REASON: reason } },
        "spec": spec(node),
    })
}

fn lease(told: &Told, node: &str, uid: &str) -> Lease {
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    };
    let reason = Some(told.reason.clone()).filter(|reason| !reason.is_empty());
    let annotations = [(DIGEST, Some(digest(told))), (REASON, reason)];
    let annotations = annotations
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Lease {
        metadata: ObjectMeta {
            name: node.to_owned(),
            namespace: NAMESPACE.to_owned(),
            annotations: annotations.collect(),
            owner_references: vec![owner],
            ..ObjectMeta::default()
        },
        spec: spec(node),
        ..Lease::default()
    }
}

#[cfg(test)]
mod tests;
