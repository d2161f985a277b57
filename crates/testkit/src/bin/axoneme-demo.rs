//! The demo cluster, and the programs that run in its pods.
#![allow(
    clippy::print_stderr,
    reason = "what it says at the end goes to the terminal"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testkit::demo::{self, Fault, Verdict};

#[derive(Parser)]
#[command(
    name = "axoneme-demo",
    version,
    about = "A cluster on this machine, and the programs that run in its pods"
)]
struct Args {
    /// Assert each statement and leave, instead of staying up
    #[arg(long)]
    check: bool,
    /// Let the shop misbehave in this way; may be repeated
    #[arg(
        long = "fault",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "check"
    )]
    faults: Vec<Fault>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start the cluster and stay up until Ctrl-C; what is done without a command.
    Up,
    /// Start the cluster, assert each statement, end it.
    Check,
    /// One of the programs that run in pods.
    #[command(subcommand)]
    App(testkit::shop::App),
}

fn main() -> ExitCode {
    run(Args::parse()).unwrap_or_else(|error| {
        // One sentence, whatever RUST_BACKTRACE says.
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(Command::App(app)) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(app.run())?,
        None if args.check => return check(),
        Some(Command::Check) => return check(),
        None | Some(Command::Up) => demo::up(&args.faults)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check() -> anyhow::Result<ExitCode> {
    Ok(match demo::check()? {
        Verdict::Holds => ExitCode::SUCCESS,
        Verdict::Fails => ExitCode::FAILURE,
    })
}
