//! Records: one of each flow of packets, one of each request with its answer, one of what was lost.

use api::hubble::answers::{Edge, Party, PartyKind};
use api::hubble::flow::{self as pb, layer4::Protocol};
use l7::record::{DnsOutcome, Record};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};

use super::attributes::{Attributes, DESTINATION, EndKeys, OWNERS, SOURCE};
use super::request::{self, Vantage};
use super::spans::TraceParent;
use crate::edges::shown;
use crate::flow::event_type;
use crate::spoken::Spoken;

/// A flow, and who its packets are between by the names of answers.
pub(super) struct Told<'a> {
    pub(super) flow: &'a pb::Flow,
    pub(super) edge: Option<&'a Edge>,
}

impl Told<'_> {
    /// Whether it goes from who was asked to who asked.
    fn is_reply(&self) -> bool {
        self.flow.is_reply.as_ref().is_some_and(|of| of.value)
    }

    /// At whose interface a request was seen.
    pub(super) fn vantage(&self) -> Vantage {
        match self.flow.traffic_direction() {
            pb::TrafficDirection::Egress => Vantage::Client,
            pb::TrafficDirection::Ingress | pb::TrafficDirection::Unknown => Vantage::Server,
        }
    }

    /// Both ends of the flow of a packet, sender first.
    fn packet(&self, to: &mut Attributes) -> String {
        let (sender, receiver) = self.ends();
        let names = [sender.put(&SOURCE, to), receiver.put(&DESTINATION, to)];
        self.network(to);
        names.join(" → ")
    }

    /// Both ends of a request, who asks first, whichever of its flows this is.
    pub(super) fn request(&self, to: &mut Attributes) -> String {
        let (sender, receiver) = self.ends();
        let (client, server) = if self.is_reply() {
            (receiver, sender)
        } else {
            (sender, receiver)
        };
        let names = [client.put(&SOURCE, to), server.put(&DESTINATION, to)];
        self.network(to);
        to.text("axoneme.vantage", self.vantage().name());
        names.join(" → ")
    }

    fn ends(&self) -> (End<'_>, End<'_>) {
        let flow = self.flow;
        let (from, at) = ports(flow);
        let ip = flow.ip.as_ref();
        let edge = self.edge;
        let source = End {
            address: ip.map_or("", |ip| ip.source.as_str()),
            port: from,
            endpoint: flow.source.as_ref(),
            party: edge.and_then(|edge| edge.source.as_ref()),
            dns: &flow.source_names,
            service: flow.source_service.as_ref(),
        };
        let destination = End {
            address: ip.map_or("", |ip| ip.destination.as_str()),
            port: at,
            endpoint: flow.destination.as_ref(),
            party: edge.and_then(|edge| edge.destination.as_ref()),
            dns: &flow.destination_names,
            service: flow.destination_service.as_ref(),
        };
        (source, destination)
    }

    fn network(&self, to: &mut Attributes) {
        to.text("network.transport", transport(self.flow));
        let family = match self.flow.ip.as_ref().map(pb::Ip::ip_version) {
            Some(pb::IpVersion::IPv4) => "ipv4",
            Some(pb::IpVersion::IPv6) => "ipv6",
            _ => "",
        };
        to.text("network.type", family);
        let direction = match self.flow.traffic_direction() {
            pb::TrafficDirection::Egress => "egress",
            pb::TrafficDirection::Ingress => "ingress",
            pb::TrafficDirection::Unknown => "",
        };
        to.text("axoneme.direction", direction);
        to.text("axoneme.verdict", self.flow.verdict().as_str_name());
        to.text("log.record.uid", self.flow.uuid.as_str());
    }
}

/// One end of a flow.
struct End<'a> {
    address: &'a str,
    port: u32,
    endpoint: Option<&'a pb::Endpoint>,
    party: Option<&'a Party>,
    dns: &'a [String],
    service: Option<&'a pb::Service>,
}

