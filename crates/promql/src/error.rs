//! Why a query has no answer.

use thiserror::Error;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The query's text.
    Bad,
    /// What the query met while it was evaluated, or a limit of samples or series.
    Execution,
    /// It took too long.
    Timeout,
}

/// Why a query has no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Error {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

impl Error {
    /// An error while a query was evaluated.
    pub fn execution(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Execution,
            message: message.into(),
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Bad,
            message: message.into(),
        }
    }
}
