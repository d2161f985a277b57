//! Nodes by the state of their agents: a taint keeps pods away until the agent is ready, and a condition says that the
//! network is there.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::kubernetes::{Node, NodeCondition, Pod, Taint};
use futures::StreamExt;
use model::endpoint::PodName;
use reconcile::{Backoff, Table};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::config::NodeDuties;
use crate::leader::{Error, Leader, exactly};
pub use decide::{AgentState, Change, decide};

/// Writes under way at once, as many as upstream's.
const WRITES: usize = 10;
/// What comes together is looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Without a change all nodes are looked at again so often.
const AGAIN: Duration = Duration::from_mins(5);
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));

/// A node, as far as its agent has an influence on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRow {
    /// uid of the object.
    pub uid: Arc<str>,
    /// Version of the object.
    pub version: Arc<str>,
    /// All its taints.
    pub taints: Vec<Taint>,
    /// All its conditions.
    pub conditions: Vec<NodeCondition>,
}

/// The row of a node.
pub fn node_row(node: Node) -> Option<(Arc<str>, NodeRow)> {
    let row = NodeRow {
        uid: node.metadata.uid.into(),
        version: node.metadata.resource_version.into(),
        taints: node.spec.taints,
        conditions: node.status.conditions,
    };
    Some((node.metadata.name.into(), row))
}

/// An agent's pod, if it is on a node and has not ended: which node, and whether it is ready.
pub fn agent_row(pod: Pod) -> Option<(PodName, (Arc<str>, AgentState))> {
    let ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
    if pod.spec.node_name.is_empty() || ended {
        return None;
    }
    let name = PodName {
        namespace: pod.metadata.namespace.into(),
        name: pod.metadata.name.into(),
    };
    let mut conditions = pod.status.conditions.iter();
    let ready = conditions.any(|of| of.condition == "Ready" && of.status == "True");
    let state = if ready {
        AgentState::Ready
    } else {
        AgentState::NotReady
    };
    Some((name, (pod.spec.node_name.into(), state)))
}

/// Keeps taints and conditions of nodes until `stop`.
pub async fn keep(
    leader: Leader,
    duties: NodeDuties,
    nodes: Table<Arc<str>, NodeRow>,
    agents: Table<PodName, (Arc<str>, AgentState)>,
    stop: CancellationToken,
) {
    let work = async {
        nodes.until_initialized().await;
        agents.until_initialized().await;
        let mut changed = (nodes.subscribe(), agents.subscribe());
        let mut failures = 0;
        loop {
            let done = round(&leader, &duties, &nodes, &agents).await;
            failures = if done { 0 } else { failures + 1 };
            let pause = if done {
                AGAIN
            } else {
                RETRY.after(failures, &mut rand::rng())
            };
            tokio::select! {
                _ = changed.0.changed() => {}
                _ = changed.1.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(work).await;
}

/// Whether all was done that is to be done.
async fn round(
    leader: &Leader,
    duties: &NodeDuties,
    nodes: &Table<Arc<str>, NodeRow>,
    agents: &Table<PodName, (Arc<str>, AgentState)>,
) -> bool {
    let mut states: BTreeMap<Arc<str>, AgentState> = BTreeMap::new();
    for (_, (node, state)) in agents.snapshot().iter() {
        let best = states.entry(Arc::clone(node)).or_insert(*state);
        *best = (*best).max(*state);
    }
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let mut writes = Vec::new();
    for (name, row) in nodes.snapshot().iter() {
        let change = states
            .get(name)
            .map(|state| decide(row, *state, duties, &now));
        if let Some(change) = change.filter(|change| *change != Change::default()) {
            writes.push(write(leader.clone(), Arc::clone(name), row.clone(), change));
        }
    }
    let mut done = true;
    let mut writes = futures::stream::iter(writes).buffer_unordered(WRITES);
    while let Some((name, result)) = writes.next().await {
        match result {
            Ok(()) => {}
            Err(error) if error.is_outdated() => {}
            Err(error) => {
                tracing::warn!(node = %name, %error, "a node cannot be changed, trying again");
                done = false;
            }
        }
    }
    done
}

/// One subresource after the other; the second write is of the version that the first made.
async fn write(
    leader: Leader,
    name: Arc<str>,
    row: NodeRow,
    change: Change,
) -> (Arc<str>, Result<(), Error>) {
    let mut of = exactly("", &name, &row.uid, &row.version);
    let written = async {
        if let Some(conditions) = &change.conditions {
            let patch = json!({ "status": { "conditions": conditions } });
            let node: Node = leader.patch(&of, Some("status"), patch).await?;
            of.resource_version = node.metadata.resource_version;
            tracing::info!(node = %name, "the node's network is there");
        }
        if let Some(taints) = &change.taints {
            let patch = json!({ "spec": { "taints": taints } });
            leader.patch::<Node>(&of, None, patch).await?;
            tracing::info!(node = %name, ?taints, "the node has other taints");
        }
        Ok(())
    };
    let result = written.await;
    (name, result)
}
