//! The bench, and the programs that make its load.
#![allow(
    clippy::print_stderr,
    reason = "what it says at the end goes to the terminal"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testkit::bench::{self, load::Load};
use testkit::scale;

#[derive(Parser)]
#[command(
    name = "axoneme-bench",
    version,
    about = "Measures what we cost beside what the kernel costs by itself"
)]
struct Args {
    #[command(flatten)]
    options: bench::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One of the programs that make load.
    #[command(subcommand, hide = true)]
    Load(Load),
    /// Two agents and an operator among a thousand nodes that change all the time.
    Scale(scale::Size),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Some(Command::Load(load)) => load.run(),
        Some(Command::Scale(size)) => scale::run(size),
        None => bench::run(args.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
