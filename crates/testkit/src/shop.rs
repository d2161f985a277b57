//! The shop: small real programs that the demo and the topologies run in pods.

pub mod dns;
pub mod http;
pub mod probe;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use clap::Subcommand;
use hickory_proto::rr::RecordType;

/// The programs, as subcommands.
#[derive(Debug, Subcommand)]
pub enum App {
    /// Serve the names of a hosts file over DNS.
    Dns {
        /// Where to listen, UDP and TCP.
        #[arg(long)]
        listen: SocketAddr,
        /// File of lines `ADDRESS NAME...`, read again when it changes.
        #[arg(long)]
        names: PathBuf,
        /// Name for which the server fails; may be repeated.
        #[arg(long = "servfail", value_name = "NAME")]
        broken: Vec<String>,
    },
    /// Serve HTTP; every request first fetches the given URLs.
    Http {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Name in the answer.
        #[arg(long)]
        name: String,
        /// URL to fetch before answering; may be repeated.
        #[arg(long = "call")]
        calls: Vec<String>,
        /// Milliseconds before the answer.
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
        /// Status of the answer, where nothing else fails.
        #[arg(long, default_value_t = 200)]
        status: u16,
        /// How names become addresses.
        #[command(flatten)]
        names: Names,
    },
    /// Reset every connection once it asks for something, before anything is said.
    Reset {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Fetch a URL again and again; one line of JSON for each.
    Load {
        /// What to fetch.
        #[arg(long)]
        url: String,
        /// Milliseconds between requests.
        #[arg(long, default_value_t = 500)]
        every_ms: u64,
        /// How many; for ever when not given.
        #[arg(long)]
        count: Option<u64>,
        /// How names become addresses.
        #[command(flatten)]
        names: Names,
    },
    /// Send numbered datagrams at a fixed rate.
    ProbeSend {
        /// Source address and port.
        #[arg(long)]
        from: SocketAddr,
        /// Destination.
        #[arg(long)]
        to: SocketAddr,
        /// Microseconds between datagrams.
        #[arg(long, default_value_t = 1000)]
        every_us: u64,
        /// How many.
        #[arg(long)]
        count: u64,
    },
    /// Receive numbered datagrams and report the gaps.
    ProbeReceive {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Milliseconds of silence, after the first datagram, that end it.
        #[arg(long, default_value_t = 1500)]
        quiet_ms: u64,
        /// Seconds after which it ends anyway.
        #[arg(long, default_value_t = 600)]
        limit_s: u64,
    },
}

/// How names become addresses.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Names {
    /// DNS server.
    #[arg(long)]
    dns: Option<SocketAddr>,
    /// Ask for IPv6 addresses.
    #[arg(long)]
    ipv6: bool,
}

impl From<Names> for http::Resolver {
    fn from(names: Names) -> Self {
        Self {
            server: names.dns,
            family: if names.ipv6 {
                RecordType::AAAA
            } else {
                RecordType::A
            },
        }
    }
}

impl App {
    /// Runs the program to its end.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Dns {
                listen,
                names,
                broken,
            } => dns::serve(listen, names, broken).await,
            Self::Http {
                listen,
                name,
                calls,
                delay_ms,
                status,
                names,
            } => {
                let answers = http::Answers {
                    name,
                    calls,
                    resolver: names.into(),
                    delay: Duration::from_millis(delay_ms),
                    status: StatusCode::from_u16(status).context("--status")?,
                };
                http::serve(listen, answers).await
            }
            Self::Reset { listen } => http::reset(listen).await,
            Self::Load {
                url,
                every_ms,
                count,
                names,
            } => http::load(&url, Duration::from_millis(every_ms), count, names.into()).await,
            Self::ProbeSend {
                from,
                to,
                every_us,
                count,
            } => probe::send(from, to, Duration::from_micros(every_us), count).await,
            Self::ProbeReceive {
                listen,
                quiet_ms,
                limit_s,
            } => {
                probe::receive(
                    listen,
                    Duration::from_millis(quiet_ms),
                    Duration::from_secs(limit_s),
                )
                .await
            }
        }
    }
}
