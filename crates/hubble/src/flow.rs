//! A flow as the ring keeps it, and as clients read it.

pub(crate) mod said;
mod summary;

use std::{net::IpAddr, sync::Arc};

use api::hubble::{Timestamp, flow as pb};
use uuid::Uuid;

use crate::{
    enrich::Enriched,
    names::{EndpointNames, PolicyOrigin, ServiceName},
    records::{Judgement, Mode, Party, Point, Record, Side, Way, What, protocol},
    spoken::Spoken,
};

pub(crate) use summary::{icmpv4, icmpv6};

/// Numbers of monitor events, as filters name them.
pub mod event_type {
    /// A packet was dropped.
    pub const DROP: i32 = 1;
    /// A packet passed an observation point.
    pub const TRACE: i32 = 4;
    /// A policy judged.
    pub const POLICY_VERDICT: i32 = 5;
    /// A request or response was seen.
    pub const ACCESS_LOG: i32 = 129;
    /// The agent did something.
    pub const AGENT: i32 = 130;
}

/// What of a record a flow shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The verdict of one side.
    Verdict(Side),
    /// The packet at its observation point.
    Trace,
    /// The drop.
    Drop,
    /// A request or an answer.
    Said,
}

/// The node that flows are told of.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// `cluster/node`.
    pub name: String,
    /// Labels of the node as `key=value`, sorted.
    pub labels: Vec<String>,
}

/// One flow: a view of a shared record, and its unique id.
#[derive(Clone, Debug)]
pub struct Observed {
    enriched: Arc<Enriched>,
    view: View,
    uuid: Uuid,
    /// Of the view of what was said.
    said: Option<Arc<said::Said>>,
}

impl Observed {
    /// A flow with a fresh id.
    pub fn new(enriched: Arc<Enriched>, view: View) -> Self {
        Self {
            enriched,
            view,
            uuid: Uuid::new_v4(),
            said: None,
        }
    }

    /// The same with an id that it had before.
    pub(crate) fn named(self, uuid: Uuid) -> Self {
        Self { uuid, ..self }
    }

    /// The record and its names, from who sent to who got it.
    pub(crate) fn enriched(&self) -> &Enriched {
        &self.enriched
    }

    /// What was said, of a flow of that.
    pub(crate) fn spoken(&self) -> Option<&Arc<Spoken>> {
        self.said.as_deref().map(said::Said::spoken)
    }

    /// Whether no other flow of what was said comes after it, but for those of other topics.
    pub(crate) fn is_last(&self) -> bool {
        self.said.as_deref().is_none_or(said::Said::is_last)
    }

    /// When it was seen.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.enriched.record.time_ns)
    }

    /// Namespaces of both ends, those that are known.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        let ends = [&self.enriched.source, &self.enriched.destination];
        ends.into_iter()
            .flatten()
            .map(|end| &end.namespace)
            .filter(|name| !name.is_empty())
    }

    /// The message that clients read.
    pub fn message(&self, node: &Node) -> pb::Flow {
        let mut flow = packet(&self.enriched, node);
        self.tell(&mut flow);
        flow
    }

    /// Makes its message of that of another flow of the packets of the same record, which costs a third of making it anew.
    pub(crate) fn retell(&self, flow: &mut pb::Flow) {
        forget_view(flow);
        self.tell(flow);
    }

    /// Adds what only this view of the record shows.
    fn tell(&self, flow: &mut pb::Flow) {
        let e = &*self.enriched;
        flow.uuid = self.uuid.to_string();
        match (self.view, e.record.what) {
            (View::Verdict(side), what) => verdict(flow, e, side, &what),
            (View::Trace, what) => trace(flow, &e.record, &what),
            (View::Drop, What::Denied { side, reason, .. }) => {
                dropped(flow, &e.record, Some(side), reason);
            }
            (View::Drop, What::Dropped { side, reason }) => {
                dropped(flow, &e.record, side, reason);
            }
            (View::Drop, What::New { .. } | What::Closed { .. }) => {}
            (View::Said, _) => {
                if let Some(said) = &self.said {
                    said.tell(flow, e);
                }
            }
        }
    }
}

