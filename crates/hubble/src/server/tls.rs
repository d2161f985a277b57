//! TLS of the TCP port: version 1.3 only, clients verified, certificates read anew when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::{Stream, StreamExt};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

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

/// A file that cannot be used.
#[derive(Debug, Error)]
#[error("TLS file {}: {reason}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl TlsError {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Size and time of each file; `None` for one that is not there.
type Stamps = Vec<Option<(u64, SystemTime)>>;

struct Loaded {
    stamps: Stamps,
    config: Arc<ServerConfig>,
}

/// Turns connections into encrypted ones.
pub(super) struct Acceptor {
    files: TlsFiles,
    // Only touched when a client connects; a table would need a task that watches files.
    loaded: Mutex<Loaded>,
}

impl Acceptor {
    pub(super) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Loaded {
            stamps: files.stamps(),
            config: Arc::new(files.load()?),
        };
        Ok(Self {
            files,
            loaded: Mutex::new(loaded),
        })
    }

    /// The settings for the next client: those of the files as they are now, or the last good ones.
    fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.files.stamps();
        if stamps != loaded.stamps {
            match self.files.load() {
                Ok(config) => {
                    loaded.config = Arc::new(config);
                    tracing::info!(certificate = %self.files.certificate.display(), "certificates read anew");
                }
                Err(error) => tracing::error!(%error, "the former certificates stay in use"),
            }
            loaded.stamps = stamps;
        }
        loaded.config.clone()
    }

    /// The connections that got through the handshake; the others are logged and closed.
    pub(super) fn accept(
        self,
        connections: impl Stream<Item = io::Result<TcpStream>>,
    ) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
        connections
            .map(move |connection| {
                let acceptor = TlsAcceptor::from(self.config());
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

impl TlsFiles {
    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key]
            .into_iter()
            .chain(&self.client_authorities)
            .map(|path| {
                let metadata = fs::metadata(path).ok()?;
                Some((metadata.len(), metadata.modified().ok()?))
            })
            .collect()
    }

    fn load(&self) -> Result<ServerConfig, TlsError> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| TlsError::new(&self.key, error.to_string()))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::new(&self.certificate, error.to_string()))?;
        let builder = match self.client_authorities.first() {
            None => builder.with_no_client_auth(),
            Some(first) => {
                let mut roots = RootCertStore::empty();
                for path in &self.client_authorities {
                    for certificate in certificates(path)? {
                        roots
                            .add(certificate)
                            .map_err(|error| TlsError::new(path, error.to_string()))?;
                    }
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| TlsError::new(first, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::new(&self.certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::new(path, error.to_string()))?;
    match certificates.len() {
        0 => Err(TlsError::new(path, "there is no certificate in it")),
        _ => Ok(certificates),
    }
}
