//! `axoneme config`: the ConfigMap that agents and operator are configured by.

use std::io::Write;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{AGENT, CONFIG, Cluster, ClusterArgs};
use crate::dbg::context::Outcome;
use crate::output::{OutputArgs, Table};

/// Commands on the configuration.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// All keys, with their values
    View {
        #[command(flatten)]
        cluster: ClusterArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Set a key; the next upgrade by Helm sets it back, if the chart has it
    Set {
        /// The key, as enable-ipv6
        key: String,
        /// Its value
        value: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Remove a key, so that the program's own default holds
    Delete {
        /// The key
        key: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// What all changes have.
#[derive(clap::Args, Debug)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Restart agents and operator, one after the other, so that they read it
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    restart: String,
}

/// Runs a command.
pub(crate) fn run(command: &ConfigCommand, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    crate::program::block_on(async {
        match command {
            ConfigCommand::View { cluster, output } => {
                view(&cluster.open().await?, output, out).await?;
            }
            ConfigCommand::Set { key, value, change } => {
                apply(change, key, &json!(value), out).await?;
            }
            ConfigCommand::Delete { key, change } => apply(change, key, &Value::Null, out).await?,
        }
        Ok(Outcome::Good)
    })
}

fn path(cluster: &Cluster) -> String {
    format!(
        "/api/v1/namespaces/{}/configmaps/{CONFIG}",
        cluster.namespace
    )
}

/// The keys and values in force; the missing ConfigMap is told in words.
pub(crate) async fn read(cluster: &Cluster) -> anyhow::Result<Value> {
    let found = cluster.find(&path(cluster)).await?;
    let found = found.with_context(|| {
        format!(
            "there is no ConfigMap {CONFIG} in {}; is another --namespace meant?",
            cluster.namespace
        )
    })?;
    Ok(found.get("data").cloned().unwrap_or_else(|| json!({})))
}

async fn view(cluster: &Cluster, output: &OutputArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let data = read(cluster).await?;
    if let Some(format) = &output.output {
        return format.write(out, &data);
    }
    let mut table = Table::new(&[]);
    for (key, value) in data.as_object().into_iter().flatten() {
        table.row([key.as_str(), value.as_str().unwrap_or_default()]);
    }
    table.write(out)?;
    Ok(())
}

async fn apply(
    change: &ChangeArgs,
    key: &str,
    value: &Value,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let restart = match change.restart.as_str() {
        "true" => true,
        "false" => false,
        other => anyhow::bail!("--restart: {other:?} is neither true nor false"),
    };
    let cluster = change.cluster.open().await?;
    let before = read(&cluster).await?.get(key).cloned().unwrap_or_default();
    if before == *value {
        writeln!(out, "{key} is so already")?;
        return Ok(());
    }
    let patch = json!({ "data": { key: value } });
    cluster.client.raw_merge(&path(&cluster), &patch).await?;
    match value.as_str() {
        Some(value) => writeln!(out, "{key} is set to {value}")?,
        None => writeln!(out, "{key} is removed")?,
    }
    if restart {
        restart_all(&cluster, out).await?;
    } else {
        writeln!(out, "It counts when agents and operator are restarted")?;
    }
    Ok(())
}

/// As `kubectl rollout restart` does it: a new template makes new pods, at the pace that the workload allows.
async fn restart_all(cluster: &Cluster, out: &mut dyn Write) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let annotations = json!({ "kubectl.kubernetes.io/restartedAt": now });
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    for (kind, name) in [("daemonsets", AGENT), ("deployments", "cilium-operator")] {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/{kind}/{name}",
            cluster.namespace
        );
        match cluster.client.raw_merge(&path, &patch).await {
            Ok(_) => writeln!(out, "{kind}/{name} is restarted")?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
