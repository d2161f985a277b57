//! The words of a flow: ends, type, verdict, summary; and the details of agent events.

use std::fmt::Write as _;

use api::hubble::flow::{
    AgentEvent, AuthType, DebugCapturePoint, Endpoint, Flow, L7FlowType, Policy, Service,
    SocketTranslationPoint, TrafficDirection, Verdict, agent_event::Notification, layer4::Protocol,
    layer7::Record,
};
use datapath::abi::Drop;
use hubble::flow::event_type;
use hubble::records::POINTS;
use model::identity::{Identity, Reserved};

use super::{Names, Show, Style};
use crate::output::visible;

/// Colours of a terminal, or none.
#[derive(Clone, Copy)]
pub(super) struct Paint(pub(super) Show);

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const MAGENTA: u8 = 35;
const CYAN: u8 = 36;

impl Paint {
    fn color(self, color: u8, text: &str) -> String {
        match self.0 {
            Show::Yes => format!("\x1b[{color}m{text}\x1b[0m"),
            Show::No => text.to_owned(),
        }
    }
}

/// One end: its name or address, and its port.
pub(super) struct Host {
    name: String,
    port: Option<u32>,
}

impl Host {
    pub(super) fn plain(&self) -> String {
        self.painted(Paint(Show::No))
    }

    pub(super) fn painted(&self, paint: Paint) -> String {
        match self.port {
            None => paint.color(CYAN, &self.name),
            Some(port) => {
                let port = paint.color(YELLOW, &port.to_string());
                paint.color(CYAN, &format!("{}:{port}", self.name))
            }
        }
    }
}

/// Source and destination.
pub(super) fn hosts(flow: &Flow, style: &Style) -> (Host, Host) {
    let (from, to) = match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(l4)) => (l4.source_port, l4.destination_port),
        Some(Protocol::Udp(l4)) => (l4.source_port, l4.destination_port),
        Some(Protocol::Sctp(l4)) => (l4.source_port, l4.destination_port),
        _ => (0, 0),
    };
    let Some(ip) = &flow.ip else {
        // Frames without IP are told by their hardware addresses.
        let ethernet = flow.ethernet.clone().unwrap_or_default();
        let host = |name: &str| Host {
            name: visible(name).into_owned(),
            port: None,
        };
        return (host(&ethernet.source), host(&ethernet.destination));
    };
    (
        host(
            &ip.source,
            from,
            flow.source.as_ref(),
            flow.source_service.as_ref(),
            &flow.source_names,
            style,
        ),
        host(
            &ip.destination,
            to,
            flow.destination.as_ref(),
            flow.destination_service.as_ref(),
            &flow.destination_names,
            style,
        ),
    )
}

fn host(
    address: &str,
    port: u32,
    endpoint: Option<&Endpoint>,
    service: Option<&Service>,
    names: &[String],
    style: &Style,
) -> Host {
    let pod = endpoint.filter(|end| !end.pod_name.is_empty());
    let service = service.filter(|service| !service.name.is_empty());
    let name = match (style.names, pod, service, names) {
        (Names::Translated, Some(pod), ..) => format!("{}/{}", pod.namespace, pod.pod_name),
        (Names::Translated, None, Some(s), _) => format!("{}/{}", s.namespace, s.name),
        (Names::Translated, None, None, [_, ..]) => names.join(","),
        // With a port, the colons of an address need brackets.
        _ if port != 0 && address.contains(':') => format!("[{address}]"),
        _ => address.to_owned(),
    };
    Host {
        name: visible(&name).into_owned(),
        port: (port != 0).then_some(port),
    }
}

/// An end with its identity in parentheses.
pub(super) fn end(host: &Host, endpoint: Option<&Endpoint>, style: &Style) -> (String, String) {
    let paint = Paint(style.color);
    let number = endpoint.map_or(0, |end| end.identity);
    let identity = match Reserved::from_id(Identity(number)) {
        Some(reserved) => format!("({})", reserved.name()),
        None if number == 0 => "(unknown)".into(),
        None => format!("(ID:{number})"),
    };
    (host.painted(paint), paint.color(MAGENTA, &identity))
}

