//! The web interface: its files, and answers, nodes and flows as JSON. Everything is only read.
//!
//! JSON is that of [`api::hubble`], the same as `-o json` of the command line.

mod asked;
mod files;
mod flows;
mod history;
mod hosts;

use std::io::Write as _;

use api::hubble::answers::answers_server::Answers as _;
use axum::extract::{Path, Query, Request as WebRequest, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use serde::Serialize;
use tonic::{Code, Request, Status};

use super::access::{Access, Guarded};
use super::observer::Observer;
use crate::answers::Answers;
use asked::Asked;
use history::Over;
pub(super) use hosts::Hosts;

/// Shorter answers are not worth compressing.
const SMALL: usize = 4096;

/// What goes with every response: nothing is loaded from elsewhere, nobody frames the pages.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// What the pages are made of.
#[derive(Clone)]
pub(super) struct Web {
    /// Answers of all nodes, and of other clusters.
    pub(super) answers: Answers<Guarded>,
    /// Flows of all nodes.
    pub(super) observer: Observer,
    /// Says what browsers may see.
    pub(super) access: Access,
}

impl Web {
    /// A call with what the headers of a request say of who sent it.
    fn request<T>(&self, message: T, headers: &HeaderMap) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.access.metadata(headers);
        request
    }
}

/// All of the web listener.
pub(super) fn routes(web: Web) -> Router {
    let history = Router::new()
        .route("/api/history", get(history::history))
        .with_state((web.clone(), Over::default()));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/api/answers/{question}", get(answer))
        .route("/api/nodes", get(nodes))
        .route("/api/namespaces", get(namespaces))
        .route("/api/flows", get(flows::stream))
        .fallback(get(files::file))
        .with_state(web)
        .merge(history)
        .layer(middleware::from_fn(guarded))
}

/// The routes of a listener, for requests that name one of its hosts.
pub(super) fn of_hosts(routes: Router, hosts: Hosts) -> Router {
    routes.layer(middleware::from_fn_with_state(hosts, hosts::checked))
}

/// Refuses what a page of somebody else asks for, and gives every response its headers.
pub(super) async fn guarded(request: WebRequest, next: Next) -> Response {
    // Browsers say who asks; other programs do not.
    let site = request.headers().get("sec-fetch-site");
    let foreign = site.is_some_and(|site| site == "cross-site" || site == "same-site");
    let mut response = if foreign && request.uri().path().starts_with("/api/") {
        failed(&Status::permission_denied(
            "asked by a page of another site",
        ))
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(
    State(web): State<Web>,
    Path(question): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if asked.spans != 0 {
        return failed(&Status::invalid_argument("spans: an answer has none"));
    }
    let asked = match asked.question(Timestamp::now()) {
        Ok(asked) => web.request(asked, &headers),
        Err(status) => return failed(&status),
    };
    match question.as_str() {
        "map" => json(&headers, web.answers.map(asked).await),
        "failing" => json(&headers, web.answers.failing(asked).await),
        "exposed" => json(&headers, web.answers.exposed(asked).await),
        "http" => json(&headers, web.answers.http(asked).await),
        "dns" => json(&headers, web.answers.dns(asked).await),
        "kafka" => json(&headers, web.answers.kafka(asked).await),
        "resolved" => json(&headers, web.answers.resolved(asked).await),
        other => failed(&Status::not_found(format!("no question {other:?}"))),
    }
}

async fn nodes(State(web): State<Web>, headers: HeaderMap) -> Response {
    let view = web.access.view(&web.access.metadata(&headers)).await;
    let nodes = match view {
        Ok(_) => Ok(web.observer.get_nodes().await),
        Err(status) => Err(status),
    };
    json(&headers, nodes.map(tonic::Response::new))
}

async fn namespaces(State(web): State<Web>, headers: HeaderMap) -> Response {
    let view = web.access.view(&web.access.metadata(&headers)).await;
    let namespaces = match view {
        Ok(view) => web.observer.get_namespaces(&view).await,
        Err(status) => Err(status),
    };
    json(&headers, namespaces.map(tonic::Response::new))
}

fn json<T: Serialize>(headers: &HeaderMap, answer: Result<tonic::Response<T>, Status>) -> Response {
    let text = match answer.map(|of| serde_json::to_vec(of.get_ref())) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return failed(&Status::internal(error.to_string())),
        Err(status) => return failed(&status),
    };
    let fixed = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    if text.len() < SMALL || !takes_gzip(headers) {
        return (fixed, text).into_response();
    }
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    match compressed
        .write_all(&text)
        .and_then(|()| compressed.finish())
    {
        Ok(compressed) => (fixed, [(header::CONTENT_ENCODING, "gzip")], compressed).into_response(),
        Err(error) => failed(&Status::internal(error.to_string())),
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    accepted.is_some_and(|value| {
        let mut codings = value
            .split(',')
            .map(|of| of.split(';').next().unwrap_or(of));
        codings.any(|coding| coding.trim() == "gzip")
    })
}

/// An error as `{"error": TEXT}`.
pub(super) fn failed(status: &Status) -> Response {
    let code = match status.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = serde_json::json!({ "error": status.message() });
    (code, Json(body)).into_response()
}
