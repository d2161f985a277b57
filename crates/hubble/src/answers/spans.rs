//! Spans of this node, read while they are sent.

use std::sync::Arc;

use api::hubble::answers::{Span, SpansQuestion};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::recorder::Recorder;
use crate::rollup::Level;

/// Spans that are read before they are sent.
const AHEAD: usize = 4;
/// Most spans of a question: a week of minutes.
const SPANS: u64 = 7 * 24 * 60;

/// The spans of a question.
pub(super) fn read(
    recorder: Arc<Recorder>,
    question: &SpansQuestion,
) -> Result<BoxStream<'static, Result<Span, Status>>, Status> {
    let SpansQuestion {
        base,
        since,
        until,
        seconds,
    } = *question;
    let level = [Level::Ten, Level::Minute, Level::Hour]
        .into_iter()
        .find(|level| level.seconds() == u64::from(seconds));
    let level = level.ok_or_else(|| Status::invalid_argument("seconds: 10, 60 or 3600"))?;
    if base > since || since > until {
        return Err(Status::invalid_argument(
            "base, since and until: each not after the next",
        ));
    }
    if (until - since) / level.seconds() > SPANS {
        return Err(Status::invalid_argument(format!(
            "until: more than {SPANS} spans after since"
        )));
    }
    let (to, spans) = mpsc::channel(AHEAD);
    // What it is read from is a disk, on which nobody else waits. It ends with whoever asks.
    tokio::task::spawn_blocking(move || {
        let each = |span| to.blocking_send(Ok(span)).is_ok();
        if let Err(error) = recorder.rollup().spans((base, since, until), level, each) {
            tracing::warn!(%error, "a question is not answered");
            let _ = to.blocking_send(Err(Status::internal(error.to_string())));
        }
    });
    Ok(ReceiverStream::new(spans).boxed())
}
