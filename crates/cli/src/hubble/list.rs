//! `hubble list`: namespaces with recent flows, and the nodes of a relay.

use std::{io::Write, time::Duration};

use api::hubble::{
    observer::{GetNamespacesRequest, GetNodesRequest, Node, observer_client::ObserverClient},
    relay::NodeState,
};
use clap::{Args, Subcommand, ValueEnum};

use super::{ConnectArgs, call_error, config::Settings, connect::Target, print::columns};

/// Arguments of `list`.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Namespaces with recent flows
    #[command(visible_alias = "namespace", visible_alias = "ns")]
    Namespaces(Listing),
    /// Nodes of a relay
    #[command(visible_alias = "node")]
    Nodes(Listing),
}

#[derive(Args, Debug)]
struct Listing {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Output format
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns
    Table,
    /// Aligned columns, more of them
    Wide,
    /// JSON
    Json,
}

/// Runs `list`.
pub(super) async fn run(
    args: ListArgs,
    file: &Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    match args.what {
        What::Namespaces(listing) => namespaces(listing, file, out).await,
        What::Nodes(listing) => nodes(listing, file, out).await,
    }
}

async fn namespaces(
    args: Listing,
    file: &Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let target = Target::new(args.connect, file)?;
    let mut client = ObserverClient::new(target.connect().await?);
    let mut request = tonic::Request::new(GetNamespacesRequest {});
    request.set_timeout(target.request_timeout);
    let response = client
        .get_namespaces(request)
        .await
        .map_err(|status| call_error("failed to list namespaces", &status))?
        .into_inner();
    if args.output == Output::Json {
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&response.namespaces)?
        )?;
        return Ok(());
    }
    let wide = args.output == Output::Wide;
    let row = |namespace: String, cluster: String| {
        let cluster = wide.then_some(cluster);
        std::iter::once(namespace).chain(cluster).collect()
    };
    let mut rows: Vec<Vec<String>> = vec![row("NAMESPACE".into(), "CLUSTER".into())];
    rows.extend(
        response
            .namespaces
            .into_iter()
            .map(|n| row(n.namespace, n.cluster)),
    );
    write!(out, "{}", columns(&rows))?;
    Ok(())
}

async fn nodes(
    args: Listing,
    file: &Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let target = Target::new(args.connect, file)?;
    let mut client = ObserverClient::new(target.connect().await?);
    let mut request = tonic::Request::new(GetNodesRequest {});
    request.set_timeout(target.request_timeout);
    let response = client
        .get_nodes(request)
        .await
        .map_err(|status| call_error("failed to list nodes", &status))?
        .into_inner();
    if args.output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&response.nodes)?)?;
        return Ok(());
    }
    write!(out, "{}", columns(&node_rows(&response.nodes, args.output)))?;
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn node_rows(nodes: &[Node], output: Output) -> Vec<Vec<String>> {
    let mut header = vec!["NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS"];
    if output == Output::Wide {
        header.extend(["VERSION", "ADDRESS", "TLS"]);
    }
    let mut rows = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(nodes.iter().map(|node| {
        let state = match NodeState::try_from(node.state) {
            Ok(NodeState::NodeConnected) => "Connected",
            Ok(NodeState::NodeUnavailable) => "Unavailable",
            Ok(NodeState::NodeGone) => "Gone",
            Ok(NodeState::NodeError) => "Error",
            _ => "Unknown",
        };
        let uptime = Duration::from_nanos(node.uptime_ns);
        let (age, rate, flows) = if node.uptime_ns == 0 {
            ("N/A".into(), "N/A".into(), "N/A".into())
        } else {
            let percent = node.num_flows as f64 / node.max_flows.max(1) as f64 * 100.0;
            (
                age(uptime),
                format!("{:.2}", node.seen_flows as f64 / uptime.as_secs_f64()),
                format!("{}/{} ({percent:>6.2}%)", node.num_flows, node.max_flows),
            )
        };
        let mut row = vec![node.name.clone(), state.to_owned(), age, rate, flows];
        if output == Output::Wide {
            let tls = match &node.tls {
                Some(tls) if tls.enabled => "Enabled",
                Some(_) => "Disabled",
                None => "N/A",
            };
            row.extend([node.version.clone(), node.address.clone(), tls.to_owned()]);
        }
        row
    }));
    rows
}

/// The two largest units of a duration.
fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) => format!("{m}m{}s", seconds % 60),
        (0, h, m) => format!("{h}h{m}m"),
        (d, h, _) => format!("{d}d{h}h"),
    }
}

#[cfg(test)]
mod tests;
