//! Keeping nodes' ranges: plan, claim, write, and look again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{AllocatedPool, CiliumNode};
use api::kubernetes::Resource;
use futures::StreamExt;
use ipnet::IpNet;
use reconcile::{Backoff, Snapshot, Table};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Claim, Claims, Cursors, NodePools, Plan, Pool, PoolCursors, PoolRow, plan, plan_pools,
    write_claims,
};
use crate::leader::{Error, Leader};
use crate::lease::NotLeading;
use crate::metrics::Metrics;

/// Claims in one note: an annotation holds 256 KiB, a claim takes 200 octets.
const BATCH: usize = 256;
/// Writes under way at once.
const WRITES: usize = 16;
/// What comes together is planned together.
const GATHER: Duration = Duration::from_millis(50);
/// Without a change the plan is made anew so often.
const AGAIN: Duration = Duration::from_mins(1);
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// Annotation of nodes that are left alone.
const IGNORE: &str = "ipam.cilium.io/ignore";

/// A CiliumNode, as far as its ranges go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRow {
    /// uid of the object.
    pub uid: Arc<str>,
    /// Version of the object.
    pub version: Arc<str>,
    /// When it was created, as the server wrote it.
    pub created: Arc<str>,
    /// Its ranges.
    pub cidrs: Vec<IpNet>,
    /// What it asks of pools, and has of them.
    pub pools: NodePools,
    /// Texts among its ranges that are none.
    pub unreadable: Vec<String>,
    /// It is left alone.
    pub ignored: bool,
    /// What its status says is wrong.
    pub error: String,
}

/// The row of an object.
pub fn node_row(node: &CiliumNode) -> NodeRow {
    let meta = node.meta();
    let mut row = NodeRow {
        uid: meta.uid.as_str().into(),
        version: meta.resource_version.as_str().into(),
        created: meta
            .creation_timestamp
            .as_deref()
            .unwrap_or_default()
            .into(),
        ignored: meta
            .annotations
            .get(IGNORE)
            .is_some_and(|value| value == "true"),
        error: error_of(node).to_owned(),
        ..NodeRow::default()
    };
    for text in &node.spec.ipam.pod_cidrs {
        match text.parse::<IpNet>() {
            Ok(cidr) => row.cidrs.push(cidr.trunc()),
            Err(_) => row.unreadable.push(text.clone()),
        }
    }
    row.pools = NodePools::read(node.spec.ipam.pools.as_ref(), &mut row.unreadable);
    row
}

fn error_of(node: &CiliumNode) -> &str {
    let status = node.status.ipam.operator_status.as_ref();
    let error = status.and_then(|status| status.get("error")?.as_str());
    error.unwrap_or_default()
}

/// Where ranges come from.
pub enum Source {
    /// One pool for each family, of which every node has one range.
    Cluster(Vec<Pool>),
    /// Pools of which nodes ask for addresses.
    Pools(Table<Arc<str>, PoolRow>),
}

/// Where the search for free ranges goes on.
#[derive(Default)]
struct Places {
    cluster: Cursors,
    pools: PoolCursors,
}

struct Ipam {
    leader: Leader,
    source: Source,
    nodes: Table<Arc<str>, NodeRow>,
    /// Of which it is not known yet whether they were written.
    claims: Claims,
    places: Places,
    /// What is on the lease.
    note: String,
    metrics: Arc<Metrics>,
}

/// Keeps the ranges of nodes until `stop`. `nodes` must come from a list that was begun in this term, and `claims` from
/// the lease as this term found it.
pub async fn keep(
    leader: Leader,
    source: Source,
    nodes: Table<Arc<str>, NodeRow>,
    claims: Vec<Claim>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let note = write_claims(claims.iter());
    let claims = claims
        .into_iter()
        .map(|claim| (Arc::clone(&claim.node), claim));
    let ipam = Ipam {
        leader,
        source,
        nodes,
        claims: claims.collect(),
        places: Places::default(),
        note,
        metrics,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        result = ipam.run() => {
            if let Err(error) = result {
                tracing::info!(%error, "no more ranges are given");
            }
        }
    }
}

