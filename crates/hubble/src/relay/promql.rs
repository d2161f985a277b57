//! The HTTP query API of Prometheus over the counts of all nodes: what a dashboard asks.

mod gather;
mod json;
mod parameters;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use promql::{Error, ErrorKind, Labels, Limits, Matcher, NAME, Value};
use tokio::sync::Semaphore;

use super::answers::Nodes;
use super::web;
use crate::series::{Counts, FAMILIES, Times, wanted};
pub(super) use json::{Failure, data, number, object, with_exponent};
use parameters::Parameters;

/// Queries that are answered at a time; the others wait.
const QUERIES: usize = 4;
/// How long a query may take that does not say.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Samples of one query: 16 bytes each. Prometheus' default is 50 million; a relay is to be smaller.
const SAMPLES: u64 = 20_000_000;

/// Answers to queries.
#[derive(Clone)]
pub(super) struct Queries {
    nodes: Arc<Nodes>,
    running: Arc<Semaphore>,
}

/// An answer, and what has to be said about it.
pub(super) struct Answered<T> {
    /// The answer.
    pub(super) answer: T,
    /// Why it may be too small.
    pub(super) warnings: Vec<String>,
}

impl Queries {
    /// Queries over the counts of these nodes.
    pub(super) fn new(nodes: Arc<Nodes>) -> Self {
        Self {
            nodes,
            running: Arc::new(Semaphore::new(QUERIES)),
        }
    }

    /// What a query is at one time, milliseconds since the Unix epoch.
    pub(super) async fn instant(
        &self,
        query: &str,
        time: i64,
        timeout: Duration,
    ) -> Result<Answered<Value>, Error> {
        let expr = promql::parse(query)?;
        self.evaluate(expr, (time, time), timeout, move |expr, counts, limits| {
            promql::instant(expr, time, counts, limits)
        })
        .await
    }

    async fn range(
        &self,
        query: &str,
        times: (i64, i64),
        step: i64,
        timeout: Duration,
    ) -> Result<Answered<Value>, Error> {
        let expr = promql::parse(query)?;
        let evaluate = move |expr: &_, counts: &Counts, limits: &Limits<'_>| {
            promql::range(expr, times, step, counts, limits).map(Value::Matrix)
        };
        self.evaluate(expr, times, timeout, evaluate).await
    }

    async fn evaluate(
        &self,
        expr: promql::ast::Expr,
        (start, end): (i64, i64),
        timeout: Duration,
        how: impl FnOnce(&promql::ast::Expr, &Counts, &Limits<'_>) -> Result<Value, Error>
        + Send
        + 'static,
    ) -> Result<Answered<Value>, Error> {
        let deadline = Instant::now() + timeout;
        let _one_of_few = self
            .running
            .acquire()
            .await
            .map_err(|error| Error::execution(error.to_string()))?;
        let extent = promql::extent(&expr, start, end);
        let families = wanted(&promql::selectors(&expr));
        let (counts, warnings) = self.counts(extent, families, deadline).await?;
        let work = move || {
            let is_over = || Instant::now() >= deadline;
            let limits = Limits {
                samples: SAMPLES,
                is_over: &is_over,
                ..Limits::default()
            };
            how(&expr, &counts, &limits)
        };
        let answer = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::execution(error.to_string()))??;
        Ok(Answered { answer, warnings })
    }

    /// Series of the nodes for values of a time, milliseconds since the Unix epoch.
    async fn counts(
        &self,
        extent: Option<(i64, i64)>,
        families: Vec<&'static crate::series::Family>,
        deadline: Instant,
    ) -> Result<(Counts, Vec<String>), Error> {
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        let times = extent
            .filter(|_| !families.is_empty())
            .and_then(|(from, until)| Times::new(from, until, now));
        let Some(times) = times else {
            return Ok((Counts::new(Times::NONE, Vec::new()), Vec::new()));
        };
        gather::gather(&self.nodes, times, families, deadline).await
    }

    /// The labels of all series of a time that one of `selectors` means; of all series if there is none.
    async fn labels(
        &self,
        times: (i64, i64),
        selectors: Vec<Vec<Matcher>>,
    ) -> Result<Answered<Vec<Labels>>, Error> {
        let _one_of_few = self
            .running
            .acquire()
            .await
            .map_err(|error| Error::execution(error.to_string()))?;
        let families = if selectors.is_empty() {
            FAMILIES.iter().collect()
        } else {
            wanted(&selectors.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let (counts, warnings) = self
            .counts(Some(times), families, Instant::now() + TIMEOUT)
            .await?;
        let is_meant = |labels: &Labels| {
            selectors.is_empty()
                || selectors
                    .iter()
                    .any(|matchers| Matcher::all(matchers, labels))
        };
        let answer = counts
            .labels()
            .into_iter()
            .filter(|labels| is_meant(labels))
            .cloned()
            .collect();
        Ok(Answered { answer, warnings })
    }
}

/// The routes below `/api/v1`.
pub(super) fn routes(queries: Queries) -> Router {
    Router::new()
        .route("/api/v1/query", get(query).post(query))
        .route("/api/v1/query_range", get(query_range).post(query_range))
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/labels", get(labels).post(labels))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/metadata", get(metadata))
        .route("/api/v1/status/buildinfo", get(build_info))
        .with_state(queries)
        .layer(middleware::from_fn(web::guarded))
}

