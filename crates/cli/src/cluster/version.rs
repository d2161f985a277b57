//! `axoneme version`: of this program, and of the agents that run.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;

use super::pod::{Pod, text};
use super::{AGENT_CONTAINER, ClusterArgs, each};
use crate::dbg::context::Outcome;
use crate::output::OutputArgs;

/// Arguments of the command.
#[derive(clap::Args, Debug)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only of this program
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command. Without an API server to ask it tells only of this program.
pub(crate) fn run(args: &VersionArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let own = env!("CARGO_PKG_VERSION");
    let asks = !args.client && args.cluster.access.is_server_known();
    if args.output.output.is_none() {
        writeln!(out, "axoneme {own}")?;
        out.flush()?;
    }
    let agents = if asks {
        Some(crate::program::block_on(agents(&args.cluster))?)
    } else {
        None
    };
    match (&args.output.output, &agents) {
        (Some(format), _) => format.write(out, &json!({ "client": own, "agents": agents }))?,
        (None, Some(agents)) if agents.is_empty() => writeln!(out, "agents: none runs")?,
        (None, Some(agents)) => {
            for (version, nodes) in agents {
                writeln!(out, "agents: {version} on {} nodes", nodes.len())?;
            }
        }
        (None, None) => {}
    }
    Ok(Outcome::Good)
}

/// Versions with the nodes they run on; an agent that does not say has its image for one.
async fn agents(args: &ClusterArgs) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let cluster = args.open().await?;
    let pods: Vec<Pod> = cluster
        .agents()
        .await?
        .into_iter()
        .filter(Pod::is_alive)
        .collect();
    let said = each(&pods, |pod| {
        cluster.agent_json(pod, &["version", "-o", "json"])
    })
    .await;
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (pod, said) in pods.iter().zip(said) {
        let said = said.unwrap_or_default();
        let version = match text(&said, "/Daemon/Version") {
            "" => format!("unknown, image {}", pod.image(AGENT_CONTAINER)),
            version => version.to_owned(),
        };
        all.entry(version).or_default().push(pod.node.clone());
    }
    Ok(all)
}
