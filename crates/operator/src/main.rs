//! The operator's program: reads the configuration, starts the operator, and stops it when told to.

use std::process::ExitCode;

use operator::config::{Config, command, gather};

fn main() -> ExitCode {
    let name = name();
    let matches = command(name).get_matches();
    let environment = |name: &str| std::env::var(name).ok();
    let config = match gather(&matches, environment).and_then(|given| Config::new(&given)) {
        Ok(config) => config,
        Err(error) => return daemon::refuse(name, error),
    };
    daemon::log::start(if config.debug { "debug" } else { "info" }, config.log_json);
    if !config.unknown.is_empty() {
        let keys = config.unknown.join(" ");
        tracing::info!(keys, "configuration keys that are not the operator's");
    }
    daemon::run(name, |stop| operator::wiring::run(config, stop))
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
