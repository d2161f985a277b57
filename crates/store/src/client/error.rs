//! Why requests fail.

use std::time::Duration;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not lead to a server.
    #[error("API server configuration: {0}")]
    Config(String),
    /// The server refused: HTTP status, and its sentence.
    #[error("{verb} {path}: {status}: {message}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: String,
        /// HTTP status.
        status: u16,
        /// The server's sentence.
        message: String,
        /// The server asks not to be asked again for so long.
        retry_after: Option<Duration>,
    },
    /// No answer, or none that can be read.
    #[error("{verb} {path}: {message}")]
    Unanswered {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: String,
        /// What happened.
        message: String,
    },
}

impl Error {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self {
            Some(*status)
        } else {
            None
        }
    }
    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self {
            *retry_after
        } else {
            None
        }
    }
    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
    /// We may not do that.
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }
    /// The object exists already, or has changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }
    /// The version asked for is too old to continue from.
    pub fn is_gone(&self) -> bool {
        self.status() == Some(410)
    }
    /// The version asked for is one that the server has not reached: it lags behind, or was restored from a backup.
    pub fn is_ahead(&self) -> bool {
        matches!(self, Self::Refused { status: 504, message, .. } if message.contains("Too large resource version"))
    }
}
