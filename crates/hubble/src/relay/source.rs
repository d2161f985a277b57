//! The replies of one node to one request, as they come.

use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use prost::bytes::Bytes;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{KeyAndValueRef, MetadataMap},
};

use super::{link::Link, wire::Raw};

/// Whether silence is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// There is nothing to wait for: who says nothing for so long hangs.
    Short(Duration),
    /// It has to wait for what will happen.
    Endless,
}

enum Progress {
    Asking(Request<Bytes>),
    Reading(Box<Streaming<Bytes>>),
    Ended,
}

/// Asks a node for flows. The stream ends after an error, or when the node has ended its own.
pub(super) fn replies(
    link: Link,
    request: Request<Bytes>,
    patience: Patience,
) -> BoxStream<'static, Result<Bytes, Status>> {
    let start = (link, Progress::Asking(request));
    futures::stream::unfold(start, move |(link, progress)| async move {
        let lost = link.lost();
        let step = async {
            match patience {
                Patience::Endless => step(&link, progress).await,
                Patience::Short(limit) => tokio::time::timeout(limit, step(&link, progress))
                    .await
                    .unwrap_or_else(|_| {
                        Err(Status::deadline_exceeded(format!(
                            "no answer within {limit:?}"
                        )))
                    }),
            }
        };
        let step = tokio::select! {
            biased;
            step = step => step,
            () = lost.cancelled() => Err(Status::unavailable("the connection is lost")),
        };
        match step {
            Ok(Some((reply, progress))) => Some((Ok(reply), (link, progress))),
            Ok(None) => None,
            Err(status) => Some((Err(status), (link, Progress::Ended))),
        }
    })
    .boxed()
}

async fn step(link: &Link, progress: Progress) -> Result<Option<(Bytes, Progress)>, Status> {
    let mut stream = match progress {
        Progress::Ended => return Ok(None),
        Progress::Reading(stream) => stream,
        Progress::Asking(request) => {
            let mut client = Grpc::with_origin(link.clone(), link.origin());
            client
                .ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static("/observer.Observer/GetFlows");
            let response = client.server_streaming(request, path, Raw).await?;
            Box::new(response.into_inner())
        }
    };
    let reply = stream.message().await?;
    Ok(reply.map(|reply| (reply, Progress::Reading(stream))))
}

/// What a client's request carried beside its message, without what belongs to the connection.
pub(super) fn carried(metadata: &MetadataMap) -> MetadataMap {
    let mut carried = MetadataMap::new();
    for entry in metadata.iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) if !is_of_the_connection(key.as_str()) => {
                carried.append(key.clone(), value.clone());
            }
            KeyAndValueRef::Binary(key, value) => {
                carried.append_bin(key.clone(), value.clone());
            }
            KeyAndValueRef::Ascii(..) => {}
        }
    }
    carried
}

fn is_of_the_connection(key: &str) -> bool {
    key.starts_with("grpc-")
        || matches!(
            key,
            "te" | "content-type" | "content-length" | "user-agent" | "host" | "accept-encoding"
        )
}

/// The error as clients print it.
pub(super) fn text(status: &Status) -> String {
    match status.code() {
        Code::Unknown => status.message().to_owned(),
        code => format!("{code:?}: {}", status.message()),
    }
}

/// Whether the same request would be refused again.
pub(super) fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated
    )
}
