//! The gRPC server of a node: observer, peers, health and reflection over a unix socket and TCP.

mod tls;
mod unix;

use std::{io, net::SocketAddr, path::PathBuf};

use api::hubble::{observer::observer_server::ObserverServer, peer::peer_server::PeerServer};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    codegen::http::{HeaderValue, Response},
    service::Routes,
    transport::server::Server as Transport,
};
use tower::util::MapResponseLayer;

use crate::{observer::Observer, peer::PeerService};
pub use tls::{TlsError, TlsFiles};

/// Name under which clients ask for the health of the observer.
pub const HEALTH_SERVICE: &str = "hubble.server.Observer";
/// Response header with the version of the server.
pub const VERSION_HEADER: &str = "hubble-server-version";

/// What the TCP port speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Plain text.
    Plain,
    /// TLS 1.3; clients must show a certificate if there is an authority for it.
    Tls(TlsFiles),
}

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// Path of the unix socket.
    pub socket: Option<PathBuf>,
    /// TCP address, and what it speaks.
    pub tcp: Option<(SocketAddr, Security)>,
}

/// Why the server does not serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A socket could not be opened.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Path or address.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Reflection has no valid definitions.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Serving broke off.
    #[error("serve flows on {address}: {source}")]
    Serve {
        /// Path or address.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// A server with its sockets open; connections wait until it runs.
pub struct Server {
    observer: Observer,
    peers: PeerService,
    unix: Option<unix::Socket>,
    tcp: Option<(TcpListener, Option<tls::Acceptor>)>,
}

impl Server {
    /// Opens the sockets and reads the certificates.
    pub async fn bind(
        observer: Observer,
        peers: PeerService,
        listen: Listen,
    ) -> Result<Self, ServeError> {
        let unix = match listen.socket {
            Some(path) => Some(unix::Socket::bind(path)?),
            None => None,
        };
        let tcp = match listen.tcp {
            None => None,
            Some((address, security)) => {
                let acceptor = match security {
                    Security::Plain => None,
                    Security::Tls(files) => Some(tls::Acceptor::new(files)?),
                };
                let listener =
                    TcpListener::bind(address)
                        .await
                        .map_err(|source| ServeError::Listen {
                            address: address.to_string(),
                            source,
                        })?;
                Some((listener, acceptor))
            }
        };
        Ok(Self {
            observer,
            peers,
            unix,
            tcp,
        })
    }

    /// Address of the TCP socket, with the port that was chosen.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp
            .as_ref()
            .and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        for name in ["", HEALTH_SERVICE] {
            health
                .set_service_status(name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let definitions = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(api::hubble::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(health_service)
            .add_service(ObserverServer::new(self.observer))
            .add_service(PeerServer::new(self.peers))
            .add_service(definitions().build_v1()?)
            .add_service(definitions().build_v1alpha()?);
        tokio::try_join!(
            serve_unix(self.unix, routes.clone(), &shutdown),
            serve_tcp(self.tcp, routes, &shutdown),
        )
        .map(|_| ())
    }
}

async fn serve_unix(
    socket: Option<unix::Socket>,
    routes: Routes,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    let Some(unix::Socket { listener, path }) = socket else {
        return Ok(());
    };
    let served = Transport::builder()
        .layer(MapResponseLayer::new(with_version))
        .add_routes(routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), shutdown.cancelled())
        .await;
    unix::remove(&path);
    let address = path.display().to_string();
    served.map_err(|source| ServeError::Serve { address, source })
}

async fn serve_tcp(
    socket: Option<(TcpListener, Option<tls::Acceptor>)>,
    routes: Routes,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    let Some((listener, acceptor)) = socket else {
        return Ok(());
    };
    let address = listener
        .local_addr()
        .map_or_else(|_| "tcp".into(), |address| address.to_string());
    let connections = TcpListenerStream::new(listener);
    let router = Transport::builder()
        .layer(MapResponseLayer::new(with_version))
        .add_routes(routes);
    let end = shutdown.cancelled();
    let served = match acceptor {
        None => router.serve_with_incoming_shutdown(connections, end).await,
        Some(acceptor) => {
            let connections = acceptor.accept(connections);
            router.serve_with_incoming_shutdown(connections, end).await
        }
    };
    served.map_err(|source| ServeError::Serve { address, source })
}

fn with_version(mut response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    let version = HeaderValue::from_static(crate::VERSION);
    response.headers_mut().insert(VERSION_HEADER, version);
    response
}

#[cfg(test)]
mod tests;
