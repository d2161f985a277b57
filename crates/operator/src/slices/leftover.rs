//! Slices that nobody keeps any more, as they were switched off: they go when the last agent that reads them is gone for sure.

use std::time::Duration;

use api::cilium::CiliumEndpointSlice;
use tokio::time::Instant;

use crate::leader::{Error, Leader};

/// Collects slices that were left.
#[derive(Clone)]
pub struct Leftover {
    leader: Leader,
    since: Instant,
    patience: Duration,
}

impl Leftover {
    /// A collection that begins in `patience`: until then agents may be on their way from slices to single endpoints, one
    /// node after the other.
    pub fn new(leader: Leader, patience: Duration) -> Self {
        Self {
            leader,
            since: Instant::now(),
            patience,
        }
    }

    /// One round.
    pub async fn collect(self) -> Result<(), Error> {
        if self.since.elapsed() < self.patience {
            return Ok(());
        }
        let mut failed = None;
        for meta in self
            .leader
            .list(|of: CiliumEndpointSlice| of.metadata)
            .await?
        {
            match self.leader.delete::<CiliumEndpointSlice>(&meta).await {
                Ok(()) => tracing::info!(slice = meta.name, "a slice that nobody keeps is removed"),
                Err(error @ Error::NotLeading(_)) => return Err(error),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
