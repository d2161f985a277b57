//! Gives a record the names of its moment, and names the flows that it stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use model::identity::{Identity, Reserved};

use crate::{
    flow::{Observed, View},
    names::{EndpointNames, Names, PolicyOrigin, ServiceName},
    records::{Judgement, Party, Record, Side, What},
};

/// A record with its names; shared by the flows made of it.
#[derive(Clone, Debug)]
pub struct Enriched {
    /// The record.
    pub record: Record,
    /// Names of the sender.
    pub source: Option<Arc<EndpointNames>>,
    /// The sender is outside, and his address is a node's: there he had asked for a service, and was led on from that node's
    /// address, which knows his own.
    pub through_node: bool,
    /// Names of the receiver.
    pub destination: Option<Arc<EndpointNames>>,
    /// Service of the sender's address and port.
    pub source_service: Option<Arc<ServiceName>>,
    /// Service that was asked for.
    pub destination_service: Option<Arc<ServiceName>>,
    /// DNS names by which the receiver knows the sender.
    pub source_fqdns: Vec<Arc<str>>,
    /// DNS names by which the sender knows the receiver.
    pub destination_fqdns: Vec<Arc<str>>,
    /// Policies of the rule that judged the sender.
    pub egress_policies: Vec<Arc<PolicyOrigin>>,
    /// Policies of the rule that judged the receiver.
    pub ingress_policies: Vec<Arc<PolicyOrigin>>,
    /// Name of the interface.
    pub interface: Option<Arc<str>>,
}

/// Looks up all names of a record.
pub fn enrich(record: Record, names: &dyn Names) -> Enriched {
    let held = names.held();
    let names = held.as_deref().unwrap_or(names);
    let (egress, ingress) = judgements(&record.what);
    let policies = |judgement: Option<Judgement>| {
        judgement
            .filter(|j| j.rule != 0)
            .map(|j| names.rule(j.rule))
            .unwrap_or_default()
    };
    let fqdns = |asker: Party, of: Party| match asker.endpoint {
        0 => Vec::new(),
        id => names.fqdns(id, of.address),
    };
    Enriched {
        source: endpoint(&record.source, names),
        through_node: is_outside(&record.source) && names.is_node(record.source.address),
        destination: endpoint(&record.destination, names),
        source_service: names.service(record.source.address, record.source.port),
        destination_service: destination_service(&record, names),
        source_fqdns: fqdns(record.destination, record.source),
        destination_fqdns: fqdns(record.source, record.destination),
        egress_policies: policies(egress),
        ingress_policies: policies(ingress),
        interface: names.interface(record.interface),
        record,
    }
}

/// The flows that a record stands for: per new connection one policy verdict for each side that was judged here and
/// one trace, per close one trace, per denial one drop and its policy verdict, per other drop one drop.
pub fn flows(enriched: Arc<Enriched>) -> impl Iterator<Item = Observed> {
    let views: [Option<View>; 3] = match enriched.record.what {
        What::New {
            egress, ingress, ..
        } => [
            egress.map(|_| View::Verdict(Side::Egress)),
            ingress.map(|_| View::Verdict(Side::Ingress)),
            Some(View::Trace),
        ],
        What::Closed { .. } => [Some(View::Trace), None, None],
        What::Denied { side, .. } => [Some(View::Verdict(side)), Some(View::Drop), None],
        What::Dropped { .. } => [Some(View::Drop), None, None],
    };
    views
        .into_iter()
        .flatten()
        .map(move |view| Observed::new(enriched.clone(), view))
}

/// The service that was asked for. What a local client connects to is translated at its socket already, so that its packets
/// only show the backend.
fn destination_service(record: &Record, names: &dyn Names) -> Option<Arc<ServiceName>> {
    if let Some(asked) = record.asked {
        // A NodePort is a frontend at all addresses of its node.
        let any = match asked {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        return names
            .service(asked.ip(), asked.port())
            .or_else(|| names.service(any, asked.port()));
    }
    let Party { address, port, .. } = record.destination;
    names
        .service(address, port)
        .or_else(|| match record.source.endpoint {
            0 => None,
            _ => names.service_behind(address, port, record.protocol),
        })
}

/// Whether the data plane says that it is of the world, whatever its address.
fn is_outside(party: &Party) -> bool {
    let worlds = [Reserved::World, Reserved::WorldIpv4, Reserved::WorldIpv6];
    worlds.iter().any(|of| of.id().0 == party.identity)
}

fn judgements(what: &What) -> (Option<Judgement>, Option<Judgement>) {
    match *what {
        What::New {
            egress, ingress, ..
        } => (egress, ingress),
        What::Denied {
            side: Side::Egress,
            judgement,
            ..
        } => (Some(judgement), None),
        What::Denied {
            side: Side::Ingress,
            judgement,
            ..
        } => (None, Some(judgement)),
        What::Closed { .. } | What::Dropped { .. } => (None, None),
    }
}

/// Names of an end; an end that nobody knows by name but that has a reserved identity gets that identity's label.
fn endpoint(party: &Party, names: &dyn Names) -> Option<Arc<EndpointNames>> {
    names.endpoint(party.address, party.identity).or_else(|| {
        let reserved = Reserved::from_id(Identity(party.identity))?;
        Some(Arc::new(EndpointNames {
            labels: vec![format!("reserved:{}", reserved.name()).into()],
            ..EndpointNames::default()
        }))
    })
}

#[cfg(test)]
mod tests;