/// What all flows of a record share.
#[allow(deprecated, reason = "clients print the deprecated summary")]
fn packet(e: &Enriched, node: &Node) -> pb::Flow {
    let r = &e.record;
    pb::Flow {
        time: Some(Timestamp::from_unix_nanos(r.time_ns)),
        ethernet: r.macs.map(|[destination, source]| pb::Ethernet {
            source: mac(source),
            destination: mac(destination),
        }),
        ip: Some(ip(r)),
        l4: layer4(r),
        source: Some(endpoint(&r.source, e.source.as_deref())),
        destination: Some(endpoint(&r.destination, e.destination.as_deref())),
        r#type: pb::FlowType::L3L4.into(),
        node_name: node.name.clone(),
        node_labels: node.labels.clone(),
        source_names: e.source_fqdns.iter().map(ToString::to_string).collect(),
        destination_names: e
            .destination_fqdns
            .iter()
            .map(ToString::to_string)
            .collect(),
        source_service: e.source_service.as_deref().map(service),
        destination_service: e.destination_service.as_deref().map(service),
        interface: (r.interface != 0).then(|| pb::NetworkInterface {
            index: r.interface,
            name: e.interface.as_deref().unwrap_or_default().to_owned(),
        }),
        emitter: Some(pb::Emitter {
            name: "Hubble".into(),
            version: crate::VERSION.into(),
        }),
        summary: summary::summary(r),
        ..pb::Flow::default()
    }
}

/// Takes out all that views add.
#[allow(deprecated, reason = "the deprecated fields are among it")]
fn forget_view(flow: &mut pb::Flow) {
    flow.event_type = None;
    flow.traffic_direction = 0;
    flow.verdict = 0;
    flow.policy_match_type = 0;
    flow.policy_log.clear();
    for policies in [
        &mut flow.egress_allowed_by,
        &mut flow.ingress_allowed_by,
        &mut flow.egress_denied_by,
        &mut flow.ingress_denied_by,
    ] {
        policies.clear();
    }
    flow.drop_reason = 0;
    flow.drop_reason_desc = 0;
    flow.is_reply = None;
    flow.reply = false;
    flow.trace_observation_point = 0;
    flow.trace_reason = 0;
}

#[allow(deprecated, reason = "old exporters read the deprecated drop_reason")]
fn set_drop_reason(flow: &mut pb::Flow, reason: u8) {
    flow.drop_reason = reason.into();
    flow.drop_reason_desc = reason.into();
}

#[allow(deprecated, reason = "old clients read the deprecated reply")]
fn set_reply(flow: &mut pb::Flow, is_reply: bool) {
    flow.is_reply = Some(pbjson_types::BoolValue { value: is_reply });
    flow.reply = is_reply;
}

fn verdict(flow: &mut pb::Flow, e: &Enriched, side: Side, what: &What) {
    flow.event_type = Some(pb::CiliumEventType {
        r#type: event_type::POLICY_VERDICT,
        sub_type: 0,
    });
    flow.traffic_direction = direction(side).into();
    let (judgement, denied) = match (*what, side) {
        (
            What::New {
                egress: Some(judgement),
                ..
            },
            Side::Egress,
        )
        | (
            What::New {
                ingress: Some(judgement),
                ..
            },
            Side::Ingress,
        ) => (judgement, None),
        (
            What::Denied {
                judgement, reason, ..
            },
            _,
        ) => (judgement, Some(reason)),
        _ => return,
    };
    flow.policy_match_type = judgement.match_type.into();
    flow.verdict = match denied {
        Some(_) => pb::Verdict::Dropped,
        None => admitted(judgement),
    }
    .into();
    match denied {
        Some(reason) => set_drop_reason(flow, reason),
        None => set_reply(flow, false),
    }
    let policies = match side {
        Side::Egress => &e.egress_policies,
        Side::Ingress => &e.ingress_policies,
    };
    let logs = policies.iter().map(|origin| &origin.log);
    flow.policy_log = logs
        .filter(|log| !log.is_empty())
        .map(ToString::to_string)
        .collect();
    let policies: Vec<pb::Policy> = policies.iter().map(|origin| policy(origin)).collect();
    match (side, denied) {
        (Side::Egress, None) => flow.egress_allowed_by = policies,
        (Side::Ingress, None) => flow.ingress_allowed_by = policies,
        (Side::Egress, Some(_)) => flow.egress_denied_by = policies,
        (Side::Ingress, Some(_)) => flow.ingress_denied_by = policies,
    }
}

fn admitted(judgement: Judgement) -> pb::Verdict {
    if judgement.proxy_port != 0 {
        pb::Verdict::Redirected
    } else if judgement.mode == Mode::Audited {
        pb::Verdict::Audit
    } else {
        pb::Verdict::Forwarded
    }
}

