//! OTLP: records, spans and metrics to a collector of OpenTelemetry, by gRPC.
//!
//! [`reader`] takes what is in the ring and makes [`logs`] and [`spans`] of it; [`meter`] counts where records come in, so that it
//! misses none, and [`metrics`] tells its counts now and then. What they make goes as encoded batches through bounded queues to
//! [`sender`], which tries again as long as that makes sense: nobody waits for a collector, and what it does not take is counted.

mod attributes;
mod client;
mod logs;
mod meter;
mod metrics;
mod reader;
mod request;
mod sender;
mod settings;
mod spans;

use std::sync::Arc;

use opentelemetry_proto::tonic::{common::v1::InstrumentationScope, resource::v1::Resource};
use reconcile::TaskGroup;
use tokio::sync::mpsc;

use super::Tally;
use crate::{filter::Selection, intake::Intake};
use attributes::Attributes;
use client::Client;
pub use meter::Meter;
use reader::Reader;
use sender::{Queue, Sender, Signal};
pub use settings::{Collector, Settings, SignalSet};

/// Where the names are defined that these attributes have.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.45.0";

/// An exporter to a collector.
pub struct Otlp {
    settings: Settings,
    selection: Selection,
    meter: Option<Arc<Meter>>,
}

impl Otlp {
    /// Checks the settings; nothing is read or opened yet.
    pub fn new(settings: Settings) -> Result<Self, super::SettingError> {
        let selection = settings.selection()?;
        let meter = settings.signals.metrics.then(Arc::default);
        Ok(Self {
            settings,
            selection,
            meter,
        })
    }

    /// What has to count where records come in, if metrics are exported.
    pub fn meter(&self) -> Option<&Arc<Meter>> {
        self.meter.as_ref()
    }

    /// Exports what comes in from now on, until the group stops.
    pub fn start(self, intake: &Intake, tally: &Tally, tasks: &TaskGroup) {
        let Settings {
            signals, interval, ..
        } = self.settings;
        let origin = Arc::new(Origin::new(&self.settings));
        let sender = |signal: Signal| Sender {
            signal,
            client: Client::new(&self.settings),
            counts: tally.of(signal.name()),
        };
        let queue = |signal: Signal, is_wanted: bool| {
            is_wanted.then(|| {
                let (batches, waiting) = mpsc::channel(sender::BATCHES);
                let sender = sender(signal);
                tasks.spawn("otlp", move |stop| sender.run(waiting, stop));
                Queue {
                    batches,
                    counts: tally.of(signal.name()),
                }
            })
        };
        let (logs, spans) = (
            queue(Signal::Logs, signals.logs),
            queue(Signal::Spans, signals.traces),
        );
        if logs.is_some() || spans.is_some() {
            let reader = Reader::new(intake, self.selection, Arc::clone(&origin), logs, spans);
            tasks.spawn("otlp reader", |stop| reader.run(stop));
        }
        if let Some(meter) = self.meter {
            let sender = sender(Signal::Metrics);
            tasks.spawn("otlp metrics", move |stop| {
                metrics::run(meter, origin, sender, interval, stop)
            });
        }
    }
}

/// Who tells all this: the agent of a node, and not the programs whose traffic it sees.
struct Origin {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Origin {
    fn new(settings: &Settings) -> Self {
        let mut attributes = Attributes::default();
        attributes.text("service.name", "axoneme-agent");
        attributes.text("service.version", crate::VERSION);
        attributes.text("service.instance.id", &settings.node);
        attributes.text("k8s.cluster.name", &settings.cluster);
        attributes.text("k8s.node.name", &settings.node);
        Self {
            resource: Resource {
                attributes: attributes.into_proto(),
                ..Resource::default()
            },
            scope: InstrumentationScope {
                name: "axoneme".into(),
                version: crate::VERSION.into(),
                ..InstrumentationScope::default()
            },
        }
    }
}

#[cfg(test)]
mod tests;
