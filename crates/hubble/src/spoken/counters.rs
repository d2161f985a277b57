//! What one record counts for: the row that it alone would make.

use std::time::Duration;

use api::hubble::answers::{
    Cause, CauseKind, CodeCount, DnsCounters, HttpCounters, KafkaCounters, NameCount, Row, Sample,
    Sketch, Tally, TlsCounters,
};
use l7::conversation::Direction;
use l7::record::{
    Dns, DnsData, DnsOutcome, Ending, Grpc, Http, Kafka, KafkaTopic, Record, Seen, Tls, TlsEnding,
};
use uuid::Uuid;

use crate::sketch;

/// Calls of Kafka: the numbers of two.
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
/// Errors of Kafka that are of its ordinary course: a group rebalances, a fetch session begins anew, a member gets its name.
const ORDINARY: [i16; 4] = [27, 70, 71, 79];
/// Status codes of gRPC that say that the server is at fault: unknown, deadline exceeded, unimplemented, internal,
/// unavailable, data loss (as OpenTelemetry's conventions for servers have it).
pub(crate) const GRPC_FAULTS: [u32; 6] = [2, 4, 12, 13, 14, 15];
/// Code of DNS that there is no such name.
pub(crate) const NO_SUCH_NAME: u16 = 3;

/// The row of one record, without its edge; `sample` makes the evidence of what fails. `now_ns`: when it was made, nanoseconds
/// since the Unix epoch.
pub(crate) fn row(record: &Record, sample: impl Fn() -> Sample, now_ns: u64) -> Row {
    let mut row = Row {
        first_ns: now_ns,
        last_ns: now_ns,
        ..Row::default()
    };
    let causes = match record {
        Record::Http(of) => {
            row.http = vec![http(of)];
            http_cause(of).into_iter().collect()
        }
        Record::Dns(of) => {
            row.dns = vec![dns(of, now_ns)];
            dns_cause(of).into_iter().collect()
        }
        Record::Kafka(of) => {
            row.kafka = kafka(of);
            kafka_causes(of)
        }
        Record::Tls(of) => {
            row.tls = vec![tls(of)];
            tls_cause(of).into_iter().collect()
        }
    };
    let tally = |cause| Tally {
        cause: Some(cause),
        count: 1,
        packets: 0,
        first_ns: now_ns,
        last_ns: now_ns,
        samples: vec![sample()],
        excused: 0,
    };
    row.failures = causes.into_iter().map(tally).collect();
    row
}

/// What takes back that a name does not exist: its question was one of a search.
pub(crate) fn excuse(qname: &str, qtype: u16, now_ns: u64) -> Row {
    let tally = Tally {
        cause: Some(cause(CauseKind::DnsNoSuchName, qname, NO_SUCH_NAME.into())),
        first_ns: now_ns,
        last_ns: now_ns,
        excused: 1,
        ..Tally::default()
    };
    let counters = DnsCounters {
        name: qname.to_owned(),
        r#type: qtype.into(),
        searched: 1,
        ..DnsCounters::default()
    };
    Row {
        dns: vec![counters],
        failures: vec![tally],
        first_ns: now_ns,
        last_ns: now_ns,
        ..Row::default()
    }
}

fn cause(kind: CauseKind, name: &str, code: i32) -> Cause {
    Cause {
        kind: kind.into(),
        name: name.to_owned(),
        code,
        ..Cause::default()
    }
}

fn one(code: impl Into<i32>) -> Vec<CodeCount> {
    let code = code.into();
    vec![CodeCount { code, count: 1 }]
}

fn between(start_ns: Option<u64>, end_ns: Option<u64>) -> Option<Sketch> {
    let took = end_ns?.checked_sub(start_ns?)?;
    Some(sketch::of_one(Duration::from_nanos(took)))
}

fn text(of: &Seen<String>) -> &str {
    of.known().map_or("", String::as_str)
}

/// Method, and path or what gRPC calls.
pub(crate) fn called(of: &Http) -> (String, String) {
    if let Seen::Known(Grpc {
        service: Seen::Known(service),
        method: Seen::Known(method),
        ..
    }) = &of.grpc
    {
        return (text(&of.method).to_owned(), format!("/{service}/{method}"));
    }
    (text(&of.method).to_owned(), text(&of.template).to_owned())
}

