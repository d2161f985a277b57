//! What a path means.

use std::sync::Arc;

use super::query::decode;
use crate::error::ApiError;
use crate::kinds::{Kind, Registry, Scope, StatusResource};
use crate::object::Part;
use crate::store::Key;

/// An object or a collection.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Kind.
    pub(crate) kind: Arc<Kind>,
    /// Version on the path; one that the kind serves.
    pub(crate) version: String,
    /// Namespace; `None` for cluster-wide kinds and for a collection over all namespaces.
    pub(crate) namespace: Option<String>,
    /// Name; `None` for a collection.
    pub(crate) name: Option<String>,
    /// The object or its status.
    pub(crate) part: Part,
}

impl Target {
    /// The key of the object of that name.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(
            self.kind.shared_resource(),
            self.namespace.as_deref().unwrap_or_default(),
            name,
        )
    }

    /// The name; empty for a collection.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

/// What a path means.
#[derive(Clone, Debug)]
pub(crate) enum Path {
    /// `/`
    Root,
    /// `/healthz`, `/livez`, `/readyz`
    Health,
    /// `/version`
    Version,
    /// `/api`
    Api,
    /// `/apis`
    Apis,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Resources(String, String),
    /// `/openapi/v2`
    OpenApi2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/apis/GROUP/VERSION`
    OpenApi(String, String),
    /// Anything with objects.
    Object(Target),
}

impl Path {
    /// Reads a path.
    pub(crate) fn parse(path: &str, registry: &Registry) -> Result<Self, ApiError> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let owned = |text: &&str| (*text).to_owned();
        let meaning = match segments.as_slice() {
            [] => Some(Self::Root),
            ["healthz" | "livez" | "readyz", ..] => Some(Self::Health),
            ["version"] => Some(Self::Version),
            ["api"] => Some(Self::Api),
            ["apis"] => Some(Self::Apis),
            ["openapi", "v2"] => Some(Self::OpenApi2),
            ["openapi", "v3"] => Some(Self::OpenApiIndex),
            ["openapi", "v3", "api", version] => Some(Self::OpenApi(String::new(), owned(version))),
            ["openapi", "v3", "apis", group, version] => {
                Some(Self::OpenApi(owned(group), owned(version)))
            }
            ["api", version] => Some(Self::Resources(String::new(), owned(version))),
            ["apis", group] => Some(Self::Group(owned(group))),
            ["apis", group, version] => Some(Self::Resources(owned(group), owned(version))),
            ["api", version, rest @ ..] => target(registry, "", version, rest),
            ["apis", group, version, rest @ ..] => target(registry, group, version, rest),
            _ => None,
        };
        meaning.ok_or_else(|| ApiError::no_such_path(path))
    }
}

fn target(registry: &Registry, group: &str, version: &str, rest: &[&str]) -> Option<Path> {
    let (namespace, rest) = match rest {
        // `namespaces/NAME/status` is the namespace's own; anything else below a namespace is in it.
        ["namespaces", namespace, inner @ ..] if !matches!(inner, [] | ["status"]) => {
            (Some(*namespace), inner)
        }
        _ => (None, rest),
    };
    let (plural, name, part) = match rest {
        [plural] => (*plural, None, Part::Object),
        [plural, name] => (*plural, Some(*name), Part::Object),
        [plural, name, "status"] => (*plural, Some(*name), Part::Status),
        _ => return None,
    };
    let kind = registry.find(group, version, plural)?;
    let fits = match kind.scope {
        Scope::Cluster => namespace.is_none(),
        Scope::Namespaced => namespace.is_some() || name.is_none(),
    };
    let has_part =
        part == Part::Object || kind.version(version)?.status == StatusResource::Separate;
    if !fits || !has_part {
        return None;
    }
    Some(Path::Object(Target {
        kind,
        version: version.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        part,
    }))
}
