//! The spans of all nodes, put together as they come; who does not answer in time is named.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use api::hubble::answers::SpansQuestion;
use api::hubble::answers::answers_client::AnswersClient;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use promql::Error;
use tonic::Status;

use super::super::answers::Nodes;
use super::super::link::Link;
use crate::series::{Counts, Edges, Family, Times};

/// Series of all nodes, and what is missing.
pub(super) async fn gather(
    nodes: &Nodes,
    times: Times,
    families: Vec<&'static Family>,
    deadline: Instant,
) -> Result<(Counts, Vec<String>), Error> {
    // Written by one of the questions below at a time, all of which are of this task.
    let counts = Mutex::new(Counts::new(times, families));
    let mut asked: FuturesUnordered<_> = nodes
        .links()
        .into_iter()
        .map(|(name, link)| {
            let counts = &counts;
            async move {
                let answer = match link {
                    None => Err(Status::unavailable("not connected")),
                    Some(link) => {
                        let answer =
                            tokio::time::timeout_at(deadline.into(), ask(link, times, counts))
                                .await;
                        answer
                            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
                    }
                };
                (name, answer)
            }
        })
        .collect();
    let mut missing = Vec::new();
    while let Some((name, answer)) = asked.next().await {
        if let Err(status) = answer {
            tracing::warn!(peer = name, %status, "its spans are missing");
            missing.push(name);
        }
    }
    drop(asked);
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if counts.is_full() {
        return Err(Error::execution(
            "query reads too many counts: ask for a shorter time or for fewer metrics",
        ));
    }
    missing.sort();
    let mut warnings = Vec::new();
    if !missing.is_empty() {
        warnings.push(format!(
            "counts are missing of the nodes {}",
            missing.join(", ")
        ));
    }
    if counts.lost() > 0 {
        warnings.push(format!(
            "{} records were lost, which are not counted",
            counts.lost()
        ));
    }
    Ok((counts, warnings))
}

async fn ask(link: Link, times: Times, counts: &Mutex<Counts>) -> Result<(), Status> {
    let question = SpansQuestion {
        base: times.base,
        since: times.since,
        until: times.until,
        seconds: times.seconds,
    };
    let origin = link.origin();
    let mut client = AnswersClient::with_origin(link, origin).max_decoding_message_size(MESSAGE);
    let mut spans = client.get_spans(question).await?.into_inner();
    let mut edges = Edges::default();
    while let Some(span) = spans.message().await? {
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.add(&mut edges, span);
        if counts.is_full() {
            break;
        }
    }
    Ok(())
}

/// Bytes of a span, at most: 16,384 edges of a node, each with its names.
const MESSAGE: usize = 32 << 20;