async fn query(
    State(queries): State<Queries>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let time = parameters.time("time")?.unwrap_or_else(now);
    let timeout = parameters.timeout(TIMEOUT)?;
    let answered = queries
        .instant(parameters.required("query")?, time, timeout)
        .await
        .map_err(of_query)?;
    Ok(json::value(answered, parameters.limit()?))
}

async fn query_range(
    State(queries): State<Queries>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let query = parameters.required("query")?;
    let [start, end] = [parameters.time("start")?, parameters.time("end")?];
    let start =
        start.ok_or_else(|| Failure::bad("invalid parameter \"start\": a time is needed"))?;
    let end = end.ok_or_else(|| Failure::bad("invalid parameter \"end\": a time is needed"))?;
    let step = parameters.step()?;
    let answered = queries
        .range(query, (start, end), step, parameters.timeout(TIMEOUT)?)
        .await
        .map_err(of_query)?;
    Ok(json::value(answered, parameters.limit()?))
}

/// An error of the query's text names the parameter.
fn of_query(error: Error) -> Failure {
    let message = match error.kind {
        ErrorKind::Bad => format!("invalid parameter \"query\": {}", error.message),
        _ => error.message,
    };
    Failure::from(Error { message, ..error })
}

/// An hour, milliseconds: how far back series are listed for whom does not say.
const HOUR: i64 = 3_600_000;

async fn listed(
    queries: &Queries,
    parameters: &Parameters,
) -> Result<Answered<Vec<Labels>>, Failure> {
    let end = parameters.time("end")?.unwrap_or_else(now);
    let start = parameters
        .time("start")?
        .unwrap_or(end.min(now()).saturating_sub(HOUR));
    let selectors = parameters
        .all("match[]")
        .map(promql::matchers)
        .collect::<Result<Vec<_>, _>>();
    let selectors = selectors
        .map_err(|error| Failure::bad(format!("invalid parameter \"match[]\": {error}")))?;
    queries
        .labels((start, end), selectors)
        .await
        .map_err(Failure::from)
}

async fn series(
    State(queries): State<Queries>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    if parameters.all("match[]").next().is_none() {
        return Err(Failure::bad("no match[] parameter provided"));
    }
    let Answered {
        mut answer,
        warnings,
    } = listed(&queries, &parameters).await?;
    parameters.cut(&mut answer)?;
    let data: Vec<serde_json::Value> = answer.iter().map(object).collect();
    Ok(json::data(&data, &warnings))
}

async fn labels(
    State(queries): State<Queries>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let Answered { answer, warnings } = listed(&queries, &parameters).await?;
    let names: std::collections::BTreeSet<&str> = answer
        .iter()
        .flat_map(|labels| labels.iter().map(|(name, _)| name))
        .collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    parameters.cut(&mut names)?;
    Ok(json::data(&names, &warnings))
}

async fn label_values(
    State(queries): State<Queries>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    if name == NAME && parameters.all("match[]").next().is_none() {
        // The names of metrics are known without asking anybody.
        let mut names: Vec<String> = FAMILIES
            .iter()
            .flat_map(crate::series::Family::names)
            .collect();
        names.sort();
        parameters.cut(&mut names)?;
        return Ok(json::data(&names, &[]));
    }
    let Answered { answer, warnings } = listed(&queries, &parameters).await?;
    let values: std::collections::BTreeSet<&str> = answer
        .iter()
        .map(|labels| labels.get(&name))
        .filter(|value| !value.is_empty())
        .collect();
    let mut values: Vec<&str> = values.into_iter().collect();
    parameters.cut(&mut values)?;
    Ok(json::data(&values, &warnings))
}

async fn metadata(parameters: Parameters) -> Result<Response, Failure> {
    let wanted = parameters.optional("metric");
    let families = FAMILIES
        .iter()
        .filter(|family| wanted.is_none_or(|name| name == family.name));
    let each = families.map(|family| {
        let kind = if family.is_histogram {
            "histogram"
        } else {
            "counter"
        };
        let entry = serde_json::json!([{ "type": kind, "help": family.help, "unit": "" }]);
        (family.name.to_owned(), entry)
    });
    let data: serde_json::Map<String, serde_json::Value> = each
        .take(parameters.limit()?.unwrap_or(usize::MAX))
        .collect();
    Ok(json::data(&data, &[]))
}

/// Dashboards decide by the version what they may ask: it is that of Prometheus whose language and API are spoken here.
async fn build_info() -> Response {
    let data = serde_json::json!({
        "version": "3.16.0",
        "revision": crate::VERSION,
        "branch": "axoneme",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    json::data(&data, &[])
}

/// Milliseconds since the Unix epoch.
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}
