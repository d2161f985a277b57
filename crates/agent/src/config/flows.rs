//! Settings of flows: the server, metrics, exporters.

mod otlp;

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::settings::{Error, Reader};
use hubble::export::otlp::Settings as Otlp;
use hubble::export::{Target, filters};
use hubble::history::Place;
use hubble::metrics::page::Formats;
use hubble::metrics::{Metrics, Wanted, parse};
use hubble::server::{Security, TlsFiles};

/// Flow settings.
#[derive(Clone, Debug)]
pub struct Hubble {
    /// The server runs.
    pub enabled: bool,
    /// Payload of connections is sampled, and what they say is told.
    pub capture: bool,
    /// Its unix socket.
    pub socket: PathBuf,
    /// Its TCP address, with mutual TLS unless switched off.
    pub listen: Option<SocketAddr>,
    /// No TLS on TCP.
    pub disable_tls: bool,
    /// Server certificate, key, and authorities of clients.
    pub tls: Option<TlsFiles>,
    /// Events kept, 2ⁿ − 1.
    pub capacity: usize,
    /// Where counts are kept, if not in the state directory.
    pub data_dir: Option<PathBuf>,
    /// Where records are kept, if they are.
    pub records: Option<Place>,
    /// Peers are named by their IPv6 addresses where they have one.
    pub prefer_ipv6: bool,
    /// Metrics of flows, if they are served.
    pub metrics: Option<FlowMetrics>,
    /// Where flows are written.
    pub exports: Exports,
}

/// Metrics of flows.
#[derive(Clone, Debug)]
pub struct FlowMetrics {
    /// Where they are served.
    pub address: SocketAddr,
    /// How.
    pub security: Security,
    /// In which formats.
    pub formats: Formats,
    /// Which.
    pub which: WhichMetrics,
}

/// Which metrics of flows are counted.
#[derive(Clone, Debug)]
pub enum WhichMetrics {
    /// These, as long as the agent runs.
    Fixed(Vec<Wanted>),
    /// Those of a file, which may change.
    File(PathBuf),
}

/// Where flows are written.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    /// Into one file, as long as the agent runs.
    pub fixed: Option<Target>,
    /// By the exporters of a file, which may change.
    pub file: Option<PathBuf>,
    /// To a collector of OpenTelemetry.
    pub otlp: Option<Otlp>,
}

pub(super) fn hubble(read: &Reader<'_>) -> Result<Hubble, Error> {
    let capacity: usize = read.parse("hubble-event-buffer-capacity", "a number")?;
    if !(1..=65535).contains(&capacity) || !(capacity + 1).is_power_of_two() {
        return Err(Error::invalid(
            "hubble-event-buffer-capacity",
            &capacity.to_string(),
            "one less than a power of two, 1 to 65535",
        ));
    }
    let listen = read.optional_address("hubble-listen-address")?;
    let disable_tls = read.flag("hubble-disable-tls")?;
    let keys = ["hubble-tls-cert-file", "hubble-tls-key-file"];
    let tls = tls(read, keys, "hubble-tls-client-ca-files")?;
    if listen.is_some() && !disable_tls && tls.is_none() {
        return Err(Error::Conflict(
            "hubble-listen-address: needs hubble-tls-cert-file and hubble-tls-key-file, or hubble-disable-tls=true".into(),
        ));
    }
    Ok(Hubble {
        enabled: read.flag("enable-hubble")?,
        capture: read.flag("hubble-capture")?,
        socket: PathBuf::from(read.text("hubble-socket-path")),
        listen,
        disable_tls,
        tls,
        capacity,
        records: records(read)?,
        data_dir: read.path("hubble-data-dir"),
        prefer_ipv6: read.flag("hubble-prefer-ipv6")?,
        metrics: flow_metrics(read)?,
        exports: Exports {
            fixed: fixed_export(read)?,
            file: read.path("hubble-flowlogs-config-path"),
            otlp: otlp::settings(read)?,
        },
    })
}

