//! What the server does to an object's metadata: names, uid, times, generation, and what clients may not change.

use jiff::{Timestamp, Unit};
use rand::Rng;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::kinds::{Kind, Origin, Scope, StatusResource};

/// Letters and digits of generated suffixes: none that spell words.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Now, RFC 3339 in seconds.
pub(crate) fn now() -> String {
    rfc3339(Timestamp::now())
}

/// A time, RFC 3339 in seconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.round(Unit::Second)
        .unwrap_or(time)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Five random characters for a generated name.
pub(crate) fn suffix() -> String {
    let mut random = rand::rng();
    (0..5)
        .map(|_| char::from(SUFFIX[random.random_range(0..SUFFIX.len())]))
        .collect()
}

/// A text of the metadata; empty when absent.
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|meta| meta.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether any finalizer is left.
pub(crate) fn has_finalizers(object: &Value) -> bool {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty())
}

/// Writes the revision into the metadata.
pub(crate) fn set_revision(object: &mut Value, revision: u64) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
}

/// The metadata, made if it is absent.
pub(crate) fn meta_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| json!({}))
        .as_object_mut()
}

/// Checks the body's type against the path and takes `apiVersion` and `kind` out of it: they are spliced in on reads.
pub(crate) fn take_type(kind: &Kind, version: &str, object: &mut Value) -> Result<(), ApiError> {
    let Some(map) = object.as_object_mut() else {
        return Err(ApiError::bad_request("the body is not an object"));
    };
    let expected = kind.api_version(version);
    for (field, expected) in [
        ("apiVersion", expected.as_str()),
        ("kind", kind.kind.as_str()),
    ] {
        match map.remove(field) {
            Some(Value::String(found)) if found == expected => {}
            Some(Value::String(found)) => {
                let message =
                    format!("{field}: the object has \"{found}\", the path means \"{expected}\"");
                return Err(ApiError::bad_request(message));
            }
            _ => {
                return Err(ApiError::bad_request(format!(
                    "{field}: must be set to \"{expected}\""
                )));
            }
        }
    }
    Ok(())
}

/// Takes away what the server keeps for itself or does not keep, and nulls where Kubernetes itself would drop them.
fn clean(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    if kind.origin == Origin::Kubernetes {
        drop_nulls(object);
    }
    let Some(meta) = meta_mut(object) else {
        return Err(ApiError::bad_request("metadata: must be an object"));
    };
    meta.retain(|field, value| !value.is_null() && field != "managedFields" && field != "selfLink");
    Ok(())
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Makes a new object ready to be stored; its name is final afterwards.
pub(crate) fn prepare_create(
    kind: &Kind,
    version: &str,
    namespace: &str,
    object: &mut Value,
) -> Result<(), ApiError> {
    take_type(kind, version, object)?;
    clean(kind, object)?;
    check_namespace(kind, namespace, object)?;
    if !meta(object, "resourceVersion").is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if meta(object, "name").is_empty() {
        let prefix = meta(object, "generateName").to_owned();
        if prefix.is_empty() {
            return Err(ApiError::invalid(
                kind,
                "",
                "metadata.name",
                "name or generateName is required",
            ));
        }
        // 63 is the shortest limit of any name; 5 are the suffix.
        let end = prefix
            .char_indices()
            .nth(58)
            .map_or(prefix.len(), |(end, _)| end);
        set_meta(object, "name", format!("{}{}", &prefix[..end], suffix()));
    }
    if kind
        .versions
        .first()
        .is_some_and(|version| version.status == StatusResource::Separate)
    {
        drop_status_of_new(kind, object);
    }
    check_meta(kind, object)?;
    if let Some(meta) = meta_mut(object) {
        meta.remove("deletionTimestamp");
        meta.remove("deletionGracePeriodSeconds");
        meta.insert("generation".to_owned(), 1.into());
        meta.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
        meta.insert("creationTimestamp".to_owned(), now().into());
        if kind.scope == Scope::Namespaced {
            meta.insert("namespace".to_owned(), namespace.into());
        } else {
            meta.remove("namespace");
        }
    }
    Ok(())
}

/// A status in the body of a create counts only where Kubernetes itself takes it: kubelets register nodes with theirs.
fn drop_status_of_new(kind: &Kind, object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    match kind.resource() {
        "nodes" => return,
        "pods" => map.insert("status".to_owned(), json!({"phase": "Pending"})),
        "namespaces" => map.insert("status".to_owned(), json!({"phase": "Active"})),
        "services" => map.insert("status".to_owned(), json!({"loadBalancer": {}})),
        _ => map.remove("status"),
    };
}

/// Which part of an object an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status, where that is separate.
    Object,
    /// The status alone.
    Status,
}

