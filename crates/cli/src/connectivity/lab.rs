//! What the tests run on: our pods, services and nodes, as the API server tells of them once all are ready.

use std::net::IpAddr;

use crate::cluster::Cluster;
use crate::cluster::pod::Pod;

/// Port of every server in the pods.
pub(super) const PORT: u16 = 8080;

/// What a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Calls.
    Client,
    /// Is called, also through a service.
    Echo,
    /// Calls from a node's own namespace.
    Host,
}

/// A pod of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Name of its workload, as `client2`.
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) pod: Pod,
}

/// A service in front of one of our pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Name of the service, and of the workload behind it.
    pub(super) name: &'static str,
    /// Its cluster addresses, at most one per family.
    pub(super) addresses: Vec<IpAddr>,
    /// Its port on all nodes.
    pub(super) node_port: u16,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// Those of type InternalIP.
    pub(super) addresses: Vec<IpAddr>,
}

/// Somebody outside of the cluster who answers HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct External {
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// All there is to test on, in one namespace.
#[derive(Clone)]
pub(super) struct Lab {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    pub(super) peers: Vec<Peer>,
    pub(super) services: Vec<Service>,
    pub(super) nodes: Vec<Node>,
    /// Agents of all nodes.
    pub(super) agents: Vec<Pod>,
    /// None, one, or two.
    pub(super) externals: Vec<External>,
    /// Clients have `ping`.
    pub(super) ping: bool,
    /// ConfigMap of the agents.
    pub(super) config: serde_json::Value,
}

impl Lab {
    pub(super) fn of_role(&self, role: Role) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(move |peer| peer.role == role)
    }

    /// A key of the agents' configuration.
    pub(super) fn setting(&self, key: &str) -> &str {
        self.config
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    }
}
