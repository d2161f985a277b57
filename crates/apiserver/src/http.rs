//! A request in, an answer out: who asks, what for, in which form.

mod path;
mod protobuf;
mod query;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use self::path::Target;
pub(crate) use self::query::Query;

use self::path::Path;
use crate::error::ApiError;
use crate::services::Ranges;
use crate::store::Store;
use crate::table::{Renderer, Rendering, RowObject};
use crate::{discovery, openapi, verbs};

/// Largest body accepted; the limit of a real server.
const BODY_LIMIT_BYTES: usize = 3 << 20;

/// Body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// TCP, where the token is asked for.
    Tcp,
    /// The unix socket, guarded by its file mode.
    Socket,
}

/// What all requests share.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) ranges: Ranges,
    pub(crate) token: Option<String>,
    pub(crate) bookmark_interval: Duration,
    pub(crate) shutdown: CancellationToken,
}

/// What a verb answers.
pub(crate) enum Reply {
    /// One JSON document.
    Json(StatusCode, Vec<u8>),
    /// Plain text.
    Text(&'static str),
    /// JSON documents as they come.
    Stream(futures::stream::BoxStream<'static, Bytes>),
}

impl Reply {
    /// A document of status 200.
    pub(crate) fn value(value: &Value) -> Self {
        Self::Json(StatusCode::OK, value.to_string().into_bytes())
    }
}

/// A request on an object or a collection, its parts read.
pub(crate) struct Call {
    pub(crate) service: Arc<Service>,
    pub(crate) target: Target,
    pub(crate) query: Query,
    pub(crate) renderer: Renderer,
    pub(crate) headers: HeaderMap,
}

/// Answers one request; never fails, because a refusal is an answer.
pub(crate) async fn answer(
    service: Arc<Service>,
    door: Door,
    request: Request<Incoming>,
) -> Response<Body> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let reply = route(service, door, request).await;
    let response = match reply {
        Ok(Reply::Json(code, body)) => respond(
            code,
            "application/json",
            Full::new(Bytes::from(body)).boxed_unsync(),
        ),
        Ok(Reply::Text(text)) => respond(
            StatusCode::OK,
            "text/plain",
            Full::new(text.into()).boxed_unsync(),
        ),
        Ok(Reply::Stream(stream)) => {
            let frames = stream.map(|bytes| Ok(Frame::data(bytes)));
            respond(
                StatusCode::OK,
                "application/json",
                StreamBody::new(frames).boxed_unsync(),
            )
        }
        Err(error) => refuse(&error),
    };
    tracing::debug!(%method, path, code = response.status().as_u16(), "request");
    response
}

fn refuse(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(error.status()).unwrap_or_default();
    respond(
        code,
        "application/json",
        Full::new(Bytes::from(body)).boxed_unsync(),
    )
}

fn respond(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

async fn route(
    service: Arc<Service>,
    door: Door,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let (parts, body) = request.into_parts();
    let registry = service.store.registry();
    let path = Path::parse(parts.uri.path(), &registry);
    if let Ok(Path::Health) = path {
        let healthy = service.store.is_healthy();
        return if healthy {
            Ok(Reply::Text("ok"))
        } else {
            Err(ApiError::internal("the store cannot be written"))
        };
    }
    if door == Door::Tcp {
        admit(service.token.as_deref(), &parts.headers)?;
    }
    let target = match path? {
        Path::Object(target) => target,
        fixed => {
            if parts.method != Method::GET {
                return Err(ApiError::method_not_allowed(parts.method.as_str()));
            }
            return document(&fixed, &registry, parts.uri.path());
        }
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let rendering = rendering(&parts.headers, &query)?;
    let renderer = Renderer::new(Arc::clone(&target.kind), target.version.clone(), rendering);
    let call = Call {
        service,
        target,
        query,
        renderer,
        headers: parts.headers,
    };
    match (parts.method, call.target.name.is_some()) {
        (Method::GET, _) if call.query.is_set("watch") => verbs::watch(call).await,
        (Method::GET, true) => verbs::get(call).await,
        (Method::GET, false) => verbs::list(call).await,
        (Method::POST, false) => verbs::create(call, read(body).await?).await,
        (Method::PUT, true) => verbs::update(call, read(body).await?).await,
        (Method::PATCH, true) => verbs::patch(call, read(body).await?).await,
        (Method::DELETE, true) => verbs::delete(call, read(body).await?).await,
        (Method::DELETE, false) => verbs::delete_collection(call, read(body).await?).await,
        (method, _) => Err(ApiError::method_not_allowed(method.as_str())),
    }
}

fn document(path: &Path, registry: &crate::kinds::Registry, text: &str) -> Result<Reply, ApiError> {
    let found = match path {
        Path::Root => Some(discovery::root(registry)),
        Path::Version => Some(discovery::version()),
        Path::Api => Some(discovery::core_versions()),
        Path::Apis => Some(discovery::groups(registry)),
        Path::Group(group) => discovery::group(registry, group),
        Path::Resources(group, version) => discovery::resources(registry, group, version),
        Path::OpenApiIndex => Some(openapi::index(registry)),
        Path::OpenApi(group, version) => openapi::document(registry, group, version),
        Path::OpenApi2 => Some(openapi::version_2(registry)),
        Path::Health | Path::Object(_) => None,
    };
    found
        .map(|value| Reply::value(&value))
        .ok_or_else(|| ApiError::no_such_path(text))
}

fn admit(token: Option<&str>, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(token) = token else { return Ok(()) };
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default()
        .trim();
    // Every byte is looked at, so that the time tells nothing about how much of a guess was right.
    let differing = given
        .bytes()
        .zip(token.bytes())
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    if given.len() == token.len() && differing == 0 {
        Ok(())
    } else {
        Err(ApiError::unauthorized())
    }
}

async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_LIMIT_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ApiError::too_large(BODY_LIMIT_BYTES))
        }
        Err(error) => Err(ApiError::bad_request(format!(
            "the body could not be read: {error}"
        ))),
    }
}

/// The form of the answer: the first of the accepted ones that this server has.
fn rendering(headers: &HeaderMap, query: &Query) -> Result<Rendering, ApiError> {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    for media in accept.split(',') {
        let mut parts = media.split(';').map(str::trim);
        if !matches!(
            parts.next(),
            Some("application/json" | "application/*" | "*/*")
        ) {
            continue;
        }
        match parts.find_map(|parameter| parameter.strip_prefix("as=")) {
            None => return Ok(Rendering::Object),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                return Ok(Rendering::Metadata);
            }
            Some("Table") => {
                return Ok(Rendering::Table(match query.get("includeObject") {
                    "None" => RowObject::None,
                    "Object" => RowObject::Whole,
                    _ => RowObject::Metadata,
                }));
            }
            Some(_) => {}
        }
    }
    Err(ApiError::not_acceptable(accept))
}

/// A body as JSON, from JSON or YAML as its content type says.
pub(crate) fn parse_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    let content_type = content_type(headers);
    match content_type.as_str() {
        "application/json" | "" => serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is no JSON: {error}"))),
        "application/yaml" | "application/x-yaml" | "text/yaml" => serde_yaml_ng::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is no YAML: {error}"))),
        "application/vnd.kubernetes.protobuf" => protobuf::parse(body).map_err(|why| {
            ApiError::unsupported_media_type(format!(
                "the body of type application/vnd.kubernetes.protobuf: {why}"
            ))
        }),
        other => Err(ApiError::unsupported_media_type(format!(
            "the body is of type {other}; this server reads application/json and application/yaml"
        ))),
    }
}

/// The content type without parameters; empty when absent.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}
