//! Reads the ring, and makes batches of what is in it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use api::hubble::{Timestamp, flow as pb};
use arc_swap::ArcSwap;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Origin, SCHEMA,
    logs::{self, Told},
    sender::{Batch, Queue},
    spans,
};
use crate::{
    edges::edge,
    filter::Selection,
    flow::{Node, Observed},
    intake::Intake,
    ring::{Entry, Read, Ring},
    spoken::Spoken,
};

/// Entries that are read before other tasks run.
const ENTRIES: usize = 256;
/// Items of one message.
const ITEMS: usize = 512;
/// How long the first item of a message waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// Takes what comes after it was made.
pub(super) struct Reader {
    ring: Arc<Ring>,
    node: Arc<ArcSwap<Node>>,
    selection: Selection,
    origin: Arc<Origin>,
    logs: Option<Queue>,
    spans: Option<Queue>,
    next: u64,
    records: Vec<LogRecord>,
    of_traces: Vec<Span>,
    /// The first flow of a request whose answer comes next: where anything is selected, it is by both.
    asked: Option<(Arc<Spoken>, pb::Flow)>,
    rng: StdRng,
}

impl Reader {
    pub(super) fn new(
        intake: &Intake,
        selection: Selection,
        origin: Arc<Origin>,
        logs: Option<Queue>,
        spans: Option<Queue>,
    ) -> Self {
        Self {
            ring: Arc::clone(intake.ring()),
            node: Arc::clone(intake.node()),
            selection,
            origin,
            logs,
            spans,
            next: intake.ring().head(),
            records: Vec::new(),
            of_traces: Vec::new(),
            asked: None,
            rng: StdRng::from_os_rng(),
        }
    }

    /// Reads until `stop`, and then what is there by then.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut due: Option<Instant> = None;
        while !stop.is_cancelled() {
            let more = self.read();
            let now = Instant::now();
            if self.is_empty() {
                due = None;
            } else if *due.get_or_insert(now + DELAY) <= now {
                self.hand_over();
                due = None;
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.ring.written(self.next) => {}
                () = wait => {}
            }
        }
        let head = self.ring.head();
        while self.next < head {
            self.read();
        }
        self.hand_over();
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.of_traces.is_empty()
    }

    /// Takes some entries; whether there may be more.
    fn read(&mut self) -> bool {
        for _ in 0..ENTRIES {
            match self.ring.read(self.next) {
                Read::Entry(entry) => {
                    self.next += 1;
                    self.entry(&entry);
                }
                Read::Lost { count, next } => {
                    self.next = next;
                    self.missed(count);
                }
                Read::Head => return false,
            }
            if self.records.len() >= ITEMS || self.of_traces.len() >= ITEMS {
                self.hand_over();
            }
        }
        true
    }

    fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Flow(flow) => self.flow(flow),
            Entry::Message(flow) => {
                if self.logs.is_some() && self.selection.matches(flow) {
                    let told = Told { flow, edge: None };
                    self.records.push(logs::packet(&told));
                }
            }
            Entry::Lost(lost) if self.logs.is_some() && self.selection.takes_others() => {
                let (count, source) = (lost.event.num_events_lost, lost.event.source());
                let time_ns = u64::try_from(lost.time.unix_nanos()).unwrap_or_default();
                self.records.push(logs::lost(count, source, time_ns));
            }
            Entry::Lost(_) | Entry::Agent(_) => {}
        }
    }

    fn flow(&mut self, observed: &Observed) {
        let node = self.node.load();
        let spoken = observed.spoken();
        if let Some(spoken) = spoken
            && !observed.is_last()
        {
            let selects = !self.selection.is_everything();
            self.asked = selects.then(|| (Arc::clone(spoken), observed.message(&node)));
            return;
        }
        if self.logs.is_none() && !spoken.is_some_and(|spoken| is_traced(spoken)) {
            return;
        }
        let flow = observed.message(&node);
        let asked = self
            .asked
            .take()
            .filter(|(asked, _)| spoken.is_some_and(|spoken| Arc::ptr_eq(asked, spoken)));
        let both: Vec<&pb::Flow> = asked.iter().map(|(_, flow)| flow).chain([&flow]).collect();
        if !self.selection.matches_one_of(&both) {
            return;
        }
        let edge = edge(observed.enriched());
        let told = Told {
            flow: &flow,
            edge: Some(&edge),
        };
        let Some(spoken) = spoken else {
            self.records.push(logs::packet(&told));
            return;
        };
        if self.logs.is_some() {
            self.records.push(logs::request(&told, spoken));
        }
        if self.spans.is_some()
            && let l7::record::Record::Http(of) = &spoken.record
        {
            let span_id = self.rng.random_range(1..=u64::MAX);
            self.of_traces
                .extend(spans::span(&told, spoken, of, span_id));
        }
    }

    /// Counts what was overwritten before it was read: each may have been a record and a span.
    fn missed(&mut self, count: u64) {
        for queue in [&self.logs, &self.spans].into_iter().flatten() {
            queue.counts.lost.fetch_add(count, Ordering::Relaxed);
        }
        if self.logs.is_some() {
            let now = Timestamp::from(SystemTime::now()).unix_nanos();
            let now_ns = u64::try_from(now).unwrap_or_default();
            let source = pb::LostEventSource::HubbleRingBuffer;
            self.records.push(logs::lost(count, source, now_ns));
        }
    }

    fn hand_over(&mut self) {
        let (records, of_traces) = (
            std::mem::take(&mut self.records),
            std::mem::take(&mut self.of_traces),
        );
        if let Some(queue) = self.logs.as_ref().filter(|_| !records.is_empty()) {
            queue.push(self.origin.logs(records));
        }
        if let Some(queue) = self.spans.as_ref().filter(|_| !of_traces.is_empty()) {
            queue.push(self.origin.spans(of_traces));
        }
    }
}

/// Whether a span may be made of it.
fn is_traced(spoken: &Spoken) -> bool {
    match &spoken.record {
        l7::record::Record::Http(of) => spans::trace_of(of).is_some(),
        _ => false,
    }
}

impl Origin {
    fn logs(&self, log_records: Vec<LogRecord>) -> Batch {
        let items = log_records.len() as u64;
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(self.scope.clone()),
                    log_records,
                    schema_url: SCHEMA.into(),
                }],
                schema_url: SCHEMA.into(),
            }],
        };
        Batch {
            message: request.encode_to_vec().into(),
            items,
        }
    }

    fn spans(&self, spans: Vec<Span>) -> Batch {
        let items = spans.len() as u64;
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(self.scope.clone()),
                    spans,
                    schema_url: SCHEMA.into(),
                }],
                schema_url: SCHEMA.into(),
            }],
        };
        Batch {
            message: request.encode_to_vec().into(),
            items,
        }
    }
}
