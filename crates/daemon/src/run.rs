//! From `main` to the program and back: a runtime, signals, an exit code.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// So long may work that the program left on threads of its own hold it.
const LAST: Duration = Duration::from_secs(5);

/// Runs `program` until it ends. SIGTERM and SIGINT cancel its token; it ends itself then.
pub fn run<F, R>(name: &str, program: F) -> ExitCode
where
    F: FnOnce(CancellationToken) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(name, format_args!("start the runtime: {error}")),
    };
    let ended = runtime.block_on(until_told(program));
    runtime.shutdown_timeout(LAST);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "{name} cannot go on");
            ExitCode::FAILURE
        }
    }
}

async fn until_told<F, R>(program: F) -> anyhow::Result<()>
where
    F: FnOnce(CancellationToken) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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
        result = program(stop) => result,
        () = signals => Ok(()),
    }
}

/// Says why the program does not start, when there may be no log yet.
#[allow(clippy::print_stderr, reason = "there may be no log yet")]
pub fn refuse(name: &str, reason: impl Display) -> ExitCode {
    eprintln!("{name}: {reason}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests;
