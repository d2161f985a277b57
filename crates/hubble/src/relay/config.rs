//! Configuration: flags, then the file, then defaults; parsed once into values that are valid.

mod clusters;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command};
pub use daemon::settings::{Error, Given};
use daemon::settings::{Key, Keys, Reader, key};

use super::{
    access::AccessConfig,
    alerts::{AlertConfig, Destination, Shape, Source},
    clusters::ClustersConfig,
    flows::SortBuffer,
    link::ClientFiles,
    web::Hosts,
};
use crate::server::{Security, TlsFiles};

/// File that is read when it exists and no other is named.
const FILE: &str = "/etc/hubble-relay/config.yaml";

/// Every key that is understood.
#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("cluster-name", "default", "Name of the cluster, part of the names in certificates"),
    key("peer-service", "unix:///var/run/cilium/hubble.sock", "Address of the service that tells of peers"),
    key("listen-address", ":4245", "Where flows are served"),
    key("health-listen-address", ":4222", "Where health is served, in plain text; empty for nowhere"),
    key("metrics-listen-address", "", "Where metrics are served, in plain text; empty for nowhere"),
    key("web-listen-address", "", "Where the web interface is served, in plain text; empty for nowhere"),
    key("web-hosts", "", "Names under which the web interface is asked, besides addresses and those of its service; * for any"),
    key("alert-rules", "", "File of alerting rules that are evaluated, built-in for those of this program; empty for none"),
    key("alertmanagers", "", "Alertmanagers that are told of alerts, http://HOST:PORT"),
    key("alert-webhooks", "", "Addresses to which alerts that begin or end are posted, http://…"),
    key("clusters", "", "Relays of other clusters, which are asked when a question names them, NAME=HOST:PORT"),
    key("tls-clusters-ca-files", "", "Authorities of their certificates, PEM; they must have the name NAME.hubble-relay.cilium.io"),
    key("tls-clusters-cert-file", "", "Certificate that is shown to them, PEM"),
    key("tls-clusters-key-file", "", "Its private key, PEM"),
    key("disable-clusters-tls", "false", "Talk to them in plain text"),
    key("access", "none", "Who may see what: none (everybody all), or kubernetes (by token and namespace)"),
    key("k8s-kubeconfig-path", "", "Kubeconfig for access=kubernetes; else the service account of the pod"),
    key("dial-timeout", "5s", "How long connecting to a peer may take"),
    key("retry-timeout", "30s", "Longest pause before the peer service is asked again"),
    key("sort-buffer-len-max", "100", "Flows that are held back to sort them by time"),
    key("sort-buffer-drain-timeout", "1s", "How long a flow may be held back"),
    key("tls-hubble-client-cert-file", "", "Certificate that is shown to the nodes, PEM"),
    key("tls-hubble-client-key-file", "", "Its private key, PEM"),
    key("tls-hubble-server-ca-files", "", "Authorities of the nodes' certificates, PEM"),
    key("disable-client-tls", "false", "Talk to the nodes in plain text"),
    key("tls-relay-server-cert-file", "", "Certificate of this server, PEM"),
    key("tls-relay-server-key-file", "", "Its private key, PEM"),
    key("tls-relay-client-ca-files", "", "Authorities of the clients' certificates, PEM; none asks for no certificate"),
    key("disable-server-tls", "false", "Serve flows in plain text"),
    key("log-format", "text", "text or json"),
    key("log-level", "info", "error, warn, info or debug"),
    key("pprof", "false", "There is no profiler: only false is taken"),
    key("debug", "false", "The same as log-level=debug"),
];

/// Former names of keys.
const ALIASES: &[(&str, &str)] = &[
    ("tls-client-cert-file", "tls-hubble-client-cert-file"),
    ("tls-client-key-file", "tls-hubble-client-key-file"),
    ("tls-server-cert-file", "tls-relay-server-cert-file"),
    ("tls-server-key-file", "tls-relay-server-key-file"),
];

/// Keys that concern the inside of another implementation: accepted, without effect.
const IGNORED: &[&str] = &["gops", "gops-port", "pprof-address", "pprof-port"];

const ALL: Keys = Keys {
    understood: KEYS,
    lacking: &[("pprof", "false|0")],
    elsewhere: IGNORED,
};

/// How the log looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// One JSON object a line.
    pub json: bool,
    /// The lowest level.
    pub level: String,
}

