//! Delete, and delete of collections.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{durable, selector};
use crate::error::ApiError;
use crate::http::{Call, Query, Reply, parse_body};
use crate::kinds::{DEFINITIONS, Kind, Registry, Scope};
use crate::object;
use crate::services;
use crate::store::{Durable, Key, Transaction};

/// metav1.DeleteOptions, as far as it means something here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Options {
    fn parse(headers: &HeaderMap, query: &Query, body: &[u8]) -> Result<(Self, Durable), ApiError> {
        let mut options = Self::default();
        if !body.is_empty() {
            let value = parse_body(headers, body)?;
            options = serde_json::from_value(value).map_err(|error| {
                ApiError::bad_request(format!("the delete options do not read: {error}"))
            })?;
        }
        if options.grace_period_seconds.is_none() {
            let grace = query.number("gracePeriodSeconds")?;
            options.grace_period_seconds = grace.and_then(|seconds| i64::try_from(seconds).ok());
        }
        let dry = options
            .dry_run
            .as_ref()
            .is_some_and(|list| list.iter().any(|word| word == "All"));
        let durable = if dry {
            Durable::DryRun
        } else {
            durable(query)?
        };
        Ok((options, durable))
    }
}

/// What became of an object.
enum Fate {
    /// It went.
    Gone(Bytes),
    /// It waits for its finalizers, or for its node.
    Waits(Bytes),
}

/// Deletes one object.
pub(crate) async fn delete(call: Call, body: Bytes) -> Result<Reply, ApiError> {
    let (options, durable) = Options::parse(&call.headers, &call.query, &body)?;
    let Call {
        service,
        target,
        renderer,
        ..
    } = call;
    let (registry, kind) = (service.store.registry(), target.kind.clone());
    let name = target.name().to_owned();
    let write = service.store.write(durable, move |transaction| {
        let key = target.key(target.name());
        match transaction.get(&key)? {
            None => Err(ApiError::not_found(&target.kind, &key.name)),
            Some(old) => remove(transaction, &registry, &target.kind, &options, key, old),
        }
    });
    match write.await? {
        Fate::Waits(stored) => Ok(Reply::Json(StatusCode::OK, renderer.object(&stored))),
        Fate::Gone(stored) => {
            let object: Value = serde_json::from_slice(&stored).unwrap_or_default();
            Ok(Reply::value(&json!({
                "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success",
                "details": {"name": name, "group": kind.group, "kind": kind.plural, "uid": object::meta(&object, "uid")},
            })))
        }
    }
}

/// Deletes all objects of a collection that match.
pub(crate) async fn delete_collection(call: Call, body: Bytes) -> Result<Reply, ApiError> {
    let (options, durable) = Options::parse(&call.headers, &call.query, &body)?;
    let selector = selector(&call)?;
    let Call {
        service,
        target,
        renderer,
        ..
    } = call;
    let registry = service.store.registry();
    let write = service.store.write(durable, move |transaction| {
        let mut removed = Vec::new();
        for (key, old) in
            transaction.scan(&target.kind.shared_resource(), target.namespace.as_deref())?
        {
            if selector.is_all() || selector.matches(&key, old.to_string().as_bytes()) {
                match remove(transaction, &registry, &target.kind, &options, key, old)? {
                    Fate::Gone(bytes) | Fate::Waits(bytes) => removed.push(bytes),
                }
            }
        }
        Ok(removed)
    });
    let removed = write.await?;
    let revision = *service.store.revisions().borrow();
    let mut list = renderer.list(revision);
    for bytes in &removed {
        list.push(bytes);
    }
    Ok(Reply::Json(StatusCode::OK, list.finish()))
}

fn remove(
    transaction: &mut Transaction<'_>,
    registry: &Registry,
    kind: &Kind,
    options: &Options,
    key: Key,
    old: Value,
) -> Result<Fate, ApiError> {
    if let Some(Preconditions {
        uid,
        resource_version,
    }) = &options.preconditions
    {
        for (field, asked) in [("uid", uid), ("resourceVersion", resource_version)] {
            let found = object::meta(&old, field);
            if let Some(asked) = asked.as_deref().filter(|&asked| asked != found) {
                let why =
                    format!("Precondition failed: {field} is {found}, the request wants {asked}");
                return Err(ApiError::conflict(kind, &key.name, &why));
            }
        }
    }
    let keep = matches!(
        key.name.as_str(),
        "default" | "kube-system" | "kube-public" | "kube-node-lease"
    );
    if kind.resource() == "namespaces" && keep {
        return Err(ApiError::forbidden(format!(
            "the namespace {} may not be deleted",
            key.name
        )));
    }
    let grace = grace(kind, options, &old);
    if grace > 0 || object::has_finalizers(&old) {
        return mark(transaction, key, &old, grace).map(Fate::Waits);
    }
    if kind.resource() == "namespaces" && !empty_namespace(transaction, registry, &key.name)? {
        return mark(transaction, key, &old, 0).map(Fate::Waits);
    }
    let_go(transaction, registry, kind, key, old).map(Fate::Gone)
}

