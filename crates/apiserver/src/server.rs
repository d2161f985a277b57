//! The server as a whole: opens the store, binds, serves, stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError};
use crate::http::{Door, Service, answer};
use crate::kubeconfig::kubeconfig;
use crate::services::Ranges;
use crate::store::{Store, StoreError};
use crate::tls::{self, Identity, TlsError};
use crate::{slices, verbs};

/// A connection that sends no request for this long is closed.
const IDLE: Duration = Duration::from_mins(10);
/// How long a stop waits for answers in progress.
const DRAIN: Duration = Duration::from_secs(5);

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It was told something it must not do.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address is taken or not ours.
    #[error("{flag} {address}: {source}")]
    Bind {
        /// The flag that names it.
        flag: &'static str,
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The namespaces every cluster has could not be made.
    #[error("the first namespaces could not be made: {0}")]
    Seed(String),
}

/// The server; [`Server::start`] is all there is to it.
pub struct Server;

/// A server that runs. Dropping it stops it without waiting; [`Running::stop`] waits.
pub struct Running {
    /// The first TCP address; `None` with a unix socket alone.
    pub addr: Option<SocketAddr>,
    /// Ends the server when cancelled.
    pub shutdown: CancellationToken,
    socket: Option<PathBuf>,
    ca_pem: Option<String>,
    token: Option<String>,
    tasks: TaskTracker,
}

impl Server {
    /// Starts a server on the current runtime; it serves once this returns.
    pub async fn start(config: Config) -> Result<Running, ServerError> {
        config.check()?;
        let store = Store::open(&config.data_dir, config.history).await?;
        verbs::seed(&store)
            .await
            .map_err(|error| ServerError::Seed(error.to_string()))?;
        let identity = match &config.tls {
            Some(source) => Some(tls::identity(source, &config.data_dir, &config.listen)?),
            None => None,
        };
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let service = Arc::new(Service {
            store: store.clone(),
            ranges: Ranges {
                addresses: config.service_ranges.clone(),
                node_ports: config.node_ports.clone(),
            },
            token: config.token.clone(),
            bookmark_interval: config.bookmark_interval,
            shutdown: shutdown.clone(),
        });
        let wiring = Wiring {
            service,
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        let mut addr = None;
        for &address in &config.listen {
            let bound = wiring.listen(address, identity.as_ref()).await?;
            addr.get_or_insert(bound);
        }
        if let Some(path) = &config.socket {
            wiring.listen_socket(path).await?;
        }
        tasks.spawn(slices::keep(store.clone(), shutdown.clone()));
        tasks.close();
        let ca_pem = identity.map(|identity| identity.cert_pem);
        Ok(Running {
            addr,
            shutdown,
            socket: config.socket,
            ca_pem,
            token: config.token,
            tasks,
        })
    }
}

impl Running {
    /// Base URL of the first TCP address; `None` with a unix socket alone.
    pub fn url(&self) -> Option<String> {
        let scheme = if self.ca_pem.is_some() {
            "https"
        } else {
            "http"
        };
        self.addr.map(|addr| format!("{scheme}://{addr}"))
    }

    /// PEM of the certificate to trust, with TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// A kubeconfig for the first TCP address; `None` with a unix socket alone.
    pub fn kubeconfig(&self) -> Option<String> {
        self.url()
            .map(|url| kubeconfig(&url, self.ca_pem(), self.token.as_deref()))
    }

    /// Writes [`Running::kubeconfig`] to a file of mode 0600.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), ServerError> {
        let text = self.kubeconfig().ok_or(ConfigError::NoAddress)?;
        Ok(tls::write(path, text.as_bytes(), 0o600)?)
    }

    /// Stops: no new requests, watches end, answers in progress get a few seconds.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if tokio::time::timeout(DRAIN, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.tasks.len(), "connections did not end in time");
        }
        if let Some(path) = self.socket.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

struct Wiring {
    service: Arc<Service>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Wiring {
    async fn listen(
        &self,
        address: SocketAddr,
        identity: Option<&Identity>,
    ) -> Result<SocketAddr, ServerError> {
        let fault = |source| ServerError::Bind {
            flag: "--listen",
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        let bound = listener.local_addr().map_err(fault)?;
        let acceptor = identity.map(|identity| TlsAcceptor::from(Arc::clone(&identity.config)));
        let (service, tasks, shutdown) = (
            Arc::clone(&self.service),
            self.tasks.clone(),
            self.shutdown.clone(),
        );
        self.tasks.spawn(async move {
            while let Some(stream) = accept(&shutdown, || listener.accept()).await {
                let (service, shutdown, acceptor) =
                    (Arc::clone(&service), shutdown.clone(), acceptor.clone());
                // Watches are small writes that someone waits for.
                let _ = stream.0.set_nodelay(true);
                tasks.spawn(async move {
                    match acceptor {
                        None => serve(service, Door::Tcp, stream.0, shutdown).await,
                        Some(acceptor) => {
                            match tokio::time::timeout(DRAIN, acceptor.accept(stream.0)).await {
                                Ok(Ok(stream)) => serve(service, Door::Tcp, stream, shutdown).await,
                                Ok(Err(error)) => {
                                    tracing::debug!(peer = %stream.1, "TLS handshake: {error}");
                                }
                                Err(_) => {
                                    tracing::debug!(peer = %stream.1, "TLS handshake took too long");
                                }
                            }
                        }
                    }
                });
            }
        });
        Ok(bound)
    }

    async fn listen_socket(&self, path: &Path) -> Result<(), ServerError> {
        let fault = |source| ServerError::Bind {
            flag: "--socket",
            address: path.display().to_string(),
            source,
        };
        if path.exists() && tokio::net::UnixStream::connect(path).await.is_err() {
            // Left by a server that was killed: nobody answers on it.
            std::fs::remove_file(path).map_err(fault)?;
        }
        let listener = UnixListener::bind(path).map_err(fault)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fault)?;
        let (service, tasks, shutdown) = (
            Arc::clone(&self.service),
            self.tasks.clone(),
            self.shutdown.clone(),
        );
        self.tasks.spawn(async move {
            while let Some(stream) = accept(&shutdown, || listener.accept()).await {
                tasks.spawn(serve(
                    Arc::clone(&service),
                    Door::Socket,
                    stream.0,
                    shutdown.clone(),
                ));
            }
        });
        Ok(())
    }
}

/// The next connection; `None` at shutdown. A failed accept (no descriptors left) waits a little and goes on.
async fn accept<T, F, A>(shutdown: &CancellationToken, mut accept: A) -> Option<T>
where
    F: Future<Output = std::io::Result<T>>,
    A: FnMut() -> F,
{
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            accepted = accept() => match accepted {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    tracing::warn!("accept: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve<S>(service: Arc<Service>, door: Door, stream: S, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(answer(service, door, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    tokio::select! {
        // A client that hangs up in the middle of a watch is the usual end of one.
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
