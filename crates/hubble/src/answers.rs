//! Answers to questions, out of rows: of this node, or of all of them.

pub mod dns;
mod exposed;
mod failing;
pub mod http;
pub mod kafka;
mod led_on;
mod pairs;
mod resolved;
mod sentence;
mod spans;
pub mod unread;
pub mod words;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use api::hubble::Timestamp;
use api::hubble::answers::answers_server::Answers as Service;
use api::hubble::answers::{
    Completeness, DnsAnswer, Edge, ExposedAnswer, FailingAnswer, HttpAnswer, KafkaAnswer,
    MapAnswer, Part, Question, ResolvedAnswer, Row, Side, Span, SpansQuestion,
};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::edges::is_meant;
use crate::recorder::Recorder;
use crate::rollup::{attempts, by_edge};
use pairs::{Pair, pairs};

/// Octets of the rows of one message of a stream; clients take 4 MiB.
const OCTETS: usize = 1 << 20;

/// Rows of one node or of several, and of whom they are.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// In any order; several may be of the same edge.
    pub rows: Vec<Row>,
    /// Records that came, those of rows that were not asked for included.
    pub seen: u64,
    /// Records that never came.
    pub lost: u64,
    /// Nodes that answered.
    pub nodes: u32,
    /// Nodes that did not.
    pub missing: Vec<String>,
    /// Clusters that were asked for and did not.
    pub missing_clusters: Vec<String>,
    /// Pairs of ends that whoever asks may not see.
    pub withheld: u64,
    /// From when all of them have anything, nanoseconds since the Unix epoch.
    pub known_since_ns: u64,
}

impl Gathered {
    /// Adds what a node has.
    pub fn add(&mut self, part: Part) {
        self.rows.extend(part.rows);
        self.seen = self.seen.saturating_add(part.seen);
        self.lost = self.lost.saturating_add(part.lost);
        self.withheld = self.withheld.saturating_add(part.withheld);
        self.known_since_ns = self.known_since_ns.max(part.known_since_ns);
    }

    /// Adds what others have.
    pub(crate) fn join(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.seen = self.seen.saturating_add(other.seen);
        self.lost = self.lost.saturating_add(other.lost);
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.missing.extend(other.missing);
        self.missing_clusters.extend(other.missing_clusters);
        self.withheld = self.withheld.saturating_add(other.withheld);
        self.known_since_ns = self.known_since_ns.max(other.known_since_ns);
    }
}

/// Who has the rows that answers are made of.
pub trait Rows: Send + Sync + 'static {
    /// The rows of the time that is asked for, as far as whoever sent the request with this metadata may see them.
    fn rows(
        &self,
        question: Question,
        asker: &MetadataMap,
    ) -> impl Future<Output = Result<Gathered, Status>> + Send;

    /// The spans that are asked for, if it is one node that has them.
    fn spans(&self, _: SpansQuestion) -> Result<BoxStream<'static, Result<Span, Status>>, Status> {
        Err(Status::unimplemented("nodes have spans"))
    }
}

/// This node.
pub struct OwnNode(pub Arc<Recorder>);

impl Rows for OwnNode {
    async fn rows(&self, question: Question, _: &MetadataMap) -> Result<Gathered, Status> {
        if !question.cluster.is_empty() {
            return Err(Status::invalid_argument(
                "cluster: a node knows of its own cluster only; ask a relay",
            ));
        }
        let seconds = |time: Option<Timestamp>, absent: u64| {
            time.map_or(absent, |time| u64::try_from(time.seconds).unwrap_or(0))
        };
        let since = seconds(question.since, 0);
        // The second in which it ends is in it.
        let until = seconds(question.until, u64::MAX - 1) + 1;
        let recorder = Arc::clone(&self.0);
        // A week of minutes is read from a disk, on which nobody else waits.
        let read = tokio::task::spawn_blocking(move || recorder.rollup().rows(since, until)).await;
        let part = read
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| {
                tracing::warn!(%error, "a question is not answered");
                Status::internal(error.to_string())
            })?;
        let mut gathered = Gathered {
            nodes: 1,
            ..Gathered::default()
        };
        gathered.add(part);
        Ok(gathered)
    }

    fn spans(
        &self,
        question: SpansQuestion,
    ) -> Result<BoxStream<'static, Result<Span, Status>>, Status> {
        spans::read(Arc::clone(&self.0), &question)
    }
}

/// Answers out of rows.
pub struct Answers<R> {
    rows: Arc<R>,
}

impl<R> Clone for Answers<R> {
    fn clone(&self) -> Self {
        Self {
            rows: Arc::clone(&self.rows),
        }
    }
}

/// What a question is answered of.
struct Known {
    question: Question,
    /// Edges as one side sees them, each once.
    rows: HashMap<Edge, Row>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    completeness: Completeness,
}

