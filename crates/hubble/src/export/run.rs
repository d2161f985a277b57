//! One exporter at work: reads the ring from now on, and writes what it is told to.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use api::hubble::{
    Timestamp,
    flow::{LostEvent, LostEventSource},
    observer::{ExportEvent, export_event::ResponseTypes},
};
use arc_swap::ArcSwap;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Counts, Tally,
    aggregate::Groups,
    file::{Output, Rotated, tidy},
    settings::{Plan, STDOUT, SettingError, Target},
};
use crate::{
    flow::Node,
    intake::Intake,
    ring::{Entry, Read, Ring},
};

/// Entries that are read before they are written.
const BATCH: usize = 1024;
/// Never, for a timer.
const FAR: Duration = Duration::from_hours(24 * 365);

/// An exporter; it reads what comes after it was made.
pub struct Exporter {
    target: Target,
    plan: Plan,
    ring: Arc<Ring>,
    node: Arc<ArcSwap<Node>>,
    counts: Arc<Counts>,
    next: u64,
    groups: Groups,
    /// Lines not yet written, and their number.
    lines: Vec<u8>,
    pending: u64,
    /// Whether writing failed last time, so that it is logged once.
    failing: bool,
    output: Option<Output>,
    tidying: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Checks the settings; nothing is opened before there is something to write.
    pub fn new(target: Target, intake: &Intake, tally: &Tally) -> Result<Self, SettingError> {
        let plan = target.plan()?;
        let output = match target.file_path.as_str() {
            STDOUT => Output::Stdout,
            path => Output::File(Rotated::new(path.into(), target.max_size())),
        };
        Ok(Self {
            plan,
            ring: Arc::clone(intake.ring()),
            node: Arc::clone(intake.node()),
            counts: tally.of(&target.name),
            next: intake.ring().head(),
            groups: Groups::default(),
            lines: Vec::new(),
            pending: 0,
            failing: false,
            output: Some(output),
            tidying: None,
            target,
        })
    }

