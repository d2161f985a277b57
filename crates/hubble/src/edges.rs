//! What a person calls the ends of a connection: workloads, entities, DNS names; and the edges between them.

use api::hubble::answers::{Edge, Party, PartyKind, Side};

use crate::enrich::Enriched;
use crate::names::{EndpointNames, ServiceName};
use crate::records;

/// Letters and digits of the random part of a pod's name (Kubernetes, `k8s.io/apimachinery/pkg/util/rand`).
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Those of the hash in the name of a Deployment's ReplicaSet: a decimal number, written with ten of them.
const HASH: &str = "456789bcdf";

/// The edge of a record.
pub fn edge(enriched: &Enriched) -> Edge {
    let record = &enriched.record;
    let source = enriched.source.as_deref();
    let service = enriched.destination_service.as_deref();
    Edge {
        source: Some(party(&record.source, source, &enriched.source_fqdns)),
        destination: Some(party(
            &record.destination,
            enriched.destination.as_deref(),
            &enriched.destination_fqdns,
        )),
        service: service.map(service_name).unwrap_or_default(),
        port: record.destination.port.into(),
        protocol: record.protocol.into(),
        side: side(enriched).into(),
    }
}

fn service_name(of: &ServiceName) -> String {
    format!("{}/{}", of.namespace, of.name)
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
fn party(
    end: &records::Party,
    names: Option<&EndpointNames>,
    fqdns: &[std::sync::Arc<str>],
) -> Party {
    let named = |kind: PartyKind, name: &str| Party {
        name: name.to_owned(),
        kind: kind.into(),
        ..Party::default()
    };
    if let Some(names) = names.filter(|names| !names.pod_name.is_empty()) {
        return Party {
            cluster: names.cluster_name.to_string(),
            namespace: names.namespace.to_string(),
            ..named(PartyKind::Workload, workload(&names.pod_name))
        };
    }
    if let Some(name) = fqdns.first() {
        return named(PartyKind::DnsName, name);
    }
    let labels = names.map(|names| names.labels.as_slice());
    let labels = labels.unwrap_or_default().iter();
    let mut reserved = labels.clone().filter_map(|of| of.strip_prefix("reserved:"));
    let is_api_server = |of: &&str| *of == "kube-apiserver";
    // Whoever looks for the API server looks for it by its name, and not for the host or the world in which it is.
    match reserved.clone().find(is_api_server).or(reserved.next()) {
        // One world, whatever the family.
        Some("world-ipv4" | "world-ipv6") => named(PartyKind::Entity, "world"),
        Some(entity) => named(PartyKind::Entity, entity),
        None if labels.clone().any(|of| of.starts_with("cidr:")) => {
            named(PartyKind::Entity, "world")
        }
        None => named(PartyKind::Address, &end.address.to_string()),
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
