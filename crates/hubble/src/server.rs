//! The gRPC server of a node: observer, answers, peers, health and reflection over a unix socket and TCP.

mod tcp;
mod tls;
mod unix;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use api::hubble::{
    answers::answers_server::AnswersServer, observer::observer_server::ObserverServer,
    peer::peer_server::PeerServer,
};
use thiserror::Error;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    codegen::http::{HeaderValue, Response},
    service::Routes,
    transport::server::Server as Transport,
};
use tower::util::MapResponseLayer;

pub use crate::tls::TlsError;
use crate::{
    answers::{Answers, OwnNode},
    observer::Observer,
    peer::PeerService,
    recorder::Recorder,
};
pub(crate) use tcp::Tcp;
pub(crate) use tls::Acceptor;
pub use tls::TlsFiles;

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
    recorder: Option<Arc<Recorder>>,
    unix: Option<unix::Socket>,
    tcp: Option<Tcp>,
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
            Some((address, security)) => Some(Tcp::bind(address, security).await?),
            None => None,
        };
        Ok(Self {
            observer,
            peers,
            recorder: None,
            unix,
            tcp,
        })
    }

    /// The same, with answers out of what `recorder` has counted.
    pub fn answering(self, recorder: Arc<Recorder>) -> Self {
        Self {
            recorder: Some(recorder),
            ..self
        }
    }

    /// Address of the TCP socket, with the port that was chosen.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(Tcp::address)
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        for name in ["", HEALTH_SERVICE] {
            health
                .set_service_status(name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let routes = with_reflection(Routes::new(health_service))?
            .add_service(ObserverServer::new(self.observer))
            .add_service(PeerServer::new(self.peers));
        let routes = match self.recorder {
            Some(recorder) => {
                let answers = Answers::new(Arc::new(OwnNode(recorder)));
                routes.add_service(AnswersServer::new(answers))
            }
            None => routes,
        };
        tokio::try_join!(serve_unix(self.unix, routes.clone(), &shutdown), async {
            match self.tcp {
                Some(tcp) => tcp.serve(routes, VERSION_HEADER, &shutdown).await,
                None => Ok(()),
            }
        },)
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
        .layer(MapResponseLayer::new(|response| {
            with_version(VERSION_HEADER, response)
        }))
        .add_routes(routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), shutdown.cancelled())
        .await;
    unix::remove(&path);
    let address = path.display().to_string();
    served.map_err(|source| ServeError::Serve { address, source })
}

/// Adds server reflection of all our definitions and of health, in both of its versions.
pub(crate) fn with_reflection(routes: Routes) -> Result<Routes, tonic_reflection::server::Error> {
    let definitions = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::hubble::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(definitions().build_v1()?)
        .add_service(definitions().build_v1alpha()?))
}

fn with_version(
    header: &'static str,
    mut response: Response<tonic::body::Body>,
) -> Response<tonic::body::Body> {
    let version = HeaderValue::from_static(crate::VERSION);
    response.headers_mut().insert(header, version);
    response
}

#[cfg(test)]
pub(crate) mod tests;