impl Ipam {
    async fn run(mut self) -> Result<(), NotLeading> {
        let mut changed = self.nodes.subscribe();
        self.nodes.until_initialized().await;
        let mut pools_changed = match &self.source {
            Source::Cluster(_) => None,
            Source::Pools(pools) => {
                pools.until_initialized().await;
                Some(pools.subscribe())
            }
        };
        let mut failures = 0;
        loop {
            let done = self.round().await?;
            failures = if done { 0 } else { failures + 1 };
            let pause = if done {
                AGAIN
            } else {
                RETRY.after(failures, &mut rand::rng())
            };
            let pools_changed = async {
                match &mut pools_changed {
                    Some(changed) => changed.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changed.changed() => {}
                _ = pools_changed => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Whether all was done that is to be done.
    async fn round(&mut self) -> Result<bool, NotLeading> {
        let nodes = self.nodes.snapshot();
        self.claims
            .retain(|name, claim| is_open(claim, nodes.get(name)));
        let plan = self.plan(&nodes);
        self.metrics.ipam(nodes.len(), &plan);
        let mut done = self.state_errors(&nodes, &plan).await?;
        if plan.assign.is_empty() && self.note.is_empty() {
            return Ok(done);
        }
        let more = plan.assign.len() > BATCH;
        let batch: Vec<Claim> = plan.assign.into_iter().take(BATCH).collect();
        for claim in &batch {
            self.claims.insert(Arc::clone(&claim.node), claim.clone());
        }
        let note = write_claims(self.claims.values());
        if note != self.note {
            self.leader.term().note(note.clone()).await?;
            self.note = note;
        }
        let writes = batch
            .into_iter()
            .map(|claim| assign(self.leader.clone(), claim));
        let mut writes = futures::stream::iter(writes).buffer_unordered(WRITES);
        while let Some(result) = writes.next().await {
            match result {
                Ok(()) => {}
                Err(Error::NotLeading(error)) => return Err(error),
                // The table will tell.
                Err(error) if error.is_outdated() => {}
                Err(error) => {
                    tracing::warn!(%error, "a node's range cannot be written, trying again");
                    done = false;
                }
            }
        }
        Ok(done && !more)
    }

    fn plan(&mut self, nodes: &Snapshot<Arc<str>, NodeRow>) -> Plan {
        let (nodes, claims) = (nodes.iter(), &self.claims);
        match &self.source {
            Source::Cluster(pools) => plan(pools, nodes, claims, &mut self.places.cluster),
            Source::Pools(pools) => {
                let pools = pools.snapshot();
                let pools = pools
                    .iter()
                    .map(|(name, row)| (Arc::clone(name), row.clone()));
                plan_pools(&pools.collect(), nodes, claims, &mut self.places.pools)
            }
        }
    }

    /// Says in each node's status what is wrong with its ranges, or that nothing is any more.
    async fn state_errors(
        &self,
        nodes: &Snapshot<Arc<str>, NodeRow>,
        plan: &Plan,
    ) -> Result<bool, NotLeading> {
        // A status is a change of the object, and would put off the ranges that the node is about to get.
        let busy: BTreeSet<&str> = plan.assign.iter().map(|claim| &*claim.node).collect();
        let mut done = true;
        for (name, row) in nodes.iter() {
            let error = plan.errors.get(name).map_or("", String::as_str);
            if row.error == error || busy.contains(&**name) || row.ignored {
                continue;
            }
            if !error.is_empty() {
                tracing::warn!(node = %name, error, "a node's ranges are not as they should be");
            }
            match state(&self.leader, name, row, error).await {
                Ok(()) => {}
                Err(Error::NotLeading(error)) => return Err(error),
                Err(error) if error.is_outdated() => {}
                Err(error) => {
                    tracing::warn!(node = %name, %error, "a node's status cannot be written, trying again");
                    done = false;
                }
            }
        }
        Ok(done)
    }
}

/// Whether a claim may yet be written.
fn is_open(claim: &Claim, row: Option<&NodeRow>) -> bool {
    row.is_some_and(|row| *row.uid == *claim.uid && *row.version == *claim.version)
}

async fn assign(leader: Leader, claim: Claim) -> Result<(), Error> {
    let Some(mut node) = leader.find::<CiliumNode>(None, &claim.node).await? else {
        return Ok(());
    };
    if node.metadata.uid != claim.uid || node.metadata.resource_version != claim.version {
        return Ok(());
    }
    if !claim.cidrs.is_empty() {
        node.spec.ipam.pod_cidrs = claim.cidrs.iter().map(ToString::to_string).collect();
    }
    if !claim.pools.is_empty() {
        let given = claim.pools.iter().map(|(pool, ranges)| AllocatedPool {
            pool: pool.to_string(),
            cidrs: ranges.iter().map(ToString::to_string).collect(),
        });
        node.spec.ipam.pools.get_or_insert_default().allocated = given.collect();
    }
    leader.replace(&node).await?;
    let ranges: Vec<String> = claim.ranges().map(ToString::to_string).collect();
    tracing::info!(node = %claim.node, ?ranges, "a node has its ranges");
    Ok(())
}

async fn state(leader: &Leader, name: &str, row: &NodeRow, error: &str) -> Result<(), Error> {
    let Some(mut node) = leader.find::<CiliumNode>(None, name).await? else {
        return Ok(());
    };
    if node.metadata.resource_version != *row.version {
        return Ok(());
    }
    node.status.ipam.operator_status = Some(json!({ "error": error }));
    leader.replace_status(&node).await.map(drop)
}