fn records(read: &Reader<'_>) -> Result<Option<Place>, Error> {
    let size: u32 = read.parse("hubble-records-max-size-mb", "a number of MiB")?;
    Ok(read
        .path("hubble-data-dir")
        .filter(|_| size > 0)
        .map(|data| Place {
            directory: data.join("records"),
            bytes: u64::from(size) << 20,
        }))
}

fn tls(
    read: &Reader<'_>,
    [certificate, key]: [&str; 2],
    authorities: &str,
) -> Result<Option<TlsFiles>, Error> {
    match (read.path(certificate), read.path(key)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate,
            key,
            client_authorities: read
                .list(authorities)
                .into_iter()
                .map(PathBuf::from)
                .collect(),
        })),
        (None, None) => Ok(None),
        _ => Err(Error::Conflict(format!(
            "{certificate}, {key}: give both or neither"
        ))),
    }
}

fn flow_metrics(read: &Reader<'_>) -> Result<Option<FlowMetrics>, Error> {
    const KEYS: [&str; 2] = [
        "hubble-metrics-server-tls-cert-file",
        "hubble-metrics-server-tls-key-file",
    ];
    let wanted = parse(read.text("hubble-metrics"));
    // What it would refuse later stops the start.
    Metrics::default()
        .apply(&wanted)
        .map_err(|error| Error::Conflict(format!("hubble-metrics: {error}")))?;
    let which = match read.path("hubble-dynamic-metrics-config-path") {
        None => WhichMetrics::Fixed(wanted),
        Some(path) if wanted.is_empty() => WhichMetrics::File(path),
        Some(_) => {
            return Err(Error::Conflict(
                "hubble-metrics, hubble-dynamic-metrics-config-path: give one of them".into(),
            ));
        }
    };
    let files = tls(read, KEYS, "hubble-metrics-server-tls-client-ca-files")?;
    let security = match (read.flag("hubble-metrics-server-enable-tls")?, files) {
        (false, _) => Security::Plain,
        (true, Some(files)) => Security::Tls(files),
        (true, None) => {
            let [certificate, key] = KEYS;
            return Err(Error::Conflict(format!(
                "hubble-metrics-server-enable-tls: needs {certificate} and {key}"
            )));
        }
    };
    let formats = if read.flag("enable-hubble-open-metrics")? {
        Formats::OpenMetrics
    } else {
        Formats::Plain
    };
    let address = read.optional_address("hubble-metrics-server")?;
    Ok(address.map(|address| FlowMetrics {
        address,
        security,
        formats,
        which,
    }))
}

fn fixed_export(read: &Reader<'_>) -> Result<Option<Target>, Error> {
    const ALLOW: &str = "hubble-export-allowlist";
    const DENY: &str = "hubble-export-denylist";
    const MASK: &str = "hubble-export-fieldmask";
    const AGGREGATE: &str = "hubble-export-fieldaggregate";
    let list = |key: &str| {
        filters(read.text(key)).map_err(|error| Error::Conflict(format!("{key}: {error}")))
    };
    let target = Target {
        name: "static".into(),
        file_path: read.text("hubble-export-file-path").to_owned(),
        field_mask: read.list(MASK),
        field_aggregate: read.list(AGGREGATE),
        aggregation_interval: read.duration("hubble-export-aggregation-interval")?,
        include_filters: list(ALLOW)?,
        exclude_filters: list(DENY)?,
        file_max_size_mb: read.parse("hubble-export-file-max-size-mb", "a number of MB")?,
        file_max_backups: read.parse("hubble-export-file-max-backups", "a number of files")?,
        file_compress: read.flag("hubble-export-file-compress")?,
        end: None,
    };
    target.check().map_err(|error| {
        let key = match error.field.split(['[', '.']).next() {
            Some("includeFilters") => ALLOW,
            Some("excludeFilters") => DENY,
            Some("fieldMask") => MASK,
            _ => AGGREGATE,
        };
        Error::Conflict(format!("{key}: {error}"))
    })?;
    Ok((!target.file_path.is_empty()).then_some(target))
}