impl End<'_> {
    /// Adds what is known of it; the name by which a person would call it.
    fn put(&self, keys: &EndKeys, to: &mut Attributes) -> String {
        to.text(keys.address, self.address);
        if self.port != 0 {
            to.number(keys.port, self.port);
        }
        let name = self.party.map(shown).unwrap_or_default();
        to.text(keys.name, name.as_str());
        if let Some(party) = self.party {
            to.text(keys.kind, kind(party));
        }
        if let Some(endpoint) = self.endpoint {
            to.text(keys.cluster, endpoint.cluster_name.as_str());
            to.text(keys.namespace, endpoint.namespace.as_str());
            to.text(keys.pod, endpoint.pod_name.as_str());
            for workload in &endpoint.workloads {
                let mut known = OWNERS.iter().zip(keys.owners);
                if let Some((_, key)) = known.find(|(kind, _)| **kind == workload.kind) {
                    to.text(key, workload.name.as_str());
                }
            }
            if endpoint.identity != 0 {
                to.number(keys.identity, endpoint.identity);
            }
        }
        to.list(keys.dns, self.dns.to_vec());
        if let Some(service) = self.service {
            to.text(keys.service, service.name.as_str());
            to.text(keys.service_namespace, service.namespace.as_str());
        }
        let name = if name.is_empty() { self.address } else { &name };
        match self.port {
            0 => name.to_owned(),
            port => format!("{name}:{port}"),
        }
    }
}

/// What kind of party it is, in the words of the metrics.
pub(super) fn kind(party: &Party) -> &'static str {
    match party.kind() {
        PartyKind::Workload => "workload",
        PartyKind::Entity => "entity",
        PartyKind::DnsName => "dns",
        PartyKind::Address => "address",
    }
}

fn protocol(flow: &pb::Flow) -> Option<&Protocol> {
    flow.l4.as_ref()?.protocol.as_ref()
}

fn ports(flow: &pb::Flow) -> (u32, u32) {
    match protocol(flow) {
        Some(Protocol::Tcp(of)) => (of.source_port, of.destination_port),
        Some(Protocol::Udp(of)) => (of.source_port, of.destination_port),
        Some(Protocol::Sctp(of)) => (of.source_port, of.destination_port),
        _ => (0, 0),
    }
}

fn transport(flow: &pb::Flow) -> &'static str {
    match protocol(flow) {
        Some(Protocol::Tcp(_)) => "tcp",
        Some(Protocol::Udp(_)) => "udp",
        Some(Protocol::Sctp(_)) => "sctp",
        Some(Protocol::IcmPv4(_)) => "icmp",
        Some(Protocol::IcmPv6(_)) => "icmpv6",
        Some(Protocol::Vrrp(_)) => "vrrp",
        Some(Protocol::Igmp(_)) => "igmp",
        None => "",
    }
}

/// The time of a flow, nanoseconds since the Unix epoch.
fn time_of(flow: &pb::Flow) -> u64 {
    let time = flow.time.unwrap_or_default().unix_nanos();
    u64::try_from(time).unwrap_or_default()
}

/// The record of a flow of packets.
#[allow(deprecated, reason = "the deprecated summary is what people read")]
pub(super) fn packet(told: &Told<'_>) -> LogRecord {
    let flow = told.flow;
    let mut to = Attributes::default();
    let ends = told.packet(&mut to);
    let kind = match flow.event_type.as_ref().map(|of| of.r#type) {
        Some(event_type::DROP) => "drop",
        Some(event_type::TRACE) => "trace",
        Some(event_type::POLICY_VERDICT) => "policy-verdict",
        Some(event_type::ACCESS_LOG) => "access-log",
        _ => "",
    };
    to.text("axoneme.flow.type", kind);
    let mut said = flow.summary.clone();
    if flow.drop_reason != 0 {
        let reason = flow.drop_reason_desc().as_str_name();
        to.text("axoneme.drop.reason", reason);
        said = format!("{said} ({reason})");
    }
    if flow.trace_reason != 0 {
        to.text("axoneme.trace.reason", flow.trace_reason().as_str_name());
    }
    if flow.trace_observation_point != 0 {
        let point = flow.trace_observation_point().as_str_name();
        to.text("axoneme.trace.observation_point", point);
    }
    to.list("axoneme.policies", policies(flow));
    let severity = match flow.verdict() {
        pb::Verdict::Dropped => SeverityNumber::Warn,
        pb::Verdict::Error => SeverityNumber::Error,
        _ => SeverityNumber::Info,
    };
    let body = format!("{ends} {} {said}", flow.verdict().as_str_name());
    record("axoneme.flow", severity, time_of(flow), &body, to)
}

