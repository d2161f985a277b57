//! The operator's program: reads the configuration, starts the operator, and stops it when told to.

use std::process::ExitCode;

use operator::config::{Config, command, gather};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let matches = command(name()).get_matches();
    let environment = |name: &str| std::env::var(name).ok();
    let config = match gather(&matches, environment).and_then(|given| Config::new(&given)) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    start_log(&config);
    if !config.unknown.is_empty() {
        let keys = config.unknown.join(" ");
        tracing::info!(keys, "configuration keys that are not the operator's");
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
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// The name by which it was called, if it is one of upstream's.
fn name() -> &'static str {
    let called = std::env::args_os().next().unwrap_or_default();
    let called = std::path::Path::new(&called).file_name();
    let ours = ["cilium-operator-generic", "cilium-operator"];
    let ours = ours
        .into_iter()
        .find(|name| called.is_some_and(|called| called == *name));
    ours.unwrap_or("axoneme-operator")
}

async fn run(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
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
        result = operator::wiring::run(config, stop) => result,
        () = signals => Ok(()),
    }
}

fn start_log(config: &Config) {
    let level = if config.debug {
        "debug,hyper=info,h2=info,tower=info,kube_client=info"
    } else {
        "info"
    };
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("AXONEME_LOG").unwrap_or_else(|_| level.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    if config.log_json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
}

#[allow(clippy::print_stderr, reason = "there is no log yet")]
fn refuse(message: &str) -> ExitCode {
    eprintln!("axoneme-operator: {message}");
    ExitCode::FAILURE
}
