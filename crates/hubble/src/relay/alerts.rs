//! Alerts without a Prometheus: rules evaluated over the counts of all nodes, their states, and who is told.
//!
//! [`rules`] (the file, read anew when it changes) → [`state`] (pending, firing, over) → [`send`] (Alertmanager, webhooks) and
//! `/api/v1/rules`, `/api/v1/alerts`.

mod rules;
mod send;
mod shown;
mod state;
mod template;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use promql::{Labels, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::promql::Queries;
use rules::{Group, Rule};
pub(super) use send::{Delivery, Destination, Shape};
pub(super) use shown::routes;
use state::Alerts;

/// Rules that come with this program.
const BUILT_IN: &str = include_str!("../../../../deploy/chart/files/flow-alerts.yaml");
/// How often it is looked whether the file changed, or a group is due.
const TICK: Duration = Duration::from_secs(5);
/// How long a rule may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Alerts that fire are told again so often; who hears nothing of one for four times as long takes it to be over.
const AGAIN: Duration = Duration::from_mins(1);

/// Where rules are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Those of this program.
    BuiltIn,
    /// A file.
    File(PathBuf),
}

/// Which alerts there are, and who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertConfig {
    /// Where rules are from; none: nothing is evaluated.
    pub rules: Option<Source>,
    /// Who is told.
    pub(super) destinations: Vec<Destination>,
}

/// A rule and its alerts.
#[derive(Clone)]
struct Judged {
    rule: Arc<Rule>,
    alerts: Alerts,
    /// Why it was not evaluated.
    error: Option<String>,
    took: Duration,
}

/// A group while it is evaluated.
#[derive(Clone)]
struct Running {
    group: Arc<Group>,
    rules: Vec<Judged>,
    due: Instant,
    /// Milliseconds since the Unix epoch; 0: not yet.
    evaluated_at: i64,
}

/// All groups, for whoever asks.
#[derive(Default)]
struct View {
    groups: Vec<Running>,
    /// Why the file as it is now is not in force.
    broken: Option<String>,
}

/// What is known of alerts.
#[derive(Clone, Default)]
pub(super) struct Board {
    // Written by the evaluation and read for each request; nobody needs its history, so it is no table.
    view: Arc<Mutex<View>>,
    file: Arc<str>,
}

impl Board {
    /// Nothing yet, of rules of this source.
    pub(super) fn new(source: Option<&Source>) -> Self {
        let file = match source {
            Some(Source::File(path)) => path.display().to_string(),
            Some(Source::BuiltIn) => "built-in".into(),
            None => String::new(),
        };
        Self {
            view: Arc::default(),
            file: file.into(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut View) -> T) -> T {
        work(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Evaluates rules.
pub(super) struct Evaluation {
    source: Source,
    queries: Queries,
    board: Board,
    delivery: Delivery,
    /// The text that was read last, in force or not.
    text: Option<String>,
    told: Option<Instant>,
}

impl Evaluation {
    /// An evaluation that writes to a board.
    pub(super) const fn new(
        source: Source,
        queries: Queries,
        board: Board,
        delivery: Delivery,
    ) -> Self {
        Self {
            source,
            queries,
            board,
            delivery,
            text: None,
            told: None,
        }
    }

    /// Evaluates until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.read().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.evaluate() => {}
            }
            self.tell_again();
        }
    }

    /// Takes the file if it changed and can be read; else the last good rules stay.
    async fn read(&mut self) {
        let text = match &self.source {
            Source::BuiltIn => Ok(BUILT_IN.to_owned()),
            Source::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|error| error.to_string()),
        };
        let groups = match text {
            Ok(text) if self.text.as_ref() == Some(&text) => return,
            Ok(text) => {
                let groups = rules::read(&text);
                self.text = Some(text);
                groups
            }
            Err(error) => {
                self.text = None;
                Err(error)
            }
        };
        match groups {
            Ok(groups) => {
                tracing::info!(groups = groups.len(), "alerting rules are in force");
                self.board.with(|view| view.take(groups));
            }
            Err(reason) => {
                let reason = format!("{}: {reason}", self.board.file);
                let is_new = self
                    .board
                    .with(|view| view.broken.replace(reason.clone()).as_ref() != Some(&reason));
                if is_new {
                    tracing::error!(
                        reason,
                        "alerting rules cannot be used; the last good ones stay"
                    );
                }
            }
        }
    }

