//! The relay's program: reads the configuration, serves, and stops when told to.

use std::{io::Write, process::ExitCode};

use hubble::relay::{
    config::{Config, command, gather},
    wiring::Relay,
};

fn main() -> ExitCode {
    let name = name();
    let matches = command(name).get_matches();
    let Some(serve) = matches.subcommand_matches("serve") else {
        let printed = writeln!(std::io::stdout(), "{name} v{}", hubble::VERSION);
        return printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    };
    let config = match gather(serve).and_then(|given| Config::new(&given)) {
        Ok(config) => config,
        Err(error) => return daemon::refuse(name, error),
    };
    daemon::log::start(&config.log.level, config.log.json);
    for key in &config.unknown {
        tracing::warn!(key, "a configuration key is not known and has no effect");
    }
    daemon::run(name, async |stop| {
        let relay = Relay::bind(config).await?;
        tracing::info!(
            flows = ?relay.address(),
            health = ?relay.health_address(),
            metrics = ?relay.metrics_address(),
            web = ?relay.web_address(),
            "serving"
        );
        Ok(relay.run(stop).await?)
    })
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
