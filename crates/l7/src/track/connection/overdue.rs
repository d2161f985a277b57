//! Requests that are overdue.

use super::{Reader, Reading, Shared, name, push_http, push_kafka};
use crate::patience::{self, Patience, Request as _};
use crate::record::{Http, Kafka, Record};

/// Takes in how long the answer to a request took; whether there was one.
pub(super) fn took(record: &Record, service: u64, patience: &mut Patience) -> bool {
    match record {
        Record::Http(of) => {
            patience.note(service, &**of);
            of.took_ns().is_some()
        }
        Record::Kafka(of) => {
            patience.note(service, &**of);
            of.took_ns().is_some()
        }
        Record::Dns(_) | Record::Tls(_) => false,
    }
}

impl Reading {
    /// Tells of requests that wait for longer than nearly all of their kind did. Of one that began before samples were lost nobody
    /// knows whether it has its answer.
    pub(super) fn overdue(
        &mut self,
        service: u64,
        now_ns: u64,
        shared: &mut Shared,
        out: &mut Vec<Record>,
    ) {
        let Shared {
            patience,
            templates,
            topics,
            lost_ns,
            ..
        } = shared;
        let waited_ns = |start_ns: Option<u64>| {
            let start_ns = start_ns.filter(|start_ns| *start_ns > *lost_ns);
            let waited_ns = now_ns.saturating_sub(start_ns.unwrap_or(now_ns));
            (waited_ns >= patience::LEAST_NS).then_some(waited_ns)
        };
        let is_overdue = |of: &mut Http| {
            waited_ns(of.start_ns).is_some_and(|waited_ns| {
                name(of, service, templates);
                patience.is_over(service, of, waited_ns)
            })
        };
        let mut records = Vec::new();
        match &mut self.reader {
            Reader::Http1(http) => http.overdue(is_overdue, &mut records),
            Reader::Http2(http) => http.overdue(is_overdue, &mut records),
            Reader::Kafka(kafka) => {
                let is_overdue = |of: &Kafka| {
                    let waited_ns = waited_ns(Some(of.start_ns));
                    waited_ns.is_some_and(|waited_ns| patience.is_over(service, of, waited_ns))
                };
                let mut records = Vec::new();
                kafka.overdue(is_overdue, topics, &mut records);
                push_kafka(records, out);
            }
            Reader::Undecided(_) | Reader::Dns(_) | Reader::Tls(_) | Reader::Opaque => {}
        }
        push_http(records, out);
    }

    /// What became of those that were told as overdue.
    pub(super) fn late(&mut self) -> Vec<Record> {
        let mut late = Vec::new();
        match &mut self.reader {
            Reader::Http1(http) => push_http(std::mem::take(&mut http.late), &mut late),
            Reader::Http2(http) => push_http(std::mem::take(&mut http.late), &mut late),
            Reader::Kafka(kafka) => push_kafka(std::mem::take(&mut kafka.late), &mut late),
            Reader::Undecided(_) | Reader::Dns(_) | Reader::Tls(_) | Reader::Opaque => {}
        }
        late
    }
}
