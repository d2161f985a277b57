//! The command line.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Parser;
use ipnet::IpNet;

use crate::config::{Config, TlsSource};

/// The embedded store: a small server of the Kubernetes REST API.
#[derive(Clone, Debug, Parser)]
#[command(name = "axoneme-apiserver", version)]
pub struct Args {
    /// Directory of the objects; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// TCP address to listen on; may be repeated. Default 127.0.0.1:6443, unless --socket is given
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Unix socket to listen on, for its owner only; without TLS and token
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Certificate chain (PEM), or "self-made" to make one and keep it in the data directory
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// File with the bearer token that TCP clients must present
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Ranges of service addresses, at most one per family; the first is the default
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_values = ["10.96.0.0/16", "fd00:10:96::/112"])]
    pub service_cluster_ip_range: Vec<IpNet>,
    /// Range of node ports, FROM-TO
    #[arg(long, value_name = "FROM-TO", default_value = "30000-32767", value_parser = parse_ports)]
    pub service_node_port_range: RangeInclusive<u16>,
    /// Write a kubeconfig for this server there
    #[arg(long, value_name = "PATH")]
    pub write_kubeconfig: Option<PathBuf>,
}

/// What was typed cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// The token could not be read.
    #[error("--token-file {path}: {source}")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Only one of the two files.
    #[error("{given} is given without {missing}")]
    Alone {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// A kubeconfig needs an address.
    #[error("--write-kubeconfig needs --listen: kubectl does not speak over a unix socket")]
    KubeconfigOfSocket,
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (from, to) = text.split_once('-').ok_or("must be FROM-TO")?;
    let number = |text: &str| {
        text.trim()
            .parse::<u16>()
            .map_err(|error| format!("{text}: {error}"))
    };
    Ok(number(from)?..=number(to)?)
}

impl Args {
    /// The configuration that was typed; reads the token file.
    pub fn config(&self) -> Result<Config, ArgsError> {
        let mut config = Config::new(&self.data_dir);
        config.listen.clone_from(&self.listen);
        if self.listen.is_empty() {
            if self.socket.is_some() && self.write_kubeconfig.is_some() {
                return Err(ArgsError::KubeconfigOfSocket);
            }
            config.listen = if self.socket.is_some() {
                Vec::new()
            } else {
                vec![SocketAddr::from(([127, 0, 0, 1], 6443))]
            };
        }
        config.socket.clone_from(&self.socket);
        config.tls = match (&self.tls_cert, &self.tls_key) {
            (None, None) => None,
            (Some(cert), None) if cert.as_os_str() == "self-made" => Some(TlsSource::SelfMade),
            (Some(cert), Some(key)) => Some(TlsSource::Files {
                cert: cert.clone(),
                key: key.clone(),
            }),
            (Some(_), None) => {
                return Err(ArgsError::Alone {
                    given: "--tls-cert",
                    missing: "--tls-key",
                });
            }
            (None, Some(_)) => {
                return Err(ArgsError::Alone {
                    given: "--tls-key",
                    missing: "--tls-cert",
                });
            }
        };
        if let Some(path) = &self.token_file {
            let token = std::fs::read_to_string(path);
            let token = token.map_err(|source| ArgsError::Token {
                path: path.clone(),
                source,
            })?;
            config.token = Some(token.trim().to_owned());
        }
        config
            .service_ranges
            .clone_from(&self.service_cluster_ip_range);
        config.node_ports = self.service_node_port_range.clone();
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
