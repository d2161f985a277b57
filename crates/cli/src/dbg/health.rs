//! `health`, also as a program named `cilium-health`: what this node's probes tell of the others.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use local_api::probes::{
    self, Addresses, ConnectivityStatus, HealthResponse, HealthStatusResponse, NodeStatus,
    PathStatus,
};
use local_api::{Client, Method, Request, Timeouts};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Outcome;
use super::endpoint::word;
use crate::output::{Format, OutputArgs};

/// Probes of thousands of nodes take a while.
const PATIENCE: Duration = Duration::from_mins(3);

#[derive(clap::Subcommand, Debug)]
pub(crate) enum HealthCommand {
    /// Which nodes are reached, and which of their endpoints
    Status {
        /// Probe every node now, instead of telling what is known
        #[arg(long)]
        probe: bool,
        /// One line per node
        #[arg(long)]
        succinct: bool,
        /// Secondary addresses as well
        #[arg(long)]
        verbose: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// How this node and its agent are
    Get {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Whether the health API answers
    Ping,
}

/// Health of nodes
#[derive(clap::Args, Debug)]
pub(crate) struct HealthArgs {
    /// Socket of the health API [default: $AXONEME_HEALTH_SOCK, $CILIUM_HEALTH_SOCK or /var/run/cilium/health.sock]
    #[arg(short = 'H', long, global = true, value_name = "SOCKET")]
    host: Option<String>,
    #[command(subcommand)]
    command: HealthCommand,
}

/// The program `cilium-health`.
pub(crate) fn main(args: &HealthArgs) -> ExitCode {
    let named = args.host.clone().or_else(from_environment);
    let socket = named.map_or_else(|| probes::DEFAULT_SOCKET.into(), |of| path(&of));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = run(&client(socket), &args.command, &mut out);
    crate::program::finish(done, &mut out)
}

/// A client of the health API of an agent: at the socket that the environment names, or beside the agent's own.
pub(super) fn beside(agent: &Client) -> Client {
    let named = from_environment().map(|of| path(&of));
    client(named.unwrap_or_else(|| probes::socket_beside(agent.socket())))
}

fn from_environment() -> Option<String> {
    let mut values = probes::SOCKET_VARIABLES
        .iter()
        .filter_map(|of| std::env::var(of).ok());
    values.find(|value| !value.is_empty())
}

fn path(text: &str) -> PathBuf {
    text.strip_prefix("unix://").unwrap_or(text).into()
}

fn client(socket: PathBuf) -> Client {
    Client::new(socket).with_timeouts(Timeouts {
        total: PATIENCE,
        ..Timeouts::default()
    })
}

pub(super) fn run(
    client: &Client,
    command: &HealthCommand,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    match command {
        HealthCommand::Status {
            probe,
            succinct,
            verbose,
            output,
        } => {
            let request = if *probe {
                Request::new(Method::Put, "/v1beta/status/probe")
            } else {
                Request::new(Method::Get, "/v1beta/status")
            };
            let status: HealthStatusResponse =
                match ask(client, &request, output.output.as_ref(), out)? {
                    Some(status) => status,
                    None => return Ok(Outcome::Good),
                };
            if *succinct {
                lines(out, &status)?;
            } else {
                tree(out, &status, *verbose)?;
            }
        }
        HealthCommand::Get { output } => {
            let request = Request::new(Method::Get, "/v1beta/healthz");
            if let Some(own) = ask(client, &request, output.output.as_ref(), out)? {
                write_own(out, &own)?;
            }
        }
        HealthCommand::Ping => {
            let request = Request::new(Method::Get, "/v1beta/healthz");
            client.send(&request).map_err(unreachable)?;
            writeln!(out, "OK")?;
        }
    }
    Ok(Outcome::Good)
}

/// The answer, unless a format was asked for: then it is written.
fn ask<T: DeserializeOwned>(
    client: &Client,
    request: &Request,
    format: Option<&Format>,
    out: &mut dyn Write,
) -> anyhow::Result<Option<T>> {
    let response = client.send(request).map_err(unreachable)?;
    let raw: Value = serde_json::from_slice(&response.body).context("the answer is not JSON")?;
    if let Some(format) = format {
        format.write(out, &raw)?;
        return Ok(None);
    }
    let typed = serde_json::from_value(raw).context("the answer has an unexpected shape")?;
    Ok(Some(typed))
}

fn unreachable(error: local_api::Error) -> anyhow::Error {
    match &error {
        local_api::Error::Connect { socket, source, .. } => anyhow!(
            "cannot reach the health API at {}: {source}; does the agent run, and with enable-health-checking?",
            socket.display()
        ),
        _ => error.into(),
    }
}

fn tree(out: &mut dyn Write, status: &HealthStatusResponse, verbose: bool) -> io::Result<()> {
    writeln!(out, "Probe time:   {}", status.timestamp)?;
    writeln!(out, "Nodes:")?;
    let local = status.local.as_ref().map(|of| of.name.as_str());
    for node in &status.nodes {
        let here = if local == Some(&node.name) {
            " (localhost)"
        } else {
            ""
        };
        writeln!(out, "  {}{here}:", node.name)?;
        for (what, part) in [("Host", &node.host), ("Endpoint", &node.health_endpoint)] {
            let addresses = part.iter().flat_map(Addresses::iter);
            for address in addresses.take(if verbose { usize::MAX } else { 1 }) {
                writeln!(out, "    {what} connectivity to {}:", address.ip)?;
                writeln!(
                    out,
                    "      ICMP to stack:   {}",
                    said(address.icmp.as_ref())
                )?;
                writeln!(
                    out,
                    "      HTTP to agent:   {}",
                    said(address.http.as_ref())
                )?;
            }
        }
    }
    Ok(())
}

fn lines(out: &mut dyn Write, status: &HealthStatusResponse) -> io::Result<()> {
    writeln!(out, "Probe time:   {}", status.timestamp)?;
    for node in &status.nodes {
        writeln!(out, "  {}: {}", node.name, in_a_word(node))?;
    }
    Ok(())
}

/// Whether a node is reached, or which ways to it are broken.
pub(super) fn in_a_word(node: &NodeStatus) -> String {
    let broken = |part: Option<&Addresses>, what: &str| {
        let mut found = Vec::new();
        for address in part.into_iter().flat_map(Addresses::iter) {
            for (protocol, way) in ways(address) {
                if !way.status.is_empty() {
                    found.push(format!(
                        "{what} {} by {protocol}: {}",
                        address.ip, way.status
                    ));
                }
            }
        }
        found
    };
    let mut all = broken(node.host.as_ref(), "host");
    all.extend(broken(node.health_endpoint.as_ref(), "endpoint"));
    if all.is_empty() {
        "OK".to_owned()
    } else {
        all.join("; ")
    }
}

fn ways(address: &PathStatus) -> impl Iterator<Item = (&'static str, &ConnectivityStatus)> {
    let icmp = address.icmp.as_ref().map(|way| ("ICMP", way));
    let http = address.http.as_ref().map(|way| ("HTTP", way));
    icmp.into_iter().chain(http)
}

fn said(way: Option<&ConnectivityStatus>) -> String {
    match way {
        None => "not probed".to_owned(),
        Some(way) if way.status.is_empty() => format!("OK, RTT={}", short(way.latency)),
        Some(way) => crate::output::visible(&way.status).into_owned(),
    }
}

/// Nanoseconds as upstream's clients print them.
fn short(nanoseconds: i64) -> String {
    let seconds = Duration::from_nanos(nanoseconds.unsigned_abs()).as_secs_f64();
    match nanoseconds {
        ..1_000_000 => format!("{:.3}µs", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.3}ms", seconds * 1e3),
        _ => format!("{seconds:.3}s"),
    }
}

fn write_own(out: &mut dyn Write, own: &HealthResponse) -> io::Result<()> {
    let agent = own.cilium.as_ref().and_then(|of| of.cilium.clone());
    let agent = agent.unwrap_or_default();
    let load = own.system_load.clone().unwrap_or_default();
    writeln!(out, "Daemon uptime:  {}", own.uptime)?;
    writeln!(
        out,
        "Node load:      1min: {}  5min: {}  15min: {}",
        load.last_1min, load.last_5min, load.last_15min
    )?;
    writeln!(out, "Cilium:         {}", word(agent.state))
}
