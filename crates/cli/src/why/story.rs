//! The answer to `why`: found first, then told, for people or as JSON.

mod change;
mod text;

use local_api::Client;
use serde::Serialize;

use super::facts::Facts;
use super::party::{Called, Party, Place, Port, Question};
use super::proof::{Proof, explain};
use super::seen::Seen;

/// What was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Story {
    /// Whether the first packet gets through, by policy and service.
    pub(crate) allowed: bool,
    pub(crate) from: Party,
    pub(crate) to: String,
    pub(crate) service: Option<Called>,
    pub(crate) ways: Vec<Way>,
    pub(crate) seen: Seen,
}

/// One destination that may answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Way {
    pub(crate) to: Party,
    pub(crate) port: String,
    pub(crate) policy: Proof,
    pub(crate) route: String,
}

impl Story {
    /// Asks for the proof of each destination; backends of one identity and port share one.
    pub(crate) fn tell(
        client: &Client,
        facts: &Facts,
        question: &Question,
        seen: Seen,
    ) -> anyhow::Result<Self> {
        let mut ways: Vec<Way> = Vec::new();
        let mut proofs: Vec<(u32, Port, Proof)> = Vec::new();
        for (to, port) in &question.targets {
            let known = proofs
                .iter()
                .find(|(identity, of, _)| *identity == to.identity && of == port);
            let policy = match known {
                Some((.., proof)) => proof.clone(),
                None => explain(client, question.from.identity, to.identity, *port)?.typed,
            };
            proofs.push((to.identity, *port, policy.clone()));
            let route = route(facts, &question.from, to);
            ways.push(Way {
                to: to.clone(),
                port: port.to_string(),
                policy,
                route,
            });
        }
        Ok(Self {
            allowed: !ways.is_empty() && ways.iter().all(|way| way.policy.is_allowed()),
            from: question.from.clone(),
            to: question.to_name.clone(),
            service: question.service.clone(),
            ways,
            seen,
        })
    }
}

/// How packets get there, in words.
fn route(facts: &Facts, from: &Party, to: &Party) -> String {
    let between = if facts.tunnel {
        "the overlay (VXLAN)"
    } else {
        "the routing table (native)"
    };
    match (&from.place, &to.place) {
        (Place::Here { .. } | Place::ThisNode, Place::Here { endpoint, interface }) => {
            format!("both are on this node: handed to endpoint {endpoint} at {interface}")
        }
        (Place::Here { .. }, Place::ThisNode) => "to this node's own stack".to_owned(),
        (Place::Here { .. } | Place::ThisNode, Place::There { node, address }) => {
            format!("to node {node} ({address}) by {between}")
        }
        (Place::Here { .. } | Place::ThisNode, Place::World) => {
            "out of the node by its routing table; outside the cluster, so its source is masqueraded where that is on".to_owned()
        }
        (Place::There { node, address }, Place::Here { endpoint, interface }) => {
            format!("from node {node} ({address}) by {between}, handed to endpoint {endpoint} at {interface}")
        }
        (Place::World, Place::Here { endpoint, interface }) => {
            format!("from outside the cluster by the uplink, handed to endpoint {endpoint} at {interface}")
        }
        (Place::There { .. } | Place::World, _) | (Place::ThisNode, Place::ThisNode) => {
            "not through a pod of this node: unknown here".to_owned()
        }
    }
}
