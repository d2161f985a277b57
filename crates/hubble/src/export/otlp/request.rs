//! What a request says of itself, for records, spans and metrics alike.

use l7::conversation::Direction;
use l7::record::{Dns, DnsOutcome, Ending, Grpc, Http, HttpVersion, Kafka, Seen};

use super::attributes::Attributes;
use crate::answers::words::{dns_code, dns_type, grpc_code, kafka_code};
use crate::spoken::counters::{GRPC_FAULTS, called};

/// Calls of Kafka by their numbers, those that messages go by.
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;

/// At whose interface it was seen: who asks calls more an error than who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vantage {
    Client,
    Server,
}

impl Vantage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

fn text(of: &Seen<String>) -> &str {
    of.known().map_or("", String::as_str)
}

/// The status of a gRPC call, as its protocol writes it.
fn status_of(grpc: &Grpc) -> Option<(u32, String)> {
    let code = *grpc.status.known()?;
    let name = grpc_code(i32::try_from(code).unwrap_or(-1));
    let name = name.strip_prefix("gRPC ").map_or(name.clone(), Into::into);
    Some((code, name))
}

/// Whether it is a call of gRPC.
pub(super) fn is_rpc(of: &Http) -> bool {
    of.grpc.known().is_some()
}

/// Why a request over HTTP failed; none if it did not, or if nobody knows.
pub(super) fn http_error(of: &Http, at: Vantage) -> Option<String> {
    if of.status == Seen::Absent {
        let why = match of.ending {
            Ending::Reset(Direction::ToServer, _) => "cancelled",
            Ending::Reset(Direction::ToClient, _) => "reset",
            Ending::Refused => "refused",
            Ending::Overdue => "timeout",
            Ending::Closed | Ending::Whole | Ending::Unknown => "closed",
        };
        return Some(why.into());
    }
    if let Some((code, name)) = of.grpc.known().and_then(status_of) {
        let is_error = match at {
            Vantage::Client => code != 0,
            Vantage::Server => GRPC_FAULTS.contains(&code),
        };
        return is_error.then_some(name);
    }
    let status = *of.status.known()?;
    let least = match at {
        Vantage::Client => 400,
        Vantage::Server => 500,
    };
    (status >= least).then(|| status.to_string())
}

/// What conventions ask of metrics of HTTP, or of RPC for a call of gRPC; spans and records have it, too.
pub(super) fn http(of: &Http, at: Vantage, to: &mut Attributes) {
    let (method, path) = called(of);
    if let Some(grpc) = of.grpc.known() {
        to.text("rpc.system.name", "grpc");
        to.text("rpc.method", path.trim_start_matches('/'));
        if let Some((_, name)) = status_of(grpc) {
            to.text("rpc.status_code", name);
        }
    } else {
        to.text("http.request.method", method);
        to.text("url.scheme", "http");
        to.text("url.template", path);
        if let Some(status) = of.status.known() {
            to.number("http.response.status_code", *status);
        }
        let version = match of.version {
            HttpVersion::Http10 => "1.0",
            HttpVersion::Http11 => "1.1",
            HttpVersion::Http2 => "2",
        };
        to.text("network.protocol.version", version);
    }
    if let Some(error) = http_error(of, at) {
        to.text("error.type", error);
    }
}

/// What only a single request has.
pub(super) fn http_once(of: &Http, to: &mut Attributes) {
    to.text("network.protocol.name", "http");
    if is_rpc(of) {
        to.text("network.protocol.version", "2");
    } else {
        to.text("url.path", text(&of.path));
    }
    for (key, octets) in [
        ("http.request.body.size", &of.request_octets),
        ("http.response.body.size", &of.response_octets),
    ] {
        if let Some(octets) = octets.known() {
            to.octets(key, *octets);
        }
    }
    if let Some(took) = took(of.start_ns, of.answer_ns) {
        to.duration("axoneme.duration", took);
    }
}

/// Host of a request, without its port.
pub(super) fn host(of: &Http) -> &str {
    let host = text(&of.host);
    match host.rsplit_once(':') {
        Some((name, port))
            if !name.ends_with(':') && port.bytes().all(|of| of.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

/// Name of a span of it: of few values, as conventions want it.
pub(super) fn http_name(of: &Http) -> String {
    let (method, path) = called(of);
    if is_rpc(of) {
        return path.trim_start_matches('/').to_owned();
    }
    let method = if method.is_empty() { "HTTP" } else { &method };
    format!("{method} {path}").trim_end().to_owned()
}

/// How long a request took until its answer began; of one that never got an answer, until that was certain.
pub(super) fn http_duration(of: &Http, made_ns: u64) -> Option<u64> {
    let end_ns = match of.status {
        Seen::Absent => Some(of.end_ns.unwrap_or(made_ns)),
        Seen::Known(_) | Seen::Unknown => of.answer_ns,
    };
    took(of.start_ns, end_ns)
}

fn took(start_ns: Option<u64>, end_ns: Option<u64>) -> Option<u64> {
    end_ns?.checked_sub(start_ns?)
}

/// What conventions ask of metrics of DNS.
pub(super) fn dns(of: &Dns, to: &mut Attributes) {
    to.text("dns.question.name", of.qname.as_str());
    let error = match of.outcome {
        DnsOutcome::Code(0) | DnsOutcome::Unknown => return,
        DnsOutcome::Code(code) => dns_code(code.into()),
        DnsOutcome::Timeout => "timeout".into(),
        DnsOutcome::Closed => "closed".into(),
    };
    to.text("error.type", error);
}

/// What only a single question has.
pub(super) fn dns_once(of: &Dns, to: &mut Attributes) {
    to.text("network.protocol.name", "dns");
    to.text("axoneme.dns.question.type", dns_type(of.qtype.into()));
    if let DnsOutcome::Code(code) = of.outcome {
        to.text("axoneme.dns.response.code", dns_code(code.into()));
    }
    let addresses = of.answers.iter().filter_map(|answer| match answer.data {
        l7::record::DnsData::Address(address) => Some(address.to_string()),
        _ => None,
    });
    to.list("dns.answers", addresses.collect());
    if let Some(took) = of.latency_ns {
        to.duration("axoneme.duration", took);
    }
}

/// How long a question took; of one without an answer, until nobody waited for it any more.
pub(super) fn dns_duration(of: &Dns, made_ns: u64) -> Option<u64> {
    match of.outcome {
        DnsOutcome::Timeout | DnsOutcome::Closed if of.attempts > 0 => {
            made_ns.checked_sub(of.start_ns)
        }
        _ => of.latency_ns,
    }
}

/// What a request to Kafka says, but for its topic.
pub(super) fn kafka(of: &Kafka, operation: &str, to: &mut Attributes) {
    to.text("messaging.system", "kafka");
    to.text("messaging.operation.name", operation);
    match of.api {
        PRODUCE => to.text("messaging.operation.type", "send"),
        FETCH => to.text("messaging.operation.type", "receive"),
        _ => {}
    }
    to.text("messaging.consumer.group.name", text(&of.group));
    if let Some(took) = took(Some(of.start_ns), of.end_ns) {
        to.duration("axoneme.duration", took);
    }
}

/// The error of an answer of Kafka.
pub(super) fn kafka_error(of: &Kafka, code: i32, to: &mut Attributes) {
    match of.ending {
        Ending::Closed => to.text("error.type", "closed"),
        Ending::Overdue => to.text("error.type", "timeout"),
        _ if code != 0 => to.text("error.type", kafka_code(code)),
        _ => {}
    }
}