/// What the relay runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the cluster.
    pub cluster: String,
    /// Address of the peer service.
    pub peer_service: String,
    /// Where flows are served.
    pub listen: SocketAddr,
    /// What that port speaks.
    pub security: Security,
    /// Where health is served.
    pub health: Option<SocketAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where the web interface is served.
    pub web: Option<SocketAddr>,
    /// Under which names.
    pub hosts: Hosts,
    /// Which alerts are evaluated, and who is told.
    pub alerts: AlertConfig,
    /// Who decides who may see what.
    pub access: AccessConfig,
    /// The relays of other clusters.
    pub clusters: ClustersConfig,
    /// How long connecting may take.
    pub dial_timeout: Duration,
    /// Longest pause between two questions for peers.
    pub retry_timeout: Duration,
    /// How flows are sorted.
    pub sort: SortBuffer,
    /// Certificates towards the nodes; none for plain text.
    pub client: Option<ClientFiles>,
    /// The log.
    pub log: Log,
    /// Keys of the file that nobody knows.
    pub unknown: Vec<String>,
}

/// The command line of a program called `name`.
pub fn command(name: &'static str) -> Command {
    let mut serve = Command::new("serve")
        .about("Serve the flows of all nodes")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help(format!(
                    "YAML file with the same keys [default: {FILE}, if there is one]"
                )),
        );
    for key in KEYS {
        serve = serve.arg(flag(key.name).help(key.described()));
    }
    let hidden = ALIASES.iter().map(|(old, _)| old).chain(IGNORED);
    for key in hidden {
        serve = serve.arg(flag(key).hide(true));
    }
    Command::new(name)
        .version(crate::VERSION)
        .about("One flow server that asks those of all nodes")
        .subcommand_required(true)
        .subcommand(serve)
        .subcommand(Command::new("version").about("Print the version"))
}

fn flag(key: &'static str) -> Arg {
    let takes_nothing = ["debug", "gops", "pprof"].contains(&key) || key.starts_with("disable-");
    let flag = Arg::new(key).long(key).action(ArgAction::Set);
    if takes_nothing {
        flag.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
    } else {
        flag.value_name("VALUE")
    }
}

/// Gathers the values of `serve`: those of the file, then those of the flags.
pub fn gather(serve: &ArgMatches) -> Result<Given, Error> {
    let mut given = Given::default();
    match serve.get_one::<String>("config") {
        Some(path) => read_file(Path::new(path), &mut given)?,
        None if Path::new(FILE).exists() => read_file(Path::new(FILE), &mut given)?,
        None => {}
    }
    let former = ALIASES.iter().map(|(old, _)| *old);
    for key in ALL.names().chain(former) {
        if let Some(value) = serve.get_one::<String>(key) {
            given.set(present(key), value);
        }
    }
    Ok(given)
}

/// The name of a key as it is now.
fn present(key: &str) -> &str {
    let renamed = ALIASES.iter().find(|(old, _)| *old == key);
    renamed.map_or(key, |(_, new)| new)
}

fn read_file(path: &Path, given: &mut Given) -> Result<(), Error> {
    let failed = |reason: String| Error::Unreadable {
        flag: "config",
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    // A file without a key is valid.
    let values: Option<BTreeMap<String, serde_yaml_ng::Value>> =
        serde_yaml_ng::from_str(&text).map_err(|error| failed(error.to_string()))?;
    // A key without a value is as good as none: upstream's chart writes those that its values leave open.
    let said = values.unwrap_or_default().into_iter();
    for (key, value) in said.filter(|(_, value)| !value.is_null()) {
        let text = scalar(&value)
            .ok_or_else(|| failed(format!("{key}: a value or a list of values was expected")))?;
        given.set(present(&key), &text);
    }
    Ok(())
}

fn duration(read: &Reader<'_>, key: &str) -> Result<Duration, Error> {
    let duration = read.duration(key)?;
    if duration.is_zero() {
        return Err(read.invalid(key, "more than nothing"));
    }
    Ok(duration)
}

fn files(read: &Reader<'_>, key: &str) -> Vec<PathBuf> {
    let files = read.text(key).split(',').map(str::trim);
    files
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
        .collect()
}

fn pair(
    read: &Reader<'_>,
    certificate: &str,
    key: &str,
) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    match (read.text(certificate), read.text(key)) {
        ("", "") => Ok(None),
        ("", _) => Err(read.invalid(certificate, "the certificate of the key that is given")),
        (_, "") => Err(read.invalid(key, "the key of the certificate that is given")),
        (certificate, key) => Ok(Some((certificate.into(), key.into()))),
    }
}

fn client(read: &Reader<'_>) -> Result<Option<ClientFiles>, Error> {
    if read.flag("disable-client-tls")? {
        return Ok(None);
    }
    let server_authorities = files(read, "tls-hubble-server-ca-files");
    if server_authorities.is_empty() {
        return Err(Error::Conflict(
            "tls-hubble-server-ca-files: needed to verify the nodes, unless disable-client-tls=true"
                .into(),
        ));
    }
    Ok(Some(ClientFiles {
        server_authorities,
        identity: pair(
            read,
            "tls-hubble-client-cert-file",
            "tls-hubble-client-key-file",
        )?,
    }))
}

