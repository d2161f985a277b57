//! The alerts of a rule from one evaluation to the next: pending, firing, over. No clock: times are given.

use std::collections::BTreeMap;

use promql::{Labels, NAME};

use super::rules::Rule;

/// Over alerts are told for so long, so that also who missed it hears of it; milliseconds.
const TOLD: i64 = 15 * 60_000;

/// How an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is so, but not for long enough.
    Pending,
    /// It is so.
    Firing,
    /// It is not so any more.
    Over,
}

impl State {
    /// As Prometheus calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Over => "inactive",
        }
    }
}

/// An alert. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alert {
    /// With the name of the rule.
    pub(super) labels: Labels,
    /// What it says.
    pub(super) annotations: BTreeMap<String, String>,
    /// How it is.
    pub(super) state: State,
    /// The value of the rule's expression.
    pub(super) value: f64,
    /// Since when it is so.
    pub(super) active_at: i64,
    /// Since when it is not so, while it fires on.
    kept_since: Option<i64>,
    /// When it was over.
    pub(super) over_at: Option<i64>,
}

/// The alerts of a rule by their labels.
pub(super) type Alerts = BTreeMap<Labels, Alert>;

/// Takes what the rule's expression is at `now`; an error, which changes nothing, if two of its series would be the same alert.
/// The alerts that began to fire or are over since the evaluation before.
pub(super) fn advance(
    rule: &Rule,
    alerts: &mut Alerts,
    found: &[(Labels, f64)],
    now: i64,
) -> Result<Vec<Alert>, String> {
    let mut present = BTreeMap::new();
    for (of_series, value) in found {
        let plain = of_series.only(|name| name != NAME);
        let own = rule.labels.iter();
        let labels = own.fold(plain.clone(), |labels, (name, template)| {
            labels.with(name, &template.written(&plain, *value))
        });
        let labels = labels.with("alertname", &rule.name);
        let said = rule
            .annotations
            .iter()
            .map(|(name, template)| (name.clone(), template.written(&plain, *value)));
        let said: BTreeMap<String, String> = said.collect();
        if present.insert(labels, (said, *value)).is_some() {
            return Err("two series of the expression are the same alert".into());
        }
    }
    let mut changed = Vec::new();
    alerts.retain(|labels, alert| match present.remove(labels) {
        Some((annotations, value)) => {
            let was_over = alert.state == State::Over;
            let active_at = if was_over { now } else { alert.active_at };
            let state = if was_over {
                State::Pending
            } else {
                alert.state
            };
            *alert = Alert {
                annotations,
                value,
                state,
                active_at,
                kept_since: None,
                over_at: None,
                labels: labels.clone(),
            };
            fires(rule, alert, now, &mut changed);
            true
        }
        None => stays(rule, alert, now, &mut changed),
    });
    for (labels, (annotations, value)) in present {
        let mut alert = Alert {
            labels: labels.clone(),
            annotations,
            state: State::Pending,
            value,
            active_at: now,
            kept_since: None,
            over_at: None,
        };
        fires(rule, &mut alert, now, &mut changed);
        alerts.insert(labels, alert);
    }
    Ok(changed)
}

fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn fires(rule: &Rule, alert: &mut Alert, now: i64, changed: &mut Vec<Alert>) {
    if alert.state == State::Pending && now - alert.active_at >= milliseconds(rule.hold) {
        alert.state = State::Firing;
        changed.push(alert.clone());
    }
}

/// Whether an alert that is not so any more is remembered.
fn stays(rule: &Rule, alert: &mut Alert, now: i64, changed: &mut Vec<Alert>) -> bool {
    match (alert.state, alert.over_at) {
        (State::Pending, _) => false,
        (State::Over, over_at) => over_at.is_some_and(|at| now - at <= TOLD),
        (State::Firing, _) => {
            let since = *alert.kept_since.get_or_insert(now);
            if now - since >= milliseconds(rule.keep) {
                alert.state = State::Over;
                alert.over_at = Some(now);
                changed.push(alert.clone());
            }
            true
        }
    }
}

#[cfg(test)]
mod tests;
