//! What the store says, as tables, followed while this operator leads.

use std::sync::Arc;

use api::cilium::{CiliumNode, CiliumPodIPPool};
use api::kubernetes::{Node, Pod, Resource};
use model::endpoint::PodName;
use reconcile::{Table, TaskGroup};
use store::{Client, Scope, reflect};

use crate::config::NodeDuties;
use crate::ipam;
use crate::nodes::{self, AgentState};

/// Follows one kind, each object being at most one row.
pub fn follow<R: Resource, K: reconcile::table::Key, V: reconcile::table::Value>(
    client: &Client,
    tasks: &TaskGroup,
    (name, scope): (&'static str, Scope),
    row: impl Fn(R) -> Option<(K, V)> + Send + Sync + 'static,
) -> Table<K, V> {
    let (writer, table) = Table::new(name, &[name]);
    let client = client.clone();
    tasks.spawn(name, move |stop| {
        let rows = move |object| row(object).into_iter().collect();
        reflect::<R, _, _>(client, scope, name, writer, rows, stop)
    });
    table
}

/// CiliumNodes with their ranges.
pub fn announced_nodes(client: &Client, tasks: &TaskGroup) -> Table<Arc<str>, ipam::NodeRow> {
    let row = |node: CiliumNode| Some((node.metadata.name.as_str().into(), ipam::node_row(&node)));
    follow(client, tasks, ("ciliumnodes", Scope::all()), row)
}

/// Pools of pods' addresses.
pub fn pools(client: &Client, tasks: &TaskGroup) -> Table<Arc<str>, ipam::PoolRow> {
    let row =
        |pool: CiliumPodIPPool| Some((pool.metadata.name.as_str().into(), ipam::pool_row(&pool)));
    follow(client, tasks, ("ciliumpodippools", Scope::all()), row)
}

/// Nodes with their taints and conditions.
pub fn nodes(client: &Client, tasks: &TaskGroup) -> Table<Arc<str>, nodes::NodeRow> {
    let row = |node: Node| nodes::node_row(node);
    follow(client, tasks, ("nodes", Scope::all()), row)
}

/// Agents, with their nodes.
pub fn agents(
    client: &Client,
    duties: &NodeDuties,
    tasks: &TaskGroup,
) -> Table<PodName, (Arc<str>, AgentState)> {
    let scope = Scope {
        namespace: Some(duties.namespace.clone()),
        labels: Some(duties.labels.clone()),
        fields: None,
    };
    let row = |pod: Pod| nodes::agent_row(pod);
    follow(client, tasks, ("agents", scope), row)
}
