//! On which nodes a policy is in force, by agents and an operator.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::cluster::Cluster;

use crate::cases::{only_from, within};

const PATH: &str =
    "/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies/only-client-to-server";

/// All nodes have the time to tell before one of them is named.
const PATIENCE: Duration = Duration::from_secs(40);

fn said(cluster: &Cluster, status: &str, message: &str) -> anyhow::Result<()> {
    let object: Value = cluster.api.get(PATH)?;
    let conditions = object.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    let of = conditions
        .find(|of| of["type"] == "InForce")
        .context("nothing is said")?;
    ensure!(of["status"] == status && of["message"] == message, "{of}");
    Ok(())
}

/// A policy that changes while the agent of one of two nodes is away.
pub(crate) fn with_an_agent_away(cluster: &mut Cluster) {
    let mut operator = cluster.start_operator(&[]).expect("an operator");
    let policy = only_from("server", "client");
    cluster.apply(&policy).expect("a policy");
    let everywhere = "generation 1 is in force on all nodes";
    within(PATIENCE, || said(cluster, "True", everywhere)).expect("it is in force everywhere");
    cluster.nodes[1].kill_agent().expect("kill");
    let mut changed = policy;
    changed["spec"]["ingress"] = serde_json::json!([{ "fromEntities": ["world"] }]);
    cluster.apply(&changed).expect("a policy");
    let half = "generation 2 is in force on 1 of 2 nodes; not on n2";
    within(PATIENCE, || said(cluster, "False", half)).expect("the node is named");
    cluster.nodes[1].start_agent().expect("start");
    let everywhere = "generation 2 is in force on all nodes";
    within(PATIENCE, || said(cluster, "True", everywhere)).expect("it is in force again");
    operator.kill().expect("kill");
}
