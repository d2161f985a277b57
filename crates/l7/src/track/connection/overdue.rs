//! Requests that are overdue.

use super::{Reader, Reading, Shared, name, push_http};
use crate::patience;
use crate::record::{Http, Record};

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
            lost_ns,
            ..
        } = shared;
        let is_overdue = |of: &mut Http| {
            let start_ns = of.start_ns.filter(|start_ns| *start_ns > *lost_ns);
            let waited_ns = now_ns.saturating_sub(start_ns.unwrap_or(now_ns));
            if waited_ns < patience::LEAST_NS {
                return false;
            }
            name(of, service, templates);
            patience.is_over(service, of, waited_ns)
        };
        let mut records = Vec::new();
        match &mut self.reader {
            Reader::Http1(http) => http.overdue(is_overdue, &mut records),
            Reader::Http2(http) => http.overdue(is_overdue, &mut records),
            Reader::Undecided(_)
            | Reader::Dns(_)
            | Reader::Tls(_)
            | Reader::Kafka(_)
            | Reader::Opaque => {}
        }
        push_http(records, out);
    }

    /// What became of those that were told as overdue.
    pub(super) fn late(&mut self) -> Vec<Http> {
        match &mut self.reader {
            Reader::Http1(http) => std::mem::take(&mut http.late),
            Reader::Http2(http) => std::mem::take(&mut http.late),
            _ => Vec::new(),
        }
    }
}
