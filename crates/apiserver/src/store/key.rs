//! The key of an object and its row in the database.

use std::sync::Arc;

/// Resource, namespace (empty when cluster-wide) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// `plural.group`.
    pub(crate) resource: Arc<str>,
    /// Namespace; empty when cluster-wide.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
}

impl Key {
    /// A key.
    pub(crate) fn new(resource: Arc<str>, namespace: &str, name: &str) -> Self {
        Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The row. NUL separates, because no name may contain it and it sorts below all else.
    pub(super) fn row(&self) -> String {
        format!("o/{}\0{}\0{}", self.resource, self.namespace, self.name)
    }

    /// Rows of a resource (in a namespace): from, and up to but without.
    pub(super) fn range(resource: &str, namespace: Option<&str>) -> (String, String) {
        let prefix = match namespace {
            Some(namespace) => format!("o/{resource}\0{namespace}"),
            None => format!("o/{resource}"),
        };
        (format!("{prefix}\0"), format!("{prefix}\u{1}"))
    }

    /// The key of a row of `resource`.
    pub(super) fn parse(resource: &Arc<str>, row: &str) -> Option<Self> {
        let (_, rest) = row.split_once('\0')?;
        let (namespace, name) = rest.split_once('\0')?;
        Some(Self::new(Arc::clone(resource), namespace, name))
    }
}