fn http(of: &Http) -> HttpCounters {
    let (method, path) = called(of);
    let grpc = of.grpc.known().and_then(|grpc| grpc.status.known());
    let grpc = grpc.and_then(|status| i32::try_from(*status).ok());
    HttpCounters {
        method,
        path,
        requests: 1,
        status: of.status.known().map(|code| one(*code)).unwrap_or_default(),
        grpc: grpc.map(one).unwrap_or_default(),
        unanswered: u64::from(of.status == Seen::Absent),
        unknown: u64::from(of.status == Seen::Unknown),
        request_octets: of.request_octets.known().copied().unwrap_or_default(),
        response_octets: of.response_octets.known().copied().unwrap_or_default(),
        latency: between(of.start_ns, of.answer_ns),
    }
}

fn http_cause(of: &Http) -> Option<Cause> {
    let (method, path) = called(of);
    let name = format!("{method} {path}");
    let name = name.trim();
    match (&of.status, &of.grpc) {
        (Seen::Known(status), _) if *status >= 500 => {
            Some(cause(CauseKind::HttpError, name, (*status).into()))
        }
        (_, Seen::Known(grpc))
            if grpc
                .status
                .known()
                .is_some_and(|of| GRPC_FAULTS.contains(of)) =>
        {
            let status = grpc.status.known().copied().unwrap_or_default();
            let code = i32::try_from(status).unwrap_or_default();
            Some(cause(CauseKind::GrpcError, name, code))
        }
        (Seen::Absent, _) if of.ending == Ending::Overdue => {
            Some(cause(CauseKind::Overdue, name, 0))
        }
        // Who lets go of a request wants no answer.
        (Seen::Absent, _) if !matches!(of.ending, Ending::Reset(Direction::ToServer, _)) => {
            Some(cause(CauseKind::NoAnswer, name, 0))
        }
        _ => None,
    }
}

fn dns(of: &Dns, now_ns: u64) -> DnsCounters {
    let addresses = of.answers.iter().filter_map(|answer| match answer.data {
        DnsData::Address(address) => Some(address.to_string()),
        _ => None,
    });
    DnsCounters {
        name: of.qname.clone(),
        r#type: of.qtype.into(),
        questions: 1,
        codes: match of.outcome {
            DnsOutcome::Code(code) => one(code),
            _ => Vec::new(),
        },
        timeouts: u64::from(of.outcome == DnsOutcome::Timeout),
        unanswered: u64::from(of.outcome == DnsOutcome::Closed),
        unknown: u64::from(of.outcome == DnsOutcome::Unknown),
        searched: 0,
        repeats: of.attempts.saturating_sub(1).into(),
        latency: of.latency_ns.map(Duration::from_nanos).map(sketch::of_one),
        addresses: addresses.collect(),
        first_ns: now_ns,
        last_ns: now_ns,
    }
}

fn dns_cause(of: &Dns) -> Option<Cause> {
    let (kind, code) = match of.outcome {
        DnsOutcome::Code(0) | DnsOutcome::Unknown => return None,
        DnsOutcome::Code(NO_SUCH_NAME) => (CauseKind::DnsNoSuchName, NO_SUCH_NAME),
        DnsOutcome::Code(code) => (CauseKind::DnsError, code),
        DnsOutcome::Timeout => (CauseKind::DnsTimeout, 0),
        DnsOutcome::Closed => (CauseKind::NoAnswer, 0),
    };
    Some(cause(kind, &of.qname, code.into()))
}

