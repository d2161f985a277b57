//! Settings of a node as the cluster's objects say them: where they come from, and how what they say becomes one whole.

use std::collections::{BTreeMap, BTreeSet};

use api::cilium::{CiliumNodeConfig, LabelRequirement, LabelSelector, NodeConfigSpec};
use api::kubernetes::{ConfigMap, Node};
use serde::{Deserialize, Serialize};

use crate::client::{Client, Error, Scope};

/// Annotations of a node that are settings.
const ANNOTATION: &str = "config.cilium.io/";
const PAGE: u32 = 500;

/// Upstream's key that says where an agent's settings came from: a JSON list of [`Source`].
pub const SOURCES: &str = "config-sources";
/// Upstream's key that says what of them might be overridden: [`Overrides`] as JSON.
pub const OVERRIDES: &str = "config-sources-overrides";

/// Values by key.
pub type Settings = BTreeMap<String, String>;

/// Where settings come from. As JSON it is an item of upstream's key `config-sources`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// A ConfigMap.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// CiliumNodeConfigs that select the node.
    CiliumNodeConfig {
        /// Their namespace.
        namespace: String,
    },
    /// Annotations `config.cilium.io/KEY` of a node.
    Node {
        /// Its name.
        name: String,
    },
}

/// A text that is no source.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text}: {problem}")]
pub struct NoSource {
    text: String,
    problem: &'static str,
}

impl Source {
    /// Parses `KIND:[NAMESPACE/]NAME`, with defaults for what it leaves out.
    pub fn parse(text: &str, namespace: &str, node: &str) -> Result<Self, NoSource> {
        let bad = |problem| NoSource {
            text: text.to_owned(),
            problem,
        };
        let (kind, rest) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let own = || namespace.to_owned();
        Ok(match kind {
            "config-map" => {
                let (namespace, name) = match rest.split_once('/') {
                    Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                    None => (own(), rest.to_owned()),
                };
                if name.is_empty() {
                    return Err(bad("the ConfigMap has no name"));
                }
                Self::ConfigMap { namespace, name }
            }
            "cilium-node-config" => Self::CiliumNodeConfig {
                namespace: Some(rest.trim_end_matches('/').to_owned())
                    .filter(|rest| !rest.is_empty())
                    .unwrap_or_else(own),
            },
            "node" => Self::Node {
                name: if rest.is_empty() { node } else { rest }.to_owned(),
            },
            _ => return Err(bad("config-map, cilium-node-config and node are known")),
        })
    }
}

/// Which keys a later source may override. As JSON it is upstream's key `config-sources-overrides`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    /// The only ones that may be, if there are any.
    pub allow_config_keys: Vec<String>,
    /// Those that may not, if none is named above.
    pub deny_config_keys: Vec<String>,
}

impl Overrides {
    fn allows(&self, key: &str) -> bool {
        let has = |keys: &[String]| keys.iter().any(|of| of.trim() == key);
        if self.allow_config_keys.is_empty() {
            !has(&self.deny_config_keys)
        } else {
            has(&self.allow_config_keys)
        }
    }
}

/// Later layers over earlier ones, and the keys that were not let through. Nothing restricts the first layer.
pub fn merge(
    layers: impl IntoIterator<Item = Settings>,
    overrides: &Overrides,
) -> (Settings, BTreeSet<String>) {
    let mut layers = layers.into_iter();
    let mut settings = layers.next().unwrap_or_default();
    let mut refused = BTreeSet::new();
    for (key, value) in layers.flatten() {
        if overrides.allows(&key) {
            settings.insert(key, value);
        } else {
            refused.insert(key);
        }
    }
    (settings, refused)
}

/// Reads the sources as they are now, one layer or several of each, in their order.
pub async fn read(
    client: &Client,
    sources: &[Source],
    node_name: &str,
) -> Result<Vec<Settings>, Error> {
    let mut layers = Vec::new();
    for source in sources {
        match source {
            Source::ConfigMap { namespace, name } => {
                let found = client.get::<ConfigMap>(Some(namespace), name).await?;
                layers.push(found.data);
            }
            Source::CiliumNodeConfig { namespace } => {
                let found = node_configs(client, namespace).await?;
                if !found.is_empty() {
                    let labels = client.get::<Node>(None, node_name).await?.metadata.labels;
                    let specs = found.iter().map(|of| (&*of.metadata.name, &of.spec));
                    layers.extend(of_node(specs, &labels));
                }
            }
            Source::Node { name } => {
                layers.push(of_annotations(&client.get::<Node>(None, name).await?));
            }
        }
    }
    Ok(layers)
}

/// None where the kind is not registered yet: it is the operator who does that, and it may come later.
async fn node_configs(client: &Client, namespace: &str) -> Result<Vec<CiliumNodeConfig>, Error> {
    let scope = Scope {
        namespace: Some(namespace.to_owned()),
        ..Scope::default()
    };
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = client
            .list_page::<CiliumNodeConfig>(&scope, PAGE, &token)
            .await;
        let page = match page {
            Err(error) if error.is_not_found() => return Ok(found),
            page => page?,
        };
        for item in &page.items {
            let object = serde_json::from_str(item.get()).map_err(|error| Error::Unanswered {
                verb: "list",
                path: "ciliumnodeconfigs".to_owned(),
                message: format!("an object cannot be read: {error}"),
            })?;
            found.push(object);
        }
        token = page.metadata.continue_token;
        if token.is_empty() {
            return Ok(found);
        }
    }
}

/// The settings of named CiliumNodeConfigs for a node with these labels, in order of the names.
pub fn of_node<'a>(
    configs: impl IntoIterator<Item = (&'a str, &'a NodeConfigSpec)>,
    labels: &BTreeMap<String, String>,
) -> Vec<Settings> {
    let selected = configs
        .into_iter()
        .filter(|(_, spec)| selects(&spec.node_selector, labels));
    let selected: BTreeMap<_, _> = selected.collect();
    let layers = selected.into_values().map(|spec| spec.defaults.clone());
    layers.collect()
}

/// The settings that a node's annotations are.
pub fn of_annotations(node: &Node) -> Settings {
    let annotations = node.metadata.annotations.iter();
    let settings = annotations
        .filter_map(|(key, value)| Some((key.strip_prefix(ANNOTATION)?.to_owned(), value.clone())));
    settings.collect()
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let holds = |requirement: &LabelRequirement| {
        let value = labels.get(&requirement.key);
        let is_listed = value.is_some_and(|value| requirement.values.contains(value));
        match requirement.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // The API server lets no other in.
            _ => false,
        }
    };
    selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(holds)
}

#[cfg(test)]
mod tests;
