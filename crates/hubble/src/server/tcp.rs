//! A TCP socket that speaks plain text or TLS.

use std::{net::SocketAddr, time::Duration};

use futures::TryStreamExt;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::server::Server as Transport};
use tower::util::MapResponseLayer;

use super::{Security, ServeError, tls, with_version};

/// A client that is gone without a word is noticed by an unanswered ping: a follower of flows says nothing for hours.
const PING_INTERVAL: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// An open socket; connections wait until it serves.
pub(crate) struct Tcp {
    listener: TcpListener,
    acceptor: Option<tls::Acceptor>,
}

impl Tcp {
    /// Opens the socket and reads the certificates.
    pub(crate) async fn bind(address: SocketAddr, security: Security) -> Result<Self, ServeError> {
        let acceptor = match security {
            Security::Plain => None,
            Security::Tls(files) => Some(tls::Acceptor::new(files)?),
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
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until `shutdown`; each answer carries our version in `version_header`.
    pub(crate) async fn serve(
        self,
        routes: Routes,
        version_header: &'static str,
        shutdown: &CancellationToken,
    ) -> Result<(), ServeError> {
        let address = self
            .address()
            .map_or_else(|| "tcp".into(), |address| address.to_string());
        let connections = TcpListenerStream::new(self.listener);
        let router = Transport::builder()
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .layer(MapResponseLayer::new(move |response| {
                with_version(version_header, response)
            }))
            .add_routes(routes);
        let end = shutdown.cancelled();
        let served = match self.acceptor {
            None => {
                // Small answers must not wait for others; a socket that cannot do it is about to fail anyway.
                let connections = connections.inspect_ok(|connection| {
                    let _ = connection.set_nodelay(true);
                });
                router.serve_with_incoming_shutdown(connections, end).await
            }
            Some(acceptor) => {
                let connections = acceptor.accept(connections);
                router.serve_with_incoming_shutdown(connections, end).await
            }
        };
        served.map_err(|source| ServeError::Serve { address, source })
    }
}
