//! Secrets that policies refer to, copied into one namespace, so that who reads them needs to read no other.
//!
//! Of secrets only a digest is kept; the content is read when it is copied. A copy has two labels that name its secret; a
//! secret without these is nobody's copy, and is never touched.

mod plan;
mod references;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy};
use api::kubernetes::{ObjectMeta, Secret};
use model::endpoint::PodName;
use reconcile::{Backoff, Table, TaskGroup};
use store::Scope;
use tokio_util::sync::CancellationToken;

pub use plan::{SecretRow, Step, copy_name, plan};
pub use references::references;

use crate::inputs::follow;
use crate::leader::{Error, Leader, exactly};

/// Labels of a copy: namespace and name of its secret.
pub const OWNER: [&str; 2] = [
    "secretsync.cilium.io/owning-secret-namespace",
    "secretsync.cilium.io/owning-secret-name",
];
const GATHER: Duration = Duration::from_millis(100);
const RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(5));

/// Policies that refer to secrets, and these.
type References = Table<PodName, Arc<BTreeSet<PodName>>>;

fn owner(meta: &ObjectMeta) -> Option<PodName> {
    let [namespace, name] = OWNER.map(|label| meta.labels.get(label));
    Some(PodName {
        namespace: namespace?.as_str().into(),
        name: name?.as_str().into(),
    })
}

fn name_of(meta: &ObjectMeta) -> PodName {
    PodName {
        namespace: meta.namespace.as_str().into(),
        name: meta.name.as_str().into(),
    }
}

/// A policy that refers to no secret has no row.
fn referring(
    meta: &ObjectMeta,
    rules: (Option<&serde_json::Value>, Option<&serde_json::Value>),
) -> Option<(PodName, Arc<BTreeSet<PodName>>)> {
    let found = references(rules.0, rules.1, &meta.namespace);
    (!found.is_empty()).then(|| (name_of(meta), found.into()))
}

/// Starts to copy into `namespace`.
pub fn start(leader: &Leader, namespace: &str, duties: &TaskGroup) {
    let client = leader.reader();
    // Keyed at random: nothing that is kept tells anybody anything about the content.
    let digests = RandomState::new();
    let secrets = follow(
        client,
        duties,
        ("secrets", Scope::all()),
        move |of: Secret| {
            let row = SecretRow {
                uid: of.metadata.uid.as_str().into(),
                version: of.metadata.resource_version.as_str().into(),
                digest: digests.hash_one(&of.data),
                owner: owner(&of.metadata),
            };
            Some((name_of(&of.metadata), row))
        },
    );
    let name = "secrets of ciliumnetworkpolicies";
    let row =
        |of: CiliumNetworkPolicy| referring(&of.metadata, (of.spec.as_ref(), of.specs.as_ref()));
    let of_namespaces = follow(client, duties, (name, Scope::all()), row);
    let name = "secrets of ciliumclusterwidenetworkpolicies";
    let row = |of: CiliumClusterwideNetworkPolicy| {
        referring(&of.metadata, (of.spec.as_ref(), of.specs.as_ref()))
    };
    let clusterwide = follow(client, duties, (name, Scope::all()), row);
    let copier = Copier {
        leader: leader.clone(),
        namespace: namespace.to_owned(),
        references: [of_namespaces, clusterwide],
        secrets,
        taken: BTreeSet::new(),
    };
    duties.spawn("copies of secrets", move |stop| copier.run(stop));
}

struct Copier {
    leader: Leader,
    namespace: String,
    references: [References; 2],
    secrets: Table<PodName, SecretRow>,
    /// What was said of names that somebody else has.
    taken: BTreeSet<(Arc<str>, PodName)>,
}

