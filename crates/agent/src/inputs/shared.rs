//! What agents tell each other: nodes, identities and endpoints, here as CustomResources of the API server.

use std::sync::Arc;

use api::cilium::{CiliumIdentity, CiliumNode, HealthAddresses, IpamSpec};
use ipnet::IpNet;
use model::endpoint::PodName;
use model::identity::{Identity, from_security_labels};
use model::labels::LabelSet;
use model::node::{IpPair, NodeObject};
use reconcile::{Table, TaskGroup};
use store::{Client, Scope, reflect};

use super::endpoints::{self, Announcements};
use super::{RemoteEndpoint, address_of, reflected, texts};

/// Tables of what agents tell each other.
#[derive(Clone)]
pub struct Shared {
    /// Nodes, as their agents announce them.
    pub announced_nodes: Table<Arc<str>, NodeObject>,
    /// Identities.
    pub identities: Table<Identity, LabelSet>,
    /// Endpoints of all nodes.
    pub endpoints: Table<PodName, RemoteEndpoint>,
}

impl Shared {
    /// As CustomResources.
    pub fn objects(client: &Client, tasks: &TaskGroup, announcements: Announcements) -> Self {
        let all = Scope::all;
        Self {
            announced_nodes: reflected!(client, tasks, all(), "ciliumnodes", CiliumNode, |node| {
                vec![announced_row(&node)]
            }),
            identities: reflected!(
                client,
                tasks,
                all(),
                "ciliumidentities",
                CiliumIdentity,
                |of| identity_row(&of)
            ),
            endpoints: endpoints::follow(client, tasks, announcements),
        }
    }
}

/// This node's CiliumNode alone.
pub fn own_node(client: &Client, tasks: &TaskGroup, node: &str) -> Table<Arc<str>, NodeObject> {
    let own = Scope::fields(format!("metadata.name={node}"));
    reflected!(client, tasks, own, "own ciliumnode", CiliumNode, |node| {
        vec![announced_row(&node)]
    })
}

/// What a CiliumNode says of its node.
pub(crate) fn announced_row(node: &CiliumNode) -> (Arc<str>, NodeObject) {
    let object = NodeObject {
        addresses: node
            .spec
            .addresses
            .iter()
            .filter_map(|a| address_of(&a.address_type, &a.ip))
            .collect(),
        pod_cidrs: pod_cidrs(&node.spec.ipam),
        health: pair(node.spec.health.as_ref()),
        ingress: pair(node.spec.ingress.as_ref()),
        labels: texts(&node.metadata.labels),
        uid: node.metadata.uid.as_str().into(),
        ..NodeObject::default()
    };
    (node.metadata.name.as_str().into(), object)
}

/// The one range of each family, or those of pools.
fn pod_cidrs(of: &IpamSpec) -> Vec<IpNet> {
    let of_pools = of.pools.iter().flat_map(|pools| &pools.allocated);
    let texts = of
        .pod_cidrs
        .iter()
        .chain(of_pools.flat_map(|pool| &pool.cidrs));
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn pair(said: Option<&HealthAddresses>) -> IpPair {
    let Some(said) = said else {
        return IpPair::default();
    };
    IpPair {
        v4: said.ipv4.parse().ok(),
        v6: said.ipv6.parse().ok(),
    }
}

fn identity_row(of: &CiliumIdentity) -> Vec<(Identity, LabelSet)> {
    let Ok(number) = of.metadata.name.parse() else {
        tracing::warn!(
            name = of.metadata.name,
            "an identity whose name is not a number is left out"
        );
        return Vec::new();
    };
    match from_security_labels(&of.security_labels) {
        Ok(labels) => vec![(Identity(number), labels)],
        Err(error) => {
            tracing::warn!(identity = number, %error, "an identity with unreadable labels is left out");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests;
