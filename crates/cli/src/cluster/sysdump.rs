//! `axoneme sysdump`: all that somebody far away needs to understand a cluster's network, in one archive, without secrets.

mod archive;
mod commands;
mod objects;
mod redact;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use store::LogPart;

use super::pod::Pod;
use super::progress::Progress;
use super::{Cluster, ClusterArgs};
use crate::dbg::context::Outcome;
use archive::Archive;

/// Things collected at once.
const AT_ONCE: usize = 12;

/// Arguments of the command.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct SysdumpArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The archive, a tar.gz [default: axoneme-sysdump- and the time]
    #[arg(long, value_name = "FILE")]
    output_filename: Option<PathBuf>,
    #[command(flatten)]
    extent: Extent,
}

/// How much is collected.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Flows of each agent
    #[arg(long, default_value_t = 10_000, value_name = "NUMBER")]
    hubble_flows_count: u32,
    /// Bytes of each container's log, from its end as far as lines go
    #[arg(long, default_value_t = 32 << 20, value_name = "BYTES")]
    logs_limit_bytes: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            hubble_flows_count: 10_000,
            logs_limit_bytes: 32 << 20,
        }
    }
}

/// What is collected: where it goes in the archive, and how it is got.
struct Item<'a> {
    path: String,
    get: BoxFuture<'a, anyhow::Result<Vec<u8>>>,
}

impl<'a> Item<'a> {
    fn new(path: String, get: impl Future<Output = anyhow::Result<Vec<u8>>> + Send + 'a) -> Self {
        Self {
            path,
            get: get.boxed(),
        }
    }
}

/// Runs the command. It fails only if there is no archive: what could not be had is told inside of it, and on the terminal.
pub(crate) fn run(args: &SysdumpArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    crate::program::block_on(async {
        let cluster = args.cluster.open().await?;
        let path = args.output_filename.clone().unwrap_or_else(default_path);
        let mut progress = Progress::new();
        let missed = write(&cluster, args.extent, &path, &mut progress).await?;
        progress.clear();
        writeln!(out, "{}", path.display())?;
        if missed > 0 {
            writeln!(
                out,
                "{missed} things could not be had: errors.txt in it names them"
            )?;
        }
        Ok(Outcome::Good)
    })
}

/// Collects with the usual extent, and gives the archive's path.
pub(crate) async fn collect(cluster: &Cluster, progress: &mut Progress) -> anyhow::Result<PathBuf> {
    let path = default_path();
    write(cluster, Extent::default(), &path, progress).await?;
    Ok(path)
}

fn default_path() -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("axoneme-sysdump-{now}.tar.gz").into()
}

/// Gives how many things could not be had.
async fn write(
    cluster: &Cluster,
    extent: Extent,
    path: &Path,
    progress: &mut Progress,
) -> anyhow::Result<usize> {
    progress.say("looking at what there is");
    let pods = objects::own_pods(cluster)
        .await
        .context("cannot list our pods")?;
    let kinds = objects::kinds(cluster).await;
    let mut items = vec![objects::version(cluster)];
    let mut errors = Vec::new();
    match &kinds {
        Ok(kinds) => items.extend(kinds.iter().map(|kind| objects::item(cluster, kind))),
        Err(error) => errors.push(format!("cluster: {error:#}")),
    }
    for pod in &pods {
        items.extend(logs(cluster, pod, extent));
        if pod.is_agent {
            items.extend(commands::items(
                cluster,
                &pod.pod,
                extent.hubble_flows_count,
            ));
        }
    }
    let mut archive = Archive::create(path)?;
    let count = items.len();
    let mut got = stream::iter(
        items
            .into_iter()
            .map(|item| async move { (item.path, item.get.await) }),
    )
    .buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((name, content)) = got.next().await {
        done += 1;
        progress.say(&format!("{done} of {count}: {name}"));
        match content {
            Ok(content) => archive.add(&name, &content)?,
            Err(error) => errors.push(format!("{name}: {error:#}")),
        }
    }
    drop(got);
    if !errors.is_empty() {
        archive.add("errors.txt", format!("{}\n", errors.join("\n")).as_bytes())?;
    }
    archive.finish()?;
    Ok(errors.len())
}

/// Logs of all containers; those of before the last restart where there was one.
fn logs<'a>(cluster: &'a Cluster, pod: &'a objects::OwnPod, extent: Extent) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for container in &pod.pod.containers {
        for previous in [false, true] {
            if previous && container.restarts == 0 {
                continue;
            }
            let Pod {
                namespace, name, ..
            } = &pod.pod;
            let end = if previous { ".previous.log" } else { ".log" };
            let path = format!("logs/{name}/{}{end}", container.name);
            let part = LogPart {
                previous,
                bytes: extent.logs_limit_bytes,
                lines: LINES,
                ..LogPart::default()
            };
            items.push(Item::new(path, async move {
                let log = cluster
                    .client
                    .log(namespace, name, &container.name, part)
                    .await?;
                Ok(log.to_vec())
            }));
        }
    }
    items
}

/// The server counts bytes from the beginning of what it was asked for: lines bring it to the end of the log.
const LINES: u64 = 200_000;
