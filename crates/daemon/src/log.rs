//! The log: lines on standard error.

use tracing_subscriber::EnvFilter;

/// Overrides the level, in the syntax of `tracing-subscriber`'s filters.
const VARIABLE: &str = "AXONEME_LOG";

/// Starts the log at `level` (`error`, `warn`, `info`, `debug`), as text or with one JSON object a line.
pub fn start(level: &str, json: bool) {
    // What the libraries tell of each request helps nobody.
    let filter = match level {
        "debug" => "debug,hyper=info,h2=info,tower=info,kube_client=info",
        other => other,
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| filter.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    if json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
}
