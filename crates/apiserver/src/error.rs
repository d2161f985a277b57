//! What a refused request is answered with: metav1.Status, made in one place.

use api::kubernetes::{Status, StatusCause, StatusDetails};

use crate::kinds::Kind;
use crate::store::StoreError;

/// A refusal, as it goes to the client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct ApiError(Box<Status>);

impl ApiError {
    fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Status {
            status: "Failure".to_owned(),
            message: message.into(),
            reason: reason.to_owned(),
            code,
            ..Status::default()
        }))
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.0.details = Some(StatusDetails {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.plural.clone(),
            ..StatusDetails::default()
        });
        self
    }

    fn because(mut self, reason: &str, field: &str, message: &str) -> Self {
        self.0
            .details
            .get_or_insert_default()
            .causes
            .push(StatusCause {
                reason: reason.to_owned(),
                message: message.to_owned(),
                field: field.to_owned(),
            });
        self
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            401,
            "Unauthorized",
            "Unauthorized: this server wants the bearer token of its --token-file",
        )
    }

    /// 403.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message)
    }

    /// 404 for the namespace of a write.
    pub(crate) fn no_namespace(namespace: &str) -> Self {
        let mut error = Self::new(
            404,
            "NotFound",
            format!("namespaces \"{namespace}\" not found"),
        );
        let details = StatusDetails {
            name: namespace.to_owned(),
            kind: "namespaces".to_owned(),
            ..Default::default()
        };
        error.0.details = Some(details);
        error
    }

    /// 404 for a path that means nothing here.
    pub(crate) fn no_such_path(path: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("the server could not find the requested resource ({path})"),
        )
    }

    /// 404 for an object.
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} \"{name}\" not found", kind.resource()),
        )
        .about(kind, name)
    }

    /// 405.
    pub(crate) fn method_not_allowed(method: &str) -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            format!("{method} is not possible on this path"),
        )
    }

    /// 406.
    pub(crate) fn not_acceptable(accept: &str) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!("this server answers application/json only; the request accepts {accept}"),
        )
    }

    /// 409 on create.
    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", kind.resource()),
        )
        .about(kind, name)
    }

    /// 409 on update or delete.
    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.resource()
        );
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// 410.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            format!("the body is larger than {limit_bytes} bytes"),
        )
    }

    /// 415.
    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 with the field's path.
    pub(crate) fn invalid(kind: &Kind, name: &str, field: &str, message: &str) -> Self {
        let text = format!("{} \"{name}\" is invalid: {field}: {message}", kind.kind);
        Self::new(422, "Invalid", text).about(kind, name).because(
            "FieldValueInvalid",
            field,
            message,
        )
    }

    /// 500.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// 504: the client asks for a revision that has not happened yet.
    pub(crate) fn future_revision(asked: u64, current: u64) -> Self {
        Self::new(
            504,
            "Timeout",
            format!("Too large resource version: {asked}, current: {current}"),
        )
        .because("ResourceVersionTooLarge", "", "Too large resource version")
    }

    /// The HTTP status code.
    pub(crate) fn code(&self) -> u16 {
        self.0.code
    }

    /// The body.
    pub(crate) fn status(&self) -> &Status {
        &self.0
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(error.to_string())
    }
}