/// Makes the new state of `old` ready to be stored: what clients may not change is carried over.
pub(crate) fn prepare_update(
    kind: &Kind,
    part: Part,
    old: &Value,
    new: &mut Value,
) -> Result<(), ApiError> {
    clean(kind, new)?;
    let name = meta(old, "name").to_owned();
    if meta(new, "name") != name {
        let message = format!(
            "the name of the object ({}) does not match the name on the path ({name})",
            meta(new, "name")
        );
        return Err(ApiError::bad_request(message));
    }
    check_namespace(kind, meta(old, "namespace"), new)?;
    let uid = meta(new, "uid");
    if !uid.is_empty() && uid != meta(old, "uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta(old, "uid")
        );
        return Err(ApiError::conflict(kind, &name, &why));
    }
    check_revision(kind, &name, old, meta(new, "resourceVersion"))?;
    if part == Part::Status {
        let status = new.get("status").cloned();
        *new = old.clone();
        set_field(new, "status", status);
        return Ok(());
    }
    if kind
        .versions
        .first()
        .is_some_and(|version| version.status == StatusResource::Separate)
    {
        set_field(new, "status", old.get("status").cloned());
    }
    check_meta(kind, new)?;
    for field in [
        "uid",
        "creationTimestamp",
        "namespace",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        let kept = old.pointer(&format!("/metadata/{field}")).cloned();
        if let Some(meta) = meta_mut(new) {
            match kept {
                Some(value) => meta.insert(field.to_owned(), value),
                None => meta.remove(field),
            };
        }
    }
    if desired(kind, old) != desired(kind, new) {
        let generation = old
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        if let Some(meta) = meta_mut(new) {
            meta.insert("generation".to_owned(), (generation + 1).into());
        }
    }
    Ok(())
}

/// 409 if the revision a client based its change on is not the present one.
pub(crate) fn check_revision(
    kind: &Kind,
    name: &str,
    old: &Value,
    asked: &str,
) -> Result<(), ApiError> {
    if asked.is_empty() || asked == meta(old, "resourceVersion") {
        return Ok(());
    }
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Err(ApiError::conflict(kind, name, why))
}

/// The part whose changes the generation counts.
fn desired(kind: &Kind, object: &Value) -> Map<String, Value> {
    let separate = kind
        .versions
        .first()
        .is_some_and(|version| version.status == StatusResource::Separate);
    let fields = object.as_object().into_iter().flatten();
    let fields =
        fields.filter(|(field, _)| *field != "metadata" && !(separate && *field == "status"));
    fields
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}

/// Sets or removes a top-level field.
fn set_field(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(map) = object.as_object_mut() {
        match value {
            Some(value) => map.insert(field.to_owned(), value),
            None => map.remove(field),
        };
    }
}

/// Sets a text of the metadata.
pub(crate) fn set_meta(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(meta) = meta_mut(object) {
        meta.insert(field.to_owned(), value.into());
    }
}

fn check_namespace(kind: &Kind, namespace: &str, object: &Value) -> Result<(), ApiError> {
    let found = meta(object, "namespace");
    match kind.scope {
        Scope::Namespaced if !found.is_empty() && found != namespace => {
            Err(ApiError::bad_request(format!(
                "the namespace of the object ({found}) does not match the namespace on the path ({namespace})"
            )))
        }
        Scope::Cluster if !found.is_empty() => Err(ApiError::bad_request(format!(
            "metadata.namespace: {} have no namespace",
            kind.plural
        ))),
        _ => Ok(()),
    }
}

fn check_meta(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let name = meta(object, "name");
    let limit = if matches!(kind.resource(), "namespaces" | "services") {
        63
    } else {
        253
    };
    if !is_subdomain(name, limit) {
        let message = format!(
            "\"{name}\" must be at most {limit} lower case letters, digits, '-' and '.', starting and ending with a letter or digit"
        );
        return Err(ApiError::invalid(kind, name, "metadata.name", &message));
    }
    for field in ["labels", "annotations"] {
        let Some(value) = object.pointer(&format!("/metadata/{field}")) else {
            continue;
        };
        let path = format!("metadata.{field}");
        let Some(map) = value.as_object() else {
            return Err(ApiError::invalid(kind, name, &path, "must be an object"));
        };
        for (key, value) in map {
            let Some(value) = value.as_str() else {
                return Err(ApiError::invalid(
                    kind,
                    name,
                    &format!("{path}[{key}]"),
                    "must be a text",
                ));
            };
            if !is_label_key(key) {
                return Err(ApiError::invalid(
                    kind,
                    name,
                    &path,
                    &format!("\"{key}\" is not a valid key"),
                ));
            }
            if field == "labels" && !is_label_value(value) {
                let message = format!("\"{value}\" is not a valid label value");
                return Err(ApiError::invalid(kind, name, &path, &message));
            }
        }
    }
    Ok(())
}

/// RFC 1123 subdomain.
fn is_subdomain(name: &str, limit: usize) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|&c| allowed(c) || c == b'-')
            && bytes.first().is_some_and(|&c| allowed(c))
            && bytes.last().is_some_and(|&c| allowed(c))
    };
    name.len() <= limit && name.split('.').all(label)
}

/// `[prefix/]name`, the prefix a subdomain, the name as a label value that is not empty.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .rsplit_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    !name.is_empty()
        && is_label_value(name)
        && prefix.is_none_or(|prefix| is_subdomain(&prefix.to_lowercase(), 253))
}

fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() <= 63
        && bytes
            .iter()
            .all(|&c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && bytes.first().is_none_or(u8::is_ascii_alphanumeric)
        && bytes.last().is_none_or(u8::is_ascii_alphanumeric)
}
