//! Talks to a collector: one message, one answer.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
    metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap},
    transport::{Channel, Endpoint},
};

use super::settings::{Collector, Settings};
use crate::relay::{ClientFiles, Raw, set_options};
use crate::tls::Files;

/// How long a connection may take, and how long an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// What all three services answer: they number these fields alike.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// How many items were not taken.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected: i64,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// Details of a status (`google.rpc.Status`), as far as they are read.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<pbjson_types::Any>,
}

/// When to try again (`google.rpc.RetryInfo`).
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<pbjson_types::Duration>,
}

/// Whether a message may be taken another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It will not.
    Never,
    /// It may.
    Soon,
    /// It may after this time, the collector says.
    After(Duration),
}

/// Why a message was not taken.
#[derive(Debug)]
pub(super) struct NotTaken {
    pub(super) reason: String,
    pub(super) again: Again,
}

impl NotTaken {
    fn for_now(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            again: Again::Soon,
        }
    }
}

impl From<Status> for NotTaken {
    /// Which codes are worth another try, OTLP says.
    fn from(status: Status) -> Self {
        let said = delay_of(&status).map(Again::After);
        let again = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => said.unwrap_or(Again::Soon),
            // Only who says when wants it again.
            Code::ResourceExhausted => said.unwrap_or(Again::Never),
            // What carries the call failed, not the collector.
            Code::Unknown if std::error::Error::source(&status).is_some() => Again::Soon,
            _ => Again::Never,
        };
        let reason = match std::error::Error::source(&status) {
            Some(error) => cause(error),
            None => format!("{:?}: {}", status.code(), status.message()),
        };
        Self { reason, again }
    }
}

fn delay_of(status: &Status) -> Option<Duration> {
    let all = Details::decode(status.details()).ok()?.details;
    let info = all
        .iter()
        .find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.clone()).ok()?.delay?;
    let nanos = u32::try_from(delay.nanos).ok()?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos))
}

/// A collector; connected when there is something to send, and again when that is lost.
pub(super) struct Client {
    grpc: Grpc<Channel>,
    headers: Option<PathBuf>,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Self {
        let collector = settings.collector.clone();
        let files = settings.tls.clone().map(Arc::new);
        // What is connected to says the connector; what is asked for is in the requests.
        let endpoint = Endpoint::from(Uri::from_static("http://collector"))
            .origin(collector.origin.clone())
            .user_agent(concat!("axoneme/", env!("CARGO_PKG_VERSION")));
        let endpoint = endpoint.unwrap_or_else(|_| Endpoint::from_static("http://collector"));
        let connector = tower::service_fn(move |_: Uri| connect(collector.clone(), files.clone()));
        Self {
            grpc: Grpc::new(endpoint.connect_with_connector_lazy(connector)),
            headers: settings.headers.clone(),
        }
    }

    /// Sends one message to a service's method.
    pub(super) async fn export(
        &mut self,
        path: &'static str,
        message: Bytes,
    ) -> Result<PartialSuccess, NotTaken> {
        let mut request = Request::new(message);
        if let Some(file) = &self.headers {
            // Read each time: who changes them need not tell anybody.
            *request.metadata_mut() = headers(file).await.map_err(NotTaken::for_now)?;
        }
        let calling = async {
            let ready = self.grpc.ready().await;
            ready.map_err(|error| NotTaken::for_now(cause(&error)))?;
            let path = PathAndQuery::from_static(path);
            let answer = self.grpc.unary(request, path, Raw).await;
            answer.map_err(NotTaken::from)
        };
        let answer = timeout(LIMIT, calling)
            .await
            .map_err(|_| NotTaken::for_now(format!("no answer within {LIMIT:?}")))??;
        let answer = Answer::decode(answer.into_inner())
            .map_err(|error| NotTaken::for_now(format!("the answer is none: {error}")))?;
        Ok(answer.partial_success.unwrap_or_default())
    }
}

/// The innermost reason, which says most.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn connect(
    to: Collector,
    files: Option<Arc<ClientFiles>>,
) -> std::io::Result<TokioIo<Box<dyn Io>>> {
    let failed = |error: String| std::io::Error::other(error);
    let connecting = async {
        let stream = TcpStream::connect(&to.address).await?;
        set_options(&stream)?;
        let Some(name) = to.server_name else {
            return Ok(TokioIo::new(Box::new(stream) as Box<dyn Io>));
        };
        // Read for each connection: certificates change, and there are few connections.
        let files = files.ok_or_else(|| failed("there are no certificates".into()))?;
        let config = files.load().map_err(|error| failed(error.to_string()))?;
        let name = ServerName::try_from(name).map_err(|error| failed(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await?;
        Ok(TokioIo::new(Box::new(stream) as Box<dyn Io>))
    };
    let limited = timeout(LIMIT, connecting).await;
    limited.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Reads a file of headers: a line `NAME: VALUE` each, empty ones and those with `#` left out.
async fn headers(file: &Path) -> Result<MetadataMap, String> {
    let failed = |reason: String| format!("headers of {}: {reason}", file.display());
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|error| failed(error.to_string()))?;
    parse_headers(&text).map_err(failed)
}

/// An error names the line and says nothing of its value, which is a secret.
fn parse_headers(text: &str) -> Result<MetadataMap, String> {
    let mut headers = MetadataMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = AsciiMetadataKey::from_bytes(name.trim().to_lowercase().as_bytes()).ok()?;
            Some((name, AsciiMetadataValue::try_from(value.trim()).ok()?))
        });
        let (name, mut value) = parsed.ok_or_else(|| format!("line {number} is no NAME: VALUE"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
