//! Flows of what was said: a request or an answer of HTTP or DNS, a request of Kafka and a topic.

use std::sync::Arc;
use std::time::Duration;

use api::hubble::flow as pb;
use l7::record::{Dns, DnsData, DnsOutcome, Http, HttpVersion, Kafka, KafkaTopic, Record, Seen};

use super::{Observed, View, direction, event_type, set_reply};
use crate::answers::words::dns_type;
use crate::enrich::Enriched;
use crate::metrics::rcode;
use crate::records::Side;
use crate::spoken::Spoken;
use crate::spoken::counters::named;

/// Topics of one request to Kafka that have a flow.
const TOPICS: usize = 8;
/// Who saw it, in flows of DNS: nobody in between.
const SOURCE: &str = "passive";
/// Names of Kafka's calls by their numbers, as clients of flows know them.
const CALLS: [&str; 20] = [
    "produce",
    "fetch",
    "offsets",
    "metadata",
    "leaderandisr",
    "stopreplica",
    "updatemetadata",
    "controlledshutdown",
    "offsetcommit",
    "offsetfetch",
    "findcoordinator",
    "joingroup",
    "heartbeat",
    "leavegroup",
    "syncgroup",
    "describegroups",
    "listgroups",
    "saslhandshake",
    "apiversions",
    "createtopics",
];

/// Which part of a record a flow shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Request,
    Response,
    /// The request, and of its topics the one with this number.
    Topic(usize),
}

/// What a flow shows of a record.
#[derive(Clone, Debug)]
pub(super) struct Said {
    spoken: Arc<Spoken>,
    part: Part,
}

/// The parts of a record that have flows: what was seen of a request and of its answer, and when, nanoseconds since the Unix
/// epoch.
fn parts(spoken: &Spoken) -> Vec<(Part, u64)> {
    let parts: Vec<(Part, Option<u64>)> = match &spoken.record {
        Record::Http(of) => {
            let request = of.method.known().map(|_| (Part::Request, of.start_ns));
            let answer = of.status.known().map(|_| (Part::Response, of.answer_ns));
            request.into_iter().chain(answer).collect()
        }
        Record::Dns(of) => {
            let request = (of.attempts > 0).then_some((Part::Request, Some(of.start_ns)));
            let end = of.start_ns + of.latency_ns.unwrap_or_default();
            let is_answer = matches!(of.outcome, DnsOutcome::Code(_));
            let answer = is_answer.then_some((Part::Response, Some(end)));
            request.into_iter().chain(answer).collect()
        }
        Record::Kafka(of) => {
            let topics = of.topics.len().clamp(1, TOPICS);
            let start = Some(of.start_ns);
            (0..topics).map(|at| (Part::Topic(at), start)).collect()
        }
        // There is no flow for a handshake.
        Record::Tls(_) => Vec::new(),
    };
    let at_wall = |(part, at_ns): (Part, Option<u64>)| {
        let at_ns = spoken.clock.wall_ns(at_ns.unwrap_or(spoken.made_ns));
        (part, at_ns)
    };
    parts.into_iter().map(at_wall).collect()
}

/// When its flows were, nanoseconds since the Unix epoch: the first and the last of them; none if it has none.
pub(crate) fn span(spoken: &Spoken) -> Option<(u64, u64)> {
    let parts = parts(spoken);
    let times = parts.iter().map(|(_, at_ns)| *at_ns);
    times.clone().min().zip(times.max())
}

/// The flows of a record.
pub(crate) fn flows(enriched: &Enriched, spoken: &Arc<Spoken>) -> Vec<Observed> {
    let flow = |(part, at_ns): (Part, u64)| {
        let mut enriched = match part {
            Part::Response => reversed(enriched),
            Part::Request | Part::Topic(_) => enriched.clone(),
        };
        enriched.record.time_ns = at_ns;
        let spoken = Arc::clone(spoken);
        let said = Some(Arc::new(Said { spoken, part }));
        Observed {
            said,
            ..Observed::new(Arc::new(enriched), View::Said)
        }
    };
    parts(spoken).into_iter().map(flow).collect()
}

