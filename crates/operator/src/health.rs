//! What probes and scrapers ask over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use http::Method;
use reconcile::TaskGroup;
use store::Client;

use crate::metrics::Metrics;

/// A probe of the kubelet waits a few seconds.
const ANSWER: Duration = Duration::from_secs(3);

/// What is asked about.
#[derive(Clone)]
struct Asked {
    client: Client,
    metrics: Arc<Metrics>,
}

/// Serves `/healthz`, `/v1/healthz` and metrics at `health`, and metrics alone at `metrics`.
pub async fn serve(
    client: &Client,
    metrics: &Arc<Metrics>,
    (health, scrape): (SocketAddr, Option<SocketAddr>),
    tasks: &TaskGroup,
) -> anyhow::Result<()> {
    // A probe must not wait behind what is written.
    let asked = Asked {
        client: client.at_pace(10.0, 10.0),
        metrics: Arc::clone(metrics),
    };
    let scraped = Router::new().route("/metrics", get(text));
    let probed = scraped
        .clone()
        .route("/healthz", get(probe))
        .route("/v1/healthz", get(probe))
        .route("/v1/metrics", get(text))
        .route("/v1/metrics/", get(text));
    bind(
        "operator-api-serve-addr",
        health,
        probed.with_state(asked.clone()),
        tasks,
    )
    .await?;
    if let Some(address) = scrape {
        let key = "operator-prometheus-serve-addr";
        bind(key, address, scraped.with_state(asked), tasks).await?;
    }
    Ok(())
}

async fn bind(
    key: &'static str,
    address: SocketAddr,
    router: Router,
    tasks: &TaskGroup,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("{key} {address}"))?;
    tasks.spawn(key, move |stop| async move {
        let _ = axum::serve(listener, router.into_make_service())
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await;
    });
    Ok(())
}

/// As upstream: an operator that cannot reach the API server is not well, whether it leads or not.
async fn probe(State(asked): State<Asked>) -> impl IntoResponse {
    let version = asked.client.raw(Method::GET, "/version", None);
    match tokio::time::timeout(ANSWER, version).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok".to_owned()),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(_) => {
            let message = "the API server does not answer".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

async fn text(State(asked): State<Asked>) -> impl IntoResponse {
    daemon::metrics::page(asked.metrics.registry())
}
