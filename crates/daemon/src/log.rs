//! The log: lines on standard error, of which errors and warnings are counted.

use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::metrics::{Labels, labels};

/// Overrides the level, in the syntax of `tracing-subscriber`'s filters.
const VARIABLE: &str = "AXONEME_LOG";

/// A process has one log.
static COUNTS: LazyLock<Family<Labels<2>, Counter>> = LazyLock::new(|| {
    let counts = Family::<Labels<2>, Counter>::default();
    for level in ["error", "warning"] {
        let none = labels([("level", level), ("subsystem", "daemon")]);
        counts.get_or_create(&none).inc_by(0);
    }
    counts
});

/// Starts the log at `level` (`error`, `warn`, `info`, `debug`), as text or with one JSON object a line.
pub fn start(level: &str, json: bool) {
    // What the libraries tell of each request helps nobody.
    let filter = match level {
        "debug" => "debug,hyper=info,h2=info,tower=info,kube_client=info",
        other => other,
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| filter.into());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let lines = if json {
        lines.json().boxed()
    } else {
        lines.with_ansi(false).boxed()
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(Counting)
        .with(lines)
        .init();
}

/// Makes the number of errors and warnings part of `registry`.
pub fn register(registry: &mut Registry) {
    let help = "Errors and warnings in the log";
    registry.register("errors_warnings", help, COUNTS.clone());
}

struct Counting;

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => return,
        };
        // The module in the crate, or the crate of another.
        let target = event.metadata().target();
        let mut parts = target.split("::");
        let krate = parts.next().unwrap_or_default();
        let subsystem = parts.next().unwrap_or(krate).to_owned();
        let of = [("level", level.into()), ("subsystem", subsystem.into())];
        COUNTS.get_or_create(&of).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_warnings_are_counted_by_the_part_that_wrote_them() {
        let log = tracing_subscriber::registry().with(Counting);
        tracing::subscriber::with_default(log, || {
            tracing::error!(target: "agent::engine::absorb", "a");
            tracing::warn!(target: "agent::engine", "b");
            tracing::warn!(target: "hyper", "c");
            tracing::info!(target: "agent::engine", "d");
        });
        let of = |level: &'static str, subsystem: &'static str| {
            let labels = labels([("level", level), ("subsystem", subsystem)]);
            COUNTS.get(&labels).map(|count| count.get())
        };
        assert_eq!(of("error", "engine"), Some(1));
        assert_eq!(of("warning", "engine"), Some(1));
        assert_eq!(of("warning", "hyper"), Some(1));
        assert_eq!(of("error", "daemon"), Some(0));
        assert_eq!(of("info", "engine"), None);
    }
}