fn security(read: &Reader<'_>) -> Result<Security, Error> {
    if read.flag("disable-server-tls")? {
        return Ok(Security::Plain);
    }
    let identity = pair(
        read,
        "tls-relay-server-cert-file",
        "tls-relay-server-key-file",
    )?;
    let (certificate, key) = identity.ok_or(Error::Conflict(
        "tls-relay-server-cert-file, tls-relay-server-key-file: needed to serve, unless disable-server-tls=true".into(),
    ))?;
    Ok(Security::Tls(TlsFiles {
        certificate,
        key,
        client_authorities: files(read, "tls-relay-client-ca-files"),
    }))
}

fn alerts(read: &Reader<'_>) -> Result<AlertConfig, Error> {
    let rules = match read.text("alert-rules") {
        "" => None,
        "built-in" => Some(Source::BuiltIn),
        path => Some(Source::File(path.into())),
    };
    let mut destinations = Vec::new();
    for (key, shape) in [
        ("alertmanagers", Shape::Alertmanager),
        ("alert-webhooks", Shape::Webhook),
    ] {
        let given = read.text(key).split(',').map(str::trim);
        for text in given.filter(|text| !text.is_empty()) {
            let destination = Destination::new(shape, text);
            destinations.push(destination.map_err(|reason| read.invalid(key, &reason))?);
        }
    }
    if rules.is_none() && !destinations.is_empty() {
        return Err(Error::Conflict(
            "alertmanagers, alert-webhooks: nothing is told without alert-rules".into(),
        ));
    }
    Ok(AlertConfig {
        rules,
        destinations,
    })
}

fn access(read: &Reader<'_>) -> Result<AccessConfig, Error> {
    match read.text("access") {
        "none" | "" => Ok(AccessConfig::None),
        "kubernetes" => {
            let kubeconfig = read.text("k8s-kubeconfig-path");
            let kubeconfig = (!kubeconfig.is_empty()).then(|| kubeconfig.into());
            Ok(AccessConfig::Kubernetes(kubeconfig))
        }
        _ => Err(read.invalid("access", "none or kubernetes")),
    }
}

fn log(read: &Reader<'_>) -> Result<Log, Error> {
    let json = match read.text("log-format") {
        "json" | "json-ts" => true,
        "text" | "text-ts" | "" => false,
        _ => return Err(read.invalid("log-format", "text or json")),
    };
    let level = match read.text("log-level").to_ascii_lowercase().as_str() {
        _ if read.flag("debug")? => "debug".to_owned(),
        "warning" => "warn".to_owned(),
        level @ ("error" | "warn" | "info" | "debug") => level.to_owned(),
        _ => return Err(read.invalid("log-level", "error, warn, info or debug")),
    };
    Ok(Log { json, level })
}

impl Config {
    /// Understands what was given.
    pub fn new(given: &Given) -> Result<Self, Error> {
        let read = Reader::new(ALL, given)?;
        let length: usize = read
            .text("sort-buffer-len-max")
            .parse()
            .ok()
            .filter(|length| (1..=100_000).contains(length))
            .ok_or_else(|| read.invalid("sort-buffer-len-max", "a number from 1 to 100000"))?;
        Ok(Self {
            cluster: read.text("cluster-name").to_owned(),
            peer_service: read.text("peer-service").to_owned(),
            listen: read.address("listen-address")?,
            security: security(&read)?,
            health: read.optional_address("health-listen-address")?,
            metrics: read.optional_address("metrics-listen-address")?,
            web: read.optional_address("web-listen-address")?,
            hosts: Hosts::read(read.text("web-hosts"))
                .map_err(|wanted| read.invalid("web-hosts", &wanted))?,
            alerts: alerts(&read)?,
            access: access(&read)?,
            clusters: clusters::read(&read, read.text("cluster-name"))?,
            dial_timeout: duration(&read, "dial-timeout")?,
            retry_timeout: duration(&read, "retry-timeout")?,
            sort: SortBuffer {
                length,
                delay: duration(&read, "sort-buffer-drain-timeout")?,
            },
            client: client(&read)?,
            log: log(&read)?,
            unknown: read.unknown(),
        })
    }
}

fn scalar(value: &serde_yaml_ng::Value) -> Option<String> {
    use serde_yaml_ng::Value;
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Sequence(values) => {
            let all: Option<Vec<_>> = values.iter().map(scalar).collect();
            all.map(|all| all.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
