//! Configuration: flags, then the file, then defaults; parsed once into values that are valid.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command};
use thiserror::Error;

use super::{flows::SortBuffer, link::ClientFiles};
use crate::server::{Security, TlsFiles};

/// File that is read when it exists and no other is named.
const FILE: &str = "/etc/hubble-relay/config.yaml";

/// Name, default and meaning of each key.
const KEYS: &[(&str, &str, &str)] = &[
    (
        "cluster-name",
        "default",
        "Name of the cluster, part of the names in certificates",
    ),
    (
        "peer-service",
        "unix:///var/run/cilium/hubble.sock",
        "Address of the service that tells of peers",
    ),
    ("listen-address", ":4245", "Where flows are served"),
    (
        "health-listen-address",
        ":4222",
        "Where health is served, in plain text; empty for nowhere",
    ),
    (
        "metrics-listen-address",
        "",
        "Where metrics are served, in plain text; empty for nowhere",
    ),
    (
        "dial-timeout",
        "5s",
        "How long connecting to a peer may take",
    ),
    (
        "retry-timeout",
        "30s",
        "Longest pause before the peer service is asked again",
    ),
    (
        "sort-buffer-len-max",
        "100",
        "Flows that are held back to sort them by time",
    ),
    (
        "sort-buffer-drain-timeout",
        "1s",
        "How long a flow may be held back",
    ),
    (
        "tls-hubble-client-cert-file",
        "",
        "Certificate that is shown to the nodes, PEM",
    ),
    ("tls-hubble-client-key-file", "", "Its private key, PEM"),
    (
        "tls-hubble-server-ca-files",
        "",
        "Authorities of the nodes' certificates, PEM",
    ),
    (
        "disable-client-tls",
        "false",
        "Talk to the nodes in plain text",
    ),
    (
        "tls-relay-server-cert-file",
        "",
        "Certificate of this server, PEM",
    ),
    ("tls-relay-server-key-file", "", "Its private key, PEM"),
    (
        "tls-relay-client-ca-files",
        "",
        "Authorities of the clients' certificates, PEM; none asks for no certificate",
    ),
    ("disable-server-tls", "false", "Serve flows in plain text"),
    ("log-format", "text", "text or json"),
    ("log-level", "info", "error, warn, info or debug"),
    (
        "pprof",
        "false",
        "There is no profiler: only false is taken",
    ),
    ("debug", "false", "The same as log-level=debug"),
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

/// Why the relay does not start.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A value is not what its key takes.
    #[error("{key}: {value:?} is not {expected}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Keys that need others.
    #[error("{0}")]
    Conflict(&'static str),
}

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

/// Values by key, before they are understood.
#[derive(Debug, Default)]
pub struct Given {
    values: BTreeMap<&'static str, String>,
    unknown: Vec<String>,
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
    let visible = KEYS.iter().map(|(key, default, help)| match *default {
        "" => (*key, (*help).to_owned()),
        default => (*key, format!("{help} [default: {default}]")),
    });
    for (key, help) in visible {
        serve = serve.arg(flag(key).help(help));
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

impl Given {
    /// Values given by hand.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut given = Self::default();
        for (key, value) in pairs {
            given.take(key, value);
        }
        given
    }

    /// Gathers the values of `serve`: those of the file, then those of the flags.
    pub fn gather(serve: &ArgMatches) -> Result<Self, ConfigError> {
        let mut given = Self::default();
        match serve.get_one::<String>("config") {
            Some(path) => given.read(Path::new(path))?,
            None if Path::new(FILE).exists() => given.read(Path::new(FILE))?,
            None => {}
        }
        let keys = KEYS.iter().map(|(key, ..)| key);
        let keys = keys
            .chain(ALIASES.iter().map(|(old, _)| old))
            .chain(IGNORED);
        for key in keys {
            if let Some(value) = serve.get_one::<String>(key) {
                given.take(key, value);
            }
        }
        Ok(given)
    }

    fn read(&mut self, path: &Path) -> Result<(), ConfigError> {
        let failed = |reason: String| ConfigError::File {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        // A file without a key is valid.
        let values: Option<BTreeMap<String, serde_yaml_ng::Value>> =
            serde_yaml_ng::from_str(&text).map_err(|error| failed(error.to_string()))?;
        for (key, value) in values.unwrap_or_default() {
            let text = scalar(&value).ok_or_else(|| {
                failed(format!("{key}: a value or a list of values was expected"))
            })?;
            self.take(&key, &text);
        }
        Ok(())
    }

    fn take(&mut self, key: &str, value: &str) {
        let renamed = ALIASES.iter().find(|(old, _)| *old == key);
        let wanted = renamed.map_or(key, |(_, new)| new);
        match KEYS.iter().find(|(known, ..)| *known == wanted) {
            Some((known, ..)) => {
                self.values.insert(known, value.trim().to_owned());
            }
            None if IGNORED.contains(&key) => {}
            None => self.unknown.push(key.to_owned()),
        }
    }

    fn text(&self, key: &'static str) -> &str {
        let default = || {
            KEYS.iter()
                .find(|(known, ..)| *known == key)
                .map(|key| key.1)
        };
        let given = self.values.get(key).map(String::as_str);
        given.or_else(default).unwrap_or_default()
    }

    fn invalid(&self, key: &'static str, expected: &'static str) -> ConfigError {
        ConfigError::Invalid {
            key,
            value: self.text(key).to_owned(),
            expected,
        }
    }

    fn flag(&self, key: &'static str) -> Result<bool, ConfigError> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" | "" => Ok(false),
            _ => Err(self.invalid(key, "true or false")),
        }
    }

    fn duration(&self, key: &'static str) -> Result<Duration, ConfigError> {
        let expected = "a duration like 30s";
        let span: jiff::SignedDuration = self
            .text(key)
            .parse()
            .map_err(|_| self.invalid(key, expected))?;
        let duration = Duration::try_from(span).map_err(|_| self.invalid(key, expected))?;
        if duration.is_zero() {
            return Err(self.invalid(key, "more than nothing"));
        }
        Ok(duration)
    }

    fn address(&self, key: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        let text = match self.text(key) {
            "" => return Ok(None),
            // Both families.
            text if text.starts_with(':') => format!("[::]{text}"),
            text => text.replacen("localhost", "127.0.0.1", 1),
        };
        match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(self.invalid(key, "ADDRESS:PORT or :PORT")),
        }
    }

    fn files(&self, key: &'static str) -> Vec<PathBuf> {
        let files = self.text(key).split(',').map(str::trim);
        files
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .collect()
    }

    fn pair(
        &self,
        certificate: &'static str,
        key: &'static str,
    ) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
        match (self.text(certificate), self.text(key)) {
            ("", "") => Ok(None),
            ("", _) => Err(self.invalid(certificate, "the certificate of the key that is given")),
            (_, "") => Err(self.invalid(key, "the key of the certificate that is given")),
            (certificate, key) => Ok(Some((certificate.into(), key.into()))),
        }
    }

    fn client(&self) -> Result<Option<ClientFiles>, ConfigError> {
        if self.flag("disable-client-tls")? {
            return Ok(None);
        }
        let server_authorities = self.files("tls-hubble-server-ca-files");
        if server_authorities.is_empty() {
            return Err(ConfigError::Conflict(
                "tls-hubble-server-ca-files: needed to verify the nodes, unless disable-client-tls=true",
            ));
        }
        Ok(Some(ClientFiles {
            server_authorities,
            identity: self.pair("tls-hubble-client-cert-file", "tls-hubble-client-key-file")?,
        }))
    }

    fn security(&self) -> Result<Security, ConfigError> {
        if self.flag("disable-server-tls")? {
            return Ok(Security::Plain);
        }
        let identity = self.pair("tls-relay-server-cert-file", "tls-relay-server-key-file")?;
        let (certificate, key) = identity.ok_or(ConfigError::Conflict(
            "tls-relay-server-cert-file, tls-relay-server-key-file: needed to serve, unless disable-server-tls=true",
        ))?;
        Ok(Security::Tls(TlsFiles {
            certificate,
            key,
            client_authorities: self.files("tls-relay-client-ca-files"),
        }))
    }

    fn log(&self) -> Result<Log, ConfigError> {
        let json = match self.text("log-format") {
            "json" | "json-ts" => true,
            "text" | "text-ts" | "" => false,
            _ => return Err(self.invalid("log-format", "text or json")),
        };
        let level = match self.text("log-level").to_ascii_lowercase().as_str() {
            _ if self.flag("debug")? => "debug".to_owned(),
            "warning" => "warn".to_owned(),
            level @ ("error" | "warn" | "info" | "debug") => level.to_owned(),
            _ => return Err(self.invalid("log-level", "error, warn, info or debug")),
        };
        Ok(Log { json, level })
    }
}

impl Config {
    /// Understands what was given.
    pub fn new(given: &Given) -> Result<Self, ConfigError> {
        let listen = given
            .address("listen-address")?
            .ok_or_else(|| given.invalid("listen-address", "ADDRESS:PORT or :PORT"))?;
        if given.flag("pprof")? {
            return Err(given.invalid("pprof", "false: there is no profiler"));
        }
        let length: usize = given
            .text("sort-buffer-len-max")
            .parse()
            .ok()
            .filter(|length| (1..=100_000).contains(length))
            .ok_or_else(|| given.invalid("sort-buffer-len-max", "a number from 1 to 100000"))?;
        Ok(Self {
            cluster: given.text("cluster-name").to_owned(),
            peer_service: given.text("peer-service").to_owned(),
            listen,
            security: given.security()?,
            health: given.address("health-listen-address")?,
            metrics: given.address("metrics-listen-address")?,
            dial_timeout: given.duration("dial-timeout")?,
            retry_timeout: given.duration("retry-timeout")?,
            sort: SortBuffer {
                length,
                delay: given.duration("sort-buffer-drain-timeout")?,
            },
            client: given.client()?,
            log: given.log()?,
            unknown: given.unknown.clone(),
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
