//! Who is told of alerts: one bounded queue for each, so that one who does not answer holds up nobody else.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reconcile::{Backoff, TaskGroup};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::AGAIN;
use super::shown::time;
use super::state::{Alert, State};
use crate::relay::promql::object;

/// Messages that wait for one destination; what comes when they are as many is dropped.
const QUEUE: usize = 64;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How often a message is tried.
const TRIES: u32 = 8;
/// Between two tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));

/// What somebody takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum Shape {
    /// Alertmanager's API, version 2: all that fires, again and again.
    Alertmanager,
    /// What changed, as Alertmanager itself tells its receivers.
    Webhook,
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Destination {
    /// What he takes.
    pub(in crate::relay) shape: Shape,
    /// Where he is, `http://` alone.
    pub(in crate::relay) uri: Uri,
}

impl Destination {
    /// A destination; why not, if it is no address.
    pub(in crate::relay) fn new(shape: Shape, text: &str) -> Result<Self, String> {
        let path = if shape == Shape::Alertmanager {
            "/api/v2/alerts"
        } else {
            ""
        };
        let uri: Uri = format!("{}{path}", text.trim_end_matches('/'))
            .parse()
            .map_err(|error| format!("{text}: {error}"))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(format!("{text}: http://HOST:PORT is needed"));
        }
        Ok(Self { shape, uri })
    }
}

/// The queues of all destinations.
pub(in crate::relay) struct Delivery {
    queues: Vec<(Destination, mpsc::Sender<String>)>,
}

impl Delivery {
    /// Queues that tasks of a group empty.
    pub(in crate::relay) fn new(destinations: Vec<Destination>, tasks: &TaskGroup) -> Self {
        let queues = destinations.into_iter().map(|destination| {
            let (queue, messages) = mpsc::channel(QUEUE);
            let to = destination.clone();
            tasks.spawn("alert delivery", move |stop| deliver(to, messages, stop));
            (destination, queue)
        });
        Self {
            queues: queues.collect(),
        }
    }

    /// Tells of alerts that began to fire or are over.
    pub(super) fn changed(&self, alerts: &[Alert], now: i64) {
        self.put(|_| true, alerts, now);
    }

    /// Tells again of alerts, to whom forgets them.
    pub(super) fn again(&self, alerts: &[Alert], now: i64) {
        self.put(|shape| shape == Shape::Alertmanager, alerts, now);
    }

    fn put(&self, wants: impl Fn(Shape) -> bool, alerts: &[Alert], now: i64) {
        for (destination, queue) in self
            .queues
            .iter()
            .filter(|(destination, _)| wants(destination.shape))
        {
            let message = message(destination.shape, alerts, now).to_string();
            if queue.try_send(message).is_err() {
                tracing::warn!(to = %destination.uri, "alerts are not told: too many wait");
            }
        }
    }
}

/// The end of an alert that goes on: when it is to be taken as over if nothing more is heard of it.
fn presumed_end(now: i64) -> i64 {
    now + 4 * i64::try_from(AGAIN.as_millis()).unwrap_or(i64::MAX)
}

fn message(shape: Shape, alerts: &[Alert], now: i64) -> Value {
    let each = alerts.iter().map(|alert| {
        let ends = alert.over_at.map(time);
        let mut shown = json!({
            "labels": object(&alert.labels),
            "annotations": alert.annotations,
            "startsAt": time(alert.active_at),
        });
        match shape {
            Shape::Alertmanager => {
                shown["endsAt"] = ends.unwrap_or_else(|| time(presumed_end(now))).into();
            }
            Shape::Webhook => {
                shown["status"] = status(alert.state).into();
                // No end yet is the first moment of the first year.
                shown["endsAt"] = ends.unwrap_or_else(|| "0001-01-01T00:00:00Z".into()).into();
            }
        }
        shown
    });
    let each: Vec<Value> = each.collect();
    if shape == Shape::Alertmanager {
        return each.into();
    }
    let fires = alerts.iter().any(|alert| alert.state == State::Firing);
    json!({
        "version": "4",
        "receiver": "axoneme",
        "status": if fires { "firing" } else { "resolved" },
        "alerts": each,
    })
}

const fn status(state: State) -> &'static str {
    match state {
        State::Over => "resolved",
        State::Pending | State::Firing => "firing",
    }
}

/// Sends one message after the other until `stop`.
async fn deliver(to: Destination, mut messages: mpsc::Receiver<String>, stop: CancellationToken) {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let mut rng = StdRng::from_os_rng();
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return,
            message = messages.recv() => match message {
                Some(message) => message,
                // Whoever evaluates is gone; a task ends with its group.
                None => return stop.cancelled().await,
            },
        };
        for failures in 1..=TRIES {
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = post(&client, &to.uri, message.clone()) => sent,
            };
            let Err(failure) = sent else {
                break;
            };
            let is_last = failure.is_final || failures == TRIES;
            tracing::warn!(to = %to.uri, reason = failure.reason, failures, given_up = is_last, "alerts are not told");
            if is_last {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(BACKOFF.after(failures, &mut rng)) => {}
            }
        }
    }
}

/// Why a message was not taken.
struct NotTaken {
    reason: String,
    /// It will not be taken another time either.
    is_final: bool,
}

async fn post(
    client: &Client<HttpConnector, Body>,
    uri: &Uri,
    message: String,
) -> Result<(), NotTaken> {
    let failed = |reason: String| NotTaken {
        reason,
        is_final: false,
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(message))
        .map_err(|error| failed(error.to_string()))?;
    let response = tokio::time::timeout(LIMIT, client.request(request)).await;
    let response = response
        .map_err(|_| failed("no answer in time".into()))?
        .map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(NotTaken {
        reason: status.to_string(),
        is_final: status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS,
    })
}

#[cfg(test)]
mod tests;