impl<R: Rows> Answers<R> {
    /// Answers out of these rows.
    pub fn new(rows: Arc<R>) -> Self {
        Self { rows }
    }

    async fn know(&self, request: Request<Question>) -> Result<Known, Status> {
        let (asker, _, question) = request.into_parts();
        check(&question)?;
        let mut gathered = self.rows.rows(question.clone(), &asker).await?;
        led_on::join(&mut gathered.rows);
        let rows = by_edge(gathered.rows.drain(..).filter(|row| {
            let edge = row.edge.as_ref();
            edge.is_some_and(|edge| may_be_asked(edge, &question))
        }));
        let known_since = from_ns(gathered.known_since_ns);
        let mut known = Known {
            since: question.since.max(known_since),
            until: question.until.or_else(|| Some(SystemTime::now().into())),
            completeness: completeness(&gathered),
            question,
            rows,
        };
        let (said, unknown) = pairs::said(&known.pairs());
        (known.completeness.said, known.completeness.unknown) = (said, unknown);
        Ok(known)
    }
}

#[tonic::async_trait]
impl<R: Rows> Service for Answers<R> {
    type GetRowsStream = BoxStream<'static, Result<Part, Status>>;
    type GetSpansStream = BoxStream<'static, Result<Span, Status>>;

    async fn get_spans(
        &self,
        request: Request<SpansQuestion>,
    ) -> Result<Response<Self::GetSpansStream>, Status> {
        self.rows.spans(request.into_inner()).map(Response::new)
    }

    async fn get_rows(
        &self,
        request: Request<Question>,
    ) -> Result<Response<Self::GetRowsStream>, Status> {
        let (asker, _, question) = request.into_parts();
        check(&question)?;
        let mut gathered = self.rows.rows(question.clone(), &asker).await?;
        gathered.rows.retain(|row| {
            let edge = row.edge.as_ref();
            edge.is_some_and(|edge| may_be_asked(edge, &question))
        });
        // The first part says what there is, even if no row is.
        let mut parts = vec![Part {
            rows: Vec::new(),
            seen: gathered.seen,
            lost: gathered.lost,
            known_since_ns: gathered.known_since_ns,
            nodes: gathered.nodes,
            missing: gathered.missing,
            withheld: gathered.withheld,
        }];
        parts.extend(parts_of(gathered.rows));
        Ok(Response::new(stream::iter(parts).map(Ok).boxed()))
    }

    async fn map(&self, request: Request<Question>) -> Result<Response<MapAnswer>, Status> {
        let known = self.know(request).await?;
        let mut edges: Vec<Row> = known.pairs().iter().map(Pair::summed).collect();
        edges.sort_by_cached_key(|row| {
            let counters = row.counters.unwrap_or_default();
            let busy = attempts(&counters).max(counters.answered);
            (std::cmp::Reverse(busy), format!("{:?}", row.edge))
        });
        limit(&mut edges, &known.question);
        Ok(Response::new(MapAnswer {
            since: known.since,
            until: known.until,
            edges,
            completeness: Some(known.completeness),
        }))
    }

    async fn failing(&self, request: Request<Question>) -> Result<Response<FailingAnswer>, Status> {
        let known = self.know(request).await?;
        let mut failures = failing::failures(&known.pairs(), &known.completeness);
        failures.retain(|failure| known.question.resets || !failing::is_end(failure));
        limit(&mut failures, &known.question);
        Ok(Response::new(FailingAnswer {
            since: known.since,
            until: known.until,
            failures,
            completeness: Some(known.completeness),
        }))
    }

    async fn exposed(&self, request: Request<Question>) -> Result<Response<ExposedAnswer>, Status> {
        let known = self.know(request).await?;
        let mut exposures = exposed::exposures(&known.pairs());
        limit(&mut exposures, &known.question);
        Ok(Response::new(ExposedAnswer {
            since: known.since,
            until: known.until,
            exposures,
            completeness: Some(known.completeness),
        }))
    }

    async fn http(&self, request: Request<Question>) -> Result<Response<HttpAnswer>, Status> {
        let known = self.know(request).await?;
        let pairs = known.pairs();
        let mut requests = http::requests(&pairs, &known.question);
        let encrypted = pairs::handshakes(&pairs);
        let mut unread = unread::unread(&pairs);
        limit(&mut requests, &known.question);
        limit(&mut unread, &known.question);
        Ok(Response::new(HttpAnswer {
            since: known.since,
            until: known.until,
            requests,
            completeness: Some(known.completeness),
            encrypted,
            unread,
        }))
    }

    async fn dns(&self, request: Request<Question>) -> Result<Response<DnsAnswer>, Status> {
        let known = self.know(request).await?;
        let mut lookups = dns::lookups(&known.pairs(), &known.question);
        limit(&mut lookups, &known.question);
        Ok(Response::new(DnsAnswer {
            since: known.since,
            until: known.until,
            lookups,
            completeness: Some(known.completeness),
        }))
    }

