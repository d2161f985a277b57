//! TLS of the TCP port: version 1.3 only, clients verified.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::tls::{Files, Followed, TlsError, authorities, certificates, key};

/// How long a client may take to agree on keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many clients may do so at the same time.
const HANDSHAKES: usize = 256;

/// The files of a server's identity, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the server, then those between it and its authority.
    pub certificate: PathBuf,
    /// Private key of the server.
    pub key: PathBuf,
    /// Authorities of the clients; none means that clients need no certificate.
    pub client_authorities: Vec<PathBuf>,
}

/// The files, and what is spoken inside (RFC 7301).
struct Spoken(TlsFiles, &'static [&'static [u8]]);

/// Turns connections into encrypted ones.
pub(crate) struct Acceptor(Followed<Spoken>);

impl Acceptor {
    /// For gRPC.
    pub(super) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        Followed::new(Spoken(files, &[b"h2"])).map(Self)
    }

    /// For pages, which scrapers mostly fetch by HTTP/1.1.
    pub(crate) fn for_pages(files: TlsFiles) -> Result<Self, TlsError> {
        Followed::new(Spoken(files, &[b"h2", b"http/1.1"])).map(Self)
    }

    /// The connections that got through the handshake; the others are logged and closed.
    pub(crate) fn accept(
        self,
        connections: impl Stream<Item = io::Result<TcpStream>>,
    ) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
        connections
            .map(move |connection| {
                let acceptor = TlsAcceptor::from(self.0.settings());
                async move { handshake(acceptor, connection?).await }
            })
            .buffer_unordered(HANDSHAKES)
            .filter_map(|connection| {
                std::future::ready(match connection {
                    Ok(connection) => Some(Ok(connection)),
                    Err(error) => {
                        tracing::debug!(%error, "a client was refused");
                        None
                    }
                })
            })
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    connection: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    connection.set_nodelay(true)?;
    timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"))?
}

impl Files for Spoken {
    type Settings = ServerConfig;

    fn paths(&self) -> Vec<&Path> {
        let Self(files, _) = self;
        let own = [files.certificate.as_path(), &files.key];
        own.into_iter()
            .chain(files.client_authorities.iter().map(PathBuf::as_path))
            .collect()
    }

    fn load(&self) -> Result<ServerConfig, TlsError> {
        let Self(files, protocols) = self;
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let chain = certificates(&files.certificate)?;
        let key = key(&files.key)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::new(&files.certificate, error.to_string()))?;
        let builder = match files.client_authorities.first() {
            None => builder.with_no_client_auth(),
            Some(first) => {
                let roots = Arc::new(authorities(&files.client_authorities)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| TlsError::new(first, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::new(&files.certificate, error.to_string()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}
