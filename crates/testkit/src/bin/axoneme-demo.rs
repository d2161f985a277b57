//! The demo cluster, and the programs that run in its pods.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "axoneme-demo",
    version,
    about = "The demo cluster, and the programs that run in its pods"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One of the programs that run in pods.
    #[command(subcommand)]
    App(testkit::shop::App),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::App(app) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(app.run()),
    }
}
