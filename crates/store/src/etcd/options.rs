//! How to reach etcd: what upstream's `kvstore-opt` and the file that it names say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::client::Error;
use super::login::User;
use super::metrics::Metrics;

/// A call is answered within this time, or fails.
const ANSWER: Duration = Duration::from_secs(10);
/// The connection is looked at so often.
const LOOK: Duration = Duration::from_secs(10);
/// The operator writes its heartbeat so often: upstream's period.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// Requests a second, and at once. A pod whose labels are new waits for about five.
const RATE: f64 = 100.0;
const BURST: f64 = 300.0;

/// How to reach etcd.
#[derive(Clone, Debug)]
pub struct Options {
    /// URLs of its members.
    pub endpoints: Vec<String>,
    /// Authorities of the members' certificates.
    pub trusted_ca_file: Option<PathBuf>,
    /// Our certificate and its key, read anew for each connection.
    pub client: Option<(PathBuf, PathBuf)>,
    /// As whom etcd is asked, if it wants to know.
    pub user: Option<User>,
    /// A call is answered within this time.
    pub answer: Duration,
    /// Pause between two looks at the connection.
    pub look: Duration,
    /// Period of the operator's heartbeat; after twice of it etcd counts as unhealthy.
    pub heartbeat: Duration,
    /// Requests a second, on average.
    pub requests_per_second: f64,
    /// Requests at once.
    pub burst: f64,
    /// Where requests and events are counted.
    pub metrics: Metrics,
}

/// The file that `etcd.config` names: etcd's own client configuration, of which these fields have a meaning here.
/// It is never shown: it may hold a password.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Given {
    endpoints: Vec<String>,
    trusted_ca_file: String,
    ca_file: String,
    cert_file: String,
    key_file: String,
    username: String,
    password: String,
}

impl Options {
    /// With these endpoints, without TLS.
    pub fn at(endpoints: impl IntoIterator<Item = String>) -> Self {
        Self {
            endpoints: endpoints.into_iter().collect(),
            trusted_ca_file: None,
            client: None,
            user: None,
            answer: ANSWER,
            look: LOOK,
            heartbeat: HEARTBEAT,
            requests_per_second: RATE,
            burst: BURST,
            metrics: Metrics::of("default"),
        }
    }

    /// Reads the options `etcd.address` and `etcd.config`.
    pub fn read(address: Option<&str>, config: Option<&Path>) -> Result<Self, Error> {
        let mut options = Self::at(address.map(str::to_owned));
        if let Some(path) = config {
            options.read_file(path)?;
        }
        if options.endpoints.is_empty() {
            let missing = "kvstore-opt: neither etcd.address nor etcd.config names an endpoint";
            return Err(Error::Config(missing.to_owned()));
        }
        for endpoint in &mut options.endpoints {
            if !endpoint.contains("://") {
                endpoint.insert_str(0, "http://");
            }
        }
        Ok(options)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), Error> {
        let bad = |error: &dyn std::fmt::Display| {
            Error::Config(format!("etcd.config {}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
        let file: Given = serde_yaml_ng::from_str(&text).map_err(|error| bad(&error))?;
        self.endpoints.extend(file.endpoints);
        let given = |name: String| Some(name).filter(|name| !name.is_empty());
        self.user = match (given(file.username), given(file.password)) {
            (Some(name), Some(password)) => Some(User { name, password }),
            (None, None) => None,
            _ => return Err(bad(&"username, password: give both or neither")),
        };
        let authorities = given(file.trusted_ca_file).or_else(|| given(file.ca_file));
        self.trusted_ca_file = authorities.map(PathBuf::from);
        self.client = match (given(file.cert_file), given(file.key_file)) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(bad(&"cert-file, key-file: give both or neither")),
        };
        Ok(())
    }

    /// For connections to an endpoint.
    pub(super) fn tls(&self, endpoint: &str) -> Result<Option<ClientTlsConfig>, Error> {
        if !endpoint.starts_with("https://") {
            return Ok(None);
        }
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| Error::Config(format!("{}: {error}", path.display())))
        };
        let mut tls = ClientTlsConfig::new();
        if let Some(path) = &self.trusted_ca_file {
            tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
        }
        if let Some((certificate, key)) = &self.client {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(Some(tls))
    }
}

#[cfg(test)]
mod tests;
