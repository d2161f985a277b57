//! Exporters: what is seen, as lines of JSON in files that are rotated, or to a collector ([`otlp`]).
//!
//! An exporter reads the ring like any client ([`run`]), so that a slow disk costs what is overwritten meanwhile, and nobody
//! waits for it; what it missed is counted, and told in its file. Which exporters there are is set at the start or by a
//! file that may change ([`dynamic`]).

mod aggregate;
mod dynamic;
mod file;
pub mod otlp;
mod run;
mod settings;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

pub use dynamic::{Dynamic, Shown as DynamicShown, Status};
pub use run::Exporter;
pub use settings::{SettingError, Target, filters, read};

/// What one exporter did.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

/// What all exporters did, by their names.
#[derive(Debug, Default)]
pub struct Tally {
    // Written when an exporter begins; nobody follows it.
    by_name: Mutex<BTreeMap<String, Arc<Counts>>>,
}

impl Tally {
    fn of(&self, name: &str) -> Arc<Counts> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_name.entry(name.to_owned()).or_default())
    }
}

/// [`Tally`] for a registry.
#[derive(Debug)]
pub struct Shown(pub Arc<Tally>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(&Counts) -> &AtomicU64;
        let families: [(&str, &str, Value); 2] = [
            (
                "hubble_export_events",
                "Lines written, or items that a collector took, by exporter",
                |counts| &counts.written,
            ),
            (
                "hubble_export_lost_events",
                "Events that an exporter could not read or write in time",
                |counts| &counts.lost,
            ),
        ];
        let by_name = self
            .0
            .by_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, help, value) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (exporter, counts) in by_name.iter() {
                let count = ConstCounter::new(value(counts).load(Ordering::Relaxed));
                let labels = [("exporter", exporter.as_str())];
                count.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