fn trace(flow: &mut pb::Flow, record: &Record, what: &What) {
    let (point, way, reason) = match *what {
        What::New { point, .. } => (point, Way::Forward, pb::TraceReason::New),
        What::Closed {
            point,
            way: Way::Forward,
        } => (point, Way::Forward, pb::TraceReason::Established),
        What::Closed {
            point,
            way: Way::Reply,
        } => (point, Way::Reply, pb::TraceReason::Reply),
        What::Closed {
            point,
            way: Way::Unknown,
        } => (point, Way::Unknown, pb::TraceReason::Unknown),
        What::Denied { .. } | What::Dropped { .. } => return,
    };
    flow.verdict = pb::Verdict::Forwarded.into();
    flow.event_type = Some(pb::CiliumEventType {
        r#type: event_type::TRACE,
        sub_type: point as i32,
    });
    // The raw number 0 is "to endpoint"; in the message 0 means unknown, so that point has a number of its own.
    flow.trace_observation_point = match point {
        Point::ToEndpoint => pb::TraceObservationPoint::ToEndpoint.into(),
        other => other as i32,
    };
    flow.trace_reason = reason.into();
    if way == Way::Unknown {
        return;
    }
    let is_reply = way == Way::Reply;
    set_reply(flow, is_reply);
    let reporter = match point {
        Point::ToEndpoint => record.destination.endpoint,
        _ => record.source.endpoint,
    };
    if reporter != 0 {
        let outwards = (reporter == record.source.endpoint) != is_reply;
        let side = if outwards {
            Side::Egress
        } else {
            Side::Ingress
        };
        flow.traffic_direction = direction(side).into();
    }
}

fn dropped(flow: &mut pb::Flow, record: &Record, side: Option<Side>, reason: u8) {
    flow.verdict = pb::Verdict::Dropped.into();
    flow.event_type = Some(pb::CiliumEventType {
        r#type: event_type::DROP,
        sub_type: reason.into(),
    });
    set_drop_reason(flow, reason);
    let side = side.or(
        match (record.source.endpoint, record.destination.endpoint) {
            (0, 0) => None,
            (0, _) => Some(Side::Ingress),
            _ => Some(Side::Egress),
        },
    );
    if let Some(side) = side {
        flow.traffic_direction = direction(side).into();
    }
}

fn direction(side: Side) -> pb::TrafficDirection {
    match side {
        Side::Ingress => pb::TrafficDirection::Ingress,
        Side::Egress => pb::TrafficDirection::Egress,
    }
}

fn ip(r: &Record) -> pb::Ip {
    pb::Ip {
        source: r.source.address.to_string(),
        destination: r.destination.address.to_string(),
        source_xlated: r
            .translated_source
            .filter(|translated| *translated != r.source.address)
            .map(|translated| translated.to_string())
            .unwrap_or_default(),
        ip_version: match r.source.address {
            IpAddr::V4(_) => pb::IpVersion::IPv4,
            IpAddr::V6(_) => pb::IpVersion::IPv6,
        }
        .into(),
        encrypted: false,
    }
}

fn layer4(r: &Record) -> Option<pb::Layer4> {
    use pb::layer4::Protocol;
    let (source_port, destination_port) = (r.source.port.into(), r.destination.port.into());
    let (kind, code) = (r.tcp_flags_or_icmp_type.into(), r.icmp_code.into());
    let protocol = match r.protocol {
        protocol::TCP => Protocol::Tcp(pb::Tcp {
            source_port,
            destination_port,
            flags: Some(summary::tcp_flags(r.tcp_flags_or_icmp_type)),
        }),
        protocol::UDP => Protocol::Udp(pb::Udp {
            source_port,
            destination_port,
        }),
        protocol::SCTP => Protocol::Sctp(pb::Sctp {
            source_port,
            destination_port,
        }),
        protocol::ICMP => Protocol::IcmPv4(pb::IcmPv4 { r#type: kind, code }),
        protocol::ICMPV6 => Protocol::IcmPv6(pb::IcmPv6 { r#type: kind, code }),
        protocol::VRRP => Protocol::Vrrp(pb::Vrrp::default()),
        protocol::IGMP => Protocol::Igmp(pb::Igmp::default()),
        _ => return None,
    };
    Some(pb::Layer4 {
        protocol: Some(protocol),
    })
}

fn endpoint(party: &Party, names: Option<&EndpointNames>) -> pb::Endpoint {
    let mut message = pb::Endpoint {
        id: party.endpoint.into(),
        identity: party.identity,
        ..pb::Endpoint::default()
    };
    if let Some(names) = names {
        message.namespace = names.namespace.to_string();
        message.pod_name = names.pod_name.to_string();
        message.cluster_name = names.cluster_name.to_string();
        message.labels = names.labels.iter().map(ToString::to_string).collect();
        message.workloads = names
            .workloads
            .iter()
            .map(|(name, kind)| pb::Workload {
                name: name.to_string(),
                kind: kind.to_string(),
            })
            .collect();
    }
    message
}

fn service(service: &ServiceName) -> pb::Service {
    pb::Service {
        name: service.name.to_string(),
        namespace: service.namespace.to_string(),
    }
}

fn policy(origin: &PolicyOrigin) -> pb::Policy {
    pb::Policy {
        name: origin.name.to_string(),
        namespace: origin.namespace.to_string(),
        labels: origin.labels.iter().map(ToString::to_string).collect(),
        revision: origin.revision,
        kind: origin.kind.to_string(),
    }
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

#[cfg(test)]
mod tests;
