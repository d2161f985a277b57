//! Refusals: a status and a sentence, as upstream's clients read them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    /// The request cannot be understood; the message names the field.
    pub fn bad(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
        }
    }
    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: message.into(),
        }
    }
    /// It is there already.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            message: message.into(),
        }
    }
    /// Not now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: message.into(),
        }
    }
    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: message.into(),
        }
    }
    /// No address can be given.
    pub fn no_address(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.message)).into_response()
    }
}

/// The answer to a path that is not there.
pub(crate) async fn unknown_path(uri: axum::http::Uri) -> Refusal {
    Refusal::not_found(format!("{} is not a path of this API", uri.path()))
}

/// The answer to a method that a path does not have.
pub(super) async fn unknown_method(method: axum::http::Method, uri: axum::http::Uri) -> Refusal {
    Refusal {
        status: StatusCode::METHOD_NOT_ALLOWED,
        // The path is seen below the prefix.
        message: format!("/v1{} cannot be asked for {method}", uri.path()),
    }
}