    /// Exports until `stop`, or until its end and then does nothing; what is aggregated by then is written too.
    pub async fn run(mut self, stop: CancellationToken) {
        let begun = Instant::now();
        let ends = begun + self.remaining();
        let interval = match &self.plan.aggregate {
            Some(_) => self.target.aggregation_interval,
            None => FAR,
        };
        let mut flush = begun + interval;
        while Instant::now() < ends && !stop.is_cancelled() {
            let more = self.read();
            if self.groups.is_full() || Instant::now() >= flush {
                flush = Instant::now() + interval;
                self.write_groups();
            }
            self.write().await;
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.ring.written(self.next) => {}
                () = sleep_until(flush) => {}
                () = sleep_until(ends) => {}
            }
        }
        let head = self.ring.head();
        while Instant::now() < ends && self.next < head {
            self.read();
            self.write().await;
        }
        self.write_groups();
        self.write().await;
        if let Some(tidying) = self.tidying.take() {
            let _ = tidying.await;
        }
        stop.cancelled().await;
    }

    /// Time until its end.
    fn remaining(&self) -> Duration {
        let Some(end) = self.target.end else {
            return FAR;
        };
        let left = end.duration_since(jiff::Timestamp::now());
        Duration::try_from(left).unwrap_or_default().min(FAR)
    }

    /// Takes a batch of entries; whether there may be more.
    fn read(&mut self) -> bool {
        for _ in 0..BATCH {
            match self.ring.read(self.next) {
                Read::Entry(entry) => {
                    self.next += 1;
                    self.entry(&entry);
                }
                Read::Lost { count, next } => {
                    self.next = next;
                    self.lost(count);
                }
                Read::Head => return false,
            }
        }
        true
    }

    fn entry(&mut self, entry: &Entry) {
        let node = self.node.load();
        let (time, response) = match entry {
            Entry::Flow(_) | Entry::Message(_) => {
                let Some(flow) = entry.flow(&node) else {
                    return;
                };
                if !self.plan.selection.matches(&flow) {
                    return;
                }
                if let Some(fields) = &self.plan.aggregate {
                    self.groups.add(&flow, fields);
                    return;
                }
                let flow = match &self.plan.mask {
                    Some(mask) => mask.apply(&flow),
                    None => flow,
                };
                return self.flow(flow);
            }
            _ if !self.plan.selection.takes_others() => return,
            Entry::Lost(lost) => (lost.time, ResponseTypes::LostEvents(lost.event)),
            Entry::Agent(agent) => (agent.time, ResponseTypes::AgentEvent(agent.event.clone())),
        };
        let node_name = node.name.clone();
        self.line(&ExportEvent {
            node_name,
            time: Some(time),
            response_types: Some(response),
        });
    }

    /// A line of a flow. Its time and node are shown beside it, as far as they are shown in it.
    fn flow(&mut self, flow: api::hubble::flow::Flow) {
        self.line(&ExportEvent {
            node_name: flow.node_name.clone(),
            time: flow.time,
            response_types: Some(ResponseTypes::Flow(flow)),
        });
    }

    fn lost(&mut self, count: u64) {
        self.counts.lost.fetch_add(count, Ordering::Relaxed);
        let time = Timestamp::from(SystemTime::now());
        let event = LostEvent {
            source: LostEventSource::HubbleRingBuffer.into(),
            num_events_lost: count,
            cpu: None,
            first: Some(time),
            last: Some(time),
        };
        let node_name = self.node.load().name.clone();
        self.line(&ExportEvent {
            node_name,
            time: Some(time),
            response_types: Some(ResponseTypes::LostEvents(event)),
        });
    }

    fn line(&mut self, event: &ExportEvent) {
        let before = self.lines.len();
        match serde_json::to_writer(&mut self.lines, event) {
            Ok(()) => {
                self.lines.push(b'\n');
                self.pending += 1;
            }
            Err(error) => {
                tracing::warn!(%error, "an event has no JSON");
                self.lines.truncate(before);
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn write_groups(&mut self) {
        for flow in self.groups.take() {
            self.flow(flow);
        }
    }

    /// Writes all lines, on a thread that may wait for the disk.
    async fn write(&mut self) {
        let Some(mut output) = self.output.take() else {
            return;
        };
        if self.lines.is_empty() {
            self.output = Some(output);
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        let count = std::mem::take(&mut self.pending);
        let written = spawn_blocking(move || {
            let result = output.write(&lines);
            (output, lines, result)
        });
        let result = match written.await {
            Ok((output, mut lines, result)) => {
                lines.clear();
                (self.lines, self.output) = (lines, Some(output));
                result
            }
            Err(error) => Err(io::Error::other(error)),
        };
        self.note(result.is_err(), count);
        match result {
            Ok(Some(aside)) => self.tidy(aside).await,
            Ok(None) => {}
            Err(error) if self.failing => tracing::debug!(%error, "still not exported"),
            Err(error) => {
                self.failing = true;
                let (name, path) = (&self.target.name, &self.target.file_path);
                tracing::error!(%error, name, path, "flows are not exported, trying again");
            }
        }
    }

    fn note(&mut self, failed: bool, count: u64) {
        if failed {
            self.counts.lost.fetch_add(count, Ordering::Relaxed);
        } else {
            self.failing = false;
            self.counts.written.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Compresses and removes what was put aside, beside the writing of the next file.
    async fn tidy(&mut self, aside: PathBuf) {
        if let Some(former) = self.tidying.take() {
            let _ = former.await;
        }
        let path = PathBuf::from(&self.target.file_path);
        let (compress, keep) = (self.target.file_compress, self.target.backups());
        self.tidying = Some(spawn_blocking(move || {
            if let Err(error) = tidy(&path, &aside, compress, keep) {
                tracing::warn!(%error, path = %aside.display(), "exported flows are not put in order");
            }
        }));
    }
}

#[cfg(test)]
mod tests;