/// The same, from who was asked to who asked.
fn reversed(of: &Enriched) -> Enriched {
    let mut reversed = of.clone();
    let record = &mut reversed.record;
    std::mem::swap(&mut record.source, &mut record.destination);
    std::mem::swap(&mut reversed.source, &mut reversed.destination);
    std::mem::swap(
        &mut reversed.source_service,
        &mut reversed.destination_service,
    );
    std::mem::swap(&mut reversed.source_fqdns, &mut reversed.destination_fqdns);
    reversed
}

impl Said {
    pub(super) const fn spoken(&self) -> &Arc<Spoken> {
        &self.spoken
    }

    pub(super) fn is_last(&self) -> bool {
        match self.part {
            Part::Request => parts(&self.spoken).len() == 1,
            Part::Response | Part::Topic(_) => true,
        }
    }

    /// Adds it to a flow of the packets.
    #[allow(deprecated, reason = "clients print the deprecated summary")]
    pub(super) fn tell(&self, flow: &mut pb::Flow, enriched: &Enriched) {
        let is_reply = self.part == Part::Response;
        flow.r#type = pb::FlowType::L7.into();
        flow.verdict = pb::Verdict::Forwarded.into();
        flow.event_type = Some(pb::CiliumEventType {
            r#type: event_type::ACCESS_LOG,
            sub_type: 0,
        });
        set_reply(flow, is_reply);
        let record = &enriched.record;
        let client = if is_reply {
            record.destination
        } else {
            record.source
        };
        let side = if client.endpoint == 0 {
            Side::Ingress
        } else {
            Side::Egress
        };
        flow.traffic_direction = direction(side).into();
        // No packet stands for it.
        if let Some(pb::layer4::Protocol::Tcp(tcp)) =
            flow.l4.as_mut().and_then(|of| of.protocol.as_mut())
        {
            tcp.flags = None;
        }
        let (l7, summary) = match &self.spoken.record {
            Record::Http(of) => self.http(of),
            Record::Dns(of) => self.dns(of),
            Record::Kafka(of) => self.kafka(of),
            Record::Tls(_) => return,
        };
        if let Record::Http(of) = &self.spoken.record {
            flow.trace_context = trace_context(of);
        }
        flow.l7 = Some(l7);
        flow.summary = summary;
    }

    fn layer7(&self, latency_ns: u64, record: pb::layer7::Record) -> pb::Layer7 {
        let (kind, latency_ns) = match self.part {
            Part::Request => (pb::L7FlowType::Request, 0),
            Part::Response => (pb::L7FlowType::Response, latency_ns),
            Part::Topic(_) => (pb::L7FlowType::Request, latency_ns),
        };
        pb::Layer7 {
            r#type: kind.into(),
            latency_ns,
            record: Some(record),
        }
    }

    fn http(&self, of: &Http) -> (pb::Layer7, String) {
        let text = |of: &Seen<String>| of.known().cloned().unwrap_or_default();
        let protocol = match of.version {
            HttpVersion::Http10 => "HTTP/1.0",
            HttpVersion::Http11 => "HTTP/1.1",
            HttpVersion::Http2 => "HTTP/2",
        };
        let (method, path) = (text(&of.method), text(&of.path));
        let url = match of.host.known() {
            Some(host) => format!("http://{host}{path}"),
            None => path,
        };
        let latency_ns = difference(of.start_ns, of.answer_ns);
        let status = of.status.known().copied().unwrap_or_default();
        let is_answer = self.part == Part::Response;
        let summary = if is_answer {
            let millis = Duration::from_nanos(latency_ns).as_millis();
            format!("{protocol} {status} {millis}ms ({method} {url})")
        } else {
            format!("{protocol} {method} {url}")
        };
        let message = pb::Http {
            code: if is_answer { status.into() } else { 0 },
            method,
            url,
            protocol: protocol.to_owned(),
            headers: Vec::new(),
        };
        let record = pb::layer7::Record::Http(message);
        (self.layer7(latency_ns, record), summary)
    }

