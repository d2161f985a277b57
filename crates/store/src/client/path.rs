//! Paths of kinds and objects, and query parameters.

use std::fmt::Write as _;

use api::kubernetes::Resource;

use super::Scope;

/// A path with parameters.
pub(super) struct Query {
    /// What has been put together.
    pub(super) text: String,
}

impl Query {
    pub(super) fn new(path: &str) -> Self {
        Self {
            text: path.to_owned(),
        }
    }

    pub(super) fn add(&mut self, name: &str, value: &str) -> &mut Self {
        self.text
            .push(if self.text.contains('?') { '&' } else { '?' });
        self.text.push_str(name);
        self.text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.text.push(byte as char);
            } else {
                let _ = write!(self.text, "%{byte:02X}");
            }
        }
        self
    }

    pub(super) fn scope(&mut self, scope: &Scope) -> &mut Self {
        if let Some(fields) = &scope.fields {
            self.add("fieldSelector", fields);
        }
        if let Some(labels) = &scope.labels {
            self.add("labelSelector", labels);
        }
        self
    }
}

/// Path of all objects of a kind, or of those of a namespace.
pub(super) fn collection<R: Resource>(namespace: Option<&str>) -> String {
    let root = if R::GROUP.is_empty() {
        format!("/api/{}", R::VERSION)
    } else {
        format!("/apis/{}/{}", R::GROUP, R::VERSION)
    };
    match namespace.filter(|namespace| R::NAMESPACED && !namespace.is_empty()) {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{}", R::PLURAL),
        None => format!("{root}/{}", R::PLURAL),
    }
}

/// Path of one object.
pub(super) fn object<R: Resource>(namespace: Option<&str>, name: &str) -> String {
    format!("{}/{name}", collection::<R>(namespace))
}
