//! What is to be changed on a node, from what it is and how its agent is.

use api::kubernetes::{NodeCondition, Taint};

use super::NodeRow;
use crate::config::NodeDuties;

const CONDITION: &str = "NetworkUnavailable";
const REASON: &str = "CiliumIsUp";
const MESSAGE: &str = "Cilium is running on this node";

/// How the agent of a node is; of several pods the better one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentState {
    /// It has a node, and is not ready there.
    NotReady,
    /// Pods can be started.
    Ready,
}

/// What is other than it should be: all taints, all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The taints that the node should have.
    pub taints: Option<Vec<Taint>>,
    /// The conditions that the node should have.
    pub conditions: Option<Vec<NodeCondition>>,
}

/// Decides, `now` being the time as it is to be written.
pub fn decide(row: &NodeRow, agent: AgentState, duties: &NodeDuties, now: &str) -> Change {
    match agent {
        AgentState::Ready => Change {
            taints: without_taint(row, duties),
            conditions: with_condition(row, duties, now),
        },
        AgentState::NotReady => Change {
            taints: with_taint(row, duties),
            conditions: None,
        },
    }
}

/// Of any effect.
fn without_taint(row: &NodeRow, duties: &NodeDuties) -> Option<Vec<Taint>> {
    let is_ours = |taint: &&Taint| taint.key == duties.taint;
    if !duties.remove_taint || !row.taints.iter().any(|taint| is_ours(&taint)) {
        return None;
    }
    let others = row.taints.iter().filter(|taint| !is_ours(taint));
    Some(others.cloned().collect())
}

fn with_taint(row: &NodeRow, duties: &NodeDuties) -> Option<Vec<Taint>> {
    if !duties.set_taint || row.taints.iter().any(|taint| taint.key == duties.taint) {
        return None;
    }
    let ours = Taint {
        key: duties.taint.clone(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    Some(row.taints.iter().cloned().chain([ours]).collect())
}

fn with_condition(row: &NodeRow, duties: &NodeDuties, now: &str) -> Option<Vec<NodeCondition>> {
    let is_stated = |of: &NodeCondition| {
        of.condition == CONDITION && of.status == "False" && of.reason == REASON
    };
    if !duties.set_condition || row.conditions.iter().any(is_stated) {
        return None;
    }
    let mut conditions = row.conditions.clone();
    conditions.retain(|of| of.condition != CONDITION);
    conditions.push(NodeCondition {
        condition: CONDITION.to_owned(),
        status: "False".to_owned(),
        reason: REASON.to_owned(),
        message: MESSAGE.to_owned(),
        last_heartbeat_time: Some(now.to_owned()),
        last_transition_time: Some(now.to_owned()),
    });
    Some(conditions)
}
