//! Whether what is in the files is what came.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use api::hubble::flow as pb;
use datapath::wire::tcp::flags::{FIN, RST};
use l7::record::{DnsData, DnsOutcome, Record as Said};

use crate::connections::Entry;
use crate::enrich::Enriched;
use crate::flow::{Node, said};
use crate::history::{Kept as Row, tests as history};
use crate::names::Names;
use crate::records::{Record, Way as RecordWay, What};
use crate::truth::{Batch, Reader, Spoke, Step, Town};

/// The segments of a directory, batch by batch.
pub(super) struct Kept {
    directory: PathBuf,
    known: BTreeSet<PathBuf>,
    records: u64,
    town: Town,
}

impl Kept {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.join("records"),
            known: BTreeSet::new(),
            records: 0,
            town: Town::default(),
        }
    }

    /// Records that were held against what came.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Writes what came, and reads it again.
    pub(super) fn is_what_came(&mut self, reader: &Reader, batch: &Batch, spoken: &[Spoke]) {
        let kept = reader.history().expect("records are kept");
        kept.seal().unwrap();
        assert_eq!(kept.lost(), 0);
        let (mut records, mut messages) = (Vec::new(), Vec::new());
        for path in self.fresh() {
            for row in history::read(&path) {
                match row.kept {
                    Row::Record(enriched) => records.push(enriched),
                    Row::Message(flow) => messages.push(pb::Flow::clone(&flow)),
                    Row::Said(enriched, spoken) => {
                        let flows = said::flows(&enriched, &spoken);
                        messages.extend(flows.iter().map(|of| of.message(&Node::default())));
                    }
                }
            }
        }
        self.records += (records.len() + messages.len()) as u64;
        let came = came(reader, batch);
        assert_eq!(records.len(), came.len());
        for (record, came) in records.iter().zip(&came) {
            assert_eq!(record.record, *came);
            self.has_names(record);
        }
        let said: Vec<_> = spoken.iter().flat_map(|(_, said)| flows(said)).collect();
        assert_eq!(messages.len(), said.len());
        for (message, said) in messages.iter().zip(said) {
            let l7 = message.l7.as_ref().expect("what was said");
            assert_eq!((l7.latency_ns, l7.record.clone()), said);
        }
    }

    fn fresh(&mut self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(&self.directory).unwrap();
        let all: BTreeSet<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
        let fresh = all.difference(&self.known).cloned().collect();
        self.known = all;
        fresh
    }

    fn has_names(&self, record: &Enriched) {
        let Record {
            source,
            destination,
            asked,
            ..
        } = record.record;
        let of = |party: crate::records::Party| self.town.endpoint(party.address, party.identity);
        if let Some(names) = of(source) {
            assert_eq!(record.source.as_ref(), Some(&names));
        } else {
            let labels = &record.source.as_ref().expect("the world").labels;
            assert_eq!(labels[0].as_ref(), "reserved:world");
        }
        assert_eq!(record.destination, of(destination));
        let service = asked.and_then(|of| self.town.service(of.ip(), of.port()));
        assert_eq!(record.destination_service, service);
        let is_judged = matches!(record.record.what, What::New { .. } | What::Denied { .. });
        assert_eq!(record.ingress_policies.len(), usize::from(is_judged));
    }
}

/// The records of events, and of connections that ended, in the order in which they came.
fn came(reader: &Reader, batch: &Batch) -> Vec<Record> {
    let mut ended = HashSet::new();
    let records = batch.steps.iter().filter_map(|(_, step)| match step {
        Step::Event(_, record) => Some(**record),
        Step::Entry(key, connection, entry, record) => {
            let (sent, received) = (connection.sent.tcp_flags, connection.received.tcp_flags);
            let is_closed =
                sent & received & u32::from(FIN) != 0 || (sent | received) & u32::from(RST) != 0;
            let ends = *entry == Entry::Goes || is_closed;
            if !ends || !ended.insert((*key, connection.created_ns)) {
                return None;
            }
            let is_closed = matches!(
                record.what,
                What::Closed {
                    way: RecordWay::Forward,
                    ..
                }
            );
            assert!(is_closed);
            Some(**record)
        }
        _ => None,
    });
    let at_wall = |record: Record| Record {
        time_ns: reader.wall_ns(record.time_ns),
        ..record
    };
    records.map(at_wall).collect()
}

type Flow = (u64, Option<pb::layer7::Record>);

fn between(start: Option<u64>, end: Option<u64>) -> u64 {
    start.zip(end).map_or(0, |(start, end)| end - start)
}

/// The flows that a record stands for.
fn flows(said: &Said) -> Vec<Flow> {
    match said {
        Said::Http(of) => {
            let text = |of: &l7::record::Seen<String>| of.known().cloned().unwrap_or_default();
            let host = of.host.known().map(|host| format!("http://{host}"));
            let message = |code: u16| pb::Http {
                code: code.into(),
                method: text(&of.method),
                url: format!("{}{}", host.clone().unwrap_or_default(), text(&of.path)),
                protocol: "HTTP/1.1".to_owned(),
                headers: Vec::new(),
            };
            let http = |of| Some(pb::layer7::Record::Http(of));
            let asked = of.method.known().map(|_| (0, http(message(0))));
            let took = between(of.start_ns, of.answer_ns);
            let told = of.status.known().map(|code| (took, http(message(*code))));
            asked.into_iter().chain(told).collect()
        }
        Said::Dns(of) => {
            let message = |is_answer: bool| {
                let mut dns = pb::Dns {
                    query: format!("{}.", of.qname),
                    observation_source: "passive".to_owned(),
                    qtypes: vec!["A".to_owned()],
                    ..pb::Dns::default()
                };
                if let (DnsOutcome::Code(code), true) = (of.outcome, is_answer) {
                    dns.rcode = code.into();
                    dns.ttl = if of.answers.is_empty() { 0 } else { 30 };
                    dns.rrtypes = vec!["A".to_owned(); of.answers.len()];
                    let addresses = of.answers.iter().map(|answer| match answer.data {
                        DnsData::Address(address) => address.to_string(),
                        _ => panic!("only addresses were answered"),
                    });
                    dns.ips = addresses.collect();
                }
                Some(pb::layer7::Record::Dns(dns))
            };
            let asked = (of.attempts > 0).then(|| (0, message(false)));
            let is_answered = matches!(of.outcome, DnsOutcome::Code(_));
            let told = is_answered.then(|| (of.latency_ns.unwrap_or_default(), message(true)));
            asked.into_iter().chain(told).collect()
        }
        Said::Kafka(of) => kafka(of),
        Said::Tls(_) => Vec::new(),
    }
}

#[allow(deprecated, reason = "Kafka is seen by us")]
fn kafka(of: &l7::record::Kafka) -> Vec<Flow> {
    let call = match of.api {
        0 => "produce",
        1 => "fetch",
        _ => "heartbeat",
    };
    let took = between(Some(of.start_ns), of.end_ns);
    let flow = |topic: String, error: i16| {
        let kafka = pb::Kafka {
            error_code: error.into(),
            api_version: of.version.into(),
            api_key: call.to_owned(),
            correlation_id: 0,
            topic,
        };
        (took, Some(pb::layer7::Record::Kafka(kafka)))
    };
    let error = of.error.known().copied().unwrap_or_default();
    if of.topics.is_empty() {
        return vec![flow(String::new(), error)];
    }
    let topics = of.topics.iter().map(|topic| {
        let name = topic.name.known().cloned().unwrap_or_default();
        flow(name, topic.error.known().copied().unwrap_or(error))
    });
    topics.collect()
}
