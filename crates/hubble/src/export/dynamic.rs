//! Exporters that come and go with a file of settings.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use reconcile::TaskGroup;
use tokio_util::sync::CancellationToken;

use super::{
    Exporter, Tally,
    settings::{SettingError, Target, read},
};
use crate::{follow::Followed, intake::Intake};

/// How long an exporter may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What is shown of all this.
#[derive(Debug, Default)]
struct State {
    targets: BTreeMap<String, Target>,
    /// Exporters added, changed and ended so far.
    changes: [u64; 3],
    hash: u32,
    applied: Option<SystemTime>,
}

/// Words for [`State::changes`].
const CHANGES: [&str; 3] = ["add", "update", "remove"];

/// The exporters of a file.
pub struct Dynamic {
    intake: Arc<Intake>,
    tally: Arc<Tally>,
    // A group for each, because each ends at a time of its own.
    running: BTreeMap<String, TaskGroup>,
    state: Arc<Status>,
}

/// What is so, for a registry.
#[derive(Debug, Default)]
pub struct Status(
    // Written when the file changes, read by scrapes; a table for one value would be more than it.
    Mutex<State>,
);

impl Dynamic {
    /// No exporters yet.
    pub fn new(intake: Arc<Intake>, tally: Arc<Tally>) -> Self {
        Self {
            intake,
            tally,
            running: BTreeMap::new(),
            state: Arc::default(),
        }
    }

    /// What is shown of it.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.state)
    }

    /// Takes the text of the file: exporters that are new begin, those that are gone end, those that changed begin anew. An
    /// error changes nothing.
    async fn apply(&mut self, text: &str) -> Result<(), SettingError> {
        let wanted: BTreeMap<String, Target> = read(text)?
            .into_iter()
            .map(|target| (target.name.clone(), target))
            .collect();
        let before = self.state.lock().targets.clone();
        let mut changes = [0; 3];
        // Those that end do so first: another one may have their file now.
        for (name, old) in &before {
            let new = wanted.get(name);
            if new != Some(old) {
                changes[if new.is_some() { 1 } else { 2 }] += 1;
                self.end(name).await;
            }
        }
        for (name, target) in &wanted {
            if before.get(name) == Some(target) {
                continue;
            }
            changes[0] += u64::from(!before.contains_key(name));
            let exporter = Exporter::new(target.clone(), &self.intake, &self.tally)?;
            let group = TaskGroup::new();
            group.spawn("exporter", |stop| exporter.run(stop));
            self.running.insert(name.clone(), group);
        }
        let mut state = self.state.lock();
        for (sum, count) in state.changes.iter_mut().zip(changes) {
            *sum += count;
        }
        state.targets = wanted;
        state.hash = fnv(text);
        state.applied = Some(SystemTime::now());
        Ok(())
    }

    /// Follows the file until `stop`; then all exporters end, and what they have is written.
    pub async fn run(mut self, mut file: Followed, stop: CancellationToken) {
        while let Some(text) = file.changed(&stop).await {
            let path = file.path().display();
            match self.apply(&text).await {
                Ok(()) => tracing::info!(%path, "exporters set"),
                Err(error) => tracing::error!(%error, %path, "the former exporters go on"),
            }
        }
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            self.end(&name).await;
        }
    }

    async fn end(&mut self, name: &str) {
        if let Some(group) = self.running.remove(name) {
            group.shutdown(LAST_LINES).await;
        }
    }
}

impl Status {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// FNV-1a, 32 bits: to tell whether nodes have the same file.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, octet| {
        (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
    })
}

/// [`Status`] for a registry.
#[derive(Debug)]
pub struct Shown(pub Arc<Status>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        const PREFIX: &str = "hubble_dynamic_exporter";
        let (state, now) = (self.0.lock(), Timestamp::now());
        let up = |target: &Target| u32::from(target.is_active(now));
        let active: u32 = state.targets.values().map(up).sum();
        let inactive = state.targets.len() as u32 - active;
        let name = format!("{PREFIX}_exporters_total");
        let help = "Exporters in the file";
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (status, count) in [("active", active), ("inactive", inactive)] {
            ConstGauge::new(count).encode(family.encode_family(&[("status", status)])?)?;
        }
        let name = format!("{PREFIX}_up");
        let mut family =
            encoder.encode_descriptor(&name, "Whether it exports", None, MetricType::Gauge)?;
        for (name, target) in &state.targets {
            let labels = [("name", name.as_str())];
            ConstGauge::new(up(target)).encode(family.encode_family(&labels)?)?;
        }
        let name = format!("{PREFIX}_reconfigurations");
        let help = "Exporters that the file changed";
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (op, count) in CHANGES.into_iter().zip(state.changes) {
            ConstCounter::new(count).encode(family.encode_family(&[("op", op)])?)?;
        }
        let applied = state
            .applied
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let Some(applied) = applied else {
            return Ok(());
        };
        for (what, help, value) in [
            ("config_hash", "Hash of the file", u64::from(state.hash)),
            (
                "config_last_applied",
                "When the file was taken, in Unix time",
                applied.as_secs(),
            ),
        ] {
            let name = format!("{PREFIX}_{what}");
            let family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(family)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
