//! The way in: records become flows in the ring, and the namespaces that they touch are remembered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use api::hubble::{Timestamp, flow as pb};
use arc_swap::ArcSwap;

use crate::{
    connections::Change,
    enrich::{self, Enriched},
    export::otlp::Meter,
    flow::{Node, Observed, said},
    history::{self, History, Kept, Row},
    metrics::Metrics,
    names::Names,
    recorder::Recorder,
    records::Record,
    resolutions::{self, Resolutions},
    ring::{AgentEntry, Entry, Lost, Ring},
    spoken::Spoken,
};

/// For how long a namespace is listed after its last flow.
const NAMESPACE_TTL: Duration = Duration::from_hours(1);

/// Where records were lost before they could be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossSource {
    /// The kernel's ring of events was full.
    KernelRing,
    /// The queue in front of the observer was full.
    Queue,
}

/// Accepts what is to be observed; shared by all that have something to tell.
pub struct Intake {
    ring: Arc<Ring>,
    names: Arc<dyn Names + Send + Sync>,
    namespaces: Arc<Namespaces>,
    recorder: Option<Arc<Recorder>>,
    meter: Option<Arc<Meter>>,
    history: Option<Arc<History>>,
    node: Arc<ArcSwap<Node>>,
    metrics: Arc<Metrics>,
    // Written with each answer and read with each record to the outside; nobody needs its history, so it is no table.
    resolutions: Mutex<Resolutions>,
}

impl Intake {
    /// An intake in front of `ring`.
    pub fn new(ring: Arc<Ring>, names: Arc<dyn Names + Send + Sync>) -> Self {
        Self {
            ring,
            names,
            namespaces: Arc::new(Namespaces::default()),
            recorder: None,
            meter: None,
            history: None,
            node: Arc::default(),
            metrics: Arc::default(),
            resolutions: Mutex::default(),
        }
    }

    /// The same, and `recorder` counts what comes in.
    pub fn counted_by(self, recorder: Arc<Recorder>) -> Self {
        Self {
            recorder: Some(recorder),
            ..self
        }
    }

    /// The same, and `meter` counts what goes to a collector.
    pub fn metered_by(self, meter: Arc<Meter>) -> Self {
        Self {
            meter: Some(meter),
            ..self
        }
    }

    /// The same, and `history` keeps what comes in.
    pub fn kept_by(self, history: Arc<History>) -> Self {
        Self {
            history: Some(history),
            ..self
        }
    }

    /// Who keeps records of before.
    pub(crate) const fn history(&self) -> Option<&Arc<History>> {
        self.history.as_ref()
    }

    /// Who counts.
    pub const fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// The ring behind it.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The namespaces seen lately.
    pub fn namespaces(&self) -> &Arc<Namespaces> {
        &self.namespaces
    }

    /// The node that flows are told of.
    pub(crate) fn node(&self) -> &Arc<ArcSwap<Node>> {
        &self.node
    }

    /// What is counted of flows; nothing, until some metrics are applied.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Gives a record its names, counts it, and appends its flows.
    pub fn record(&self, record: Record) {
        let enriched = Arc::new(self.named(record));
        if let Some(recorder) = &self.recorder {
            recorder.record(&enriched);
        }
        self.append(enriched, false);
    }

    /// Counts what became of a connection, by its record; if it ended, appends its flow.
    pub fn changed(&self, record: Record, change: Change) {
        let enriched = self.named(record);
        self.count(&enriched, change);
        if change.ended {
            // The outcome of one that was told as unanswered, or began before this agent did, is not told once more.
            let is_failure = change.is_failure() || change.outcome.is_none();
            self.append(Arc::new(enriched), is_failure);
        }
    }

    fn count(&self, enriched: &Enriched, change: Change) {
        if let Some(meter) = &self.meter {
            meter.changed(enriched, &change);
        }
        if let Some(recorder) = &self.recorder {
            recorder.changed(enriched, change);
        }
    }

    /// Gives a record of what a connection said its names, counts it, and appends its flows.
    pub fn spoken(&self, spoken: Spoken) {
        let enriched = self.named(spoken.packet());
        if let l7::record::Record::Dns(dns) = &spoken.record {
            self.resolutions()
                .learn(enriched.record.source.address, dns);
        }
        if let Some(recorder) = &self.recorder {
            recorder.said(&enriched, &spoken.record);
        }
        if let Some(meter) = &self.meter {
            meter.said(&enriched, &spoken);
        }
        let spoken = Arc::new(spoken);
        let (node, counts) = (self.node.load(), self.metrics.counts_flows());
        let history = self.history.as_ref();
        let is_held = history::holds(&spoken);
        let mut first = None;
        for flow in said::flows(&enriched, &spoken) {
            self.note(&flow);
            let is_told = counts || (history.is_some() && !is_held);
            let message = is_told.then(|| flow.message(&node));
            if let (true, Some(message)) = (counts, &message) {
                self.metrics.flow(message);
            }
            let position = self.ring.push(Entry::Flow(flow));
            first.get_or_insert(position);
            if let (Some(history), Some(message), false) = (history, message, is_held) {
                history.push(Row::new(position, Kept::Message(Arc::new(message))));
            }
        }
        if let (Some(history), Some(position), true) = (history, first, is_held) {
            let kept = Kept::Said(Arc::new(enriched), spoken);
            history.push(Row::new(position, kept));
        }
    }

