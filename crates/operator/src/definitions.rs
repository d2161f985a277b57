//! CRDs: created, raised when they are older, never taken back, and served before anything that needs them begins.

use std::time::Duration;

use api::kubernetes::CustomResourceDefinition;
use crds::Registration;
use reconcile::Backoff;

use crate::leader::{Error, Leader};

const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// Returns when all our kinds are served. What fails is tried again, for as long as it takes.
pub async fn register(leader: &Leader) {
    for wanted in crds::definitions() {
        let name = wanted.metadata.name.clone();
        let mut tries = 0;
        loop {
            match bring(leader, &wanted).await {
                Ok(true) => break,
                Ok(false) => tracing::debug!(name, "waiting for the CRD to be served"),
                Err(Error::NotLeading(_)) => return std::future::pending().await,
                Err(error) => tracing::warn!(name, %error, "a CRD is not registered, trying again"),
            }
            tries += 1;
            let pause = RETRY.after(tries, &mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    }
}

/// One look and one step; whether the kind is served as it should be.
async fn bring(leader: &Leader, wanted: &CustomResourceDefinition) -> Result<bool, Error> {
    let name = &wanted.metadata.name;
    let found = leader.reader().get(None, name).await;
    let found = match found {
        Err(error) if error.is_not_found() => None,
        found => Some(found?),
    };
    let written = match crds::registration(wanted.clone(), found.as_ref()) {
        Registration::Create(new) => leader.create(&new).await,
        Registration::Replace(new) => leader.replace(&new).await,
        Registration::Leave(why) => {
            tracing::debug!(name, %why, "the CRD stays as it is");
            return Ok(found.is_some_and(|found| is_served(&found)));
        }
    };
    match written {
        Ok(written) => {
            tracing::info!(name, "the CRD is registered");
            Ok(is_served(&written))
        }
        // Somebody was quicker: look again.
        Err(error) if error.is_outdated() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The server has taken the names and serves the kind.
fn is_served(found: &CustomResourceDefinition) -> bool {
    let conditions = found
        .status
        .as_ref()
        .and_then(|status| status.get("conditions")?.as_array());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|of| of["type"] == "Established" && of["status"] == "True")
}
