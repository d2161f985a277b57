//! The relay, put together: which parts there are, what each is given, and in which order they start.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use api::hubble::answers::answers_server::AnswersServer;
use axum::Router;
use reconcile::{Table, TaskGroup, table::Wake};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    VERSION_HEADER,
    access::{self, Access, Guarded},
    alerts::{self, Board, Delivery, Evaluation},
    answers::Nodes,
    clusters::{self, Clusters},
    config::Config,
    link::{Dialer, Place},
    metrics,
    observer::Observer,
    peers::{self, Follower},
    pool::{Peer, Pool, Times},
    promql::{self, Queries},
    web::{self, Web},
};
use crate::answers::Answers;
use crate::calls::Calls;
use crate::server::{HEALTH_SERVICE, Security, ServeError, Tcp, TlsError, with_reflection};

/// How long tasks may take to end.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why the relay does not run.
#[derive(Debug, Error)]
pub enum RelayError {
    /// A port cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The certificates towards the nodes cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It is not known how to ask who may see what.
    #[error("access=kubernetes: {0}")]
    Access(#[from] store::Error),
    /// A port with pages cannot be served.
    #[error("serve {what} on {address}: {source}")]
    Pages {
        /// Of what the pages are.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// A relay with its ports open; connections wait until it runs.
pub struct Relay {
    config: Config,
    times: Times,
    dialer: Arc<Dialer>,
    to_clusters: Dialer,
    access: Access,
    flows: Tcp,
    health: Option<Tcp>,
    metrics: Option<TcpListener>,
    web: Option<TcpListener>,
}

impl Relay {
    /// Opens the ports and reads the certificates.
    pub async fn bind(config: Config) -> Result<Self, RelayError> {
        let dialer = Dialer::new(config.client.clone(), config.dial_timeout)?;
        let to_clusters = Dialer::new(config.clusters.client.clone(), config.dial_timeout)?;
        let access = Access::open(&config.access).await?;
        let flows = bind(config.listen, config.security.clone()).await?;
        let health = match config.health {
            Some(address) => Some(bind(address, Security::Plain).await?),
            None => None,
        };
        let metrics = listen("metrics", config.metrics).await?;
        let web = listen("the web interface", config.web).await?;
        Ok(Self {
            config,
            times: Times::default(),
            dialer: Arc::new(dialer),
            to_clusters,
            access,
            flows,
            health,
            metrics,
            web,
        })
    }

    #[cfg(test)]
    pub(super) fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// Where flows are served, with the port that was chosen.
    pub fn address(&self) -> Option<SocketAddr> {
        self.flows.address()
    }

    /// Where health is served.
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health.as_ref().and_then(Tcp::address)
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// Where the web interface is served.
    pub fn web_address(&self) -> Option<SocketAddr> {
        self.web.as_ref()?.local_addr().ok()
    }

    /// Serves until `stop`.
    #[allow(
        clippy::too_many_lines,
        reason = "the wiring is one list, read from top to bottom"
    )]
    pub async fn run(self, stop: CancellationToken) -> Result<(), RelayError> {
        let config = self.config;
        let tasks = TaskGroup::new();
        let (announcing, announced) = Table::new("announced peers", &[]);
        let (keeping, peers) = Table::new("peers", &[]);
        let (connected, told) = watch::channel(false);
        let follower = Follower {
            server_name: server_name(&config),
            service: config.peer_service,
            dialer: Arc::clone(&self.dialer),
            retry: config.retry_timeout,
            settled: self.times.settled,
            announced: announcing,
            connected,
        };
        tasks.spawn("peers", move |stop| follower.run(stop));
        let pool = Pool::new(
            announced,
            keeping,
            Arc::clone(&self.dialer),
            self.times,
            tasks.clone(),
        );
        tasks.spawn("connections", move |stop| pool.run(stop));
        let calls = Arc::new(Calls::default());
        let observer = Observer::new(
            peers.clone(),
            self.dialer.is_encrypted(),
            config.sort,
            self.times.silence,
            Arc::clone(&calls),
            self.access.clone(),
            tasks.token(),
        );
        let nodes = Arc::new(Nodes::new(peers.clone()));
        let relays = clusters::connect(config.clusters, self.to_clusters, self.times, &tasks);
        let rows = Clusters::new(config.cluster, Arc::clone(&nodes), relays);
        let rows = Guarded::new(rows, self.access.clone());
        let answers = Answers::new(Arc::new(rows));
        let (reporter, health) = tonic_health::server::health_reporter();
        tasks.spawn("health", {
            let peers = peers.clone();
            move |stop| report_health(reporter, peers, told, stop)
        });
        let routes = with_reflection(Routes::new(health.clone()))
            .map_err(ServeError::Reflection)?
            .add_service(observer.clone())
            .add_service(AnswersServer::new(answers.clone()));
        serve(&tasks, "flows", self.flows, routes);
        if let Some(tcp) = self.health {
            serve(&tasks, "health server", tcp, Routes::new(health));
        }
        if let Some(listener) = self.metrics {
            let routes = daemon::metrics::routes(Arc::new(metrics::registry(peers, calls)));
            serve_pages(&tasks, "metrics", listener, routes);
        }
        let queries = Queries::new(nodes);
        let board = Board::new(config.alerts.rules.as_ref());
        if let Some(source) = config.alerts.rules {
            let delivery = Delivery::new(config.alerts.destinations, &tasks);
            let evaluation = Evaluation::new(source, queries.clone(), board.clone(), delivery);
            tasks.spawn("alerts", |stop| evaluation.run(stop));
        }
        if let Some(listener) = self.web {
            let whole = promql::routes(queries).merge(alerts::routes(board));
            let whole = access::of_whole(whole, self.access.clone());
            let web = Web {
                answers,
                observer,
                access: self.access,
            };
            let routes = web::of_hosts(web::routes(web).merge(whole), config.hosts);
            serve_pages(&tasks, "web interface", listener, routes);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tasks.stopped() => tracing::error!("a part of the relay ended"),
        }
        let ended = tasks.shutdown(DEADLINE).await;
        tracing::info!(?ended, "stopped");
        Ok(())
    }
}

/// The peer service of this node is asked over its socket in plain text, any other by the name of its certificate.
fn server_name(config: &Config) -> Option<String> {
    let local = matches!(Place::parse(&config.peer_service), Some(Place::Unix(_)));
    (config.client.is_some() && !local).then(|| peers::server_name(&config.cluster))
}

fn serve(tasks: &TaskGroup, name: &'static str, tcp: Tcp, routes: Routes) {
    tasks.spawn(name, move |stop| async move {
        if let Err(error) = tcp.serve(routes, VERSION_HEADER, &stop).await {
            tracing::error!(%error, "a server ended");
        }
    });
}

fn serve_pages(tasks: &TaskGroup, name: &'static str, listener: TcpListener, routes: Router) {
    tasks.spawn(name, move |stop| async move {
        let served = axum::serve(listener, routes)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = served.await {
            tracing::error!(%error, name, "pages are not served any more");
        }
    });
}

async fn listen(
    what: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, RelayError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = match TcpListener::bind(address).await {
        Err(error) if is_without_ipv6(&error) => TcpListener::bind(over_ipv4(address)).await,
        other => other,
    };
    let failed = |source| RelayError::Pages {
        what,
        address,
        source,
    };
    listener.map(Some).map_err(failed)
}

async fn bind(address: SocketAddr, security: Security) -> Result<Tcp, ServeError> {
    match Tcp::bind(address, security.clone()).await {
        Err(ServeError::Listen { source, .. }) if is_without_ipv6(&source) => {
            Tcp::bind(over_ipv4(address), security).await
        }
        other => other,
    }
}

/// `EAFNOSUPPORT`, or `EADDRNOTAVAIL` where IPv6 is compiled in and switched off.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(97 | 99))
}

/// All addresses of IPv4 in the place of all addresses; any other stays.
fn over_ipv4(address: SocketAddr) -> SocketAddr {
    if address.ip() == std::net::Ipv6Addr::UNSPECIFIED {
        (std::net::Ipv4Addr::UNSPECIFIED, address.port()).into()
    } else {
        address
    }
}

/// It serves while it hears of peers and at least one of them can be asked.
async fn report_health(
    reporter: HealthReporter,
    peers: Table<String, Peer>,
    mut told: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut changes = peers.subscribe();
    loop {
        let usable = peers
            .snapshot()
            .iter()
            .any(|(_, peer)| peer.link().is_some());
        let status = if *told.borrow_and_update() && usable {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in ["", HEALTH_SERVICE] {
            reporter.set_service_status(name, status).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            wake = changes.changed() => if wake == Wake::WriterGone { return },
            told = told.changed() => if told.is_err() { return },
        }
    }
}
