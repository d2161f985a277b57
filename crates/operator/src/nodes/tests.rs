use api::kubernetes::{NodeCondition, Taint};

use super::{AgentState, Change, NodeRow, decide};
use crate::config::NodeDuties;

const OURS: &str = "node.cilium.io/agent-not-ready";
const NOW: &str = "2026-01-01T00:00:00Z";

fn duties() -> NodeDuties {
    NodeDuties {
        namespace: "kube-system".into(),
        labels: "k8s-app=cilium".into(),
        taint: OURS.into(),
        remove_taint: true,
        set_taint: true,
        set_condition: true,
    }
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint {
        key: key.into(),
        effect: effect.into(),
        time_added: Some("2025-01-01T00:00:00Z".into()),
        ..Taint::default()
    }
}

fn condition(name: &str, status: &str, reason: &str) -> NodeCondition {
    NodeCondition {
        condition: name.into(),
        status: status.into(),
        reason: reason.into(),
        ..NodeCondition::default()
    }
}

fn node(taints: &[Taint], conditions: &[NodeCondition]) -> NodeRow {
    NodeRow {
        taints: taints.to_vec(),
        conditions: conditions.to_vec(),
        ..NodeRow::default()
    }
}

#[test]
fn a_ready_agent_takes_the_taint_of_any_effect_away_and_states_the_network() {
    let others = taint("example.com/gpu", "NoExecute");
    let ready = condition("Ready", "True", "KubeletReady");
    let away = condition("NetworkUnavailable", "True", "NoRouteCreated");
    let before = node(
        &[
            taint(OURS, "NoExecute"),
            others.clone(),
            taint(OURS, "NoSchedule"),
        ],
        &[away, ready.clone()],
    );
    let change = decide(&before, AgentState::Ready, &duties(), NOW);
    assert_eq!(change.taints, Some(vec![others.clone()]));
    let conditions = change.conditions.unwrap();
    assert_eq!(conditions[0], ready);
    let stated = NodeCondition {
        message: "Cilium is running on this node".into(),
        last_heartbeat_time: Some(NOW.into()),
        last_transition_time: Some(NOW.into()),
        ..condition("NetworkUnavailable", "False", "CiliumIsUp")
    };
    assert_eq!(conditions[1], stated);
    assert_eq!(conditions.len(), 2);
    let after = node(&[others], &[ready, stated]);
    assert_eq!(
        decide(&after, AgentState::Ready, &duties(), NOW),
        Change::default()
    );
}

#[test]
fn an_agent_that_is_not_ready_gets_its_node_a_taint_once() {
    let before = node(&[taint("example.com/gpu", "NoExecute")], &[]);
    let change = decide(&before, AgentState::NotReady, &duties(), NOW);
    let taints = change.taints.unwrap();
    assert_eq!(taints[0], before.taints[0]);
    assert_eq!((&*taints[1].key, &*taints[1].effect), (OURS, "NoSchedule"));
    assert_eq!(change.conditions, None);
    let after = node(&taints, &[]);
    assert_eq!(
        decide(&after, AgentState::NotReady, &duties(), NOW),
        Change::default()
    );
    // A node that was made with another effect keeps it.
    let other = node(&[taint(OURS, "NoExecute")], &[]);
    assert_eq!(
        decide(&other, AgentState::NotReady, &duties(), NOW),
        Change::default()
    );
}

#[test]
fn what_is_switched_off_is_not_done() {
    let off = NodeDuties {
        remove_taint: false,
        set_taint: false,
        set_condition: false,
        ..duties()
    };
    let nodes = [node(&[taint(OURS, "NoSchedule")], &[]), node(&[], &[])];
    for node in nodes {
        for agent in [AgentState::Ready, AgentState::NotReady] {
            assert_eq!(decide(&node, agent, &off, NOW), Change::default());
        }
    }
}
