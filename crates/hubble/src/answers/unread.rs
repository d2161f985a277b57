//! Of which connections the requests are not seen: what is encrypted, and what nobody here understands.

use std::collections::BTreeMap;

use api::hubble::answers::{Edge, NameCount, Party, PartyKind, Unread};

use super::pairs::Pair;
use crate::edges::told_apart;
use crate::records::protocol;

/// Names of servers that are told of each.
const NAMES: usize = 5;
/// What a node's own network is called.
const NODES: [&str; 2] = ["host", "remote-node"];

/// Services and workloads of which not all connections were read: those with the most such connections first.
pub(super) fn unread(pairs: &[Pair<'_>]) -> Vec<Unread> {
    type Key<'a> = ((&'a str, String), &'a str, u32);
    let mut sums: BTreeMap<Key<'_>, (Unread, BTreeMap<&str, u64>)> = BTreeMap::new();
    for pair in pairs {
        let edge = pair.edge;
        if edge.protocol != u32::from(protocol::TCP) {
            continue;
        }
        let destination = told_apart(edge.destination.as_ref());
        let (sum, names) = sums
            .entry((destination, edge.service.as_str(), edge.port))
            .or_default();
        sum.destination.clone_from(&edge.destination);
        sum.service.clone_from(&edge.service);
        sum.port = edge.port;
        add(sum, names, pair);
    }
    let made = sums.into_values().map(|(mut sum, names)| {
        // A handshake of a connection that was counted before this time.
        sum.encrypted = sum.encrypted.min(sum.connections);
        sum.server_names = most(names);
        sum
    });
    let mut all: Vec<Unread> = made.filter(|of| count(of) > 0).collect();
    all.sort_by_cached_key(|of| std::cmp::Reverse(count(of)));
    all
}

/// Connections of which nothing but their packets was seen.
pub fn count(of: &Unread) -> u64 {
    let unknown = of.other.saturating_add(of.host_network);
    of.encrypted.saturating_add(unknown)
}

fn add<'a>(sum: &mut Unread, names: &mut BTreeMap<&'a str, u64>, pair: &Pair<'a>) {
    let answered = pair.own.counters.unwrap_or_default().answered;
    sum.connections = sum.connections.saturating_add(answered);
    let (said, _) = pair.said();
    for of in &said.tls {
        sum.encrypted = sum.encrypted.saturating_add(of.handshakes);
        if !of.server_name.is_empty() {
            let count = names.entry(of.server_name.as_str()).or_default();
            *count = count.saturating_add(of.handshakes);
        }
    }
    if !says_nothing(pair) {
        return;
    }
    let into = if is_between_nodes(pair.edge) {
        &mut sum.host_network
    } else {
        &mut sum.other
    };
    *into = into.saturating_add(answered);
}

fn says_nothing(pair: &Pair<'_>) -> bool {
    let (said, _) = pair.said();
    said.http.is_empty() && said.dns.is_empty() && said.kafka.is_empty() && said.tls.is_empty()
}

/// Whether no end is a pod with a network of its own.
fn is_between_nodes(edge: &Edge) -> bool {
    let is_entity = |of: &Party| of.kind() == PartyKind::Entity;
    let is_node = |of: &Party| is_entity(of) && NODES.contains(&of.name.as_str());
    let ends = [&edge.source, &edge.destination].map(Option::as_ref);
    let no_pod = |of: Option<&Party>| of.is_some_and(|of| of.kind() != PartyKind::Workload);
    ends.iter().flatten().copied().any(is_node) && ends.into_iter().all(no_pod)
}

fn most(names: BTreeMap<&str, u64>) -> Vec<NameCount> {
    let mut all: Vec<NameCount> = names
        .into_iter()
        .map(|(name, count)| NameCount {
            name: name.to_owned(),
            count,
        })
        .collect();
    all.sort_by_key(|of| std::cmp::Reverse(of.count));
    all.truncate(NAMES);
    all
}

#[cfg(test)]
mod tests;
