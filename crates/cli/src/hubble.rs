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

use clap::{Args, Subcommand};

use connect::ConnectArgs;

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

/// How upstream's client finds a relay by Kubernetes; scripts give these flags, and get a sentence.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Server")]
struct ForwardArgs {
    /// Forward a port to the relay; not supported, the flag is refused with the command to run instead
    #[arg(short = 'P', long, global = true, env = "HUBBLE_PORT_FORWARD", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    port_forward: Option<bool>,
    /// Local port of --port-forward
    #[arg(
        long,
        global = true,
        env = "HUBBLE_PORT_FORWARD_PORT",
        default_value = "4245",
        value_name = "PORT"
    )]
    port_forward_port: u16,
    /// Kubernetes context of --port-forward
    #[arg(
        long,
        global = true,
        env = "HUBBLE_KUBE_CONTEXT",
        value_name = "CONTEXT"
    )]
    kube_context: Option<String>,
    /// Namespace of the relay, for --port-forward
    #[arg(
        long,
        global = true,
        env = "HUBBLE_KUBE_NAMESPACE",
        default_value = "kube-system",
        value_name = "NAMESPACE"
    )]
    kube_namespace: String,
    /// Kubeconfig of --port-forward
    #[arg(long, global = true, env = "HUBBLE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
}

impl ForwardArgs {
    /// Refuses what is not built, with what does the same.
    fn refuse(&self, file: &config::Settings) -> anyhow::Result<()> {
        let wanted = self.port_forward.or(file.switch("port-forward")?);
        if wanted != Some(true) {
            return Ok(());
        }
        let mut words = vec!["kubectl".to_owned()];
        if let Some(kubeconfig) = &self.kubeconfig {
            words.push(format!("--kubeconfig={}", kubeconfig.display()));
        }
        if let Some(context) = &self.kube_context {
            words.push(format!("--context={context}"));
        }
        anyhow::bail!(
            "--port-forward: ports are not forwarded by this program; run `{} -n {} port-forward service/hubble-relay {port}:80` and ask with --server localhost:{port}",
            words.join(" "),
            self.kube_namespace,
            port = self.port_forward_port,
        )
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
    let file = config::Settings::load(args.config.as_deref())?;
    if !matches!(args.command, Command::Config(_) | Command::Version) {
        args.forward.refuse(&file)?;
    }
    match args.command {
        Command::Observe(observe) => observe::run(*observe, &file, args.debug, out).await,
        Command::Status(status) => status::run(status, &file, out).await,
        Command::List(list) => list::run(list, &file, out).await,
        Command::Watch(watch) => watch::run(watch, &file, out).await,
        Command::Config(config) => config::run(&config, file, out),
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
