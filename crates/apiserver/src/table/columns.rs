//! Columns of each kind: those of its definition, or the ones kubectl's users know.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, cells, path};
use crate::kinds::{Column, Kind};
use crate::object;

/// Columns that a path cannot express, by resource: (heading, priority).
fn special(kind: &Kind) -> Option<&'static [(&'static str, i64)]> {
    Some(match kind.resource() {
        "pods" => &[
            ("Ready", 0),
            ("Status", 0),
            ("Restarts", 0),
            ("Age", 0),
            ("IP", 1),
            ("Node", 1),
        ],
        "namespaces" => &[("Status", 0), ("Age", 0)],
        "nodes" => &[
            ("Status", 0),
            ("Roles", 0),
            ("Age", 0),
            ("Version", 0),
            ("Internal-IP", 1),
        ],
        "services" => &[
            ("Type", 0),
            ("Cluster-IP", 0),
            ("External-IP", 0),
            ("Port(s)", 0),
            ("Age", 0),
            ("Selector", 1),
        ],
        "configmaps" => &[("Data", 0), ("Age", 0)],
        "secrets" => &[("Type", 0), ("Data", 0), ("Age", 0)],
        "endpointslices.discovery.k8s.io" => &[
            ("AddressType", 0),
            ("Ports", 0),
            ("Endpoints", 0),
            ("Age", 0),
        ],
        "networkpolicies.networking.k8s.io" => &[("Pod-Selector", 0), ("Age", 0)],
        _ => return None,
    })
}

fn defined<'a>(kind: &'a Kind, version: &str) -> &'a [Column] {
    kind.version(version)
        .map_or(&[], |version| &version.columns)
}

/// Heading, type and priority of all columns.
pub(super) fn headings(kind: &Kind, version: &str) -> Vec<(String, String, i64)> {
    let text = |name: &str, priority| (name.to_owned(), "string".to_owned(), priority);
    let mut headings = vec![text("Name", 0)];
    if let Some(special) = special(kind) {
        headings.extend(special.iter().map(|&(name, priority)| text(name, priority)));
        return headings;
    }
    let columns = defined(kind, version);
    headings.extend(columns.iter().map(|column| {
        (
            column.name.clone(),
            column.value_type.clone(),
            column.priority,
        )
    }));
    if columns.is_empty() {
        headings.push(text("Age", 0));
    }
    headings
}

/// One row; as many cells as there are headings.
pub(super) fn cells(kind: &Kind, version: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut row = vec![json!(object::meta(object, "name"))];
    if let Some(special) = special(kind) {
        row.extend(special.iter().map(|(name, _)| match *name {
            "Age" => age_of(object, now),
            name => json!(cells::cell(kind.resource(), name, object)),
        }));
        return row;
    }
    let columns = defined(kind, version);
    row.extend(columns.iter().map(|column| by_path(column, object, now)));
    if columns.is_empty() {
        row.push(age_of(object, now));
    }
    row
}

fn age_of(object: &Value, now: Timestamp) -> Value {
    since(object::meta(object, "creationTimestamp"), now)
}

fn since(text: &str, now: Timestamp) -> Value {
    match text.parse::<Timestamp>() {
        Ok(time) => json!(age::human(now.as_second() - time.as_second())),
        Err(_) => json!("<unknown>"),
    }
}

fn by_path(column: &Column, object: &Value, now: Timestamp) -> Value {
    let Some(&value) = path::values(object, &column.path).first() else {
        return Value::Null;
    };
    match (column.value_type.as_str(), value) {
        ("date", Value::String(text)) => since(text, now),
        ("integer" | "number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        (_, Value::String(text)) => json!(text),
        (_, Value::Null) => Value::Null,
        (_, other) => json!(other.to_string()),
    }
}
