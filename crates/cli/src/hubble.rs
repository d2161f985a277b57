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
    #[command(subcommand)]
    command: Command,
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

/// The message of a refused call, without the noise of its transport.
fn call_error(call: &str, status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{call}: {}: {}", status.code(), status.message())
}
