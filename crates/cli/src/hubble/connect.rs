//! The connection to a server: which one, and how it is encrypted.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use clap::Args;
use tonic::{
    metadata::MetadataValue,
    service::Interceptor,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri},
};

use super::{config::Settings, time};

/// Server used when none is named.
pub(super) const DEFAULT_SERVER: &str = "localhost:4245";

/// Flags of all commands that ask a server.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Server")]
pub(crate) struct ConnectArgs {
    /// Address of a server: host:port, tls://host:port or unix:///path [default: localhost:4245]
    #[arg(long, env = "HUBBLE_SERVER", value_name = "ADDRESS")]
    pub(crate) server: Option<String>,
    /// How long connecting may take [default: 5s]
    #[arg(long, env = "HUBBLE_TIMEOUT", value_parser = time::duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// How long an answer that is no stream may take [default: 12s]
    #[arg(long, env = "HUBBLE_REQUEST_TIMEOUT", value_parser = time::duration, value_name = "DURATION")]
    pub(crate) request_timeout: Option<Duration>,
    /// Encrypt the connection, also without tls:// in the address
    #[arg(long, env = "HUBBLE_TLS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls: Option<bool>,
    /// Take any certificate of the server; not supported, the flag is refused
    #[arg(long, env = "HUBBLE_TLS_ALLOW_INSECURE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls_allow_insecure: Option<bool>,
    /// Authorities of the server's certificate, PEM
    #[arg(
        long,
        env = "HUBBLE_TLS_CA_CERT_FILES",
        value_delimiter = ',',
        value_name = "FILES"
    )]
    pub(crate) tls_ca_cert_files: Vec<PathBuf>,
    /// Certificate of this client, PEM
    #[arg(long, env = "HUBBLE_TLS_CLIENT_CERT_FILE", value_name = "FILE")]
    pub(crate) tls_client_cert_file: Option<PathBuf>,
    /// Private key of this client, PEM
    #[arg(long, env = "HUBBLE_TLS_CLIENT_KEY_FILE", value_name = "FILE")]
    pub(crate) tls_client_key_file: Option<PathBuf>,
    /// Name that the server's certificate must have
    #[arg(long, env = "HUBBLE_TLS_SERVER_NAME", value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// User name, only sent over TLS
    #[arg(long, env = "HUBBLE_BASIC_AUTH_USERNAME", value_name = "NAME")]
    pub(crate) basic_auth_username: Option<String>,
    /// Password, only sent over TLS
    #[arg(
        long,
        env = "HUBBLE_BASIC_AUTH_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    pub(crate) basic_auth_password: Option<String>,
    /// File with a token of Kubernetes, only sent over TLS or within this machine
    #[arg(long, env = "HUBBLE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

impl ConnectArgs {
    /// The flags that name a server and nothing else.
    pub(crate) fn to(server: String) -> Self {
        Self {
            server: Some(server),
            ..Self::default()
        }
    }
}

/// What a command needs to know of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    server: String,
    timeout: Duration,
    /// How long a unary call may take.
    pub(super) request_timeout: Duration,
    tls: Option<Tls>,
    authorization: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tls {
    authorities: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

/// Adds what every request carries.
#[derive(Clone)]
pub(crate) struct Authorize(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for Authorize {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A connection.
pub(crate) type Connection = tonic::service::interceptor::InterceptedService<Channel, Authorize>;

impl Target {
    /// The target of flags and environment, completed by the configuration file.
    pub(super) fn new(args: ConnectArgs, file: &Settings) -> anyhow::Result<Self> {
        let args = file.complete(args)?;
        if args.tls_allow_insecure == Some(true) {
            bail!(
                "--tls-allow-insecure: certificates are always verified; name the authority with --tls-ca-cert-files"
            );
        }
        let named = args.server.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let (server, prefixed) = match named.strip_prefix("tls://") {
            Some(server) => (server.to_owned(), true),
            None => (named, false),
        };
        let identity = match (args.tls_client_cert_file, args.tls_client_key_file) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => bail!("--tls-client-cert-file needs --tls-client-key-file"),
            (None, Some(_)) => bail!("--tls-client-key-file needs --tls-client-cert-file"),
        };
        let wanted = prefixed || args.tls == Some(true) || identity.is_some();
        let tls = wanted.then_some(Tls {
            authorities: args.tls_ca_cert_files,
            identity,
            server_name: args.tls_server_name,
        });
        let is_secret = tls.is_some() || is_here(&server);
        let token = args.token_file.map(|file| token(&file, is_secret));
        let authorization = match (args.basic_auth_username, args.basic_auth_password) {
            (None, None) => token.transpose()?,
            _ if token.is_some() => {
                bail!("--token-file and --basic-auth-… exclude each other")
            }
            (Some(_), Some(_)) if tls.is_none() => {
                bail!("--basic-auth-username is only sent over TLS: use tls:// or --tls")
            }
            (Some(name), Some(password)) => Some(format!(
                "Basic {}",
                BASE64.encode(format!("{name}:{password}"))
            )),
            _ => bail!("--basic-auth-username and --basic-auth-password need each other"),
        };
        Ok(Self {
            server,
            timeout: args.timeout.unwrap_or(Duration::from_secs(5)),
            request_timeout: args.request_timeout.unwrap_or(Duration::from_secs(12)),
            tls,
            authorization,
        })
    }

    /// Address of the server, as it is printed.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Connects.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let channel = self
            .channel()
            .await
            .with_context(|| format!("failed to connect to '{}'", self.server))?;
        let value = match &self.authorization {
            None => None,
            Some(text) => {
                let mut value = MetadataValue::from_str(text)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(tonic::service::interceptor::InterceptedService::new(
            channel,
            Authorize(value),
        ))
    }

    async fn channel(&self) -> anyhow::Result<Channel> {
        if let Some(path) = self.server.strip_prefix("unix://") {
            return self.unix(path.to_owned()).await;
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.server))?
            .connect_timeout(self.timeout);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.client()?)?;
        }
        Ok(tokio::time::timeout(self.timeout, endpoint.connect())
            .await
            .context("timed out")??)
    }

    async fn unix(&self, path: String) -> anyhow::Result<Channel> {
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move {
                let stream = tokio::net::UnixStream::connect(path).await?;
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost").connect_timeout(self.timeout);
        let connecting = endpoint.connect_with_connector(connector);
        Ok(tokio::time::timeout(self.timeout, connecting)
            .await
            .context("timed out")??)
    }
}

/// Whether what is sent to a server stays on this machine, as through a forwarded port.
fn is_here(server: &str) -> bool {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    server.starts_with("unix://")
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

/// What a token is sent as.
fn token(file: &Path, is_secret: bool) -> anyhow::Result<String> {
    if !is_secret {
        bail!("--token-file is only sent over TLS or within this machine: use tls:// or --tls");
    }
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--token-file {}", file.display()))?;
    let token = text.trim();
    anyhow::ensure!(!token.is_empty(), "--token-file {}: empty", file.display());
    Ok(format!("Bearer {token}"))
}

impl Tls {
    fn client(&self) -> anyhow::Result<ClientTlsConfig> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("TLS file {}", path.display()))
        };
        let mut config = ClientTlsConfig::new();
        for path in &self.authorities {
            config = config.ca_certificate(Certificate::from_pem(read(path)?));
        }
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