    async fn kafka(&self, request: Request<Question>) -> Result<Response<KafkaAnswer>, Status> {
        let known = self.know(request).await?;
        let mut topics = kafka::topics(&known.pairs(), &known.question);
        limit(&mut topics, &known.question);
        Ok(Response::new(KafkaAnswer {
            since: known.since,
            until: known.until,
            topics,
            completeness: Some(known.completeness),
        }))
    }

    async fn resolved(
        &self,
        request: Request<Question>,
    ) -> Result<Response<ResolvedAnswer>, Status> {
        let known = self.know(request).await?;
        let mut resolutions = resolved::resolutions(&known.pairs(), &known.question);
        limit(&mut resolutions, &known.question);
        Ok(Response::new(ResolvedAnswer {
            since: known.since,
            until: known.until,
            resolutions,
            completeness: Some(known.completeness),
        }))
    }
}

impl Known {
    /// Each edge that is asked for once, with what both nodes saw of it.
    fn pairs(&self) -> Vec<Pair<'_>> {
        let mut pairs = pairs(&self.rows);
        pairs.retain(|pair| is_asked(pair.edge, &self.question));
        pairs
    }
}

/// Rows as messages of a stream.
fn parts_of(rows: Vec<Row>) -> Vec<Part> {
    let (mut parts, mut part, mut octets) = (Vec::new(), Part::default(), 0);
    for row in rows {
        octets += row.encoded_len();
        part.rows.push(row);
        if octets >= OCTETS {
            parts.push(std::mem::take(&mut part));
            octets = 0;
        }
    }
    parts.push(part);
    parts
}

fn limit<T>(entries: &mut Vec<T>, question: &Question) {
    if question.limit > 0 {
        entries.truncate(question.limit as usize);
    }
}

fn from_ns(nanoseconds: u64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| Timestamp::from_unix_nanos(nanoseconds))
}

/// A question that cannot be meant is refused by the name of its field.
fn check(question: &Question) -> Result<(), Status> {
    if let (Some(since), Some(until)) = (question.since, question.until)
        && since > until
    {
        return Err(Status::invalid_argument("since: it is after until"));
    }
    for (field, value) in [("from", &question.from), ("to", &question.to)] {
        if value.starts_with('/') {
            return Err(Status::invalid_argument(format!(
                "{field}: {value:?} has no namespace; use NAMESPACE/NAME, NAMESPACE/ or a name"
            )));
        }
    }
    Ok(())
}

fn is_asked(edge: &Edge, question: &Question) -> bool {
    let (source, destination) = (edge.source.as_ref(), edge.destination.as_ref());
    let of = |party: Option<&api::hubble::answers::Party>| {
        party.is_some_and(|party| party.namespace == question.namespace)
    };
    is_meant(source, &question.from)
        && (is_meant(destination, &question.to) || edge.service == question.to)
        && (question.namespace.is_empty() || of(source) || of(destination))
}

/// Whether it is asked for as far as its node can tell: the node of who was asked does not know by which service, nor who is behind
/// a node.
pub(crate) fn may_be_asked(edge: &Edge, question: &Question) -> bool {
    let is_of_a_node = led_on::is_of_a_node(edge);
    let namespace = question.to.split_once('/').map(|(namespace, _)| namespace);
    let destination = edge.destination.as_ref();
    let is_near = destination.is_some_and(|of| Some(of.namespace.as_str()) == namespace);
    let mut wide = question.clone();
    if is_near && (is_of_a_node || edge.side() == Side::Server) {
        wide.to.clear();
    }
    if is_of_a_node {
        wide.from.clear();
    }
    is_asked(edge, &wide)
}

/// Whether a pattern means a text: `*` stands for any letters, and an empty pattern for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else {
        return pattern.is_empty() || text == pattern;
    };
    let Some(mut left) = text.strip_prefix(front) else {
        return false;
    };
    let (middle, back) = rest.rsplit_once('*').map_or(("", rest), |(a, b)| (a, b));
    for part in middle.split('*') {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(back)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a share, which nobody reads to the last digit"
)]
fn completeness(gathered: &Gathered) -> Completeness {
    let all = gathered.seen.saturating_add(gathered.lost);
    Completeness {
        share: if all == 0 {
            1.0
        } else {
            gathered.seen as f64 / all as f64
        },
        lost: gathered.lost,
        nodes: gathered.nodes,
        missing: gathered.missing.clone(),
        missing_clusters: gathered.missing_clusters.clone(),
        withheld: gathered.withheld,
        known_since: from_ns(gathered.known_since_ns),
        ..Completeness::default()
    }
}

#[cfg(test)]
mod tests;
