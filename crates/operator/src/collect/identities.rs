//! Identities that no endpoint has: marked after a time without use, removed in a later round, and unmarked when used.
//!
//! The mark is upstream's annotation, so agents of both kinds know it: who begins to use a marked identity may remove the
//! mark, and with that the version for which the removal would hold.

mod round;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{CiliumEndpoint, CiliumEndpointSlice, CiliumIdentity};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::leader::{Error, Leader};
use crate::metrics::{Collected, Metrics, Outcome};
use round::{Step, Unused};

/// Annotation with the time at which an identity was found unused.
pub const HEARTBEAT: &str = "io.cilium.heartbeat";

/// What is in use is asked again when the last answer is older than this: removals are slow, by their rate.
const FRESH: Duration = Duration::from_secs(10);

/// Collects identities.
#[derive(Clone)]
pub struct Identities {
    leader: Leader,
    /// Writes, at their rate.
    writer: Leader,
    timeout: Duration,
    // A table would not do: nobody but the collection reads it.
    unused: Arc<Mutex<Unused>>,
    metrics: Arc<Metrics>,
}

impl Identities {
    /// A collection that takes what was unused for `timeout`, so many in a second.
    pub fn new(leader: &Leader, timeout: Duration, per_second: f64, metrics: Arc<Metrics>) -> Self {
        Self {
            leader: leader.clone(),
            writer: leader.at_pace(per_second, per_second.max(1.0)),
            timeout,
            unused: Arc::default(),
            metrics,
        }
    }

    /// One round.
    pub async fn collect(self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut collected = None;
        let result = self.round(&mut collected).await;
        let outcome = Outcome::of(&result);
        self.metrics.identities(outcome, begun.elapsed(), collected);
        result
    }

    async fn round(&self, collected: &mut Option<Collected>) -> Result<(), Error> {
        let mut unused = self.unused.lock().await;
        // Identities first: an endpoint that gets one of them meanwhile is in the second list.
        let identities = self.leader.list(|of: CiliumIdentity| of).await?;
        let mut asked = Instant::now();
        let mut used = in_use(&self.leader).await?;
        let steps = unused.round(&identities, &used, self.timeout, asked);
        let collected = collected.insert(Collected {
            alive: identities.len(),
            deleted: 0,
        });
        let mut failed = None;
        for (identity, step) in steps {
            if asked.elapsed() > FRESH {
                asked = Instant::now();
                used = in_use(&self.leader).await?;
            }
            if step != Step::Unmark && used.contains(&identity.metadata.name) {
                continue;
            }
            match self.take(identity, step).await {
                Ok(()) if step == Step::Remove => {
                    collected.alive -= 1;
                    collected.deleted += 1;
                    let identity = identity.metadata.name.as_str();
                    tracing::info!(identity, "an unused identity is removed");
                }
                Ok(()) => {}
                Err(error @ Error::NotLeading(_)) => return Err(error),
                // It is judged anew in the next round.
                Err(error) if error.is_outdated() => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn take(&self, identity: &CiliumIdentity, step: Step) -> Result<(), Error> {
        let mut object = identity.clone();
        let annotations = &mut object.metadata.annotations;
        match step {
            Step::Remove => {
                return self.writer.delete::<CiliumIdentity>(&object.metadata).await;
            }
            Step::Mark => {
                let now = jiff::Timestamp::now().to_string();
                annotations.insert(HEARTBEAT.to_owned(), now);
            }
            Step::Unmark => {
                annotations.remove(HEARTBEAT);
            }
        }
        self.writer.replace(&object).await.map(drop)
    }
}

/// Names of the identities that endpoints have, in objects of their own or in slices.
pub async fn in_use(leader: &Leader) -> Result<BTreeSet<String>, Error> {
    let own = |of: CiliumEndpoint| Some(of.status.identity?.id.to_string());
    let own = leader.list(own).await?;
    let mut used: BTreeSet<String> = own.into_iter().flatten().collect();
    let sliced = |of: CiliumEndpointSlice| {
        let endpoints = of.endpoints.iter();
        let names = endpoints.filter_map(|endpoint| Some(endpoint.id?.to_string()));
        names.collect::<Vec<String>>()
    };
    used.extend(leader.list(sliced).await?.into_iter().flatten());
    Ok(used)
}
