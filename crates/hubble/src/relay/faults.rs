//! Status of nodes within a stream of flows; equal errors of several nodes become one event.

use std::{
    collections::BTreeSet,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use api::hubble::{
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::{NodeState, NodeStatusEvent},
};
use prost::{Message, bytes::Bytes};
use tokio::time::Instant;

/// How long an error waits for others like it.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Name of the node of this relay.
static HERE: LazyLock<String> = LazyLock::new(|| {
    let name = std::env::var("K8S_NODE_NAME").ok();
    name.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
});

/// A status event as it is sent.
pub(super) fn event(
    state: NodeState,
    nodes: impl IntoIterator<Item = String>,
    message: String,
) -> Bytes {
    let event = NodeStatusEvent {
        state_change: state.into(),
        node_names: nodes.into_iter().collect(),
        message,
    };
    let response = GetFlowsResponse {
        response_types: Some(ResponseTypes::NodeStatus(event)),
        node_name: HERE.clone(),
        time: Some(SystemTime::now().into()),
    };
    response.encode_to_vec().into()
}

/// Errors that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    message: String,
    nodes: BTreeSet<String>,
    due: Instant,
}

impl Faults {
    /// Adds an error; returns the event of another error that was waiting.
    pub(super) fn add(&mut self, node: &str, message: String, now: Instant) -> Option<Bytes> {
        if let Some(waiting) = &mut self.waiting
            && waiting.message == message
        {
            waiting.nodes.insert(node.to_owned());
            return None;
        }
        let told = self.take();
        self.waiting = Some(Waiting {
            message,
            nodes: BTreeSet::from([node.to_owned()]),
            due: now + WINDOW,
        });
        told
    }

    /// When an event must be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.due)
    }

    /// The event that is due, or waiting.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let waiting = self.waiting.take()?;
        Some(event(NodeState::NodeError, waiting.nodes, waiting.message))
    }
}

#[cfg(test)]
mod tests;
