//! CiliumNodes whose node is gone, and stays so from one round to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::cilium::CiliumNode;
use api::kubernetes::{Node, ObjectMeta};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::leader::{Error, Leader};

/// Annotation of CiliumNodes that stay.
const KEEP: &str = "cilium.io/do-not-gc";

/// Collects CiliumNodes.
#[derive(Clone)]
pub struct Nodes {
    leader: Leader,
    patience: Duration,
    // A table would not do: nobody but the collection reads it. uids of those without a node in all rounds since.
    missing: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Nodes {
    /// A collection that takes what has had no node for `patience`.
    pub fn new(leader: Leader, patience: Duration) -> Self {
        Self {
            leader,
            patience,
            missing: Arc::default(),
        }
    }

    /// One round.
    pub async fn collect(self) -> Result<(), Error> {
        let mut missing = self.missing.lock().await;
        let announced = self.leader.list(|of: CiliumNode| of.metadata).await?;
        let nodes = self.leader.list(|of: Node| of.metadata.name).await?;
        let nodes: BTreeSet<String> = nodes.into_iter().collect();
        let now = Instant::now();
        let before = std::mem::take(&mut *missing);
        let mut failed = None;
        for meta in announced.iter().filter(|meta| is_gone(meta, &nodes)) {
            let since = before.get(&meta.uid).copied().unwrap_or(now);
            missing.insert(meta.uid.clone(), since);
            if now.duration_since(since) < self.patience {
                continue;
            }
            match self.leader.delete::<CiliumNode>(meta).await {
                Ok(()) => {
                    tracing::info!(node = meta.name, "a CiliumNode without a node is removed");
                }
                Err(error @ Error::NotLeading(_)) => return Err(error),
                Err(error) if error.is_outdated() => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn is_gone(meta: &ObjectMeta, nodes: &BTreeSet<String>) -> bool {
    !nodes.contains(&meta.name)
        && meta
            .annotations
            .get(KEEP)
            .is_none_or(|keep| keep == "false")
}
