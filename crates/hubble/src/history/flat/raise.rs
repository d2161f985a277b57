//! From a flat row to a record with its names.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::hubble::flow as pb;
use parquet::data_type::ByteArray;
use prost::Message;
use serde::Deserialize;

use super::{
    DESTINATION, DESTINATION_NUMBERS, EGRESS, Flat, INGRESS, NONE, Number, Policy, SOURCE,
    SOURCE_NUMBERS, Text, said,
};
use crate::enrich::Enriched;
use crate::history::{Kept, Row};
use crate::names::{EndpointNames, PolicyOrigin, ServiceName};
use crate::records::{Judgement, Mode, Party, Point, Record, Side, Way, What};
use crate::spoken::Spoken;

/// A row as it is read.
pub(super) type Read = Flat<ByteArray>;

/// Makes rows of flat ones; what is the same is shared.
#[derive(Default)]
pub(in crate::history) struct Raiser {
    ends: HashMap<[Vec<u8>; 5], Arc<EndpointNames>>,
    policies: HashMap<String, Vec<Arc<PolicyOrigin>>>,
    services: HashMap<String, Arc<ServiceName>>,
}

impl Raiser {
    /// The row; none for what this release cannot read.
    pub(in crate::history) fn row(&mut self, flat: &Read) -> Option<Row> {
        let position = flat.position();
        let kept = match flat.text(Text::What)? {
            "message" => {
                let message = flat.octets(Text::Message);
                Kept::Message(Arc::new(pb::Flow::decode(message).ok()?))
            }
            "new" | "closed" | "denied" | "dropped" => Kept::Record(Arc::new(self.enriched(flat)?)),
            _ => {
                let enriched = self.enriched(flat)?;
                let spoken = said::raise(flat, &enriched.record)?;
                Kept::Said(Arc::new(enriched), Arc::new(spoken))
            }
        };
        let left_out = u32::try_from(flat.number(Number::LeftOut)).ok()?;
        Some(Row {
            left_out,
            ..Row::new(position, kept)
        })
    }

    fn enriched(&mut self, flat: &Read) -> Option<Enriched> {
        Some(Enriched {
            record: record(flat)?,
            source: self.end(flat, SOURCE)?,
            // Asked for only when edges are counted.
            through_node: false,
            destination: self.end(flat, DESTINATION)?,
            source_service: self.service(flat.text(Text::SourceService)?),
            destination_service: self.service(flat.text(Text::DestinationService)?),
            source_fqdns: list(flat.text(Text::SourceNames)?)?,
            destination_fqdns: list(flat.text(Text::DestinationNames)?)?,
            egress_policies: self.policies(flat.text(Text::EgressPolicies)?)?,
            ingress_policies: self.policies(flat.text(Text::IngressPolicies)?)?,
            interface: Some(flat.text(Text::InterfaceName)?)
                .filter(|name| !name.is_empty())
                .map(Arc::from),
        })
    }

    /// Nobody has labels that are empty text: an end without any has an empty list.
    #[allow(clippy::option_option, reason = "unreadable, nameless, named")]
    fn end(&mut self, flat: &Read, columns: [Text; 5]) -> Option<Option<Arc<EndpointNames>>> {
        let [namespace, pod, labels, workloads, cluster] = columns;
        if flat.text(labels)?.is_empty() {
            return Some(None);
        }
        let key = columns.map(|column| flat.octets(column).to_vec());
        if let Some(names) = self.ends.get(&key) {
            return Some(Some(Arc::clone(names)));
        }
        let names = Arc::new(EndpointNames {
            namespace: flat.text(namespace)?.into(),
            pod_name: flat.text(pod)?.into(),
            labels: list(flat.text(labels)?)?,
            workloads: list(flat.text(workloads)?)?,
            cluster_name: flat.text(cluster)?.into(),
        });
        self.ends.insert(key, Arc::clone(&names));
        Some(Some(names))
    }

    fn service(&mut self, text: &str) -> Option<Arc<ServiceName>> {
        let (namespace, name) = text.split_once('/')?;
        if let Some(known) = self.services.get(text) {
            return Some(Arc::clone(known));
        }
        let service = Arc::new(ServiceName {
            name: name.into(),
            namespace: namespace.into(),
        });
        self.services.insert(text.to_owned(), Arc::clone(&service));
        Some(service)
    }

