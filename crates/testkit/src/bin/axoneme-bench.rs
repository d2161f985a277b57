//! The bench, and the programs that make its load.

use clap::{Parser, Subcommand};
use testkit::bench::{self, load::Load};

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
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Load(load)) => load.run(),
        None => bench::run(args.options),
    }
}
