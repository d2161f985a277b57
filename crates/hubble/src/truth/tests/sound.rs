//! Whether a record of which something was lost says nothing that is not so.

use l7::record::{Dns, DnsOutcome, Ending, Http, Kafka, Record, Seen, Tls, TlsEnding};

/// What of the messages of a connection is known.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Messages of which all is known.
    pub(super) whole: u64,
    /// Messages of which something is.
    pub(super) partly: u64,
}

/// What has to be told where no sample of the connection was lost; where others were lost, a question without an answer may be
/// unknown, because the answer may have been among them.
pub(super) fn expected(sent: &[Record], told: &[Record], is_losing: bool) -> Vec<Record> {
    let mut expected = sent.to_vec();
    for (record, told) in expected.iter_mut().zip(told) {
        if let (Record::Dns(record), Record::Dns(told)) = (record, told)
            && is_losing
            && record.outcome == DnsOutcome::Timeout
            && told.outcome == DnsOutcome::Unknown
        {
            record.outcome = DnsOutcome::Unknown;
        }
    }
    expected
}

/// Each record is one of what was sent, and says nothing else of it than what is so.
pub(super) fn check(sent: &[Record], told: &[Record], wrong: &mut Vec<String>) -> Found {
    let mut found = Found::default();
    let mut of_each: Vec<Vec<&Record>> = vec![Vec::new(); sent.len()];
    let mut nameless: Vec<&Record> = Vec::new();
    for record in told {
        match sent.iter().position(|sent| is_named_as(sent, record)) {
            Some(at) => of_each[at].push(record),
            None => nameless.push(record),
        }
    }
    for record in &nameless {
        let fits = sent.iter().any(|of| is_part_of(record, of));
        if !fits || has_name(record) {
            wrong.push(format!("{record:?} was not sent: {sent:?}"));
        }
    }
    for (sent, told) in sent.iter().zip(&of_each) {
        match told.as_slice() {
            [told] if *told == sent => found.whole += 1,
            [told] => {
                if !is_part_of(told, sent) {
                    wrong.push(format!("{told:?} was sent as {sent:?}"));
                }
                found.partly += 1;
            }
            [] => {}
            several => wrong.push(format!("{sent:?} was told as {several:?}")),
        }
    }
    found
}

fn has_name(record: &Record) -> bool {
    match record {
        Record::Http(of) => of.path.known().is_some(),
        Record::Tls(of) => of.server_name.known().is_some(),
        Record::Dns(_) | Record::Kafka(_) => true,
    }
}

/// Whether the record has the name of what was sent.
fn is_named_as(sent: &Record, told: &Record) -> bool {
    match (sent, told) {
        (Record::Http(sent), Record::Http(told)) => sent.path == told.path,
        (Record::Dns(sent), Record::Dns(told)) => sent.qname == told.qname,
        (Record::Kafka(sent), Record::Kafka(told)) => sent.start_ns == told.start_ns,
        // One of a connection.
        (Record::Tls(_), Record::Tls(_)) => true,
        _ => false,
    }
}

fn is_part_of(told: &Record, sent: &Record) -> bool {
    match (told, sent) {
        (Record::Http(told), Record::Http(sent)) => of_http(told, sent),
        (Record::Dns(told), Record::Dns(sent)) => of_dns(told, sent),
        (Record::Kafka(told), Record::Kafka(sent)) => of_kafka(told, sent),
        (Record::Tls(told), Record::Tls(sent)) => of_tls(told, sent),
        _ => false,
    }
}

/// Unknown, or the same.
fn seen<T: PartialEq>(told: &Seen<T>, sent: &Seen<T>) -> bool {
    *told == Seen::Unknown || told == sent
}

/// Not there, or the same.
fn at(told: Option<u64>, sent: Option<u64>) -> bool {
    told.is_none() || told == sent
}

/// The last octet that was seen, which may not be the last.
fn seen_last(told: Option<u64>, sent: Option<u64>) -> bool {
    told.is_none_or(|told| sent.is_some_and(|sent| told <= sent))
}

fn of_http(told: &Http, sent: &Http) -> bool {
    seen(&told.method, &sent.method)
        && seen(&told.path, &sent.path)
        && seen(&told.template, &sent.template)
        && seen(&told.host, &sent.host)
        && seen(&told.status, &sent.status)
        && seen(&told.request_octets, &sent.request_octets)
        && seen(&told.response_octets, &sent.response_octets)
        && seen(&told.traceparent, &sent.traceparent)
        && seen(&told.grpc, &sent.grpc)
        && at(told.start_ns, sent.start_ns)
        && at(told.answer_ns, sent.answer_ns)
        && seen_last(told.end_ns, sent.end_ns)
        && (told.ending == Ending::Unknown || told.ending == sent.ending)
}

fn of_dns(told: &Dns, sent: &Dns) -> bool {
    let is_answered = told.outcome == sent.outcome;
    let is_asked = told.attempts > 0;
    told.qname == sent.qname
        && told.qtype == sent.qtype
        && (is_answered || told.outcome == DnsOutcome::Unknown)
        && told.attempts <= sent.attempts
        // Of a question that was sent again, the first may be the one that was lost.
        && (!is_asked || told.start_ns == sent.start_ns || told.attempts < sent.attempts)
        && (at(told.latency_ns, sent.latency_ns) || told.attempts < sent.attempts)
        && (!is_answered || told.answers == sent.answers)
}

fn of_kafka(told: &Kafka, sent: &Kafka) -> bool {
    let topics = told.topics.iter().zip(&sent.topics).all(|(told, sent)| {
        told.name == sent.name && seen(&told.octets, &sent.octets) && seen(&told.error, &sent.error)
    });
    let count = told.topics.len();
    let all = count == sent.topics.len() || (!told.all_topics && count < sent.topics.len());
    (told.api, told.version) == (sent.api, sent.version)
        && seen(&told.client, &sent.client)
        && seen(&told.group, &sent.group)
        && topics
        && all
        && seen(&told.error, &sent.error)
        && told.request_octets == sent.request_octets
        && seen(&told.response_octets, &sent.response_octets)
        && seen_last(told.end_ns, sent.end_ns)
        && (told.ending == Ending::Unknown || told.ending == sent.ending)
}

fn of_tls(told: &Tls, sent: &Tls) -> bool {
    seen(&told.server_name, &sent.server_name)
        && seen(&told.alpn_offered, &sent.alpn_offered)
        && seen(&told.alpn, &sent.alpn)
        && seen(&told.version, &sent.version)
        && at(told.start_ns, sent.start_ns)
        && at(told.hello_ns, sent.hello_ns)
        && at(told.done_ns, sent.done_ns)
        && (told.ending == TlsEnding::Unknown || told.ending == sent.ending)
}
