//! The one error of this crate: what was attempted, on what, and what the kernel said.

use std::io;

/// Result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation: names the operation, its object and the errno, and the kernel's own sentence when it gave one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {object}: {}{}", io::Error::from_raw_os_error(*.errno), detail_suffix(.detail))]
pub struct Error {
    operation: &'static str,
    object: String,
    errno: i32,
    detail: String,
}

fn detail_suffix(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    }
}

impl Error {
    pub(crate) fn new(operation: &'static str, object: impl Into<String>, errno: i32) -> Self {
        Self {
            operation,
            object: object.into(),
            errno,
            detail: String::new(),
        }
    }

    pub(crate) fn last_os(operation: &'static str, object: impl Into<String>) -> Self {
        Self::from_io(operation, object, &io::Error::last_os_error())
    }

    pub(crate) fn from_io(
        operation: &'static str,
        object: impl Into<String>,
        error: &io::Error,
    ) -> Self {
        let known = error.raw_os_error();
        let plain = Self::new(operation, object, known.unwrap_or(libc::EIO));
        if known.is_some() {
            plain
        } else {
            plain.with_detail(error.to_string())
        }
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// What was attempted, e.g. `create veth`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it was attempted on, e.g. `eth0 with peer lxc1`.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The kernel's errno, positive.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The object does not exist: `ENODEV`, `ENOENT`, `ESRCH`, or `EADDRNOTAVAIL` (deleting an address).
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.errno,
            libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL
        )
    }

    /// The object exists already: `EEXIST`.
    pub fn is_exists(&self) -> bool {
        self.errno == libc::EEXIST
    }
}