/// What kind of event a flow is.
pub(super) fn kind(flow: &Flow) -> String {
    if let Some(l7) = &flow.l7 {
        return application(l7.r#type(), l7.record.as_ref());
    }
    let (kind, sub_type) = flow
        .event_type
        .as_ref()
        .map_or((0, 0), |event| (event.r#type, event.sub_type));
    match kind {
        event_type::DROP => drop_text(sub_type),
        event_type::TRACE => point(sub_type).map_or_else(|| sub_type.to_string(), str::to_owned),
        event_type::POLICY_VERDICT => {
            let direction = match flow.traffic_direction() {
                TrafficDirection::Unknown => "TRAFFIC_DIRECTION_UNKNOWN",
                other => other.as_str_name(),
            };
            format!(
                "policy-verdict:{} {direction}",
                match_type(flow.policy_match_type)
            )
        }
        CAPTURE => DebugCapturePoint::try_from(sub_type).map_or_else(
            |_| sub_type.to_string(),
            |point| point.as_str_name().to_owned(),
        ),
        SOCKET => match flow.sock_xlate_point() {
            SocketTranslationPoint::SockXlatePointPreDirectionFwd => "pre-xlate-fwd",
            SocketTranslationPoint::SockXlatePointPostDirectionFwd => "post-xlate-fwd",
            SocketTranslationPoint::SockXlatePointPreDirectionRev => "pre-xlate-rev",
            SocketTranslationPoint::SockXlatePointPostDirectionRev => "post-xlate-rev",
            SocketTranslationPoint::SockXlatePointUnknown => "UNKNOWN",
        }
        .into(),
        _ => "UNKNOWN".into(),
    }
}

/// Number of monitor events for captured packets.
const CAPTURE: i32 = 3;
/// Number of monitor events for translated sockets.
const SOCKET: i32 = 7;

#[allow(deprecated, reason = "readers still show the deprecated record")]
fn application(kind: L7FlowType, record: Option<&Record>) -> String {
    let kind = match kind {
        L7FlowType::Request => "request",
        L7FlowType::Response => "response",
        L7FlowType::Sample => "sample",
        L7FlowType::UnknownL7Type => "unknown_l7_type",
    };
    match record {
        Some(Record::Http(_)) => format!("http-{kind}"),
        Some(Record::Dns(dns)) => format!("dns-{kind} {}", visible(&dns.observation_source)),
        Some(Record::Kafka(_)) => format!("kafka-{kind}"),
        None => format!("l7-{kind}"),
    }
}

fn drop_text(reason: i32) -> String {
    u8::try_from(reason)
        .ok()
        .and_then(Drop::from_number)
        .map_or_else(|| reason.to_string(), |reason| reason.text().to_owned())
}

fn point(number: i32) -> Option<&'static str> {
    POINTS.get(usize::try_from(number).ok()?).copied()
}

fn match_type(number: u32) -> String {
    match number {
        0 => "none",
        1 => "L3-Only",
        2 => "L3-L4",
        3 => "L4-Only",
        4 => "all",
        5 => "L3-Proto",
        6 => "Proto-Only",
        other => return other.to_string(),
    }
    .into()
}

/// A word, and its colour.
pub(super) struct Colored {
    text: String,
    color: u8,
}

impl Colored {
    pub(super) fn plain(&self) -> String {
        self.text.clone()
    }

    pub(super) fn painted(&self, paint: Paint) -> String {
        paint.color(self.color, &self.text)
    }
}

/// The verdict; that of a policy in its own words, with the policies if they are asked for.
pub(super) fn verdict(flow: &Flow, style: &Style) -> Colored {
    let verdict = flow.verdict();
    let color = match verdict {
        Verdict::Forwarded | Verdict::Redirected => GREEN,
        Verdict::Dropped | Verdict::Error => RED,
        _ => YELLOW,
    };
    let judged = flow
        .event_type
        .as_ref()
        .is_some_and(|event| event.r#type == event_type::POLICY_VERDICT);
    let text = match verdict {
        Verdict::Forwarded | Verdict::Redirected if judged => {
            format!(
                "ALLOWED{}",
                by(style, [&flow.egress_allowed_by, &flow.ingress_allowed_by])
            )
        }
        Verdict::Dropped if judged => {
            format!(
                "DENIED{}",
                by(style, [&flow.egress_denied_by, &flow.ingress_denied_by])
            )
        }
        Verdict::Audit if judged => {
            format!(
                "AUDITED{}",
                by(style, [&flow.egress_allowed_by, &flow.ingress_allowed_by])
            )
        }
        other => other.as_str_name().to_owned(),
    };
    Colored { text, color }
}

fn by(style: &Style, policies: [&Vec<Policy>; 2]) -> String {
    if style.policy_names == Show::No {
        return String::new();
    }
    let names: Vec<String> = policies
        .into_iter()
        .flatten()
        .filter(|policy| !policy.name.is_empty() && !policy.kind.is_empty())
        .map(|policy| format!("{} ({})", visible(&policy.name), visible(&policy.kind)))
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" BY {}", names.join(", "))
    }
}

/// The text at the end of a line.
#[allow(deprecated, reason = "servers put the text in the deprecated summary")]
pub(super) fn summary(flow: &Flow) -> String {
    let mut text = String::new();
    if let Some(trace) = &flow.ip_trace_id
        && trace.trace_id != 0
    {
        let _ = write!(text, "IP Trace ID: {}; ", trace.trace_id);
    }
    text.push_str(&visible(&flow.summary));
    if flow.auth_type() != AuthType::Disabled {
        let _ = write!(text, "; Auth: {}", flow.auth_type().as_str_name());
    }
    text
}

/// What an agent event says, in one line.
#[allow(
    deprecated,
    reason = "servers still send the deprecated service events"
)]
pub(super) fn agent_event(event: &AgentEvent, style: &Style) -> String {
    match &event.notification {
        None => "UNKNOWN".into(),
        Some(Notification::Unknown(u)) => {
            format!("type: {}, notification: {}", u.r#type, u.notification)
        }
        Some(Notification::AgentStart(start)) => {
            format!("start time: {}", style.time.print(start.time, &style.zone))
        }
        Some(Notification::PolicyUpdate(p)) => format!(
            "labels: [{}], revision: {}, count: {}",
            p.labels.join(","),
            p.revision,
            p.rule_count
        ),
        Some(Notification::EndpointRegenerate(r)) => {
            let mut parts = vec![format!("id: {}, labels: [{}]", r.id, r.labels.join(","))];
            named(&mut parts, "error", &r.error);
            parts.join(", ")
        }
        Some(Notification::EndpointUpdate(u)) => {
            let mut parts = vec![format!("id: {}", u.id)];
            named(&mut parts, "namespace", &u.namespace);
            named(&mut parts, "pod name", &u.pod_name);
            parts.join(", ")
        }
        Some(Notification::IpcacheUpdate(c)) => {
            let mut parts = vec![format!("cidr: {}, identity: {}", c.cidr, c.identity)];
            if let Some(old) = &c.old_identity {
                parts.push(format!("old identity: {}", old.value));
            }
            named(&mut parts, "host ip", &c.host_ip);
            named(&mut parts, "old host ip", &c.old_host_ip);
            parts.push(format!("encrypt key: {}", c.encrypt_key));
            parts.join(", ")
        }
        Some(Notification::ServiceUpsert(s)) => {
            let mut parts = vec![format!("id: {}", s.id)];
            named(&mut parts, "type", &s.r#type);
            named(&mut parts, "namespace", &s.namespace);
            named(&mut parts, "name", &s.name);
            parts.join(", ")
        }
        Some(Notification::ServiceDelete(s)) => format!("id: {}", s.id),
    }
}

fn named(parts: &mut Vec<String>, name: &str, value: &str) {
    if !value.is_empty() {
        parts.push(format!("{name}: {value}"));
    }
}
