//! The agent's program: reads the configuration, starts the agent, and stops it when told to.

use std::process::ExitCode;

use agent::config::{Config, command, gather};

const NAME: &str = "axoneme-agent";

fn main() -> ExitCode {
    let matches = command().get_matches();
    let environment = |name: &str| std::env::var(name).ok();
    let config = match gather(&matches, environment).and_then(|given| Config::new(&given)) {
        Ok(config) => config,
        Err(error) => return daemon::refuse(NAME, error),
    };
    kernel::heap::limit();
    daemon::log::start(if config.debug { "debug" } else { "info" }, config.log_json);
    for key in &config.unknown {
        tracing::warn!(key, "a configuration key is not known and has no effect");
    }
    daemon::run(NAME, |stop| agent::wiring::run(config, stop))
}
