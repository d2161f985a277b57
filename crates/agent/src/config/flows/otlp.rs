//! Settings of the export to a collector of OpenTelemetry.

use std::{path::PathBuf, time::Duration};

use daemon::settings::{Error, Reader};
use hubble::export::filters;
use hubble::export::otlp::{Collector, Settings, SignalSet};
use hubble::relay::ClientFiles;

use super::super::read::cluster_name;

const ENDPOINT: &str = "hubble-otlp-endpoint";
const SIGNALS: &str = "hubble-otlp-signals";
const INTERVAL: &str = "hubble-otlp-interval";
const ALLOW: &str = "hubble-otlp-allowlist";
const DENY: &str = "hubble-otlp-denylist";
const AUTHORITIES: &str = "hubble-otlp-tls-ca-files";
const CERTIFICATE: &str = "hubble-otlp-tls-cert-file";
const KEY: &str = "hubble-otlp-tls-key-file";

/// Metrics are not told more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// What is exported, if a collector is named.
pub(super) fn settings(read: &Reader<'_>) -> Result<Option<Settings>, Error> {
    let conflict =
        |key: &str, reason: &dyn std::fmt::Display| Error::Conflict(format!("{key}: {reason}"));
    let endpoint = read.text(ENDPOINT).trim();
    if endpoint.is_empty() {
        return Ok(None);
    }
    let collector = Collector::parse(endpoint).map_err(|error| conflict(ENDPOINT, &error))?;
    let list = |key: &str| filters(read.text(key)).map_err(|error| conflict(key, &error));
    let interval = read.duration(INTERVAL)?;
    if interval < LEAST_INTERVAL {
        return Err(conflict(INTERVAL, &"a second at least"));
    }
    let settings = Settings {
        signals: signals(read)?,
        interval,
        include_filters: list(ALLOW)?,
        exclude_filters: list(DENY)?,
        headers: read.path("hubble-otlp-headers-file"),
        tls: tls(read, &collector)?,
        cluster: cluster_name(read)?,
        node: read.text("k8s-node-name").to_owned(),
        collector,
    };
    settings.check().map_err(|error| {
        let key = if error.field.starts_with("includeFilters") {
            ALLOW
        } else {
            DENY
        };
        conflict(key, &error)
    })?;
    Ok(Some(settings))
}

fn signals(read: &Reader<'_>) -> Result<SignalSet, Error> {
    let invalid = || Error::invalid(SIGNALS, read.text(SIGNALS), "some of logs, metrics, traces");
    let mut signals = SignalSet::default();
    for name in read.list(SIGNALS) {
        match name.as_str() {
            "logs" => signals.logs = true,
            "metrics" => signals.metrics = true,
            "traces" => signals.traces = true,
            _ => return Err(invalid()),
        }
    }
    if signals == SignalSet::default() {
        return Err(invalid());
    }
    Ok(signals)
}

/// The files of TLS, which go with `https://` and with nothing else.
fn tls(read: &Reader<'_>, collector: &Collector) -> Result<Option<ClientFiles>, Error> {
    let server_authorities: Vec<PathBuf> = read
        .list(AUTHORITIES)
        .into_iter()
        .map(PathBuf::from)
        .collect();
    let identity = match (read.path(CERTIFICATE), read.path(KEY)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return Err(Error::Conflict(format!(
                "{CERTIFICATE}, {KEY}: give both or neither"
            )));
        }
    };
    let has_files = !server_authorities.is_empty();
    match (collector.is_encrypted(), has_files) {
        (true, false) => Err(Error::Conflict(format!(
            "{AUTHORITIES}: {ENDPOINT} is of https, which needs the collector's authority"
        ))),
        (false, true) => Err(Error::Conflict(format!(
            "{AUTHORITIES}: {ENDPOINT} is of http, which encrypts nothing"
        ))),
        (true, true) => Ok(Some(ClientFiles {
            server_authorities,
            identity,
        })),
        (false, false) => Ok(None),
    }
}
