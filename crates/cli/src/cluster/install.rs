//! `axoneme install`, `upgrade` and `uninstall`: Helm, with the chart that this program carries.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::{ClusterArgs, status};
use crate::dbg::context::Outcome;

/// Files of the chart, by their paths in it.
const CHART: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/chart.in"));

/// Which release, and where.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Name of the Helm release
    #[arg(long, default_value = "cilium", value_name = "NAME")]
    helm_release_name: String,
}

/// Arguments of installation and upgrade.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    release: ReleaseArgs,
    /// A value of the chart, as routingMode=native; may be given several times
    #[arg(long, alias = "helm-set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The same, always as text
    #[arg(long, alias = "helm-set-string", value_name = "NAME=VALUE")]
    set_string: Vec<String>,
    /// File with values of the chart; may be given several times, the last one counts
    #[arg(short = 'f', long, alias = "helm-values", value_name = "FILE")]
    values: Vec<PathBuf>,
    /// A chart in a directory, instead of the one in this program
    #[arg(long, value_name = "DIRECTORY")]
    chart_directory: Option<PathBuf>,
    /// Only print the objects that would be created
    #[arg(long)]
    dry_run: bool,
    /// Only print the values that would be given to the chart
    #[arg(long, conflicts_with = "dry_run")]
    dry_run_helm_values: bool,
    /// Wait until all is well, as `status --wait` does
    #[arg(long)]
    wait: bool,
    /// How long
    #[arg(long, value_parser = crate::hubble::duration, default_value = "5m", value_name = "DURATION")]
    wait_duration: Duration,
}

/// Arguments of the removal.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    release: ReleaseArgs,
    /// Wait until all of it is gone
    #[arg(long)]
    wait: bool,
}

/// Whether there is a release already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// There is none.
    Install,
    /// There is one, whose values stay unless others are given.
    Upgrade,
}

/// Installs or upgrades.
pub(crate) fn install(
    args: &InstallArgs,
    how: How,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let written;
    let chart = if let Some(directory) = &args.chart_directory {
        directory.as_path()
    } else {
        written = write_chart()?;
        written.path()
    };
    let words = words(args, how, chart);
    let mut helm = helm(&args.release, &words);
    if args.dry_run_helm_values {
        return values(&mut helm, out);
    }
    run(&mut helm)?;
    if !args.wait || args.dry_run {
        return Ok(Outcome::Good);
    }
    status::run(
        &status::StatusArgs::waiting(&args.release.cluster, args.wait_duration),
        out,
    )
}

/// Removes the release.
pub(crate) fn uninstall(args: &UninstallArgs) -> anyhow::Result<Outcome> {
    let mut words = vec![
        "uninstall".into(),
        args.release.helm_release_name.clone().into(),
    ];
    if args.wait {
        words.push("--wait".into());
    }
    run(&mut helm(&args.release, &words))?;
    Ok(Outcome::Good)
}

/// The chart in a folder that vanishes with the value.
fn write_chart() -> anyhow::Result<tempfile::TempDir> {
    anyhow::ensure!(
        !CHART.is_empty(),
        "this program was built without a chart; name one with --chart-directory"
    );
    let folder = tempfile::tempdir().context("cannot make a folder for the chart")?;
    for (name, content) in CHART {
        let path = folder.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder)
}

/// What Helm is told.
fn words(args: &InstallArgs, how: How, chart: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let verb = match how {
        _ if args.dry_run => "template",
        How::Install => "install",
        How::Upgrade => "upgrade",
    };
    words.push(verb.into());
    words.push(args.release.helm_release_name.clone().into());
    words.push(chart.into());
    if how == How::Upgrade && !args.dry_run {
        // What was set stays, and what is new in the chart has its default.
        words.push("--reset-then-reuse-values".into());
    }
    if args.dry_run_helm_values {
        words.extend(["--dry-run=client", "--output", "json"].map(OsString::from));
    }
    for file in &args.values {
        words.push("--values".into());
        words.push(file.into());
    }
    for (flag, all) in [("--set", &args.set), ("--set-string", &args.set_string)] {
        for value in all {
            words.push(flag.into());
            words.push(value.into());
        }
    }
    words
}

/// Helm, for the cluster that is meant.
fn helm(release: &ReleaseArgs, words: &[OsString]) -> Command {
    let program = std::env::var_os("HELM").filter(|name| !name.is_empty());
    let mut helm = Command::new(program.as_deref().unwrap_or(OsStr::new("helm")));
    helm.args(words)
        .arg("--namespace")
        .arg(&release.cluster.namespace);
    let access = &release.cluster.access;
    if let Some(context) = &access.context {
        helm.arg("--kube-context").arg(context);
    }
    if let Some(kubeconfig) = access.kubeconfig() {
        helm.env("KUBECONFIG", kubeconfig);
    }
    helm
}

fn absent(helm: &Command, error: &std::io::Error) -> anyhow::Error {
    let program = helm.get_program().to_string_lossy().into_owned();
    if error.kind() == std::io::ErrorKind::NotFound {
        anyhow::anyhow!(
            "{program} is not there, and it is what installs charts: get it from your distribution or as \
             https://helm.sh/docs/intro/install says, and put it on PATH or name it in HELM"
        )
    } else {
        anyhow::anyhow!("cannot run {program}: {error}")
    }
}

/// Runs it; what it says goes where ours goes.
fn run(helm: &mut Command) -> anyhow::Result<()> {
    let ended = helm.status();
    let ended = ended.map_err(|error| absent(helm, &error))?;
    anyhow::ensure!(ended.success(), "helm failed: {ended}");
    Ok(())
}

/// The values of a release that is not made.
fn values(helm: &mut Command, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let done = helm.stderr(Stdio::inherit()).output();
    let done = done.map_err(|error| absent(helm, &error))?;
    anyhow::ensure!(done.status.success(), "helm failed: {}", done.status);
    let release: Value =
        serde_json::from_slice(&done.stdout).context("helm's answer is not JSON")?;
    let values = release.get("config").cloned().unwrap_or_default();
    write!(out, "{}", serde_yaml_ng::to_string(&values)?)?;
    Ok(Outcome::Good)
}

#[cfg(test)]
mod tests;
