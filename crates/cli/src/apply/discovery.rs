//! Kinds and their paths, as the API server tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use store::Client;

/// A kind and where its objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// `/api/v1` or `/apis/<group>/<version>`.
    pub(super) root: String,
    /// As in paths.
    pub(super) plural: String,
    /// Singular name and group, for messages.
    singular: String,
    group: String,
    /// Objects are in namespaces.
    pub(super) namespaced: bool,
}

impl Kind {
    /// `networkpolicy.networking.k8s.io`.
    pub(super) fn full_name(&self) -> String {
        if self.group.is_empty() {
            self.singular.clone()
        } else {
            format!("{}.{}", self.singular, self.group)
        }
    }
}

/// Kinds that were asked for.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    known: BTreeMap<(String, String), Kind>,
}

/// A kind that a definition just made known is served a moment later.
const PATIENCE: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

impl Kinds {
    /// Where the objects of a kind are.
    pub(super) async fn find(
        &mut self,
        client: &Client,
        api_version: &str,
        kind: &str,
    ) -> anyhow::Result<Kind> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(found) = self.known.get(&key) {
            return Ok(found.clone());
        }
        let mut pauses = PATIENCE.iter();
        loop {
            let root = root_of(api_version);
            let found = match client.raw(http::Method::GET, &root, None).await {
                Ok(list) => kind_in(&list, &root, api_version, kind),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(found) = found {
                self.known.insert(key, found.clone());
                return Ok(found);
            }
            let Some(pause) = pauses.next() else {
                anyhow::bail!(
                    "the API server has no kind {kind} in {api_version}; is its definition installed?"
                );
            };
            tokio::time::sleep(*pause).await;
        }
    }
}

fn root_of(api_version: &str) -> String {
    if api_version.contains('/') {
        format!("/apis/{api_version}")
    } else {
        format!("/api/{api_version}")
    }
}

fn kind_in(list: &Value, root: &str, api_version: &str, kind: &str) -> Option<Kind> {
    let resources = list.get("resources")?.as_array()?;
    let text = |of: &Value, field: &str| {
        of.get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    // Subresources have a slash in their names.
    let found = resources
        .iter()
        .find(|of| text(of, "kind") == kind && !text(of, "name").contains('/'))?;
    let singular = Some(text(found, "singularName"))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| kind.to_lowercase());
    Some(Kind {
        root: root.to_owned(),
        plural: text(found, "name"),
        singular,
        group: api_version
            .split_once('/')
            .map(|(group, _)| group.to_owned())
            .unwrap_or_default(),
        namespaced: found
            .get("namespaced")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
