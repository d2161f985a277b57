//! Label selectors, read from JSON at every question.

use serde_json::Value;

/// A label as (source, key, value).
pub(super) type Tag = (String, String, String);

/// How the keys of a selector are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Kubernetes labels of the pod.
    Pod,
    /// Kubernetes labels of the pod's namespace.
    Namespace,
    /// `source:key`, or `key` for any source.
    Cilium,
    /// Labels of a CIDR group.
    Group,
}

/// The values that a written key has among the tags.
fn values<'a>(tags: &'a [Tag], written: &str, dialect: Dialect) -> Vec<&'a str> {
    let (source, key) = match dialect {
        Dialect::Pod => ("k8s", written.to_owned()),
        Dialect::Namespace => ("k8s", format!("io.cilium.k8s.namespace.labels.{written}")),
        Dialect::Group => ("cidrgroup", written.to_owned()),
        Dialect::Cilium => match written.find(':') {
            None => ("any", written.to_owned()),
            Some(at) => (&written[..at], written[at + 1..].to_owned()),
        },
    };
    let of_key = tags
        .iter()
        .filter(|tag| tag.1 == key && (source == "any" || tag.0 == source));
    of_key.map(|tag| tag.2.as_str()).collect()
}

/// Whether a selector selects a thing with these tags.
pub(super) fn selects(selector: &Value, tags: &[Tag], dialect: Dialect) -> bool {
    if let Some(pairs) = selector["matchLabels"].as_object() {
        for (key, wanted) in pairs {
            if !values(tags, key, dialect).contains(&wanted.as_str().unwrap_or("")) {
                return false;
            }
        }
    }
    for expression in selector["matchExpressions"]
        .as_array()
        .unwrap_or(&Vec::new())
    {
        let has = values(tags, expression["key"].as_str().unwrap_or(""), dialect);
        let listed = expression["values"].as_array().cloned().unwrap_or_default();
        let has_listed = listed
            .iter()
            .any(|value| has.contains(&value.as_str().unwrap_or("")));
        let holds = match expression["operator"].as_str() {
            Some("In") => has_listed,
            Some("NotIn") => !has_listed,
            Some("Exists") => !has.is_empty(),
            Some("DoesNotExist") => has.is_empty(),
            _ => false,
        };
        if !holds {
            return false;
        }
    }
    true
}

/// All keys that a selector writes.
pub(super) fn keys(selector: &Value) -> Vec<String> {
    let labels = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flat_map(|pairs| pairs.keys().cloned());
    let expressions = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten();
    labels
        .chain(expressions.filter_map(|e| e["key"].as_str().map(str::to_owned)))
        .collect()
}
