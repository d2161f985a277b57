//! `/api/v1/rules` and `/api/v1/alerts`.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::{Alert, State as AlertState};
use super::template::Template;
use super::{Board, Judged, Running};
use crate::relay::promql::{data, number, object, with_exponent};
use crate::relay::web;

/// The routes below `/api/v1`.
pub(in crate::relay) fn routes(board: Board) -> Router {
    Router::new()
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/alerts", get(alerts))
        .with_state(board)
        .layer(middleware::from_fn(web::guarded))
}

async fn rules(State(board): State<Board>) -> Response {
    let (groups, broken) = board.with(|view| (view.groups.clone(), view.broken.clone()));
    let groups: Vec<Value> = groups
        .iter()
        .map(|running| group(running, &board.file))
        .collect();
    data(&json!({ "groups": groups }), broken.as_slice())
}

async fn alerts(State(board): State<Board>) -> Response {
    let groups = board.with(|view| view.groups.clone());
    let judged = groups.iter().flat_map(|running| &running.rules);
    let alerts: Vec<Value> = judged.flat_map(active).collect();
    data(&json!({ "alerts": alerts }), &[])
}

fn group(running: &Running, file: &str) -> Value {
    let took: f64 = running
        .rules
        .iter()
        .map(|judged| judged.took.as_secs_f64())
        .sum();
    let rules = running
        .rules
        .iter()
        .map(|judged| rule(judged, running.evaluated_at));
    json!({
        "name": running.group.name,
        "file": file,
        "interval": running.group.interval.as_secs_f64(),
        "limit": 0,
        "rules": rules.collect::<Vec<_>>(),
        "evaluationTime": took,
        "lastEvaluation": time(running.evaluated_at),
    })
}

fn rule(judged: &Judged, evaluated_at: i64) -> Value {
    let rule = &judged.rule;
    let written = |texts: &std::collections::BTreeMap<String, Template>| {
        texts
            .iter()
            .map(|(name, template)| (name.clone(), Value::from(template.to_string())))
            .collect::<Value>()
    };
    let has = |state: AlertState| judged.alerts.values().any(|alert| alert.state == state);
    let state = [AlertState::Firing, AlertState::Pending]
        .into_iter()
        .find(|state| has(*state))
        .unwrap_or(AlertState::Over);
    let health = match (evaluated_at, &judged.error) {
        (0, _) => "unknown",
        (_, None) => "ok",
        (_, Some(_)) => "err",
    };
    let mut shown = json!({
        "state": state.name(),
        "name": rule.name,
        "query": rule.query,
        "duration": rule.hold.as_secs_f64(),
        "keepFiringFor": rule.keep.as_secs_f64(),
        "labels": written(&rule.labels),
        "annotations": written(&rule.annotations),
        "alerts": active(judged).collect::<Vec<_>>(),
        "health": health,
        "evaluationTime": judged.took.as_secs_f64(),
        "lastEvaluation": time(evaluated_at),
        "type": "alerting",
    });
    if let Some(error) = &judged.error {
        shown["lastError"] = error.as_str().into();
    }
    shown
}

/// The alerts that are pending or fire.
fn active(judged: &Judged) -> impl Iterator<Item = Value> {
    let active = judged
        .alerts
        .values()
        .filter(|alert| alert.state != AlertState::Over);
    active.map(|alert: &Alert| {
        json!({
            "labels": object(&alert.labels),
            "annotations": alert.annotations,
            "state": alert.state.name(),
            "activeAt": time(alert.active_at),
            "value": exponential(alert.value),
        })
    })
}

/// A number as Prometheus writes the values of alerts.
fn exponential(value: f64) -> String {
    if value.is_finite() {
        with_exponent(value)
    } else {
        number(value)
    }
}

/// RFC 3339, of milliseconds since the Unix epoch.
pub(super) fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| String::new(), |time| time.to_string())
}
