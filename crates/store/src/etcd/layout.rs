//! Names of keys: upstream's, which others that read the same etcd know too.

use std::fmt::Display;

/// Written by the operator each minute.
pub const HEARTBEAT: &str = "cilium/.heartbeat";
/// Number → labels, one key for each identity.
pub const IDENTITIES: &str = "cilium/state/identities/v1/id/";
/// Labels and node → number, one key for each node that uses the identity.
pub const USES: &str = "cilium/state/identities/v1/value/";
/// Locks of labels that are about to get a number.
pub const LOCKS: &str = "cilium/state/identities/v1/locks/";
/// Address → endpoint.
pub const ADDRESSES: &str = "cilium/state/ip/v1/default/";
/// Cluster and name → node.
pub const NODES: &str = "cilium/state/nodes/v1/";

/// The key of an identity.
pub fn identity(number: u32) -> String {
    format!("{IDENTITIES}{number}")
}

/// The number of an identity's key.
pub fn number_of(key: &str) -> Option<u32> {
    key.strip_prefix(IDENTITIES)?.parse().ok()
}

/// Begins the keys of all nodes that use the identity of these labels.
pub fn uses(labels: &str) -> String {
    format!("{USES}{labels}/")
}

/// The key by which a node uses an identity. The node is named by its address.
pub fn usage(labels: &str, node: &str) -> String {
    format!("{USES}{labels}/{node}")
}

/// The labels of a key by which a node uses an identity.
pub fn labels_of(key: &str) -> Option<&str> {
    let (labels, _node) = key.strip_prefix(USES)?.rsplit_once('/')?;
    Some(labels)
}

/// What is locked while labels get a number, or lose it.
pub fn lock(labels: &str) -> String {
    format!("{LOCKS}{labels}")
}

/// The key of an address.
pub fn address(of: impl Display) -> String {
    format!("{ADDRESSES}{of}")
}

/// Begins the keys of a cluster's nodes.
pub fn nodes(cluster: &str) -> String {
    format!("{NODES}{cluster}/")
}

/// The key of a node.
pub fn node(cluster: &str, name: &str) -> String {
    format!("{NODES}{cluster}/{name}")
}

#[cfg(test)]
mod tests;
