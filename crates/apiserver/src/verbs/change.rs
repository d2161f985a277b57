//! Replace and patch.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{durable, is_unchanged, remove, typed};
use crate::error::ApiError;
use crate::http::{Call, Reply, content_type, parse_body};
use crate::kinds::{DEFINITIONS, Kind, Origin, Registry, check_definition, complete_definition};
use crate::object::{self, Part};
use crate::services::{self, Ranges};
use crate::store::{Durable, Key, Transaction};

/// What a change makes of the old state (with its type fields).
type Edit = Box<dyn FnOnce(&Value) -> Result<Value, ApiError> + Send>;

/// Replaces an object, or its status.
pub(crate) async fn update(call: Call, body: Bytes) -> Result<Reply, ApiError> {
    let object = parse_body(&call.headers, &body)?;
    let new = typed(&call, object)?;
    if call.target.kind.origin == Origin::Custom && object::meta(&new, "resourceVersion").is_empty()
    {
        let field = "metadata.resourceVersion";
        return Err(ApiError::invalid(
            &call.target.kind,
            call.target.name(),
            field,
            "must be specified for an update",
        ));
    }
    change(call, Box::new(move |_| Ok(new))).await
}

/// Patches an object, or its status.
pub(crate) async fn patch(call: Call, body: Bytes) -> Result<Reply, ApiError> {
    let patch = |error: serde_json::Error| {
        ApiError::bad_request(format!("the patch does not read: {error}"))
    };
    let api_version = call.target.kind.api_version(&call.target.version);
    let (kind, version) = (call.target.kind.clone(), call.target.version.clone());
    let name = call.target.name().to_owned();
    let with_type = move |old: &Value| {
        let mut object = old.clone();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind.kind);
        object
    };
    let kind = call.target.kind.clone();
    let edit: Edit = match content_type(&call.headers).as_str() {
        "application/json-patch+json" => {
            let operations: json_patch::Patch = serde_json::from_slice(&body).map_err(patch)?;
            Box::new(move |old| {
                let mut object = with_type(old);
                json_patch::patch(&mut object, &operations).map_err(|error| {
                    ApiError::invalid(&kind, &name, error.path.as_str(), &error.to_string())
                })?;
                object::take_type(&kind, &version, &mut object)?;
                Ok(object)
            })
        }
        "application/merge-patch+json" => {
            let change: Value = serde_json::from_slice(&body).map_err(patch)?;
            Box::new(move |old| {
                let mut object = with_type(old);
                json_patch::merge(&mut object, &change);
                object::take_type(&kind, &version, &mut object)?;
                Ok(object)
            })
        }
        other => {
            return Err(ApiError::unsupported_media_type(format!(
                "patches of type {other} are not supported: this server has no strategic merge and no server-side apply; \
                 it takes application/merge-patch+json and application/json-patch+json"
            )));
        }
    };
    change(call, edit).await
}

async fn change(call: Call, edit: Edit) -> Result<Reply, ApiError> {
    let durable = durable(&call.query)?;
    let Call {
        service,
        target,
        renderer,
        ..
    } = call;
    let (ranges, registry) = (service.ranges.clone(), service.store.registry());
    let write = service.store.write(durable, move |transaction| {
        let key = target.key(target.name());
        let Some(old) = transaction.get(&key)? else {
            return Err(ApiError::not_found(&target.kind, &key.name));
        };
        let mut new = edit(&old)?;
        object::prepare_update(&target.kind, target.part, &old, &mut new)?;
        if target.part == Part::Object {
            settle(transaction, &ranges, &target.kind, Some(&old), &mut new)?;
        }
        apply(
            transaction,
            &registry,
            &target.kind,
            target.part,
            key,
            &old,
            new,
        )
    });
    let stored = match write.await {
        Err(error) => return Err(error),
        Ok(stored) => stored,
    };
    Ok(Reply::Json(StatusCode::OK, renderer.object(&stored)))
}

/// Stores the new state, or lets the object go when its last finalizer went.
fn apply(
    transaction: &mut Transaction<'_>,
    registry: &Registry,
    kind: &Kind,
    part: Part,
    key: Key,
    old: &Value,
    new: Value,
) -> Result<Bytes, ApiError> {
    if !object::meta(&new, "deletionTimestamp").is_empty()
        && object::has_finalizers(old)
        && !object::has_finalizers(&new)
    {
        return remove::let_go(transaction, registry, kind, key, new);
    }
    if is_unchanged(part, old, &new) {
        let bytes =
            serde_json::to_vec(old).map_err(|error| ApiError::internal(error.to_string()))?;
        return Ok(Bytes::from(bytes));
    }
    transaction.put(key, new, Some(old))
}

/// Refuses writes into a namespace that is not there, or is going.
pub(super) fn check_namespace(
    transaction: &Transaction<'_>,
    namespace: &str,
) -> Result<(), ApiError> {
    if namespace.is_empty() {
        return Ok(());
    }
    match transaction.get(&Key::new("namespaces".into(), "", namespace))? {
        None => Err(ApiError::no_namespace(namespace)),
        Some(object) if !object::meta(&object, "deletionTimestamp").is_empty() => Err(
            ApiError::forbidden(format!("the namespace {namespace} is being terminated")),
        ),
        Some(_) => Ok(()),
    }
}

/// What the server itself sets on certain kinds.
pub(super) fn settle(
    transaction: &mut Transaction<'_>,
    ranges: &Ranges,
    kind: &Kind,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<(), ApiError> {
    match kind.resource() {
        "services" => services::assign(transaction, ranges, kind, old, new),
        "namespaces" => {
            let name = object::meta(new, "name").to_owned();
            if let Some(meta) = object::meta_mut(new) {
                let labels = meta.entry("labels").or_insert_with(|| json!({}));
                labels["kubernetes.io/metadata.name"] = json!(name);
            }
            Ok(())
        }
        DEFINITIONS => {
            if let Err(fault) = check_definition(new) {
                return Err(ApiError::invalid(
                    kind,
                    object::meta(new, "name"),
                    &fault.field,
                    &fault.message,
                ));
            }
            let since = old.and_then(|old| old.pointer("/status/conditions/0/lastTransitionTime"));
            let since = since
                .and_then(Value::as_str)
                .map_or_else(object::now, str::to_owned);
            complete_definition(new, &since);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Makes the namespaces that every cluster has.
pub(crate) fn first_namespaces(
    transaction: &mut Transaction<'_>,
    registry: &Registry,
) -> Result<(), ApiError> {
    let Some(kind) = registry.find("", "v1", "namespaces") else {
        return Ok(());
    };
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let key = Key::new(kind.shared_resource(), "", name);
        if transaction.get(&key)?.is_some() {
            continue;
        }
        let mut object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        object::prepare_create(&kind, "v1", "", &mut object)?;
        object["metadata"]["labels"] = json!({"kubernetes.io/metadata.name": name});
        transaction.put(key, object, None)?;
    }
    Ok(())
}

/// Makes them in a new store.
pub(crate) async fn seed(store: &crate::store::Store) -> Result<(), ApiError> {
    let registry = store.registry();
    store
        .write(Durable::Yes, move |transaction| {
            first_namespaces(transaction, &registry)
        })
        .await
}
