//! What a request says: bodies and queries, with refusals that name the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Refusal;

/// A body that must be there.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        read(&octets(request, state).await?).map(Self)
    }
}

/// A body that may be left out.
pub(super) struct MaybeBody<T>(pub(super) Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let octets = octets(request, state).await?;
        if octets.is_empty() {
            return Ok(Self(None));
        }
        read(&octets).map(Some).map(Self)
    }
}

/// Parameters after the question mark.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(found)| Self(found))
            .map_err(|rejection| Refusal::bad(rejection.body_text()))
    }
}

async fn octets<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Refusal::bad(format!("body: {}", rejection.body_text())))
}

fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Refusal> {
    let value: Value = serde_json::from_slice(octets)
        .map_err(|error| Refusal::bad(format!("body: not JSON: {error}")))?;
    T::deserialize(&value)
        .map_err(|error| Refusal::bad(format!("{}: {error}", faulty_field::<T>(&value))))
}

/// The field without which the rest can be understood, as deep as that can be said; `body` if it is more than one.
fn faulty_field<T: DeserializeOwned>(body: &Value) -> String {
    let mut path = String::new();
    while let Some(Value::Object(fields)) = body.pointer(&path) {
        let helps = |name: &&String| {
            let mut rest = body.clone();
            if let Some(Value::Object(fields)) = rest.pointer_mut(&path) {
                fields.remove(*name);
            }
            T::deserialize(&rest).is_ok()
        };
        match fields.keys().find(helps) {
            Some(name) => path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")),
            None => break,
        }
    }
    let words: Vec<&str> = path.split('/').skip(1).collect();
    match words.as_slice() {
        [] => "body".to_owned(),
        words => words.join("."),
    }
}
