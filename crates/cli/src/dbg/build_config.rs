//! `build-config`: the agent's configuration out of the cluster's objects, one file a key, before the agent starts.
//!
//! Sources are `config-map:[NAMESPACE/]NAME`, `cilium-node-config:[NAMESPACE]` and `node:[NAME]` (its annotations
//! `config.cilium.io/KEY`); a later one overrides an earlier one, the first one is the base that nothing restricts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use api::cilium::{CiliumNodeConfig, LabelRequirement, LabelSelector};
use api::kubernetes::Node;
use http::Method;
use store::{Client, Scope};

use super::api_server::ApiServerArgs;
use super::context::{Context, Outcome};

/// The API server is asked again for so long: a node that just booted has no route to it yet.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_secs(2);
/// Annotations of a node that are settings.
const ANNOTATION: &str = "config.cilium.io/";
const PAGE: u32 = 500;

#[derive(clap::Args, Debug)]
pub(super) struct BuildConfigArgs {
    /// Where settings come from, the later overriding the earlier
    #[arg(
        long,
        value_name = "SOURCE,…",
        value_delimiter = ',',
        default_value = "config-map:cilium-config,cilium-node-config:,node:"
    )]
    source: Vec<String>,
    /// Directory to write one file a key into
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/tmp/cilium/config-map"
    )]
    dest: PathBuf,
    /// Name of this node
    #[arg(long, env = "K8S_NODE_NAME", value_name = "NAME")]
    node_name: String,
    /// Namespace of sources that name none
    #[arg(
        long,
        env = "CILIUM_K8S_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "kube-system"
    )]
    k8s_namespace: String,
    /// The only keys that may be overridden
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    allow_config_keys: Vec<String>,
    /// Keys that may not be overridden
    #[arg(
        long,
        value_name = "KEY,…",
        value_delimiter = ',',
        conflicts_with = "allow_config_keys"
    )]
    deny_config_keys: Vec<String>,
    #[command(flatten)]
    server: ApiServerArgs,
}

type Settings = BTreeMap<String, String>;

/// A source, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    ConfigMap { namespace: String, name: String },
    NodeConfigs { namespace: String },
    Node { name: String },
}

impl Source {
    /// Parses `KIND:[NAMESPACE/]NAME`, with defaults for what it leaves out.
    pub(super) fn parse(text: &str, namespace: &str, node: &str) -> anyhow::Result<Self> {
        let (kind, rest) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let own = || namespace.to_owned();
        Ok(match kind {
            "config-map" => {
                let (namespace, name) = match rest.split_once('/') {
                    Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                    None => (own(), rest.to_owned()),
                };
                ensure!(
                    !name.is_empty(),
                    "--source {text}: the ConfigMap has no name"
                );
                Self::ConfigMap { namespace, name }
            }
            "cilium-node-config" => Self::NodeConfigs {
                namespace: Some(rest.trim_end_matches('/').to_owned())
                    .filter(|rest| !rest.is_empty())
                    .unwrap_or_else(own),
            },
            "node" => Self::Node {
                name: if rest.is_empty() { node } else { rest }.to_owned(),
            },
            _ => bail!("--source {text}: config-map, cilium-node-config and node are known"),
        })
    }
}

pub(super) fn run(context: &mut Context<'_>, args: &BuildConfigArgs) -> anyhow::Result<Outcome> {
    let sources: Vec<Source> = args
        .source
        .iter()
        .map(|text| Source::parse(text, &args.k8s_namespace, &args.node_name))
        .collect::<anyhow::Result<_>>()?;
    let layers = crate::program::block_on(read_patiently(args, &sources))?;
    let (settings, refused) = merge(layers, |key| is_overridable(args, key));
    for key in refused {
        writeln!(context.out, "{key}: may not be overridden, ignored")?;
    }
    write(&args.dest, &settings)?;
    let (count, at) = (settings.len(), args.dest.display());
    writeln!(context.out, "{count} settings written to {at}")?;
    Ok(Outcome::Good)
}

fn is_overridable(args: &BuildConfigArgs, key: &str) -> bool {
    let has = |keys: &[String]| keys.iter().any(|of| of.trim() == key);
    if args.allow_config_keys.is_empty() {
        !has(&args.deny_config_keys)
    } else {
        has(&args.allow_config_keys)
    }
}