/// The policies that allowed or denied it.
fn policies(flow: &pb::Flow) -> Vec<String> {
    let all = [
        &flow.egress_allowed_by,
        &flow.ingress_allowed_by,
        &flow.egress_denied_by,
        &flow.ingress_denied_by,
    ];
    let name = |policy: &pb::Policy| match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    };
    all.into_iter().flatten().map(name).collect()
}

/// The record of a request, by the last of its flows.
#[allow(deprecated, reason = "the deprecated summary is what people read")]
pub(super) fn request(told: &Told<'_>, spoken: &Spoken) -> LogRecord {
    let flow = told.flow;
    let mut to = Attributes::default();
    let ends = told.request(&mut to);
    let (name, failed) = said(told, spoken, &mut to);
    let severity = if failed {
        SeverityNumber::Warn
    } else {
        SeverityNumber::Info
    };
    let body = format!("{ends} {}", flow.summary);
    let mut record = record(name, severity, time_of(flow), &body, to);
    if let Record::Http(of) = &spoken.record
        && let Some(trace) = of.traceparent.known().and_then(|of| TraceParent::parse(of))
    {
        record.trace_id = trace.trace_id.to_vec();
        record.span_id = trace.span_id.to_vec();
        record.flags = trace.flags.into();
    }
    record
}

/// Adds what was said; what it is called, and whether it failed by the server's fault.
#[allow(deprecated, reason = "Kafka is seen by us")]
fn said(told: &Told<'_>, spoken: &Spoken, to: &mut Attributes) -> (&'static str, bool) {
    match &spoken.record {
        Record::Http(of) => {
            let at = told.vantage();
            request::http(of, at, to);
            request::http_once(of, to);
            to.text("server.address", request::host(of));
            let error = request::http_error(of, Vantage::Server);
            let name = if request::is_rpc(of) {
                "axoneme.rpc"
            } else {
                "axoneme.http"
            };
            (name, error.is_some_and(|error| error != "cancelled"))
        }
        Record::Dns(of) => {
            request::dns(of, to);
            request::dns_once(of, to);
            let is_answered = matches!(of.outcome, DnsOutcome::Code(0 | 3) | DnsOutcome::Unknown);
            ("axoneme.dns", !is_answered)
        }
        Record::Kafka(of) => {
            let (topic, operation, code) =
                match told.flow.l7.as_ref().and_then(|l7| l7.record.as_ref()) {
                    Some(pb::layer7::Record::Kafka(kafka)) => (
                        kafka.topic.as_str(),
                        kafka.api_key.as_str(),
                        kafka.error_code,
                    ),
                    _ => ("", "", 0),
                };
            request::kafka(of, operation, to);
            to.text("messaging.destination.name", topic);
            request::kafka_error(of, code, to);
            ("axoneme.kafka", code != 0)
        }
        Record::Tls(_) => ("axoneme.tls", false),
    }
}

/// The record of what was lost, and where.
pub(super) fn lost(count: u64, place: pb::LostEventSource, time_ns: u64) -> LogRecord {
    let mut to = Attributes::default();
    to.octets("axoneme.lost.count", count);
    to.text("axoneme.lost.source", place.as_str_name());
    let body = format!("{count} events were lost: {}", place.as_str_name());
    record("axoneme.lost", SeverityNumber::Warn, time_ns, &body, to)
}

fn record(
    name: &str,
    severity: SeverityNumber,
    time_ns: u64,
    body: &str,
    attributes: Attributes,
) -> LogRecord {
    let text = match severity {
        SeverityNumber::Error => "ERROR",
        SeverityNumber::Warn => "WARN",
        _ => "INFO",
    };
    LogRecord {
        time_unix_nano: time_ns,
        observed_time_unix_nano: time_ns,
        severity_number: severity.into(),
        severity_text: text.into(),
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(body.trim_end().into())),
        }),
        attributes: attributes.into_proto(),
        event_name: name.into(),
        ..LogRecord::default()
    }
}

#[cfg(test)]
mod tests;
