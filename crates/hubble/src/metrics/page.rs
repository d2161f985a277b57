//! The page of flow metrics for Prometheus, over plain text or TLS.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{Stream, StreamExt, stream::BoxStream};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

use super::Shown;
use crate::server::{Acceptor, Security, ServeError};

/// Media type of a page in the format that can show exemplars.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// In which formats the page can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Formats {
    /// The text format of Prometheus.
    #[default]
    Plain,
    /// Also OpenMetrics, for those who ask for it; only there exemplars are seen.
    OpenMetrics,
}

/// An open socket; connections wait until it serves.
pub struct Page {
    listener: TcpListener,
    acceptor: Option<Acceptor>,
}

impl Page {
    /// Opens the socket and reads the certificates.
    pub async fn bind(address: SocketAddr, security: Security) -> Result<Self, ServeError> {
        let acceptor = match security {
            Security::Plain => None,
            Security::Tls(files) => Some(Acceptor::for_pages(files)?),
        };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen {
                address: address.to_string(),
                source,
            })?;
        Ok(Self { listener, acceptor })
    }

    /// The address, with the port that was chosen.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves `GET /metrics` until `shutdown`.
    pub async fn serve(
        self,
        registry: Registry,
        formats: Formats,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let routes = routes(registry, formats);
        let end = shutdown.cancelled_owned();
        match self.acceptor {
            None => {
                axum::serve(self.listener, routes)
                    .with_graceful_shutdown(end)
                    .await
            }
            Some(acceptor) => {
                let address = self.listener.local_addr()?;
                let connections = acceptor.accept(TcpListenerStream::new(self.listener));
                let listener = Encrypted::new(connections, address);
                axum::serve(listener, routes)
                    .with_graceful_shutdown(end)
                    .await
            }
        }
    }
}

/// Connections after their handshake.
struct Encrypted {
    connections: BoxStream<'static, io::Result<TlsStream<TcpStream>>>,
    address: SocketAddr,
}

impl Encrypted {
    fn new(
        connections: impl Stream<Item = io::Result<TlsStream<TcpStream>>> + Send + 'static,
        address: SocketAddr,
    ) -> Self {
        let connections = connections.boxed();
        Self {
            connections,
            address,
        }
    }
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => return (connection, self.address),
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// All families, those of this page included.
pub fn registry(shown: Shown) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(shown));
    registry
}

type Codes<M> = Family<[(&'static str, &'static str); 1], M>;

struct Served {
    registry: Registry,
    formats: Formats,
    requests: Codes<Counter>,
    durations: Codes<Histogram>,
}

fn routes(mut registry: Registry, formats: Formats) -> Router {
    const BUCKETS: [f64; 11] = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];
    let requests = Codes::<Counter>::default();
    let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _);
    registry.register(
        "hubble_metrics_http_handler_requests",
        "Requests for this page",
        requests.clone(),
    );
    registry.register(
        "hubble_metrics_http_handler_request_duration_seconds",
        "Time to write this page",
        durations.clone(),
    );
    let served = Served {
        registry,
        formats,
        requests,
        durations,
    };
    Router::new()
        .route("/metrics", get(page))
        .with_state(Arc::new(served))
}

async fn page(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response {
    let begun = Instant::now();
    let accepted = headers.get_all(header::ACCEPT).iter();
    let asked = accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(OPEN_METRICS));
    let written = if asked && served.formats == Formats::OpenMetrics {
        open_metrics(&served.registry)
    } else {
        Ok(daemon::metrics::page(&served.registry).into_response())
    };
    let (code, response) = match written {
        Ok(response) => ("200", response),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            let code = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            ("500", code.into_response())
        }
    };
    let labels = [("code", code)];
    served.requests.get_or_create(&labels).inc();
    let took = begun.elapsed().as_secs_f64();
    served.durations.get_or_create(&labels).observe(took);
    response
}

fn open_metrics(registry: &Registry) -> Result<Response, fmt::Error> {
    let mut body = String::new();
    text::encode(&mut body, registry)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

#[cfg(test)]
mod tests;
