//! What can be done with objects, one function per verb.

mod change;
mod remove;
mod watch;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::error::ApiError;
use crate::http::{Call, Query, Reply, parse_body};
use crate::kinds::Scope;
use crate::object::{self, Part};
use crate::selector::Selector;
use crate::store::Durable;

pub(crate) use self::change::{patch, seed, update};
pub(crate) use self::remove::{delete, delete_collection};
pub(crate) use self::watch::watch;

/// The selectors of a request.
fn selector(call: &Call) -> Result<Selector, ApiError> {
    Selector::parse(
        call.query.get("labelSelector"),
        call.query.get("fieldSelector"),
    )
}

/// Whether the request wants its effect to last.
fn durable(query: &Query) -> Result<Durable, ApiError> {
    match query.get("dryRun") {
        "" => Ok(Durable::Yes),
        "All" => Ok(Durable::DryRun),
        other => Err(ApiError::bad_request(format!(
            "dryRun: \"{other}\" is not supported; All is"
        ))),
    }
}

/// A revision a request carries; `None` when absent or 0, which both mean "any".
fn revision(query: &Query) -> Result<Option<u64>, ApiError> {
    Ok(query
        .number("resourceVersion")?
        .filter(|&revision| revision != 0))
}

/// One object.
pub(crate) async fn get(call: Call) -> Result<Reply, ApiError> {
    let key = call.target.key(call.target.name());
    let asked = revision(&call.query)?;
    let found = call.service.store.read(move |view| {
        let current = view.revision()?;
        match asked {
            Some(asked) if asked > current => Err(ApiError::future_revision(asked, current)),
            _ => Ok(view.get(&key)?),
        }
    });
    let stored = found
        .await?
        .ok_or_else(|| ApiError::not_found(&call.target.kind, call.target.name()))?;
    Ok(Reply::Json(StatusCode::OK, call.renderer.object(&stored)))
}

/// All objects of a collection. `limit` is not honoured, as the API allows: the answer is always the whole list.
pub(crate) async fn list(call: Call) -> Result<Reply, ApiError> {
    if !call.query.get("continue").is_empty() {
        return Err(ApiError::expired(
            "this server answers lists whole and gives out no continue tokens",
        ));
    }
    let selector = selector(&call)?;
    let asked = revision(&call.query)?;
    let exact = call.query.get("resourceVersionMatch") == "Exact";
    let Call {
        service,
        target,
        renderer,
        ..
    } = call;
    let body = service.store.read(move |view| {
        let current = view.revision()?;
        match asked {
            Some(asked) if asked > current => {
                return Err(ApiError::future_revision(asked, current));
            }
            Some(asked) if exact && asked != current => {
                return Err(ApiError::expired(format!(
                    "the state of revision {asked} is no longer kept"
                )));
            }
            _ => {}
        }
        let mut list = renderer.list(current);
        view.scan(
            &target.kind.shared_resource(),
            target.namespace.as_deref(),
            |key, bytes| {
                if selector.is_all() || selector.matches(&key, bytes) {
                    list.push(bytes);
                }
            },
        )?;
        Ok(list.finish())
    });
    Ok(Reply::Json(StatusCode::OK, body.await?))
}

/// A new object.
pub(crate) async fn create(call: Call, body: Bytes) -> Result<Reply, ApiError> {
    let durable = durable(&call.query)?;
    let mut object = parse_body(&call.headers, &body)?;
    let Call {
        service,
        target,
        renderer,
        ..
    } = call;
    if target.kind.scope == Scope::Namespaced && target.namespace.is_none() {
        return Err(ApiError::bad_request(
            "the path of a create names the namespace",
        ));
    }
    let namespace = target.namespace.clone().unwrap_or_default();
    let generated = object::meta(&object, "name").is_empty();
    object::prepare_create(&target.kind, &target.version, &namespace, &mut object)?;
    let ranges = service.ranges.clone();
    let write = service.store.write(durable, move |transaction| {
        change::check_namespace(transaction, &namespace)?;
        let mut key = target.key(object::meta(&object, "name"));
        if transaction.get(&key)?.is_some() && generated {
            // One more try for a generated name, as a real server has several: 27^5 names make a third needless.
            let name = object::meta(&object, "name");
            let longer = format!("{}{}", &name[..name.len() - 5], object::suffix());
            object::set_meta(&mut object, "name", longer);
            key = target.key(object::meta(&object, "name"));
        }
        if transaction.get(&key)?.is_some() {
            return Err(ApiError::already_exists(&target.kind, &key.name));
        }
        change::settle(transaction, &ranges, &target.kind, None, &mut object)?;
        transaction.put(key, object, None)
    });
    let stored = write.await?;
    Ok(Reply::Json(StatusCode::CREATED, renderer.object(&stored)))
}

/// The body of an update, its type checked.
fn typed(call: &Call, mut object: Value) -> Result<Value, ApiError> {
    object::take_type(&call.target.kind, &call.target.version, &mut object)?;
    Ok(object)
}

/// Whether an update changes nothing but what the server sets.
fn is_unchanged(part: Part, old: &Value, new: &Value) -> bool {
    match part {
        Part::Status => old.get("status") == new.get("status"),
        Part::Object => old == new,
    }
}