/// Seconds a pod gets to end. Only what the request asks for counts: with no kubelet to finish it, a default would
/// leave every deleted pod behind.
fn grace(kind: &Kind, options: &Options, old: &Value) -> i64 {
    let text = |pointer: &str| {
        old.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let running = !text("/spec/nodeName").is_empty()
        && !matches!(text("/status/phase"), "Succeeded" | "Failed");
    if kind.resource() == "pods" && running {
        options.grace_period_seconds.unwrap_or(0).max(0)
    } else {
        0
    }
}

/// Marks an object as on its way out; one already marked stays as it is.
fn mark(
    transaction: &mut Transaction<'_>,
    key: Key,
    old: &Value,
    grace_seconds: i64,
) -> Result<Bytes, ApiError> {
    if !object::meta(old, "deletionTimestamp").is_empty() {
        return serde_json::to_vec(old)
            .map(Bytes::from)
            .map_err(|error| ApiError::internal(error.to_string()));
    }
    let mut new = old.clone();
    let at = Timestamp::now()
        .checked_add(SignedDuration::from_secs(grace_seconds))
        .unwrap_or_else(|_| Timestamp::now());
    object::set_meta(&mut new, "deletionTimestamp", object::rfc3339(at));
    object::set_meta(&mut new, "deletionGracePeriodSeconds", grace_seconds);
    if &*key.resource == "namespaces" {
        new["status"] = json!({"phase": "Terminating"});
    }
    transaction.put(key, new, Some(old))
}

/// Removes an object with all that hangs on it.
pub(super) fn let_go(
    transaction: &mut Transaction<'_>,
    registry: &Registry,
    kind: &Kind,
    key: Key,
    object: Value,
) -> Result<Bytes, ApiError> {
    match kind.resource() {
        "services" => services::release(transaction, &object),
        DEFINITIONS => {
            let resource = object::meta(&object, "name").into();
            for (key, instance) in transaction.scan(&resource, None)? {
                transaction.remove(key, instance)?;
            }
        }
        _ => {}
    }
    let namespace = key.namespace.clone();
    let removed = transaction.remove(key, object)?;
    finish_namespace(transaction, registry, &namespace)?;
    Ok(removed)
}

/// Removes all that can be removed in a namespace; whether nothing is left.
fn empty_namespace(
    transaction: &mut Transaction<'_>,
    registry: &Registry,
    namespace: &str,
) -> Result<bool, ApiError> {
    let mut empty = true;
    for kind in registry
        .all()
        .filter(|kind| kind.scope == Scope::Namespaced)
    {
        for (key, object) in transaction.scan(&kind.shared_resource(), Some(namespace))? {
            if object::has_finalizers(&object) {
                mark(transaction, key, &object, 0)?;
                empty = false;
            } else {
                let_go(transaction, registry, kind, key, object)?;
            }
        }
    }
    Ok(empty)
}

/// Removes a terminating namespace once the last object in it is gone.
fn finish_namespace(
    transaction: &mut Transaction<'_>,
    registry: &Registry,
    namespace: &str,
) -> Result<(), ApiError> {
    if namespace.is_empty() {
        return Ok(());
    }
    let key = Key::new("namespaces".into(), "", namespace);
    let Some(object) = transaction.get(&key)? else {
        return Ok(());
    };
    if object::meta(&object, "deletionTimestamp").is_empty() || object::has_finalizers(&object) {
        return Ok(());
    }
    for kind in registry
        .all()
        .filter(|kind| kind.scope == Scope::Namespaced)
    {
        if !transaction
            .scan(&kind.shared_resource(), Some(namespace))?
            .is_empty()
        {
            return Ok(());
        }
    }
    transaction.remove(key, object).map(|_| ())
}
