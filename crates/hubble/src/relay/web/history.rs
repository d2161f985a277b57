//! Sums over all edges, span by span: the small lines beside answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::hubble::Timestamp;
use api::hubble::answers::answers_server::Answers as _;
use api::hubble::answers::{MapAnswer, Question, Row};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tonic::Status;

use super::{Asked, Web, failed, json};
use crate::answers::{dns, http, kafka};
use crate::rollup::{self, is_outside};
use crate::sketch::Sketch;

/// Spans of an answer that asks for no number, and the most that one can ask for.
const SPANS: u32 = 30;
const MOST_SPANS: u32 = 120;
/// Seconds of the shortest spans that nodes count in, and of those they keep for longer than an hour.
const SHORT: i64 = 10;
const LONG: i64 = 60;
/// Seconds after its end from which on nothing is added to a span.
const SETTLED: i64 = 30;
/// Spans that nodes are asked for at once.
const AT_ONCE: usize = 4;
/// Spans that are remembered.
const REMEMBERED: usize = 4096;

/// What an answer is made of.
#[derive(Debug, Serialize)]
struct History {
    /// Seconds of a span.
    step: i64,
    /// From the oldest on.
    spans: Vec<Sums>,
}

/// Sums of one span.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Sums {
    /// Where it begins, seconds since the Unix epoch.
    since: i64,
    opened: u64,
    /// Attempts that came to nothing.
    failed: u64,
    refused: u64,
    unanswered: u64,
    denied: u64,
    /// Connections from outside of the cluster.
    outside: u64,
    /// Of the time to the first answer, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_us: Option<u64>,
    /// Requests over HTTP, and those that were not answered well.
    requests: u64,
    request_errors: u64,
    /// Of the time to their answers, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_p95_us: Option<u64>,
    /// Questions to DNS servers, and those that came to nothing.
    questions: u64,
    questions_failed: u64,
    /// Requests to Kafka brokers.
    kafka: u64,
    /// Requests, questions and handshakes that failed.
    said_failed: u64,
}

/// A span's end and question: what it can be found by again.
type Key = (i64, i64, String, String, String, String);

/// Sums of spans that are over and whole, so that a line which grows asks nodes for its end alone. A lock and no table: what
/// is remembered here follows from what nodes have, and nobody waits for a change of it.
#[derive(Clone, Default)]
pub(super) struct Over(Arc<Mutex<HashMap<Key, Sums>>>);

impl Over {
    fn find(&self, key: &Key) -> Option<Sums> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned()
    }

    fn remember(&self, key: Key, sums: Sums) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, sums);
    }
}

pub(super) async fn history(
    State((web, over)): State<(Web, Over)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    match sums(&web, &over, asked, &headers).await {
        Ok(history) => json(&headers, Ok(tonic::Response::new(history))),
        Err(status) => failed(&status),
    }
}

async fn sums(
    web: &Web,
    over: &Over,
    asked: Asked,
    headers: &HeaderMap,
) -> Result<History, Status> {
    let now = jiff::Timestamp::now();
    let count = match asked.spans {
        0 => SPANS,
        1..=MOST_SPANS => asked.spans,
        _ => {
            let text = format!("spans: {MOST_SPANS} at most");
            return Err(Status::invalid_argument(text));
        }
    };
    let count = i64::from(count);
    let question = asked.question(now)?;
    let now = now.as_second();
    let until = question.until.map_or(now, |of| of.seconds).min(now);
    let since = question
        .since
        .ok_or_else(|| Status::invalid_argument("since: a line must begin somewhere"))?;
    let step = step(until - since.seconds, count);
    // The span that is not over yet would always look like an end.
    let end = until - until.rem_euclid(step);
    let places = (1..=count).rev();
    let spans = stream::iter(places.map(|place| {
        let (from, to) = (end - place * step, end - (place - 1) * step);
        span(web, over, &question, headers, (from, to), now)
    }));
    let spans = spans.buffered(AT_ONCE).try_collect().await?;
    Ok(History { step, spans })
}

/// The sums of one span, from what is remembered or from all nodes.
async fn span(
    web: &Web,
    over: &Over,
    question: &Question,
    headers: &HeaderMap,
    (from, to): (i64, i64),
    now: i64,
) -> Result<Sums, Status> {
    let key = (
        from,
        to,
        question.from.clone(),
        question.to.clone(),
        question.namespace.clone(),
        question.cluster.clone(),
    );
    // Where not everybody sees the same nothing is remembered.
    let is_alike = !web.access.is_limited();
    if let Some(known) = over.find(&key).filter(|_| is_alike) {
        return Ok(known);
    }
    // The second of its end belongs to a span.
    let of = Question {
        since: Some(at(from)),
        until: Some(at(to - 1)),
        ..question.clone()
    };
    let answer = web
        .answers
        .map(web.request(of, headers))
        .await?
        .into_inner();
    let sums = sum(from, &answer);
    let is_whole = answer
        .completeness
        .is_some_and(|of| of.missing.is_empty() && of.missing_clusters.is_empty() && of.nodes > 0);
    if is_alike && is_whole && to + SETTLED <= now {
        over.remember(key, sums.clone());
    }
    Ok(sums)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// Seconds of a span, so that `count` make up `total`: a multiple of what nodes count in.
fn step(total: i64, count: i64) -> i64 {
    let unit = if total > 3600 { LONG } else { SHORT };
    let exact = (total.max(1) + count - 1).div_euclid(count);
    (exact + unit - 1).div_euclid(unit).max(1) * unit
}

fn sum(since: i64, answer: &MapAnswer) -> Sums {
    let mut sums = Sums {
        since,
        ..Sums::default()
    };
    let (mut connect, mut answered) = (Sketch::default(), Sketch::default());
    for row in &answer.edges {
        let of = row.counters.unwrap_or_default();
        sums.opened += of.opened;
        sums.refused += of.refused;
        sums.unanswered += of.unanswered;
        sums.denied += of.denied;
        sums.failed += rollup::failed(&of);
        let edge = row.edge.as_ref();
        if edge
            .and_then(|edge| edge.source.as_ref())
            .is_some_and(is_outside)
        {
            sums.outside += of.opened;
        }
        if let Some(sketch) = &row.connect {
            connect.merge(sketch);
        }
        sums.add_said(row);
        for sketch in row.http.iter().filter_map(|of| of.latency.as_ref()) {
            answered.merge(sketch);
        }
    }
    let p95 = |of: &Sketch| of.quantile(0.95);
    let micros = |of: Duration| u64::try_from(of.as_micros()).unwrap_or(u64::MAX);
    sums.p95_us = p95(&connect).map(micros);
    sums.request_p95_us = p95(&answered).map(micros);
    sums
}

impl Sums {
    fn add_said(&mut self, row: &Row) {
        for of in &row.http {
            self.requests += of.requests;
            self.request_errors += http::errors(of);
            self.said_failed += http::failed(of);
        }
        for of in &row.dns {
            self.questions += of.questions;
            self.questions_failed += dns::failed(of);
            self.said_failed += dns::failed(of);
        }
        for of in &row.kafka {
            self.kafka += of.produces + of.fetches + of.others;
            self.said_failed += kafka::failed(of);
        }
        for of in &row.tls {
            let alerts = of.client_alerts.iter().chain(&of.server_alerts);
            self.said_failed += of.unfinished + alerts.map(|of| of.count).sum::<u64>();
        }
    }
}

#[cfg(test)]
mod tests;