    async fn evaluate(&mut self) {
        let now = Instant::now();
        let groups = self.board.with(|view| view.groups.clone());
        for (number, mut running) in groups
            .into_iter()
            .enumerate()
            .filter(|(_, running)| running.due <= now)
        {
            let time = Timestamp::now().as_millisecond();
            for judged in &mut running.rules {
                self.judge(judged, time).await;
            }
            running.due = now + running.group.interval;
            running.evaluated_at = time;
            self.board.with(|view| {
                if let Some(place) = view.groups.get_mut(number) {
                    *place = running;
                }
            });
        }
    }

    async fn judge(&self, judged: &mut Judged, time: i64) {
        let began = Instant::now();
        let answered = self.queries.instant(&judged.rule.query, time, LIMIT).await;
        judged.took = began.elapsed();
        let advanced = answered
            .map_err(|error| error.message)
            .and_then(|answered| {
                let found: Vec<(Labels, f64)> = match answered.answer {
                    Value::Vector(lines) => {
                        let each = lines
                            .into_iter()
                            .filter_map(|line| Some((line.labels, line.samples.first()?.value)));
                        each.collect()
                    }
                    Value::Scalar(sample) => vec![(Labels::default(), sample.value)],
                    Value::Text(..) | Value::Matrix(_) => Vec::new(),
                };
                state::advance(&judged.rule, &mut judged.alerts, &found, time)
            });
        match advanced {
            Ok(changed) => {
                judged.error = None;
                if !changed.is_empty() {
                    self.delivery.changed(&changed, time);
                }
            }
            Err(error) => {
                tracing::warn!(rule = judged.rule.name, error, "a rule is not evaluated");
                judged.error = Some(error);
            }
        }
    }

    /// Tells of all that fires or was over not long ago, to whom it has to be told again and again.
    fn tell_again(&mut self) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now < told + AGAIN) {
            return;
        }
        self.told = Some(now);
        let alerts: Vec<_> = self.board.with(|view| {
            let judged = view.groups.iter().flat_map(|running| &running.rules);
            judged
                .flat_map(|judged| judged.alerts.values())
                .filter(|alert| alert.state != state::State::Pending)
                .cloned()
                .collect()
        });
        if !alerts.is_empty() {
            self.delivery
                .again(&alerts, Timestamp::now().as_millisecond());
        }
    }
}

impl View {
    /// Puts other groups in force. The alerts of a rule that is as it was go on.
    fn take(&mut self, groups: Vec<Group>) {
        let before = std::mem::take(&mut self.groups);
        let known = |group: &str, rule: &Rule| {
            let running = before.iter().find(|running| running.group.name == group)?;
            running
                .rules
                .iter()
                .find(|judged| *judged.rule == *rule)
                .map(|judged| judged.alerts.clone())
        };
        let each = groups.into_iter().map(|mut group| {
            let rules = std::mem::take(&mut group.rules)
                .into_iter()
                .map(|rule| Judged {
                    alerts: known(&group.name, &rule).unwrap_or_default(),
                    rule: Arc::new(rule),
                    error: None,
                    took: Duration::ZERO,
                });
            Running {
                rules: rules.collect(),
                group: Arc::new(group),
                due: Instant::now(),
                evaluated_at: 0,
            }
        });
        self.groups = each.collect();
        self.broken = None;
    }
}

#[cfg(test)]
mod tests;
