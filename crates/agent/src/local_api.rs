//! The REST API on the agent's unix socket: upstream's paths, answered from the view; changes go to the engine.

mod answers;
mod ask;
mod change;
mod create;
mod endpoint;
mod errors;
mod ipam;
mod log;
mod status;
mod tables;
#[cfg(test)]
mod tests;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::Config;
use crate::drift::Changed;
use crate::engine::Command;
use crate::health::Health;
use crate::identity::Identities;
use crate::masquerade::Spared;
use crate::metrics::Metrics;
use crate::node::{Addressing, Devices};
use crate::pools::Pools;
use crate::view::ViewReader;

pub use endpoint::delete_attachments;
pub use errors::Refusal;
pub(crate) use errors::unknown_path;
pub use log::EndpointLog;
pub(crate) use status::answer as status_of;

/// What the handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Configuration.
    pub config: Arc<Config>,
    /// Addresses of this node.
    pub addressing: Arc<Addressing>,
    /// Devices of this node.
    pub devices: Arc<Devices>,
    /// What is in force.
    pub view: ViewReader,
    /// Changes.
    pub engine: mpsc::Sender<Command>,
    /// Addresses of pods.
    pub addresses: Addresses,
    /// The choice of pools, where there is one.
    pub pools: Option<Pools>,
    /// Identities.
    pub identities: Identities,
    /// The flow server's intake, when it runs.
    pub flows: Option<Arc<hubble::intake::Intake>>,
    /// How etcd is, when it is used.
    pub etcd: Option<tokio::sync::watch::Receiver<store::etcd::Health>>,
    /// Destinations that are not masqueraded, from a file.
    pub spare: tokio::sync::watch::Receiver<Spared>,
    /// Settings that the cluster has changed since this agent started.
    pub drift: tokio::sync::watch::Receiver<Changed>,
    /// Tables of the kernel, to be looked at.
    pub maps: kernel::Maps,
    /// What happened to endpoints.
    pub log: EndpointLog,
    /// What the kernel can and cannot do.
    pub features: Arc<Vec<kernel::probe::Feature>>,
    /// What goes on when nobody waits for its answer any more.
    pub tasks: reconcile::tasks::TaskGroup,
    /// What probes of other nodes tell.
    pub health: Health,
    /// Where requests are counted.
    pub metrics: Metrics,
}

/// All paths.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/healthz", get(status::health))
        .route("/config", get(status::config).patch(change::config))
        .route("/cluster/nodes", get(answers::nodes))
        .route("/node/ids", get(answers::node_ids))
        .route(
            "/endpoint",
            get(endpoint::list).delete(endpoint::delete_batch),
        )
        .route(
            "/endpoint/{id}",
            get(endpoint::get)
                .put(create::put)
                .patch(change::endpoint)
                .delete(endpoint::delete),
        )
        .route(
            "/endpoint/{id}/config",
            get(change::endpoint_config).patch(change::set_endpoint_config),
        )
        .route("/endpoint/{id}/log", get(log::log))
        .route("/endpoint/{id}/healthz", get(endpoint::health))
        .route(
            "/endpoint/{id}/labels",
            get(endpoint::labels).patch(change::endpoint_labels),
        )
        .route("/identity", get(answers::identities))
        .route("/identity/endpoints", get(answers::identity_endpoints))
        .route("/identity/{id}", get(answers::identity))
        .route("/ipam", post(ipam::allocate))
        .route("/ipam/{ip}", delete(ipam::release).post(ipam::allocate_at))
        .route("/ip", get(answers::addresses))
        .route("/policy", get(answers::policy))
        .route("/policy/selectors", get(answers::selectors))
        .route("/policy/subject-selectors", get(answers::subject_selectors))
        .route("/service", get(answers::services))
        .route("/map", get(tables::list))
        .route("/map/{name}", get(tables::get))
        .route("/map/{name}/events", get(tables::events))
        .route("/debuginfo", get(status::debuginfo))
        .route("/axoneme/reconcile", get(answers::reconcile))
        .route("/axoneme/explain", get(answers::explain))
        .route("/axoneme/features", get(answers::features))
        .method_not_allowed_fallback(errors::unknown_method)
        .route_layer(middleware::from_fn_with_state(api.metrics.clone(), measure))
        .with_state(api);
    Router::new().nest("/v1", v1).fallback(unknown_path)
}

/// Counts a request by its pattern, and measures how long its answer took.
async fn measure(
    State(metrics): State<Metrics>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let response = next.run(request).await;
    let code = response.status().as_u16();
    metrics.answered(path.as_str(), method.as_str(), code, begun.elapsed());
    response
}

/// The path of `/healthz` over TCP, for probes.
pub fn health_router(api: Api) -> Router {
    Router::new().route("/healthz", get(probe)).with_state(api)
}

async fn probe(State(api): State<Api>) -> Result<&'static str, Refusal> {
    match status::answer(&api).cilium.and_then(|status| status.state) {
        Some(local_api::health::State::Ok) => Ok("ok\n"),
        _ => Err(Refusal::unavailable("the agent is not ready")),
    }
}

/// Opens the socket, for root and the configured group only, replacing one that a former run left.
pub fn bind(path: &Path, group: Option<&str>) -> std::io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody may connect between bind and chmod: made under another name, which is in place only when it is right.
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    let mode = match group {
        None => 0o600,
        Some(group) => {
            std::os::unix::fs::chown(&temporary, None, Some(group_id(group)?))?;
            0o660
        }
    };
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&temporary, path)?;
    Ok(listener)
}

fn group_id(name: &str) -> std::io::Result<u32> {
    let missing = || {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("socket-group: there is no group {name:?}"),
        )
    };
    let groups = std::fs::read_to_string("/etc/group")?;
    let mut lines = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines
        .find(|fields| fields.first() == Some(&name))
        .ok_or_else(missing)?;
    line.get(2)
        .and_then(|id| id.parse().ok())
        .ok_or_else(missing)
}

/// Serves until `stop`.
pub async fn serve(listener: UnixListener, router: Router, stop: CancellationToken) {
    // Made once: a router by itself is copied with its state for each connection.
    let service = router.into_make_service();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the REST API ended");
    }
}