    /// The record with its names; who is outside is called as its client asked for it.
    fn named(&self, record: Record) -> Enriched {
        let mut enriched = enrich::enrich(record, &*self.names);
        if resolutions::is_nameless(&enriched) {
            let (client, address) = (record.source.address, record.destination.address);
            let name = self.resolutions().name(client, address);
            enriched.destination_fqdns.extend(name);
        }
        enriched
    }

    fn resolutions(&self) -> MutexGuard<'_, Resolutions> {
        let resolutions = self.resolutions.lock();
        resolutions.unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, enriched: Arc<Enriched>, is_failure: bool) {
        let node = self.metrics.counts_flows().then(|| self.node.load());
        let (mut first, mut told) = (None, None);
        for flow in enrich::flows(Arc::clone(&enriched)) {
            if first.is_none() {
                self.note(&flow);
            }
            if let Some(node) = &node {
                let message = match &mut told {
                    Some(message) => {
                        flow.retell(message);
                        message
                    }
                    none => none.insert(flow.message(node)),
                };
                self.metrics.flow(message);
            }
            let position = self.ring.push(Entry::Flow(flow));
            first.get_or_insert(position);
        }
        if let (Some(history), Some(position)) = (&self.history, first) {
            let row = Row::new(position, Kept::Record(enriched));
            history.push(Row { is_failure, ..row });
        }
    }

    /// Appends a flow that came as a message.
    pub fn message(&self, flow: pb::Flow) {
        let ends = [&flow.source, &flow.destination];
        for end in ends
            .into_iter()
            .flatten()
            .filter(|end| !end.namespace.is_empty())
        {
            self.namespaces
                .seen(&Arc::from(end.namespace.as_str()), Instant::now());
        }
        self.metrics.flow(&flow);
        let flow = Arc::new(flow);
        let position = self.ring.push(Entry::Message(Arc::clone(&flow)));
        if let Some(history) = &self.history {
            history.push(Row::new(position, Kept::Message(flow)));
        }
    }

    /// Appends something the agent did, now.
    pub fn agent_event(&self, event: pb::AgentEvent) {
        let time = SystemTime::now().into();
        self.ring
            .push(Entry::Agent(Arc::new(AgentEntry { time, event })));
    }

    /// Appends that `count` records never came; nothing for 0.
    pub fn lost(&self, source: LossSource, count: u64) {
        if count == 0 {
            return;
        }
        self.metrics.lost(source, count);
        self.missed(source, count);
    }

    /// Appends that `count` samples of payload never came, each of which may have been a record; nothing for 0. They are in the
    /// metrics of what was captured already.
    pub fn lost_samples(&self, count: u64) {
        if count > 0 {
            self.missed(LossSource::KernelRing, count);
        }
    }

    fn missed(&self, source: LossSource, count: u64) {
        if let Some(recorder) = &self.recorder {
            recorder.rollup().lost(count);
        }
        let source = match source {
            LossSource::KernelRing => pb::LostEventSource::PerfEventRingBuffer,
            LossSource::Queue => pb::LostEventSource::ObserverEventsQueue,
        };
        let time = Timestamp::from(SystemTime::now());
        let event = pb::LostEvent {
            source: source.into(),
            num_events_lost: count,
            cpu: None,
            first: Some(time),
            last: Some(time),
        };
        self.ring.push(Entry::Lost(Arc::new(Lost { time, event })));
    }

    fn note(&self, flow: &Observed) {
        let now = Instant::now();
        for namespace in flow.namespaces() {
            self.namespaces.seen(namespace, now);
        }
    }
}

/// Namespaces and when a flow last touched them.
#[derive(Default)]
pub struct Namespaces {
    // A clock per name, written with every record; nobody needs its history, so it is no table.
    seen: Mutex<BTreeMap<Arc<str>, Instant>>,
}

impl Namespaces {
    fn seen(&self, namespace: &Arc<str>, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(namespace) {
            Some(last) => *last = now,
            None => {
                seen.insert(namespace.clone(), now);
            }
        }
    }

    /// Those seen within an hour before `now`, sorted; forgets the others.
    pub fn recent(&self, now: Instant) -> Vec<Arc<str>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, last| now.saturating_duration_since(*last) < NAMESPACE_TTL);
        seen.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