impl Copier {
    async fn run(mut self, stop: CancellationToken) {
        let work = async {
            // Before all is known nothing is removed.
            self.secrets.until_initialized().await;
            for table in &self.references {
                table.until_initialized().await;
            }
            let [one, two] = &self.references;
            let mut changed = (one.subscribe(), two.subscribe(), self.secrets.subscribe());
            let mut failures = 0;
            loop {
                failures = if self.round(failures == 0).await {
                    0
                } else {
                    failures + 1
                };
                let pause = RETRY.after(failures, &mut rand::rng());
                tokio::select! {
                    _ = changed.0.changed() => {}
                    _ = changed.1.changed() => {}
                    _ = changed.2.changed() => {}
                    () = tokio::time::sleep(pause), if failures > 0 => {}
                }
                tokio::time::sleep(GATHER).await;
            }
        };
        let _: Option<()> = stop.run_until_cancelled(work).await;
    }

    /// Does what is to be done; says whether all of it could be.
    async fn round(&mut self, tell: bool) -> bool {
        let mut wanted = BTreeSet::new();
        for table in &self.references {
            let snapshot = table.snapshot();
            wanted.extend(snapshot.iter().flat_map(|(_, of)| of.iter().cloned()));
        }
        let secrets: BTreeMap<PodName, SecretRow> = self
            .secrets
            .snapshot()
            .iter()
            .filter(|(name, _)| *name.namespace == *self.namespace || wanted.contains(*name))
            .map(|(name, row)| (name.clone(), row.clone()))
            .collect();
        let mut done = true;
        let mut taken = BTreeSet::new();
        for step in plan(&wanted, &secrets, &self.namespace) {
            let result = match &step {
                Step::Copy { name, of } => self.copy(name, of).await,
                Step::Remove { name, row } => self.remove(name, row).await,
                Step::Taken { name, of } => {
                    taken.insert((Arc::clone(name), of.clone()));
                    Ok(())
                }
            };
            if let Err(error) = result {
                let by_others = matches!(&error, Error::Store(error) if error.is_conflict());
                if tell && !by_others {
                    tracing::warn!(?step, %error, "a secret cannot be kept in step with its copy, trying again");
                }
                done = false;
            }
        }
        for (name, of) in taken.difference(&self.taken) {
            tracing::warn!(secret = %of, %name, namespace = self.namespace, "a secret is not copied, somebody else has the name of its copy");
        }
        self.taken = taken;
        done
    }

    async fn copy(&self, name: &str, of: &PodName) -> Result<(), Error> {
        let source = self.leader.find::<Secret>(Some(&of.namespace), &of.name);
        let Some(source) = source.await? else {
            return Ok(());
        };
        let found = self.leader.find::<Secret>(Some(&self.namespace), name);
        let found = found.await?;
        if found
            .as_ref()
            .is_some_and(|found| owner(&found.metadata).is_none())
        {
            return Ok(());
        }
        // Nothing makes that another one; what is wanted is made anew once it is gone.
        if let Some(found) = found.as_ref().filter(|found| found.immutable == Some(true)) {
            return self.leader.delete::<Secret>(&found.metadata).await;
        }
        let mut copy = found.clone().unwrap_or_else(|| Secret {
            metadata: exactly(&self.namespace, name, "", ""),
            ..Secret::default()
        });
        for (label, value) in OWNER.into_iter().zip([&of.namespace, &of.name]) {
            copy.metadata
                .labels
                .insert(label.to_owned(), value.to_string());
        }
        copy.data = source.data;
        match &found {
            None => self.leader.create(&copy).await?,
            // The table lags behind the last round.
            Some(found) if *found == copy => return Ok(()),
            Some(_) => self.leader.replace(&copy).await?,
        };
        tracing::info!(secret = %of, name, namespace = self.namespace, "a secret is copied");
        Ok(())
    }

    async fn remove(&self, name: &str, row: &SecretRow) -> Result<(), Error> {
        let meta = exactly(&self.namespace, name, &row.uid, &row.version);
        self.leader.delete::<Secret>(&meta).await?;
        tracing::info!(
            name,
            namespace = self.namespace,
            "the copy of a secret that nobody refers to, or that is gone, is removed"
        );
        Ok(())
    }
}
