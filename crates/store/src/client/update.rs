//! Writing differences: read, change, patch what differs, and once more when somebody was quicker.

use api::kubernetes::Resource;
use http::Method;
use reconcile::Backoff;
use serde_json::{Map, Value};

use super::path::object;
use super::send::{Call, JSON};
use super::{Client, Error, to_json};

/// Conflicts in a row before the caller is told.
const TRIES: u32 = 5;

impl Client {
    /// Changes an object, or its subresource `status`, as it is in the store now. Only what `change` changed is sent, as a
    /// merge patch (RFC 7386) that holds for the version that was read; nothing is sent when nothing differs. When
    /// somebody writes meanwhile, that is read and `change` is asked again. Fields that the type does not model stay as
    /// they are, but lists are replaced as a whole. Who may replace the kind and not patch it (agents CiliumNodes, by upstream's own
    /// chart) replaces it by what the patch makes of it.
    pub async fn update<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        mut change: impl FnMut(&mut R) + Send,
    ) -> Result<R, Error> {
        let mut conflicts = 0;
        loop {
            let found = self.get::<R>(namespace, name).await?;
            let mut wanted = found.clone();
            change(&mut wanted);
            let (from, to) = (to_json(name, &found)?, to_json(name, &wanted)?);
            let Some(mut patch) = difference(&from, &to) else {
                return Ok(found);
            };
            patch["metadata"]["resourceVersion"] = found.meta().resource_version.clone().into();
            let done = match self.merge(namespace, name, subresource, &patch).await {
                Err(refused) if refused.is_forbidden() => {
                    let replaced = self.replace_merged(namespace, name, subresource, &patch);
                    match replaced.await {
                        Err(error) if error.is_forbidden() => Err(refused),
                        done => done,
                    }
                }
                done => done,
            };
            match done {
                Err(error) if error.is_conflict() && conflicts < TRIES => {
                    conflicts += 1;
                    let pause = Backoff::default().after(conflicts, &mut rand::rng());
                    tokio::time::sleep(pause).await;
                }
                result => return result,
            }
        }
    }

    /// Replaces an object by what a merge patch makes of it. The patch has the version that was read, so a change since then is a
    /// conflict.
    async fn replace_merged<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        patch: &Value,
    ) -> Result<R, Error> {
        let mut path = object::<R>(namespace, name);
        let mut whole: Value = self.json(&Call::new("get", Method::GET, &path)).await?;
        merge(&mut whole, patch);
        if let Some(subresource) = subresource {
            path.push('/');
            path.push_str(subresource);
        }
        let call = Call::new("replace", Method::PUT, &path).with(&whole, JSON)?;
        self.json(&call).await
    }

    /// Makes an object be there: creates `new`, or lets `change` bring the one that is there into line.
    pub async fn ensure<R: Resource>(
        &self,
        new: &R,
        mut change: impl FnMut(&mut R) + Send,
    ) -> Result<R, Error> {
        let (namespace, name) = (super::namespace_of(new), &new.meta().name);
        let mut tries = 0;
        loop {
            match self.update(namespace, name, None, &mut change).await {
                Err(error) if error.is_not_found() => {}
                result => return result,
            }
            match self.create(new).await {
                // Somebody was quicker; and what he made may be gone again by now.
                Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }
}

/// Applies a merge patch as RFC 7386 says.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in patch {
        match target.as_object_mut() {
            Some(fields) if value.is_null() => drop(fields.remove(name)),
            _ => merge(&mut target[name], value),
        }
    }
}

/// The merge patch (RFC 7386) that makes `to` of `from`, if they differ.
fn difference(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for (name, value) in to {
        let change = from
            .get(name)
            .map_or_else(|| Some(value.clone()), |before| difference(before, value));
        patch.extend(change.map(|change| (name.clone(), change)));
    }
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    patch.extend(gone.map(|name| (name.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests;
