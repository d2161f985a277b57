//! What a person calls the ends of a connection: workloads, entities, DNS names; and the edges between them.

use std::borrow::Cow;
use std::sync::Arc;

use api::hubble::answers::{Edge, Party, PartyKind, Side};

use crate::enrich::Enriched;
use crate::names::EndpointNames;
use crate::records;

/// Letters and digits of the random part of a pod's name (Kubernetes, `k8s.io/apimachinery/pkg/util/rand`).
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Those of the hash in the name of a Deployment's ReplicaSet: a decimal number, written with ten of them.
const HASH: &str = "456789bcdf";

/// What tells an edge from all others, borrowed from a record or from the edge itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EdgeKey<'a> {
    source: PartyKey<'a>,
    destination: PartyKey<'a>,
    /// Namespace and name.
    service: Option<(&'a str, &'a str)>,
    port: u32,
    protocol: u32,
    side: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct PartyKey<'a> {
    cluster: &'a str,
    namespace: &'a str,
    name: Cow<'a, str>,
    kind: i32,
}

impl<'a> From<&'a Enriched> for EdgeKey<'a> {
    fn from(enriched: &'a Enriched) -> Self {
        let record = &enriched.record;
        let source = enriched.source.as_deref();
        let destination = enriched.destination.as_deref();
        let service = enriched.destination_service.as_deref();
        Self {
            source: party(&record.source, source, &enriched.source_fqdns),
            destination: party(
                &record.destination,
                destination,
                &enriched.destination_fqdns,
            ),
            service: service.map(|of| (&*of.namespace, &*of.name)),
            port: record.destination.port.into(),
            protocol: record.protocol.into(),
            side: side(enriched).into(),
        }
    }
}

impl<'a> From<&'a Edge> for EdgeKey<'a> {
    fn from(edge: &'a Edge) -> Self {
        Self {
            source: edge.source.as_ref().map(PartyKey::of).unwrap_or_default(),
            destination: edge
                .destination
                .as_ref()
                .map(PartyKey::of)
                .unwrap_or_default(),
            service: edge.service.split_once('/'),
            port: edge.port,
            protocol: edge.protocol,
            side: edge.side,
        }
    }
}

impl<'a> PartyKey<'a> {
    fn of(party: &'a Party) -> Self {
        Self {
            cluster: &party.cluster,
            namespace: &party.namespace,
            name: Cow::Borrowed(&party.name),
            kind: party.kind,
        }
    }

    fn named(kind: PartyKind, name: &'a str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: kind.into(),
            ..Self::default()
        }
    }

    fn into_party(self) -> Party {
        Party {
            cluster: self.cluster.to_owned(),
            namespace: self.namespace.to_owned(),
            name: self.name.into_owned(),
            kind: self.kind,
        }
    }
}

impl EdgeKey<'_> {
    /// The edge.
    pub fn into_edge(self) -> Edge {
        let service = self.service;
        let service = service.map(|(namespace, name)| format!("{namespace}/{name}"));
        Edge {
            source: Some(self.source.into_party()),
            destination: Some(self.destination.into_party()),
            service: service.unwrap_or_default(),
            port: self.port,
            protocol: self.protocol,
            side: self.side,
        }
    }
}

/// The edge of a record.
pub fn edge(enriched: &Enriched) -> Edge {
    EdgeKey::from(enriched).into_edge()
}

/// Of a pod elsewhere its own node sees the connection, too, and of who came through another node that one.
fn side(enriched: &Enriched) -> Side {
    let source = enriched.source.as_ref();
    let is_pod = source.is_some_and(|names| !names.pod_name.is_empty());
    if enriched.record.source.endpoint == 0 && (is_pod || enriched.through_node) {
        Side::Server
    } else {
        Side::Client
    }
}

/// An end by the name that a person would call it. Both nodes of a connection must come to the same, so that only what both
/// know counts: of a pod its name, not its owner.
fn party<'a>(
    end: &records::Party,
    names: Option<&'a EndpointNames>,
    fqdns: &'a [Arc<str>],
) -> PartyKey<'a> {
    if let Some(names) = names.filter(|names| !names.pod_name.is_empty()) {
        return PartyKey {
            cluster: &names.cluster_name,
            namespace: &names.namespace,
            ..PartyKey::named(PartyKind::Workload, workload(&names.pod_name))
        };
    }
    if let Some(name) = fqdns.first() {
        return PartyKey::named(PartyKind::DnsName, name);
    }
    let labels = names.map(|names| names.labels.as_slice());
    let labels = labels.unwrap_or_default().iter();
    let mut reserved = labels.clone().filter_map(|of| of.strip_prefix("reserved:"));
    let is_api_server = |of: &&str| *of == "kube-apiserver";
    // Whoever looks for the API server looks for it by its name, and not for the host or the world in which it is.
    match reserved.clone().find(is_api_server).or(reserved.next()) {
        // One world, whatever the family.
        Some("world-ipv4" | "world-ipv6") => PartyKey::named(PartyKind::Entity, "world"),
        Some(entity) => PartyKey::named(PartyKind::Entity, entity),
        None if labels.clone().any(|of| of.starts_with("cidr:")) => {
            PartyKey::named(PartyKind::Entity, "world")
        }
        None => PartyKey {
            name: Cow::Owned(end.address.to_string()),
            ..PartyKey::named(PartyKind::Address, "")
        },
    }
}

/// The workload of a pod, by the way in which Kubernetes makes names of pods out of those of their owners.
pub fn workload(pod: &str) -> &str {
    let Some((owner, last)) = pod.rsplit_once('-') else {
        return pod;
    };
    if owner.is_empty() || last.is_empty() {
        return pod;
    }
    if last.bytes().all(|octet| octet.is_ascii_digit()) && last.len() < 5 {
        // Of a StatefulSet.
        return owner;
    }
    if last.len() != 5 || !last.chars().all(|letter| RANDOM.contains(letter)) {
        return pod;
    }
    match owner.rsplit_once('-') {
        Some((deployment, hash))
            if !deployment.is_empty()
                && (6..=10).contains(&hash.len())
                && hash.chars().all(|letter| HASH.contains(letter)) =>
        {
            deployment
        }
        _ => owner,
    }
}

/// A party as people write it: NAMESPACE/NAME, or the name alone of who is no workload.
pub fn shown(party: &Party) -> String {
    if party.namespace.is_empty() {
        party.name.clone()
    } else {
        format!("{}/{}", party.namespace, party.name)
    }
}

/// By what a party is told from all others, also from one of the same name in another cluster.
pub(crate) fn told_apart(party: Option<&Party>) -> (&str, String) {
    party.map_or_else(Default::default, |of| (of.cluster.as_str(), shown(of)))
}

/// Whether `wanted` means this party: NAMESPACE/NAME, NAMESPACE/ or a name; empty for anybody.
pub fn is_meant(party: Option<&Party>, wanted: &str) -> bool {
    let Some(party) = party else {
        return wanted.is_empty();
    };
    match wanted.split_once('/') {
        None => wanted.is_empty() || party.name == wanted,
        Some((namespace, "")) => party.namespace == namespace,
        Some((namespace, name)) => party.namespace == namespace && party.name == name,
    }
}

#[cfg(test)]
mod tests;
