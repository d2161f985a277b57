//! The least of OpenAPI that lets clients find out what the server takes: objects of any shape, by path.

use serde_json::{Map, Value, json};

use crate::kinds::{Kind, Registry, Scope};

fn base(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// `/openapi/v3`
pub(crate) fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    let mut add = |group: &str, version: &str| {
        let base = base(group, version);
        let url = format!("/openapi/v3/{base}");
        paths.insert(base, json!({"serverRelativeURL": url}));
    };
    add("", "v1");
    for (group, versions) in registry.groups() {
        for version in versions {
            add(group, version);
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/apis/GROUP/VERSION`
pub(crate) fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in registry
        .all()
        .filter(|kind| kind.group == group && kind.version(version).is_some())
    {
        let names = json!([{"group": kind.group, "version": version, "kind": kind.kind}]);
        let schema = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "x-kubernetes-group-version-kind": names,
        });
        schemas.insert(schema_name(kind, version), schema);
        paths.insert(path(kind, version), operations(kind, version));
    }
    (!paths.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0", "info": {"title": "Axoneme", "version": env!("CARGO_PKG_VERSION")},
            "paths": paths, "components": {"schemas": schemas},
        })
    })
}

/// `/openapi/v2`: enough to say that there is one.
pub(crate) fn version_2(registry: &Registry) -> Value {
    let mut definitions = Map::new();
    for kind in registry.all() {
        for version in &kind.versions {
            let names = json!([{"group": kind.group, "version": version.name, "kind": kind.kind}]);
            let schema = json!({"type": "object", "x-kubernetes-group-version-kind": names});
            definitions.insert(schema_name(kind, &version.name), schema);
        }
    }
    json!({
        "swagger": "2.0", "info": {"title": "Axoneme", "version": env!("CARGO_PKG_VERSION")},
        "paths": {}, "definitions": definitions,
    })
}

fn schema_name(kind: &Kind, version: &str) -> String {
    let group = if kind.group.is_empty() {
        "core"
    } else {
        &kind.group
    };
    format!("{group}.{version}.{}", kind.kind)
}

fn path(kind: &Kind, version: &str) -> String {
    let namespace = if kind.scope == Scope::Namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    format!(
        "/{}/{namespace}{}/{{name}}",
        base(&kind.group, version),
        kind.plural
    )
}

/// kubectl looks for the parameter `fieldValidation` at the patch of a kind before it sends objects unchecked by itself.
fn operations(kind: &Kind, version: &str) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = |action: &str| {
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": kind.group, "version": version, "kind": kind.kind},
            "parameters": [parameter("dryRun"), parameter("fieldValidation")],
            "responses": {"200": {"description": "OK"}},
        })
    };
    json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete")})
}