    fn dns(&self, of: &Dns) -> (pb::Layer7, String) {
        let query = if of.qname == "." {
            of.qname.clone()
        } else {
            format!("{}.", of.qname)
        };
        let qtype = dns_type(of.qtype.into());
        let mut message = pb::Dns {
            query: query.clone(),
            observation_source: SOURCE.to_owned(),
            qtypes: vec![qtype.clone()],
            ..pb::Dns::default()
        };
        let question = format!("{query} {qtype}");
        let summary = match of.outcome {
            DnsOutcome::Code(code) if self.part == Part::Response => {
                answered(&mut message, of, code);
                let what = if code == 0 {
                    format!("\"{}\"", message.ips.join(","))
                } else {
                    format!("RCode: {}", rcode(code.into()))
                };
                let aliases = match message.cnames.as_slice() {
                    [] => String::new(),
                    names => format!(" CNAMEs: \"{}\"", names.join(",")),
                };
                let ttl = message.ttl;
                format!("DNS Answer {what}{aliases} TTL: {ttl} (Passive {question})")
            }
            _ => format!("DNS Query {question}"),
        };
        let latency_ns = of.latency_ns.unwrap_or_default();
        let record = pb::layer7::Record::Dns(message);
        (self.layer7(latency_ns, record), summary)
    }

    #[allow(deprecated, reason = "Kafka is seen by us")]
    fn kafka(&self, of: &Kafka) -> (pb::Layer7, String) {
        let none = KafkaTopic::default();
        let topic = match self.part {
            Part::Topic(at) => of.topics.get(at).unwrap_or(&none),
            Part::Request | Part::Response => &none,
        };
        let (name, id) = named(topic);
        let name = if name.is_empty() { id } else { name };
        let error = topic.error.known().or_else(|| of.error.known());
        let call = usize::try_from(of.api).ok().and_then(|at| CALLS.get(at));
        let call = call.map_or_else(|| of.api.to_string(), ToString::to_string);
        let summary = format!("Kafka request {call} topic '{name}'");
        let message = pb::Kafka {
            error_code: error.copied().unwrap_or_default().into(),
            api_version: of.version.into(),
            api_key: call,
            // It says nothing to who reads a flow, and is not kept.
            correlation_id: 0,
            topic: name,
        };
        let latency_ns = difference(Some(of.start_ns), of.end_ns);
        let record = pb::layer7::Record::Kafka(message);
        (self.layer7(latency_ns, record), summary)
    }
}

fn difference(start_ns: Option<u64>, end_ns: Option<u64>) -> u64 {
    let both = end_ns.zip(start_ns);
    both.map_or(0, |(end, start)| end.saturating_sub(start))
}

/// What only an answer has.
fn answered(message: &mut pb::Dns, of: &Dns, code: u16) {
    message.rcode = code.into();
    let ttl = of.answers.iter().map(|answer| answer.ttl_s).min();
    message.ttl = ttl.unwrap_or_default();
    for answer in &of.answers {
        let kind = match &answer.data {
            DnsData::Address(address) => {
                message.ips.push(address.to_string());
                if address.is_ipv4() { 1 } else { 28 }
            }
            DnsData::Alias(name) => {
                message.cnames.push(format!("{name}."));
                5
            }
            DnsData::Service(..) => 33,
            DnsData::Other(kind) => u32::from(*kind),
        };
        message.rrtypes.push(dns_type(kind));
    }
}

/// The trace that a request belongs to: `traceparent` is version, trace, span and flags.
fn trace_context(of: &Http) -> Option<pb::TraceContext> {
    let trace_id = of.traceparent.known()?.split('-').nth(1)?.to_owned();
    Some(pb::TraceContext {
        parent: Some(pb::TraceParent { trace_id }),
    })
}

#[cfg(test)]
mod tests;