    fn policies(&mut self, text: &str) -> Option<Vec<Arc<PolicyOrigin>>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        if let Some(known) = self.policies.get(text) {
            return Some(known.clone());
        }
        let policies = list::<Policy>(text)?.into_iter().map(|of| {
            Arc::new(PolicyOrigin {
                name: of.name,
                namespace: of.namespace,
                kind: of.kind,
                labels: of.labels,
                revision: of.revision,
                log: of.log,
            })
        });
        let policies: Vec<_> = policies.collect();
        self.policies.insert(text.to_owned(), policies.clone());
        Some(policies)
    }
}

pub(super) fn list<T: for<'a> Deserialize<'a>>(text: &str) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    serde_json::from_str(text).ok()
}

fn record(flat: &Read) -> Option<Record> {
    let party = |address: Text, [port, identity, endpoint]: [Number; 3]| {
        Some(Party {
            address: flat.text(address)?.parse().ok()?,
            port: flat.number(port).try_into().ok()?,
            identity: flat.number(identity).try_into().ok()?,
            endpoint: flat.number(endpoint).try_into().ok()?,
        })
    };
    Some(Record {
        time_ns: flat.number(Number::Time).try_into().ok()?,
        source: party(Text::SourceAddress, SOURCE_NUMBERS)?,
        destination: party(Text::DestinationAddress, DESTINATION_NUMBERS)?,
        asked: optional::<SocketAddr>(flat.text(Text::Asked)?)?,
        translated_source: optional::<IpAddr>(flat.text(Text::TranslatedSource)?)?,
        protocol: flat.number(Number::Protocol).try_into().ok()?,
        tcp_flags_or_icmp_type: flat.number(Number::Flags).try_into().ok()?,
        icmp_code: flat.number(Number::Code).try_into().ok()?,
        interface: flat.number(Number::Interface).try_into().ok()?,
        macs: match flat.text(Text::SourceMac)? {
            "" => None,
            source => Some([octets(flat.text(Text::DestinationMac)?)?, octets(source)?]),
        },
        what: what(flat)?,
    })
}

#[allow(clippy::option_option, reason = "unreadable, absent, present")]
fn optional<T: std::str::FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() {
        return Some(None);
    }
    text.parse().ok().map(Some)
}

fn octets(text: &str) -> Option<[u8; 6]> {
    let mut octets = text.split(':').map(|octet| u8::from_str_radix(octet, 16));
    let mut all = [0; 6];
    for octet in &mut all {
        *octet = octets.next()?.ok()?;
    }
    Some(all)
}

fn what(flat: &Read) -> Option<What> {
    let point = || {
        let number = flat.number(Number::Point);
        POINTS.into_iter().find(|point| *point as i64 == number)
    };
    let side = || match flat.number(Number::Side) {
        0 => Some(Side::Ingress),
        1 => Some(Side::Egress),
        _ => None,
    };
    Some(match flat.text(Text::What)? {
        "new" => What::New {
            point: point()?,
            egress: judgement(flat, EGRESS)?,
            ingress: judgement(flat, INGRESS)?,
        },
        "closed" => What::Closed {
            point: point()?,
            way: match flat.number(Number::Way) {
                0 => Way::Forward,
                1 => Way::Reply,
                _ => Way::Unknown,
            },
        },
        "denied" => What::Denied {
            side: side()?,
            judgement: match side()? {
                Side::Egress => judgement(flat, EGRESS)??,
                Side::Ingress => judgement(flat, INGRESS)??,
            },
            reason: flat.number(Number::Reason).try_into().ok()?,
        },
        "dropped" => What::Dropped {
            side: side(),
            reason: flat.number(Number::Reason).try_into().ok()?,
        },
        said::HTTP | said::DNS | said::KAFKA => Spoken::WHAT,
        _ => return None,
    })
}

#[allow(clippy::option_option, reason = "unreadable, absent, present")]
fn judgement(flat: &Read, columns: [Number; 4]) -> Option<Option<Judgement>> {
    let [match_type, rule, audited, proxy] = columns.map(|column| flat.number(column));
    if match_type == NONE {
        return Some(None);
    }
    Some(Some(Judgement {
        rule: rule.try_into().ok()?,
        match_type: match_type.try_into().ok()?,
        mode: if audited == 0 {
            Mode::Enforced
        } else {
            Mode::Audited
        },
        proxy_port: proxy.try_into().ok()?,
    }))
}

const POINTS: [Point; 12] = [
    Point::ToEndpoint,
    Point::ToProxy,
    Point::ToHost,
    Point::ToStack,
    Point::ToOverlay,
    Point::FromEndpoint,
    Point::FromProxy,
    Point::FromHost,
    Point::FromStack,
    Point::FromOverlay,
    Point::FromNetwork,
    Point::ToNetwork,
];