/// Later layers over earlier ones, and the keys that were not let through.
pub(super) fn merge(
    layers: Vec<Settings>,
    is_overridable: impl Fn(&str) -> bool,
) -> (Settings, BTreeSet<String>) {
    let mut layers = layers.into_iter();
    let mut settings = layers.next().unwrap_or_default();
    let mut refused = BTreeSet::new();
    for (key, value) in layers.flatten() {
        if is_overridable(&key) {
            settings.insert(key, value);
        } else {
            refused.insert(key);
        }
    }
    (settings, refused)
}

async fn read_patiently(
    args: &BuildConfigArgs,
    sources: &[Source],
) -> anyhow::Result<Vec<Settings>> {
    let client = args.server.client().await?;
    let begun = Instant::now();
    loop {
        let error = match read(&client, sources, &args.node_name).await {
            Err(error) if begun.elapsed() < PATIENCE => error,
            result => return result,
        };
        // What was refused for good is refused again: only silence and an overloaded server are waited for.
        let refusal = error
            .downcast_ref::<store::Error>()
            .and_then(store::Error::status);
        if refusal.is_some_and(|status| status < 500 && status != 429) {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(
    client: &Client,
    sources: &[Source],
    node_name: &str,
) -> anyhow::Result<Vec<Settings>> {
    let mut layers = Vec::new();
    for source in sources {
        match source {
            Source::ConfigMap { namespace, name } => {
                let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
                let object = client.raw(Method::GET, &path, None).await?;
                let data = object.get("data").cloned().unwrap_or_default();
                let data: Option<Settings> = serde_json::from_value(data)
                    .with_context(|| format!("ConfigMap {namespace}/{name}"))?;
                layers.push(data.unwrap_or_default());
            }
            Source::NodeConfigs { namespace } => {
                let found = node_configs(client, namespace).await?;
                if !found.is_empty() {
                    let labels = client.get::<Node>(None, node_name).await?.metadata.labels;
                    layers.extend(of_node(found, &labels));
                }
            }
            Source::Node { name } => {
                let node = client.get::<Node>(None, name).await?;
                let annotations = node.metadata.annotations.into_iter();
                let settings = annotations.filter_map(|(key, value)| {
                    Some((key.strip_prefix(ANNOTATION)?.to_owned(), value))
                });
                layers.push(settings.collect());
            }
        }
    }
    Ok(layers)
}

/// None where the kind is not registered yet: it is the operator who does that, and it may come later.
async fn node_configs(client: &Client, namespace: &str) -> anyhow::Result<Vec<CiliumNodeConfig>> {
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
            found.push(serde_json::from_str(item.get()).context("a CiliumNodeConfig")?);
        }
        token = page.metadata.continue_token;
        if token.is_empty() {
            return Ok(found);
        }
    }
}

/// The settings for a node with these labels, in order of the objects' names.
pub(super) fn of_node(
    mut configs: Vec<CiliumNodeConfig>,
    labels: &BTreeMap<String, String>,
) -> impl Iterator<Item = Settings> {
    configs.retain(|of| selects(&of.spec.node_selector, labels));
    configs.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    configs.into_iter().map(|of| of.spec.defaults)
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

/// One file a key; what an earlier run left and is no setting any more goes.
pub(super) fn write(directory: &Path, settings: &Settings) -> anyhow::Result<()> {
    let attempted = || format!("write settings to {}", directory.display());
    std::fs::create_dir_all(directory).with_context(attempted)?;
    for entry in std::fs::read_dir(directory).with_context(attempted)? {
        let entry = entry.with_context(attempted)?;
        let is_setting = entry
            .file_name()
            .to_str()
            .is_some_and(|name| settings.contains_key(name));
        if !is_setting && entry.path().is_file() {
            std::fs::remove_file(entry.path()).with_context(attempted)?;
        }
    }
    for (key, value) in settings {
        let is_name = !key.is_empty() && !key.starts_with('.') && !key.contains('/');
        ensure!(is_name, "{key:?}: is no key");
        std::fs::write(directory.join(key), value).with_context(attempted)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
