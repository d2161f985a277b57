//! Flows as server-sent events, some at a time.

use std::convert::Infallible;
use std::time::Duration;

use api::hubble::observer::{GetFlowsRequest, GetFlowsResponse};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use prost::Message;
use prost::bytes::Bytes;
use serde::Deserialize;
use tonic::Status;

use super::{Web, failed};

/// Between two batches to one client.
const PAUSE: Duration = Duration::from_millis(100);
/// Flows of one batch; what is more waits, at the nodes in the end.
const BATCH: usize = 500;

/// The parameters of the URL.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    /// `observer.GetFlowsRequest` as JSON.
    request: String,
}

/// Events `flows`, each an array of `observer.GetFlowsResponse`; then one `end`, or one `failed` with the reason.
pub(super) async fn stream(
    State(web): State<Web>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let request: GetFlowsRequest = match serde_json::from_str(&parameters.request) {
        Ok(request) => request,
        Err(error) => return failed(&Status::invalid_argument(format!("request: {error}"))),
    };
    let request = web.request(Bytes::from(request.encode_to_vec()), &headers);
    match web.observer.get_flows(request).await {
        Ok(flows) => Sse::new(events(flows.into_inner()))
            .keep_alive(KeepAlive::default())
            .into_response(),
        Err(status) => failed(&status),
    }
}

type Replies = stream::ReadyChunks<stream::BoxStream<'static, Result<Bytes, Status>>>;

fn events(
    replies: stream::BoxStream<'static, Result<Bytes, Status>>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut pace = tokio::time::interval(PAUSE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let start = Some((replies.ready_chunks(BATCH), pace));
    stream::unfold(start, |state| async move {
        let (mut replies, mut pace) = state?;
        pace.tick().await;
        let (events, goes_on) = step(&mut replies).await;
        Some((events, goes_on.then_some((replies, pace))))
    })
    .flat_map(|events| stream::iter(events).map(Ok))
}

/// The next events, and whether others come.
async fn step(replies: &mut Replies) -> (Vec<Event>, bool) {
    // Browsers drop an event without data.
    let end = || Event::default().event("end").data("{}");
    let Some(chunk) = replies.next().await else {
        return (vec![end()], false);
    };
    let mut batch = Vec::with_capacity(chunk.len());
    let mut failure = None;
    for reply in chunk {
        let reply = reply.and_then(|bytes| {
            GetFlowsResponse::decode(bytes).map_err(|error| Status::internal(error.to_string()))
        });
        match reply {
            Ok(reply) => batch.push(reply),
            Err(status) => {
                failure = Some(status);
                break;
            }
        }
    }
    let mut events = Vec::new();
    if !batch.is_empty() {
        match serde_json::to_string(&batch) {
            Ok(text) => events.push(Event::default().event("flows").data(text)),
            Err(error) => failure = Some(Status::internal(error.to_string())),
        }
    }
    let goes_on = failure.is_none();
    events.extend(failure.map(|of| {
        Event::default()
            .event("failed")
            .data(of.message().replace(['\r', '\n'], " "))
    }));
    (events, goes_on)
}
