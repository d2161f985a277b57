//! A CRD object read as a kind, and the status a server gives it.

use serde_json::{Map, Value, json};

use super::{Column, Kind, Origin, Scope, StatusResource, Version, resource_name, stability};

/// What is wrong with a CRD, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Path of the field.
    pub(crate) field: String,
    /// Sentence.
    pub(crate) message: String,
}

fn fault(field: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault {
        field: field.into(),
        message: message.into(),
    }
}

fn required<'a>(object: &'a Value, pointer: &str) -> Result<&'a str, Fault> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            fault(
                pointer.trim_start_matches('/').replace('/', "."),
                "must be a text that is not empty",
            )
        })
}

fn texts(object: &Value, pointer: &str) -> Vec<String> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The kind a CRD object defines.
pub(super) fn kind_of(object: &Value) -> Result<Kind, Fault> {
    let group = required(object, "/spec/group")?;
    let plural = required(object, "/spec/names/plural")?;
    let kind = required(object, "/spec/names/kind")?;
    let scope = match required(object, "/spec/scope")? {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        other => {
            return Err(fault(
                "spec.scope",
                format!("\"{other}\" is neither Namespaced nor Cluster"),
            ));
        }
    };
    let name = required(object, "/metadata/name")?;
    if name != format!("{plural}.{group}") {
        return Err(fault(
            "metadata.name",
            format!("must be spec.names.plural+\".\"+spec.group: {plural}.{group}"),
        ));
    }
    let listed = object.pointer("/spec/versions").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| fault("spec.versions", "must be a list"))?;
    let mut versions = Vec::new();
    for (index, version) in listed.iter().enumerate() {
        let name = version.get("name").and_then(Value::as_str);
        let name =
            name.ok_or_else(|| fault(format!("spec.versions[{index}].name"), "must be a text"))?;
        if version
            .get("served")
            .and_then(Value::as_bool)
            .unwrap_or(false)
        {
            versions.push(version_of(name, version));
        }
    }
    if versions.is_empty() {
        return Err(fault(
            "spec.versions",
            "at least one version must be served",
        ));
    }
    versions.sort_by_key(|version| std::cmp::Reverse(stability(&version.name)));
    let singular = object
        .pointer("/spec/names/singular")
        .and_then(Value::as_str);
    Ok(Kind {
        group: group.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: singular.map_or_else(|| kind.to_lowercase(), str::to_owned),
        short_names: texts(object, "/spec/names/shortNames"),
        categories: texts(object, "/spec/names/categories"),
        scope,
        origin: Origin::Custom,
        versions,
        resource: resource_name(group, plural),
    })
}

fn version_of(name: &str, version: &Value) -> Version {
    let columns = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    let text = |column: &Value, key: &str| {
        column
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Version {
        name: name.to_owned(),
        status: match version.pointer("/subresources/status") {
            Some(Value::Object(_)) => StatusResource::Separate,
            _ => StatusResource::Inline,
        },
        columns: columns
            .into_iter()
            .flatten()
            .map(|column| Column {
                name: text(column, "name"),
                value_type: text(column, "type"),
                priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
                path: text(column, "jsonPath"),
            })
            .collect(),
    }
}

/// Checks a CRD object as it is about to be written.
pub(crate) fn check_definition(object: &Value) -> Result<(), Fault> {
    kind_of(object)?;
    let stored = object
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let stored = stored
        .filter(|version| {
            version
                .get("storage")
                .and_then(Value::as_bool)
                .unwrap_or(false)
        })
        .count();
    if stored != 1 {
        return Err(fault(
            "spec.versions",
            format!("exactly one version must have storage: true, found {stored}"),
        ));
    }
    Ok(())
}

/// Fills in what the API server itself states about a CRD: accepted names, stored versions, and that it is served.
pub(crate) fn complete_definition(object: &mut Value, now: &str) {
    let mut names = object
        .pointer("/spec/names")
        .cloned()
        .unwrap_or_else(|| json!({}));
    if let Some(names) = names.as_object_mut() {
        let kind = names
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        names
            .entry("singular")
            .or_insert_with(|| kind.to_lowercase().into());
        names
            .entry("listKind")
            .or_insert_with(|| format!("{kind}List").into());
    }
    let versions = object
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let stored: Vec<Value> = versions
        .filter(|version| {
            version
                .get("storage")
                .and_then(Value::as_bool)
                .unwrap_or(false)
        })
        .filter_map(|version| version.get("name").cloned())
        .collect();
    let condition = |name: &str, reason: &str, message: &str| json!({"type": name, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message});
    let status = json!({
        "acceptedNames": names,
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    });
    if let Some(object) = object.as_object_mut() {
        if let Some(spec) = object
            .entry("spec")
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
        {
            spec.insert("names".to_owned(), names);
        }
        object.insert("status".to_owned(), status);
    }
}
