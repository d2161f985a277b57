//! Collection of what nobody uses: identities, endpoints, CiliumNodes.
//!
//! What is removed was found unused in a list that was read for it, and is removed as it was read then: a change since
//! keeps it. So neither a connection that fell silent nor somebody who begins to use it just now can make this take away
//! what is in use.

pub mod endpoints;
pub mod identities;
pub mod nodes;

use std::time::Duration;

use reconcile::Backoff;
use tokio_util::sync::CancellationToken;

const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));

/// Runs a collection now, and again and again with a pause; one that fails sooner. Without a pause one that succeeds is enough.
pub async fn repeat<E: std::fmt::Display, F: Future<Output = Result<(), E>>>(
    what: &'static str,
    every: Option<Duration>,
    mut collection: impl FnMut() -> F,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        let Some(result) = stop.run_until_cancelled(collection()).await else {
            return;
        };
        let pause = match result {
            Ok(()) => {
                failures = 0;
                every
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(what, %error, "not all could be collected, trying again");
                let soon = RETRY.after(failures, &mut rand::rng());
                Some(every.map_or(soon, |every| every.min(soon)))
            }
        };
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}
