//! The kinds this server knows: built in, or registered by a CRD.

mod builtin;
mod definition;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::definition::{check_definition, complete_definition};

/// Resource name of CRDs themselves.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In a namespace.
    Namespaced,
    /// Cluster-wide.
    Cluster,
}

/// Who defined a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Kubernetes itself.
    Kubernetes,
    /// A CRD, or a kind that is one in a cluster.
    Custom,
}

/// Whether `status` is a resource of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusResource {
    /// Written through `/status` only.
    Separate,
    /// Written with the object.
    Inline,
}

/// A printer column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Heading.
    pub(crate) name: String,
    /// OpenAPI type: string, integer, number, boolean, date.
    pub(crate) value_type: String,
    /// 0 is shown always, above only in wide output.
    pub(crate) priority: i64,
    /// JSON path into the object.
    pub(crate) path: String,
}

/// One served version of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// As `v2alpha1`.
    pub(crate) name: String,
    /// Whether `/status` exists.
    pub(crate) status: StatusResource,
    /// Printer columns after NAME; empty means AGE alone.
    pub(crate) columns: Vec<Column>,
}

/// A kind: names, scope, versions.
#[allow(
    clippy::struct_field_names,
    reason = "`kind` is what the API calls this field"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// API group; empty for core.
    pub(crate) group: String,
    /// Kind.
    pub(crate) kind: String,
    /// Plural, as in URLs.
    pub(crate) plural: String,
    /// Singular, as kubectl accepts it.
    pub(crate) singular: String,
    /// Short names.
    pub(crate) short_names: Vec<String>,
    /// Categories, as `all`.
    pub(crate) categories: Vec<String>,
    /// Scope.
    pub(crate) scope: Scope,
    /// Who defined it.
    pub(crate) origin: Origin,
    /// Served versions, the preferred first; never empty.
    pub(crate) versions: Vec<Version>,
    /// `plural.group`, or `plural` in core.
    resource: Arc<str>,
}

impl Kind {
    /// `plural.group`, or `plural` in core: the name in messages and in the store.
    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }

    /// The same, shared.
    pub(crate) fn shared_resource(&self) -> Arc<str> {
        Arc::clone(&self.resource)
    }

    /// `group/version`, or the version in core.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// The served version of that name.
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }
}

/// `plural.group`, or `plural` in core.
fn resource_name(group: &str, plural: &str) -> Arc<str> {
    if group.is_empty() {
        plural.into()
    } else {
        format!("{plural}.{group}").into()
    }
}

/// All kinds at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    kinds: BTreeMap<(String, String), Arc<Kind>>,
}

impl Registry {
    /// The built-in kinds, and those of `definitions` (CRD objects) over them. A definition that cannot be read is
    /// logged and skipped: it was checked when it was written.
    pub(crate) fn new<'a>(definitions: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut registry = Self::default();
        for kind in builtin::kinds() {
            registry.insert(kind);
        }
        for object in definitions {
            match definition::kind_of(object) {
                Ok(kind) => registry.insert(kind),
                Err(fault) => {
                    tracing::warn!(field = fault.field, "CRD is not served: {}", fault.message);
                }
            }
        }
        registry
    }

    fn insert(&mut self, kind: Kind) {
        self.kinds
            .insert((kind.group.clone(), kind.plural.clone()), Arc::new(kind));
    }

    /// The kind served under this group, version and plural.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let kind = self.kinds.get(&(group.to_owned(), plural.to_owned()))?;
        kind.version(version).map(|_| Arc::clone(kind))
    }

    /// The kind with this `plural.group`.
    pub(crate) fn by_resource(&self, resource: &str) -> Option<Arc<Kind>> {
        self.kinds
            .values()
            .find(|kind| kind.resource() == resource)
            .cloned()
    }

    /// All kinds, by group and plural.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }

    /// Named groups with their versions, the preferred first.
    pub(crate) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for kind in self.kinds.values().filter(|kind| !kind.group.is_empty()) {
            let versions = groups.entry(&kind.group).or_default();
            for version in &kind.versions {
                if !versions.contains(&version.name.as_str()) {
                    versions.push(&version.name);
                }
            }
        }
        for versions in groups.values_mut() {
            versions.sort_by_key(|version| std::cmp::Reverse(stability(version)));
        }
        groups
    }
}

/// Order of versions as Kubernetes prefers them: v2 > v1 > v1beta1 > v1alpha1 > anything else.
fn stability(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (major, suffix) = rest.split_at(digits);
    let Ok(major) = major.parse() else {
        return (0, 0, 0);
    };
    if suffix.is_empty() {
        return (3, major, 0);
    }
    for (level, word) in [(2, "beta"), (1, "alpha")] {
        if let Some(minor) = suffix
            .strip_prefix(word)
            .and_then(|minor| minor.parse().ok())
        {
            return (level, major, minor);
        }
    }
    (0, 0, 0)
}

#[cfg(test)]
mod tests;
