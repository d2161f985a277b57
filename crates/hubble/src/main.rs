//! The relay's program: reads the configuration, serves, and stops when told to.

use std::{io::Write, process::ExitCode};

use hubble::relay::{
    config::{Config, Given, Log, command},
    wiring::Relay,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let matches = command(name()).get_matches();
    let Some(serve) = matches.subcommand_matches("serve") else {
        let printed = writeln!(std::io::stdout(), "{} v{}", name(), hubble::VERSION);
        return printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    };
    let config = match Given::gather(serve).and_then(|given| Config::new(&given)) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    start_log(&config.log);
    for key in &config.unknown {
        tracing::warn!(key, "a configuration key is not known and has no effect");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("start the runtime: {error}")),
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("{error:#}")),
    }
}

/// As upstream calls it, if it was called so.
fn name() -> &'static str {
    let path = std::env::args_os().next().unwrap_or_default();
    let file = std::path::Path::new(&path).file_name();
    if file.is_some_and(|file| file == "hubble-relay") {
        "hubble-relay"
    } else {
        "axoneme-relay"
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let relay = Relay::bind(config).await?;
    tracing::info!(
        flows = ?relay.address(),
        health = ?relay.health_address(),
        metrics = ?relay.metrics_address(),
        "serving"
    );
    let told = stop.clone();
    let signals = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = relay.run(stop) => Ok(result?),
        () = signals => Ok(()),
    }
}

fn start_log(log: &Log) {
    let level = format!("{},hyper=info,h2=info,tower=info", log.level);
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("AXONEME_LOG").unwrap_or_else(|_| level.into());
    let output = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    if log.json {
        output.json().init();
    } else {
        output.with_ansi(false).init();
    }
}

#[allow(clippy::print_stderr, reason = "there may be no log yet")]
fn refuse(message: &str) -> ExitCode {
    eprintln!("{}: {message}", name());
    ExitCode::FAILURE
}
