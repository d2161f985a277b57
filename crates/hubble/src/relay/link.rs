//! A connection to one server of flows: where it is, how it is encrypted, and when it is lost.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName, version::TLS13};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::http::{Request, Response, Uri},
};

use crate::tls::{Files, Followed, TlsError, authorities, certificates, key};

/// Port of a peer whose address has none.
const DEFAULT_PORT: u16 = 4244;
/// What a node may send ahead in one stream: what a client that does not read makes us hold of it.
const STREAM_WINDOW: u32 = 64 * 1024;
/// And in all streams: large enough that streams which nobody reads do not stop the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// How long data may stay unacknowledged, and when an idle connection is probed: a dead host is noticed in half a minute.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `host:port`.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Reads `ip:port`, `host:port`, a bare address (then port 4244), `unix://path`, or a path that ends in `.sock`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            return (!path.is_empty()).then(|| Self::Unix(path.into()));
        }
        if Path::new(text)
            .extension()
            .is_some_and(|kind| kind == "sock")
        {
            return Some(Self::Unix(text.into()));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Tcp(
                SocketAddr::new(address, DEFAULT_PORT).to_string(),
            ));
        }
        let (host, port) = text.rsplit_once(':')?;
        let valid = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
        valid.then(|| Self::Tcp(text.to_owned()))
    }
}

/// The files of a client's identity, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// Authorities of the servers.
    pub server_authorities: Vec<PathBuf>,
    /// Certificate and private key of the client, if it shows one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Files for ClientFiles {
    type Settings = ClientConfig;

    fn paths(&self) -> Vec<&Path> {
        let (certificate, key) = self
            .identity
            .as_ref()
            .map(|(certificate, key)| (certificate, key))
            .unzip();
        let all = self.server_authorities.iter().chain(certificate).chain(key);
        all.map(PathBuf::as_path).collect()
    }

    fn load(&self) -> Result<ClientConfig, TlsError> {
        let failed = |path: &Path, error: rustls::Error| TlsError::new(path, error.to_string());
        let first = self.server_authorities.first().map(PathBuf::as_path);
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| failed(first.unwrap_or(Path::new("")), error))?
            .with_root_certificates(authorities(&self.server_authorities)?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, private)) => builder
                .with_client_auth_cert(certificates(certificate)?, key(private)?)
                .map_err(|error| failed(certificate, error))?,
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum DialError {
    /// The address says nothing.
    #[error("{0:?} is no address")]
    Address(String),
    /// It took too long.
    #[error("connect to {place}: no connection within {limit:?}")]
    Late {
        /// Where to.
        place: String,
        /// The limit.
        limit: Duration,
    },
    /// It was refused, by the network or by us.
    #[error("connect to {place}: {reason}")]
    Refused {
        /// Where to.
        place: String,
        /// Why.
        reason: String,
    },
}

/// Makes connections.
pub(super) struct Dialer {
    tls: Option<Followed<ClientFiles>>,
    limit: Duration,
    next: AtomicU64,
}

/// What carries a connection until it ends; has to be polled.
pub(super) type Carrier = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Dialer {
    /// With `files`, TCP is always encrypted; without, never. `limit` is for everything until a server can be asked.
    pub(super) fn new(files: Option<ClientFiles>, limit: Duration) -> Result<Self, TlsError> {
        Ok(Self {
            tls: files.map(Followed::new).transpose()?,
            limit,
            next: AtomicU64::new(1),
        })
    }

    /// Whether TCP is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to `address`, whose certificate must have the name `server_name`.
    pub(super) async fn connect(
        &self,
        address: &str,
        server_name: Option<&str>,
    ) -> Result<(Link, Carrier), DialError> {
        let place = Place::parse(address).ok_or_else(|| DialError::Address(address.to_owned()))?;
        let refused = |reason: String| DialError::Refused {
            place: address.to_owned(),
            reason,
        };
        let connecting = async {
            let io = self.open(&place, server_name).await.map_err(refused)?;
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(TokioIo::new(io))
                .await
                .map_err(|error| refused(error.to_string()))
        };
        let (sender, connection) = tokio::time::timeout(self.limit, connecting)
            .await
            .map_err(|_| DialError::Late {
                place: address.to_owned(),
                limit: self.limit,
            })??;
        let encrypted = self.tls.is_some() && matches!(place, Place::Tcp(_));
        let link = Link {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            sender,
            origin: Uri::from_static(if encrypted {
                "https://localhost"
            } else {
                "http://localhost"
            }),
            lost: CancellationToken::new(),
        };
        Ok((link, Box::pin(connection)))
    }

    async fn open(&self, place: &Place, server_name: Option<&str>) -> Result<Box<dyn Io>, String> {
        let text = |error: std::io::Error| error.to_string();
        let address = match place {
            Place::Unix(path) => {
                return Ok(Box::new(UnixStream::connect(path).await.map_err(text)?));
            }
            Place::Tcp(address) => address,
        };
        // Said before a connection is made: what was meant to be encrypted is never sent in the clear.
        let name = match (&self.tls, server_name) {
            (None, None) => None,
            (None, Some(name)) => {
                return Err(format!(
                    "it speaks TLS as {name}, and there are no certificates for that here"
                ));
            }
            (Some(_), None) => return Err("it does not speak TLS, which is wanted here".into()),
            (Some(tls), Some(name)) => Some((tls, name)),
        };
        let stream = TcpStream::connect(address).await.map_err(text)?;
        set_options(&stream).map_err(text)?;
        let Some((tls, name)) = name else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| format!("{name:?} is no name of a server: {error}"))?;
        let connector = TlsConnector::from(tls.settings());
        let stream = connector.connect(name, stream).await.map_err(text)?;
        Ok(Box::new(stream))
    }
}

/// A dead host is noticed, and small messages do not wait.
pub(crate) fn set_options(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

/// A connection that can be asked; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    id: u64,
    sender: http2::SendRequest<Body>,
    origin: Uri,
    lost: CancellationToken,
}

impl Link {
    /// Scheme and authority of requests.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// Cancelled when the connection is of no use any more; streams over it do not always notice by themselves.
    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

/// Two links are equal if they are the same connection.
impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl tower::Service<Request<Body>> for Link {
    type Response = Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

#[cfg(test)]
mod tests;
