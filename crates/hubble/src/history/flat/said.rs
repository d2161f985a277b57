//! What was said, in columns: a request with its answer, a question, a call. Of a record its flows come again as they were, and
//! what else it tells is there for other readers.

use std::time::UNIX_EPOCH;

use l7::conversation::Direction;
use l7::record::{
    Dns, DnsAnswer, DnsData, DnsOutcome, Ending, Http, HttpVersion, Kafka, KafkaTopic,
    Record as Said, Seen,
};

use super::raise::{Read, list};
use super::{Flat, Flattener, NONE, Number, Text, template};
use crate::flow::said;
use crate::records::Record;
use crate::records::decode::Clock;
use crate::spoken::counters::named;
use crate::spoken::{Ends, Spoken};

/// What such rows are.
pub(super) const HTTP: &str = "http";
pub(super) const DNS: &str = "dns";
pub(super) const KAFKA: &str = "kafka";

/// Versions of HTTP as numbers.
const VERSIONS: [(HttpVersion, i64); 3] = [
    (HttpVersion::Http10, 10),
    (HttpVersion::Http11, 11),
    (HttpVersion::Http2, 20),
];
/// Before the other name of an alias.
const ALIAS: &str = "CNAME ";
/// Before the number of a type of record.
const TYPE: &str = "TYPE";
/// Of a record of a service.
const SERVICE: u16 = 33;
/// The latest time that a row tells, nanoseconds.
const LATEST: u64 = i64::MAX as u64;

/// Whether the columns hold all that its flows tell.
pub(crate) fn holds(spoken: &Spoken) -> bool {
    // Empty texts and numbers below zero stand for nothing.
    let is_text = |of: &Seen<String>| of.known().is_none_or(|text| !text.is_empty());
    let is_in_time = said::span(spoken).is_some_and(|(_, last_ns)| last_ns <= LATEST);
    is_in_time
        && match &spoken.record {
            Said::Http(of) => {
                let has_times = (of.method.known().is_none() || of.start_ns.is_some())
                    && (of.status.known().is_none() || of.answer_ns.is_some());
                let both = of.start_ns.zip(of.answer_ns);
                let is_in_order = both.is_none_or(|(start, answer)| {
                    start <= answer && spoken.clock.wall_ns(answer) <= LATEST
                });
                let trace = of.traceparent.known().and_then(|of| trace(of));
                let has_trace = trace.is_none_or(|trace| !trace.is_empty());
                // An empty path would be read as its template.
                let has_path =
                    is_text(&of.path) || of.template.known().is_none_or(String::is_empty);
                has_times
                    && is_in_order
                    && has_trace
                    && has_path
                    && is_text(&of.method)
                    && is_text(&of.host)
            }
            Said::Dns(of) => {
                let latency_ns = of.latency_ns.unwrap_or_default();
                let end_ns = spoken.clock.wall_ns(of.start_ns).checked_add(latency_ns);
                end_ns.is_some_and(|end_ns| end_ns <= LATEST)
            }
            Said::Kafka(of) => {
                let end_ns = of.end_ns.unwrap_or_default();
                spoken.clock.wall_ns(end_ns) <= LATEST
            }
            Said::Tls(_) => false,
        }
}

fn trace(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// A number, if it is known and one that a column can have.
fn octets(of: &Seen<u64>) -> i64 {
    let known = of.known().and_then(|of| i64::try_from(*of).ok());
    known.unwrap_or(NONE)
}

const fn whose(
    direction: Direction,
    by_client: &'static str,
    by_server: &'static str,
) -> &'static str {
    match direction {
        Direction::ToServer => by_client,
        Direction::ToClient => by_server,
    }
}

const fn ending(of: Ending) -> &'static str {
    match of {
        Ending::Whole => "whole",
        Ending::Closed => "closed",
        Ending::Reset(from, _) => whose(from, "reset by client", "reset by server"),
        Ending::Refused => "refused",
        Ending::Overdue => "overdue",
        Ending::Unknown => "unknown",
    }
}

impl Flattener {
    /// Adds what was said.
    pub(super) fn said(&mut self, flat: &mut Flat, spoken: &Spoken) {
        match &spoken.record {
            Said::Http(of) => self.http(flat, of, spoken.clock),
            Said::Dns(of) => self.dns(flat, of, spoken.clock),
            Said::Kafka(of) => self.kafka(flat, of, spoken.clock),
            // It has no flow, and is not kept.
            Said::Tls(_) => {}
        }
    }