/// One of each topic, or one if there is none.
fn kafka(of: &Kafka) -> Vec<KafkaCounters> {
    let none = KafkaTopic {
        error: of.error.clone(),
        ..KafkaTopic::default()
    };
    let topics: &[KafkaTopic] = if of.topics.is_empty() {
        std::slice::from_ref(&none)
    } else {
        &of.topics
    };
    let latency = between(Some(of.start_ns), of.end_ns).filter(|_| of.ending == Ending::Whole);
    let is_unanswered = matches!(of.ending, Ending::Closed | Ending::Overdue);
    let is_unknown = !is_unanswered && of.ending != Ending::Whole;
    let group = of.group.known().map(|name| NameCount {
        name: name.clone(),
        count: 1,
    });
    // With its last fetch a consumer says that it fetches nothing any more.
    let fetches = of.api == FETCH && !(of.topics.is_empty() && of.all_topics);
    let counters = |topic: &KafkaTopic| {
        let octets = topic.octets.known().copied().unwrap_or_default();
        let (topic_name, id) = named(topic);
        let error = topic.error.known().copied().filter(|code| *code != 0);
        KafkaCounters {
            topic: topic_name,
            id,
            produces: u64::from(of.api == PRODUCE),
            fetches: u64::from(fetches),
            others: u64::from(of.api != PRODUCE && !fetches),
            produced_octets: if of.api == PRODUCE { octets } else { 0 },
            fetched_octets: if fetches { octets } else { 0 },
            errors: error.map(one).unwrap_or_default(),
            unanswered: u64::from(is_unanswered),
            unknown: u64::from(is_unknown),
            groups: group.clone().into_iter().collect(),
            produce_latency: latency.clone().filter(|_| of.api == PRODUCE),
            fetch_latency: latency.clone().filter(|_| fetches),
        }
    };
    topics.iter().map(counters).collect()
}

/// A topic's name, or the number of one without.
pub(crate) fn named(topic: &KafkaTopic) -> (String, String) {
    match (&topic.name, topic.id) {
        (Seen::Known(name), _) => (name.clone(), String::new()),
        (_, Some(id)) => (String::new(), Uuid::from_bytes(id).to_string()),
        _ => (String::new(), String::new()),
    }
}

fn kafka_causes(of: &Kafka) -> Vec<Cause> {
    let without_answer = match of.ending {
        Ending::Closed => Some(CauseKind::NoAnswer),
        Ending::Overdue => Some(CauseKind::Overdue),
        Ending::Whole | Ending::Reset(..) | Ending::Refused | Ending::Unknown => None,
    };
    if let Some(kind) = without_answer {
        let name = of.topics.first().map(shown).unwrap_or_default();
        return vec![cause(kind, &name, 0)];
    }
    let is_error = |code: &i16| *code != 0 && !ORDINARY.contains(code);
    let of_topics = of.topics.iter().filter_map(|topic| {
        let code = topic.error.known().copied().filter(is_error)?;
        Some(cause(CauseKind::KafkaError, &shown(topic), code.into()))
    });
    let causes: Vec<Cause> = of_topics.collect();
    match of.error.known().copied().filter(is_error) {
        Some(code) if causes.is_empty() => vec![cause(CauseKind::KafkaError, "", code.into())],
        _ => causes,
    }
}

fn shown(topic: &KafkaTopic) -> String {
    let (name, id) = named(topic);
    if name.is_empty() { id } else { name }
}

fn tls(of: &Tls) -> TlsCounters {
    let protocol = of.alpn.known().or_else(|| of.alpn_offered.known()?.first());
    let alert = |by: Direction| match of.ending {
        TlsEnding::Alert(direction, code) if direction == by => one(code),
        _ => Vec::new(),
    };
    TlsCounters {
        server_name: text(&of.server_name).to_owned(),
        handshakes: 1,
        done: u64::from(of.ending == TlsEnding::Done),
        versions: of.version.known().map(|of| one(*of)).unwrap_or_default(),
        protocols: protocol
            .map(|name| NameCount {
                name: name.clone(),
                count: 1,
            })
            .into_iter()
            .collect(),
        client_alerts: alert(Direction::ToServer),
        server_alerts: alert(Direction::ToClient),
        unfinished: u64::from(of.ending == TlsEnding::Closed),
        unknown: u64::from(of.ending == TlsEnding::Unknown),
        latency: between(of.start_ns, of.hello_ns),
    }
}

fn tls_cause(of: &Tls) -> Option<Cause> {
    let (kind, code) = match of.ending {
        TlsEnding::Done | TlsEnding::Unknown => return None,
        TlsEnding::Alert(Direction::ToServer, code) => (CauseKind::TlsAlertByClient, code),
        TlsEnding::Alert(Direction::ToClient, code) => (CauseKind::TlsAlertByServer, code),
        TlsEnding::Closed => (CauseKind::TlsUnfinished, 0),
    };
    Some(cause(kind, text(&of.server_name), code.into()))
}

#[cfg(test)]
mod tests;
