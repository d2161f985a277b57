//! `build-config`: the agent's configuration out of the cluster's objects, one file a key, before the agent starts.
//!
//! Sources are `config-map:[NAMESPACE/]NAME`, `cilium-node-config:[NAMESPACE]` and `node:[NAME]` (its annotations
//! `config.cilium.io/KEY`); a later one overrides an earlier one, the first one is the base that nothing restricts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use store::settings::{self, Overrides, Settings, Source};

use super::api_server::ApiServerArgs;
use super::context::{Context, Outcome};

/// The API server is asked again for so long: a node that just booted has no route to it yet.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_secs(2);

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

pub(super) fn run(context: &mut Context<'_>, args: &BuildConfigArgs) -> anyhow::Result<Outcome> {
    let parse = |text: &String| Source::parse(text, &args.k8s_namespace, &args.node_name);
    let sources: Vec<Source> = args
        .source
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .context("--source")?;
    let layers = crate::program::block_on(read_patiently(args, &sources))?;
    let overrides = Overrides {
        allow_config_keys: args.allow_config_keys.clone(),
        deny_config_keys: args.deny_config_keys.clone(),
    };
    let (mut settings, refused) = settings::merge(layers, &overrides);
    for key in refused {
        writeln!(context.out, "{key}: may not be overridden, ignored")?;
    }
    let (count, at) = (settings.len(), args.dest.display());
    // So the agent knows what to compare with its settings later on.
    settings.insert(settings::SOURCES.into(), serde_json::to_string(&sources)?);
    settings.insert(
        settings::OVERRIDES.into(),
        serde_json::to_string(&overrides)?,
    );
    write(&args.dest, &settings)?;
    writeln!(context.out, "{count} settings written to {at}")?;
    Ok(Outcome::Good)
}

async fn read_patiently(
    args: &BuildConfigArgs,
    sources: &[Source],
) -> anyhow::Result<Vec<Settings>> {
    let client = args.server.client().await?;
    let begun = Instant::now();
    loop {
        let error = match settings::read(&client, sources, &args.node_name).await {
            Err(error) if begun.elapsed() < PATIENCE => error,
            result => return Ok(result?),
        };
        // What was refused for good is refused again: only silence and an overloaded server are waited for.
        let is_final = |status| status < 500 && status != 429;
        if error.status().is_some_and(is_final) {
            return Err(error.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
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