    /// Its time is that of the answer or, where there is none, of the request.
    fn http(&mut self, flat: &mut Flat, of: &Http, clock: Clock) {
        self.tell(flat, Text::What, HTTP);
        let at_ns = of.answer_ns.or(of.start_ns).unwrap_or_default();
        flat.set(Number::Time, clock.wall_ns(at_ns) as i64);
        if let (Some(start_ns), Some(answer_ns)) = (of.start_ns, of.answer_ns) {
            flat.set(Number::Latency, (answer_ns - start_ns) as i64);
        }
        let version = VERSIONS.iter().find(|(version, _)| *version == of.version);
        flat.set(Number::Version, version.map_or(0, |(_, number)| *number));
        if let Some(status) = of.status.known() {
            flat.set(Number::Answer, *status);
        }
        if let Some(status) = of.grpc.known().and_then(|of| of.status.known()) {
            flat.set(Number::Grpc, *status);
        }
        flat.set(Number::RequestOctets, octets(&of.request_octets));
        flat.set(Number::ResponseOctets, octets(&of.response_octets));
        for (column, text) in [(Text::Method, &of.method), (Text::Name, &of.host)] {
            if let Some(text) = text.known() {
                self.tell(flat, column, text);
            }
        }
        if let Some(path) = of.path.known() {
            let template = of.template.known().map_or("", String::as_str);
            self.tell(flat, Text::Template, template);
            match template::parts(template, path) {
                Some(parts) => self.tell(flat, Text::PathParts, &parts),
                None => self.tell(flat, Text::Path, path),
            }
        }
        if let Some(trace) = of.traceparent.known().and_then(|of| trace(of)) {
            self.tell(flat, Text::Trace, trace);
        }
        self.tell(flat, Text::Ending, ending(of.ending));
    }

    /// Its time is that of the answer or, where there is none, of the first question.
    fn dns(&mut self, flat: &mut Flat, of: &Dns, clock: Clock) {
        self.tell(flat, Text::What, DNS);
        let latency_ns = of.latency_ns.unwrap_or_default();
        let end_ns = clock.wall_ns(of.start_ns) + latency_ns;
        flat.set(Number::Time, end_ns as i64);
        flat.set(Number::Latency, of.latency_ns.map_or(NONE, |of| of as i64));
        self.tell(flat, Text::Name, &of.qname);
        flat.set(Number::Call, of.qtype);
        flat.set(Number::Attempts, of.attempts);
        let ending = match of.outcome {
            DnsOutcome::Code(code) => {
                flat.set(Number::Answer, code);
                "answered"
            }
            DnsOutcome::Timeout => "timeout",
            DnsOutcome::Closed => "closed",
            DnsOutcome::Unknown => "unknown",
        };
        self.tell(flat, Text::Ending, ending);
        if !of.answers.is_empty() {
            let ttl = of.answers.iter().map(|answer| answer.ttl_s).min();
            flat.set(Number::Ttl, ttl.unwrap_or_default());
            let answers: Vec<String> = of.answers.iter().map(answer).collect();
            flat.tell(Text::List, self.json(&answers));
        }
    }

    /// Its time is that of the request.
    fn kafka(&mut self, flat: &mut Flat, of: &Kafka, clock: Clock) {
        self.tell(flat, Text::What, KAFKA);
        flat.set(Number::Time, clock.wall_ns(of.start_ns) as i64);
        if let Some(end_ns) = of.end_ns {
            flat.set(Number::Latency, end_ns.saturating_sub(of.start_ns) as i64);
        }
        flat.set(Number::Call, of.api);
        flat.set(Number::Version, of.version);
        let of_call = of.error.known().copied().unwrap_or_default();
        flat.set(Number::Answer, of_call);
        flat.set(
            Number::RequestOctets,
            i64::try_from(of.request_octets).unwrap_or(NONE),
        );
        flat.set(Number::ResponseOctets, octets(&of.response_octets));
        for (column, text) in [(Text::Client, &of.client), (Text::Group, &of.group)] {
            if let Some(text) = text.known() {
                self.tell(flat, column, text);
            }
        }
        if !of.topics.is_empty() {
            let names: Vec<String> = of.topics.iter().map(topic).collect();
            flat.tell(Text::List, self.json(&names));
            let errors = of.topics.iter().map(|of| of.error.known());
            let errors: Vec<i16> = errors.map(|of| of.copied().unwrap_or(of_call)).collect();
            if errors.iter().any(|of| *of != of_call) {
                flat.tell(Text::Errors, self.json(&errors));
            }
        }
        self.tell(flat, Text::Ending, ending(of.ending));
    }

    fn tell(&mut self, flat: &mut Flat, column: Text, text: &str) {
        let text = self.word(text);
        flat.tell(column, text);
    }
}

/// Its name or, where that is not known, its number.
fn topic(of: &KafkaTopic) -> String {
    let (name, id) = named(of);
    if name.is_empty() { id } else { name }
}

fn answer(of: &DnsAnswer) -> String {
    match &of.data {
        DnsData::Address(address) => address.to_string(),
        DnsData::Alias(name) => format!("{ALIAS}{name}"),
        DnsData::Service(..) => format!("{TYPE}{SERVICE}"),
        DnsData::Other(kind) => format!("{TYPE}{kind}"),
    }
}

