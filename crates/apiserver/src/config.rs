//! What the server is told, checked once.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Where the TLS certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSource {
    /// PEM files.
    Files {
        /// Certificate chain.
        cert: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// Made by the server and kept in the data directory.
    SelfMade,
}

/// How much of the past watches can resume from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimit {
    /// Most events.
    pub events: usize,
    /// Most bytes.
    pub bytes: usize,
}

/// What the server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where objects, and a self-made certificate, are kept.
    pub data_dir: PathBuf,
    /// TCP addresses; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Unix socket (mode 0600), served without TLS and token.
    pub socket: Option<PathBuf>,
    /// TLS for all TCP addresses.
    pub tls: Option<TlsSource>,
    /// Bearer token that TCP clients must present.
    pub token: Option<String>,
    /// Ranges of service addresses, at most one per family; the first is the default family.
    pub service_ranges: Vec<IpNet>,
    /// Range of node ports.
    pub node_ports: RangeInclusive<u16>,
    /// How much of the past watches can resume from.
    pub history: HistoryLimit,
    /// How often a quiet watch that asked for bookmarks gets one.
    pub bookmark_interval: Duration,
}

/// A configuration that cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Nowhere to listen.
    #[error("nothing to listen on: give --listen or --socket")]
    NoAddress,
    /// Beyond this machine only with TLS.
    #[error(
        "--listen {0} is not a loopback address: that needs TLS, give --tls-cert (and --tls-key, or --tls-cert self-made)"
    )]
    NoTls(SocketAddr),
    /// Beyond this machine only with a token.
    #[error("--listen {0} is not a loopback address: that needs a bearer token, give --token-file")]
    NoToken(SocketAddr),
    /// An empty token would admit everyone.
    #[error("--token-file: the token is empty")]
    EmptyToken,
    /// Two ranges of one family.
    #[error("--service-cluster-ip-range: {0} and {1} are of the same family")]
    SameFamily(IpNet, IpNet),
    /// No range.
    #[error("--service-cluster-ip-range: at least one range is needed")]
    NoRange,
    /// Too small to give anything.
    #[error("--service-cluster-ip-range: {0} has no room for addresses")]
    SmallRange(IpNet),
    /// Upside down.
    #[error("--service-node-port-range: {0}-{1} is empty")]
    NodePorts(u16, u16),
}

impl Config {
    /// Defaults of everything but the data directory: plain HTTP on a free loopback port, dual stack.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            socket: None,
            tls: None,
            token: None,
            service_ranges: vec![
                IpNet::new_assert([10, 96, 0, 0].into(), 16),
                IpNet::new_assert([0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0].into(), 112),
            ],
            node_ports: 30000..=32767,
            history: HistoryLimit {
                events: 10_000,
                bytes: 16 << 20,
            },
            bookmark_interval: Duration::from_secs(10),
        }
    }

    /// Refuses what must not be served.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.listen.is_empty() && self.socket.is_none() {
            return Err(ConfigError::NoAddress);
        }
        for &address in self
            .listen
            .iter()
            .filter(|address| !address.ip().is_loopback())
        {
            if self.tls.is_none() {
                return Err(ConfigError::NoTls(address));
            }
            if self.token.is_none() {
                return Err(ConfigError::NoToken(address));
            }
        }
        if self.token.as_ref().is_some_and(String::is_empty) {
            return Err(ConfigError::EmptyToken);
        }
        match self.service_ranges.as_slice() {
            [] => return Err(ConfigError::NoRange),
            [first, rest @ ..] => {
                if let Some(second) = rest
                    .iter()
                    .find(|range| range.addr().is_ipv4() == first.addr().is_ipv4())
                {
                    return Err(ConfigError::SameFamily(*first, *second));
                }
                if let [second, third, ..] = rest {
                    return Err(ConfigError::SameFamily(*second, *third));
                }
            }
        }
        if let Some(small) = self
            .service_ranges
            .iter()
            .find(|range| range.max_prefix_len() - range.prefix_len() < 3)
        {
            return Err(ConfigError::SmallRange(*small));
        }
        if self.node_ports.is_empty() || *self.node_ports.start() == 0 {
            return Err(ConfigError::NodePorts(
                *self.node_ports.start(),
                *self.node_ports.end(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
