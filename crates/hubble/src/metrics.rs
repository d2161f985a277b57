//! Metrics of flows, counted as they enter: upstream's families, labels and options.
//!
//! A [`Wanted`] metric becomes a handler with its families ([`handler`]), whose labels its options choose ([`context`]). Which
//! are wanted may change while flows come. Nothing here waits: a flow costs some lookups, and a family that is full counts under
//! [`OTHER`].

mod capture;
mod context;
mod handler;
mod options;
pub mod page;
mod series;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::hubble::flow::Flow;
use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
    },
};

use crate::{filter::Selection, intake::LossSource, ring::Ring};
pub(crate) use handler::rcode;
use handler::{At, Handler};
use series::Kept;

pub use capture::Captured;
pub use options::{ContextOption, OptionError, Wanted, parse, read};
pub use series::{MAX_SERIES, OTHER};

/// How long the series of a pod are still shown after its end, so that the last scrape sees them.
pub const KEPT_AFTER_POD: Duration = Duration::from_mins(1);

/// A metric that is counted.
struct Active {
    wanted: Wanted,
    selection: Selection,
    handler: Arc<dyn Handler>,
}

/// All metrics of flows.
#[derive(Default)]
pub struct Metrics {
    active: ArcSwap<Vec<Arc<Active>>>,
    // Options by name, of all that were ever counted: written when the settings change. Nobody follows it.
    known: Mutex<BTreeMap<String, Vec<ContextOption>>>,
    lost: [Counter; 2],
    /// Where payload is sampled.
    captured: ArcSwapOption<Captured>,
}

/// How many metrics a change of the settings added, changed and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// That were not counted before.
    pub added: usize,
    /// With other filters.
    pub updated: usize,
    /// That are not counted any more.
    pub removed: usize,
}

impl Metrics {
    /// Counts these metrics from now on, and no others. Those that were counted before go on; their options cannot change as
    /// long as the agent runs, because series with other labels would be another metric. An error changes nothing.
    pub fn apply(&self, wanted: &[Wanted]) -> Result<Change, OptionError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.active.load();
        let (mut after, mut change): (Vec<Arc<Active>>, _) = (Vec::new(), Change::default());
        for metric in wanted {
            if after.iter().any(|active| active.wanted.name == metric.name) {
                return Err(OptionError::new(&metric.name, "given twice"));
            }
            if known
                .get(&metric.name)
                .is_some_and(|options| *options != metric.context_options)
            {
                let reason = "its options cannot change while the agent runs";
                return Err(OptionError::new(&metric.name, reason));
            }
            let old = before
                .iter()
                .find(|active| active.wanted.name == metric.name);
            match old {
                Some(old) if old.wanted == *metric => after.push(Arc::clone(old)),
                Some(old) => {
                    change.updated += 1;
                    after.push(active(metric, Arc::clone(&old.handler))?);
                }
                None => {
                    let Some(handler) = handler::build(metric)? else {
                        continue;
                    };
                    change.added += 1;
                    after.push(active(metric, handler)?);
                }
            }
        }
        let has = |name: &str| after.iter().any(|active| active.wanted.name == name);
        if has("http") && has("httpV2") {
            let reason = "cannot be counted together with http, whose names it uses";
            return Err(OptionError::new("httpV2", reason));
        }
        change.removed = before.iter().filter(|old| !has(&old.wanted.name)).count();
        let seen = after.iter().map(|active| &active.wanted);
        known.extend(seen.map(|wanted| (wanted.name.clone(), wanted.context_options.clone())));
        self.active.store(Arc::new(after));
        Ok(change)
    }

    /// Whether anything is counted of flows.
    pub fn counts_flows(&self) -> bool {
        !self.active.load().is_empty()
    }

    /// Counts a flow.
    pub fn flow(&self, flow: &Flow) {
        let mut at = At::new(Instant::now());
        for active in self.active.load().iter() {
            if active.selection.matches(flow) {
                active.handler.flow(flow, &mut at);
            }
        }
    }

    /// Counts records that never came.
    pub fn lost(&self, source: LossSource, count: u64) {
        self.lost[source as usize].inc_by(count);
    }

    /// What became of samples since the start.
    pub fn captured(&self, captured: Captured) {
        self.captured.store(Some(Arc::new(captured)));
    }

    /// Drops the series of a pod that is no more; to be called [`KEPT_AFTER_POD`] after its end.
    pub fn forget(&self, namespace: &str, pod: &str) {
        for active in self.active.load().iter() {
            for family in active.handler.families() {
                family.forget(namespace, pod);
            }
        }
    }
}

fn active(wanted: &Wanted, handler: Arc<dyn Handler>) -> Result<Arc<Active>, OptionError> {
    let selection = Selection::compile(&wanted.include_filters, &wanted.exclude_filters);
    let selection = selection.map_err(|error| OptionError::new(&wanted.name, error.to_string()))?;
    Ok(Arc::new(Active {
        wanted: wanted.clone(),
        selection,
        handler,
    }))
}

/// All families, for a registry.
pub struct Shown {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whose readers may miss what is overwritten.
    pub ring: Arc<Ring>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let active = self.metrics.active.load();
        let (name, help) = ("hubble_lost_events", "Events that were lost, by where");
        let [kernel, queue] = &self.metrics.lost;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (source, count) in [
            ("perf_event_ring_buffer", kernel.get()),
            ("observer_events_queue", queue.get()),
            ("hubble_ring_buffer", self.ring.missed()),
        ] {
            let labels = [("source", source)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        if let Some(captured) = &*self.metrics.captured.load() {
            captured.encode(&mut encoder)?;
        }
        let families = || active.iter().flat_map(|active| active.handler.families());
        let (name, help) = (
            "hubble_metrics_overflow",
            "Flows counted under \"other\", because the metric has too many series",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (name, count) in families().map(Kept::overflowed) {
            let labels = [("metric", name)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        for family in families() {
            family.encode(&mut encoder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