/// What was said, of a row and the record of its packets; none for what this release cannot read.
pub(super) fn raise(flat: &Read, packet: &Record) -> Option<Spoken> {
    let record = match flat.text(Text::What)? {
        HTTP => Said::Http(Box::new(http(flat, packet.time_ns)?)),
        DNS => Said::Dns(Box::new(dns(flat, packet.time_ns)?)),
        KAFKA => Said::Kafka(Box::new(kafka(flat, packet.time_ns)?)),
        _ => return None,
    };
    Some(Spoken {
        ends: Ends::from(packet),
        record,
        made_ns: packet.time_ns,
        clock: Clock::new(0, UNIX_EPOCH),
    })
}

fn seen(text: &str) -> Seen<String> {
    if text.is_empty() {
        Seen::Unknown
    } else {
        Seen::Known(text.to_owned())
    }
}

/// What a number says, unless it stands for nothing.
fn known(flat: &Read, of: Number) -> Option<u64> {
    flat.number(of).try_into().ok()
}

fn http(flat: &Read, at_ns: u64) -> Option<Http> {
    let number = flat.number(Number::Version);
    let version = VERSIONS.iter().find(|(_, of)| *of == number);
    let status = known(flat, Number::Answer).map(u16::try_from).transpose();
    let status = status.ok()?.map_or(Seen::Unknown, Seen::Known);
    let (start_ns, answer_ns) = match known(flat, Number::Latency) {
        Some(latency_ns) => (Some(at_ns.checked_sub(latency_ns)?), Some(at_ns)),
        None if status.known().is_some() => (None, Some(at_ns)),
        None => (Some(at_ns), None),
    };
    let template = flat.text(Text::Template)?;
    let path = match flat.text(Text::Path)? {
        "" => template::filled(template, flat.text(Text::PathParts)?),
        path => path.to_owned(),
    };
    // Of the span nothing is kept.
    let traceparent = match flat.text(Text::Trace)? {
        "" => Seen::Unknown,
        trace => Seen::Known(format!("00-{trace}-{:016x}-00", 0)),
    };
    let octets = |of: Number| known(flat, of).map_or(Seen::Unknown, Seen::Known);
    Some(Http {
        version: version?.0,
        method: seen(flat.text(Text::Method)?),
        path: seen(&path),
        template: seen(template),
        host: seen(flat.text(Text::Name)?),
        status,
        request_octets: octets(Number::RequestOctets),
        response_octets: octets(Number::ResponseOctets),
        start_ns,
        answer_ns,
        traceparent,
        ..Http::default()
    })
}

fn dns(flat: &Read, at_ns: u64) -> Option<Dns> {
    let latency_ns = known(flat, Number::Latency);
    let outcome = match (flat.text(Text::Ending)?, known(flat, Number::Answer)) {
        (_, Some(code)) => DnsOutcome::Code(code.try_into().ok()?),
        ("timeout", _) => DnsOutcome::Timeout,
        ("closed", _) => DnsOutcome::Closed,
        _ => DnsOutcome::Unknown,
    };
    let ttl_s = flat.number(Number::Ttl).try_into().ok()?;
    let answers = list::<String>(flat.text(Text::List)?)?;
    let answers = answers.into_iter().map(|text| {
        let data = if let Some(name) = text.strip_prefix(ALIAS) {
            DnsData::Alias(name.to_owned())
        } else if let Some(kind) = text.strip_prefix(TYPE) {
            DnsData::Other(kind.parse().ok()?)
        } else {
            DnsData::Address(text.parse().ok()?)
        };
        let name = String::new();
        Some(DnsAnswer { name, ttl_s, data })
    });
    Some(Dns {
        qname: flat.text(Text::Name)?.to_owned(),
        qtype: flat.number(Number::Call).try_into().ok()?,
        outcome,
        attempts: flat.number(Number::Attempts).try_into().ok()?,
        start_ns: at_ns.checked_sub(latency_ns.unwrap_or_default())?,
        latency_ns,
        answers: answers.collect::<Option<_>>()?,
        all_answers: false,
        truncated: false,
    })
}

fn kafka(flat: &Read, at_ns: u64) -> Option<Kafka> {
    let errors = list::<i16>(flat.text(Text::Errors)?)?;
    let mut errors = errors.into_iter().map(Seen::Known);
    let names = list::<String>(flat.text(Text::List)?)?;
    let topics = names.into_iter().map(|name| KafkaTopic {
        name: Seen::Known(name),
        error: errors.next().unwrap_or_default(),
        ..KafkaTopic::default()
    });
    Some(Kafka {
        api: flat.number(Number::Call).try_into().ok()?,
        version: flat.number(Number::Version).try_into().ok()?,
        client: seen(flat.text(Text::Client)?),
        group: seen(flat.text(Text::Group)?),
        topics: topics.collect(),
        error: Seen::Known(flat.number(Number::Answer).try_into().ok()?),
        request_octets: known(flat, Number::RequestOctets).unwrap_or_default(),
        response_octets: known(flat, Number::ResponseOctets).map_or(Seen::Unknown, Seen::Known),
        start_ns: at_ns,
        end_ns: known(flat, Number::Latency).map(|latency_ns| at_ns + latency_ns),
        ..Kafka::default()
    })
}

#[cfg(test)]
mod tests;
