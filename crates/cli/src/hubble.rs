//! `axoneme hubble …`, also as a program named `hubble`: flows of a node or of a relay.

mod config;
pub(crate) mod connect;
mod list;
mod observe;
mod print;
mod status;
mod time;
mod watch;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::cluster::access::AccessArgs;
use crate::cluster::{Forward, Relay};
use connect::ConnectArgs;
pub(crate) use time::{duration, parse as parse_time};

/// Local port that leads to a relay, unless told otherwise.
const RELAY_PORT: u16 = 4245;

/// Arguments of the family.
#[derive(Args, Debug)]
pub struct HubbleArgs {
    /// Configuration file
    #[arg(long, global = true, env = "HUBBLE_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Also print what goes on beneath, e.g. nodes that were connected
    #[arg(short = 'D', long, global = true, env = "HUBBLE_DEBUG")]
    debug: bool,
    #[command(flatten)]
    forward: ForwardArgs,
    #[command(subcommand)]
    command: Command,
}

/// How a relay is found by Kubernetes.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(crate) struct ForwardArgs {
    /// Ask the relay of a cluster, by a local port that is forwarded to it meanwhile
    #[arg(short = 'P', long, global = true, env = "HUBBLE_PORT_FORWARD", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    port_forward: Option<bool>,
    /// Local port of --port-forward, 0 for any [default: 4245]
    #[arg(
        long,
        global = true,
        env = "HUBBLE_PORT_FORWARD_PORT",
        value_name = "PORT"
    )]
    port_forward_port: Option<u16>,
    /// Kubernetes context of --port-forward
    #[arg(
        long,
        global = true,
        env = "HUBBLE_KUBE_CONTEXT",
        value_name = "CONTEXT"
    )]
    kube_context: Option<String>,
    /// Namespace of the relay, for --port-forward [default: kube-system]
    #[arg(
        long,
        global = true,
        env = "HUBBLE_KUBE_NAMESPACE",
        value_name = "NAMESPACE"
    )]
    kube_namespace: Option<String>,
    /// Kubeconfig of --port-forward
    #[arg(long, global = true, env = "HUBBLE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
}

impl ForwardArgs {
    /// The relay that flags and file name.
    fn relay(&self, file: &config::Settings) -> anyhow::Result<Relay> {
        let environment = || std::env::var_os("KUBECONFIG").map(Into::into);
        let text = |own: &Option<String>, key| match own {
            Some(own) => Ok(Some(own.clone())),
            None => file.text(key),
        };
        let kubeconfig = match &self.kubeconfig {
            Some(own) => Some(own.clone()),
            None => file.text("kubeconfig")?.map(Into::into),
        };
        let port = match self.port_forward_port {
            Some(port) => port,
            None => match file.text("port-forward-port")? {
                Some(port) => port.parse().context("port-forward-port")?,
                None => RELAY_PORT,
            },
        };
        Ok(Relay {
            access: AccessArgs {
                kubeconfig: kubeconfig.or_else(environment),
                context: text(&self.kube_context, "kube-context")?,
            },
            namespace: text(&self.kube_namespace, "kube-namespace")?
                .unwrap_or_else(|| "kube-system".to_owned()),
            port,
        })
    }

    /// Whether the relay of a cluster is to be asked.
    fn wanted(&self, file: &config::Settings) -> anyhow::Result<bool> {
        Ok(self.port_forward.or(file.switch("port-forward")?) == Some(true))
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Observe flows and events
    Observe(Box<observe::ObserveArgs>),
    /// Show how the server is
    Status(status::StatusArgs),
    /// List namespaces or nodes
    List(list::ListArgs),
    /// Watch the peers of a server
    #[command(visible_alias = "w")]
    Watch(watch::WatchArgs),
    /// View or change the configuration file
    Config(config::ConfigArgs),
    /// Forward a local port (--port-forward-port) to the relay of a cluster
    PortForward,
    /// Show the version of this program
    Version,
}

/// Runs a command; errors go to standard error, a closed pipe is no error.
pub async fn run(args: HubbleArgs) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout());
    let done = match execute(args, &mut out).await {
        Ok(()) => out.flush().map_err(Into::into),
        Err(error) => {
            // What was printed before the error stays readable.
            let _ = out.flush();
            Err(error)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

async fn execute(args: HubbleArgs, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let mut file = config::Settings::load(args.config.as_deref())?;
    let asks = !matches!(
        args.command,
        Command::Config(_) | Command::PortForward | Command::Version
    );
    if !asks || !args.forward.wanted(&file)? {
        return command(args, file, out).await;
    }
    let forward = args.forward.relay(&file)?.open().await?;
    file.forwarded = Some(forward.address()?);
    tokio::select! {
        done = command(args, file, out) => done,
        // It ends only by a fault.
        ended = forward.serve() => ended,
    }
}

async fn command(
    args: HubbleArgs,
    file: config::Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    match args.command {
        Command::Observe(observe) => observe::run(*observe, &file, args.debug, out).await,
        Command::Status(status) => status::run(status, &file, out).await,
        Command::List(list) => list::run(list, &file, out).await,
        Command::Watch(watch) => watch::run(watch, &file, out).await,
        Command::Config(config) => config::run(&config, file, out),
        Command::PortForward => crate::cluster::forward(&args.forward.relay(&file)?, out).await,
        Command::Version => {
            writeln!(out, "hubble v{} (axoneme)", env!("CARGO_PKG_VERSION"))?;
            Ok(())
        }
    }
}

/// A connection for commands of other families, with the flags and the configuration file of this one.
pub(crate) async fn connection(args: ConnectArgs) -> anyhow::Result<connect::Connection> {
    let file = config::Settings::load(None)?;
    connect::Target::new(args, &file)?.connect().await
}

/// The way to the relay of a cluster, if flags or configuration file ask for it.
pub(crate) async fn forwarded(args: &ForwardArgs) -> anyhow::Result<Option<Forward>> {
    let file = config::Settings::load(None)?;
    if args.wanted(&file)? {
        args.relay(&file)?.open().await.map(Some)
    } else {
        Ok(None)
    }
}

/// The flags, completed by the configuration file as every command of this family does.
pub(crate) fn completed(args: ConnectArgs) -> anyhow::Result<ConnectArgs> {
    config::Settings::load(None)?.complete(args)
}

/// The message of a refused call, without the noise of its transport.
fn call_error(call: &str, status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{call}: {}: {}", status.code(), status.message())
}

#[cfg(test)]
mod tests;
