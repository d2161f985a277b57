//! The health API on a socket of its own: upstream's paths below `/v1beta`.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::{get, put};
use local_api::probes::{HealthResponse, HealthStatusResponse, LoadResponse};

use super::{Health, span};
use crate::local_api::{Api, status_of};

/// What the handlers work with.
#[derive(Clone)]
struct Of {
    api: Api,
    began: Instant,
}

/// All paths.
pub fn router(api: Api) -> Router {
    let began = Instant::now();
    let v1beta = Router::new()
        .route("/healthz", get(healthz))
        .route("/status", get(status))
        .route("/status/probe", put(probe))
        .with_state(Of { api, began });
    Router::new()
        .nest(local_api::probes::BASE, v1beta)
        .fallback(crate::local_api::unknown_path)
}

async fn healthz(State(of): State<Of>) -> Json<HealthResponse> {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = text.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    Json(HealthResponse {
        cilium: Some(status_of(&of.api)),
        uptime: span(of.began.elapsed()),
        system_load: Some(LoadResponse {
            last_1min: word(),
            last_5min: word(),
            last_15min: word(),
        }),
    })
}

async fn status(State(of): State<Of>) -> Json<HealthStatusResponse> {
    Json(of.api.health.status())
}

async fn probe(State(of): State<Of>) -> Json<HealthStatusResponse> {
    let health: &Health = &of.api.health;
    health.probe_all().await;
    Json(health.status())
}
