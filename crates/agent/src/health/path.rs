//! The way to one address, tried by ICMP and by HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use local_api::probes::{ConnectivityStatus, PathStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::echo::Echo;
use crate::config::NodeHealth;

/// How long an answer by HTTP is waited for, the connection included.
pub(super) const HTTP_PATIENCE: Duration = Duration::from_secs(5);

/// What came of one try: the time to the answer, or why there was none.
pub(super) type Outcome = Result<Duration, String>;

/// What came of both.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) address: IpAddr,
    pub(super) icmp: Outcome,
    pub(super) http: Outcome,
    pub(super) at: Timestamp,
}

impl Path {
    pub(super) fn is_reached(&self) -> bool {
        self.icmp.is_ok() && self.http.is_ok()
    }

    pub(super) fn shown(&self) -> PathStatus {
        let status = |outcome: &Outcome| ConnectivityStatus {
            latency: outcome.as_ref().map_or(0, |took| took.as_nanos() as i64),
            status: outcome.as_ref().err().cloned().unwrap_or_default(),
            last_probed: self.at.to_string(),
        };
        PathStatus {
            ip: self.address.to_string(),
            icmp: Some(status(&self.icmp)),
            http: Some(status(&self.http)),
        }
    }
}

/// Tries ways.
pub(super) struct Prober {
    port: u16,
    echo: Echo,
}

impl Prober {
    pub(super) fn new(settings: NodeHealth) -> Self {
        Self {
            port: settings.port,
            echo: Echo::new(settings.icmp_tries),
        }
    }

    /// Tries both ways at the same time.
    pub(super) async fn path(&self, address: IpAddr) -> Path {
        let at = Timestamp::now();
        let to = SocketAddr::new(address, self.port);
        let (icmp, http) = tokio::join!(self.echo.send(address), hello(to));
        Path {
            address,
            icmp: icmp.map_err(|error| error.to_string()),
            http: http.map_err(|error| format!("Get \"http://{to}/hello\": {error}")),
            at,
        }
    }
}

pub(super) async fn hello(to: SocketAddr) -> io::Result<Duration> {
    let begun = Instant::now();
    tokio::time::timeout(HTTP_PATIENCE, ask(to))
        .await
        .map_err(|_| timed_out(HTTP_PATIENCE))??;
    Ok(begun.elapsed())
}

pub(super) fn timed_out(after: Duration) -> io::Error {
    let text = format!("no answer within {after:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// One request on a connection of its own (HTTP/1.1, RFC 9112); only the status line counts.
async fn ask(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!("GET /hello HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).await?;
    if line.starts_with(b"HTTP/1.") && line.ends_with(b" 200") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&line).into_owned();
    Err(io::Error::other(format!("answered {text:?}")))
}
