//! The binary of the embedded store.

use std::io::Write;

use anyhow::Context;
use apiserver::Server;
use apiserver::args::Args;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> anyhow::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    // Two threads answer; a few more read the store, which blocks.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be received")?;
    let running = Server::start(args.config()?).await?;
    if let Some(path) = &args.write_kubeconfig {
        running.write_kubeconfig(path)?;
    }
    let url = running.url().or_else(|| {
        args.socket
            .as_ref()
            .map(|path| format!("unix://{}", path.display()))
    });
    let url = url.unwrap_or_default();
    // One line on the standard output says where, once requests are answered: scripts wait for it.
    writeln!(std::io::stdout(), "serving on {url}").context("the standard output is closed")?;
    tracing::info!(url, "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = running.shutdown.cancelled() => {}
    }
    running.stop().await;
    Ok(())
}
