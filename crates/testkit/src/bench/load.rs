//! The load: small programs over plain sockets, the same on both sides of a comparison.

#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Subcommand, ValueEnum};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

use super::machine::Processors;

/// Octets of a request and of its answer.
const MESSAGE: usize = 64;
/// As long as a message.
const REQUEST: &[u8; MESSAGE] =
    b"GET /items/17 HTTP/1.1\r\nHost: shop.example\r\nAccept: text/xml\r\n\r\n";
/// As long as a message.
const ANSWER: &[u8; MESSAGE] =
    b"HTTP/1.1 200 OK\r\nServer: load\r\nContent-Length: 11\r\n\r\n01234567890";
/// Octets of one write of a stream.
const WRITE: usize = 128 * 1024;
/// What comes before the window: caches, windows and neighbours are filled then.
const WARM: Duration = Duration::from_millis(60);
/// Connections per second of [`Kind::PacedConnections`]: a quarter of what two nodes on two processors do at their best.
pub(super) const PACE: u32 = 2_000;
/// After this a peer that says nothing is a failure.
const SILENCE: Duration = Duration::from_secs(5);

/// How a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One stream, large writes.
    Throughput,
    /// One request of 64 octets and its answer after the other, over one connection.
    RequestResponse,
    /// A new connection for each request; the server closes first.
    ConnectRequestClose,
    /// The same, [`PACE`] times a second: who was late hurries.
    PacedConnections,
    /// As without a pace, but only the time of the connects counts, and it ends with a reset, so that neither side keeps a closed
    /// connection. The exchange shows that the server has accepted: a full queue would cost a retransmission.
    Connect,
    /// One request over HTTP/1 and its answer after the other, over one connection.
    Http,
}

impl Kind {
    fn port(self) -> u16 {
        match self {
            Self::Throughput => 7001,
            Self::RequestResponse => 7002,
            Self::ConnectRequestClose | Self::PacedConnections | Self::Connect => 7003,
            Self::Http => 7004,
        }
    }
}

/// The programs, as subcommands.
#[derive(Debug, Subcommand)]
pub enum Load {
    /// Serve every kind until killed.
    Serve {
        /// Address to listen at.
        #[arg(long)]
        at: IpAddr,
        /// Processor to stay on.
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// Make load for a while; one line of JSON says what was done.
    Make {
        /// How.
        #[arg(long)]
        kind: Kind,
        /// Address of the server.
        #[arg(long)]
        to: IpAddr,
        /// Another port than the kind's own.
        #[arg(long)]
        port: Option<u16>,
        /// Milliseconds of the window that is measured.
        #[arg(long)]
        window_ms: u64,
        /// Processor to stay on.
        #[arg(long)]
        cpu: Option<usize>,
    },
}

/// What was done within the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Octets of a stream, else requests.
    pub units: u64,
    /// Length of the window; of [`Kind::Connect`] the time in connects.
    pub seconds: f64,
    /// Time that the machine's processors worked meanwhile, softirq included.
    pub cpu_seconds: f64,
}

impl Load {
    /// Runs the program to its end.
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve { at, cpu } => {
                pin(cpu)?;
                serve(at)
            }
            Self::Make {
                kind,
                to,
                port,
                window_ms,
                cpu,
            } => {
                pin(cpu)?;
                let to = SocketAddr::new(to, port.unwrap_or(kind.port()));
                let done = make(kind, to, Duration::from_millis(window_ms))?;
                println!("{}", serde_json::to_string(&done)?);
                Ok(())
            }
        }
    }
}

fn pin(cpu: Option<usize>) -> anyhow::Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("stay on processor {cpu}"))
}

fn serve(at: IpAddr) -> anyhow::Result<()> {
    let listen = |kind: Kind| {
        let address = SocketAddr::new(at, kind.port());
        TcpListener::bind(address).with_context(|| format!("listen at {address}"))
    };
    let (streams, requests, connections) = (
        listen(Kind::Throughput)?,
        listen(Kind::RequestResponse)?,
        listen(Kind::ConnectRequestClose)?,
    );
    let http = listen(Kind::Http)?;
    std::thread::spawn(move || each(&http, respond));
    std::thread::spawn(move || each(&streams, drain));
    std::thread::spawn(move || each(&requests, echo));
    loop {
        let (stream, _) = connections.accept().context("accept")?;
        // One that was only opened ends with a reset here; the next one is not to wait for more than that.
        let _ = answer(stream);
    }
}

fn each(listener: &TcpListener, serve: fn(TcpStream) -> std::io::Result<()>) {
    while let Ok((stream, _)) = listener.accept() {
        std::thread::spawn(move || serve(stream));
    }
}

fn drain(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; WRITE];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        reply(&mut stream)?;
    }
}

fn respond(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut message = [0; MESSAGE];
    loop {
        stream.read_exact(&mut message)?;
        stream.write_all(ANSWER)?;
    }
}

fn reply(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut message = [0; MESSAGE];
    stream.read_exact(&mut message)?;
    stream.write_all(&message)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    reply(&mut stream)
}

/// Makes load until the window is over.
pub(super) fn make(kind: Kind, to: SocketAddr, window: Duration) -> anyhow::Result<Done> {
    let connect = || -> anyhow::Result<TcpStream> {
        let stream =
            TcpStream::connect_timeout(&to, SILENCE).with_context(|| format!("connect to {to}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(stream)
    };
    match kind {
        Kind::Throughput => {
            let (mut stream, data) = (connect()?, vec![0; WRITE]);
            measure(window, || {
                stream.write_all(&data).context("write")?;
                Ok(WRITE as u64)
            })
        }
        Kind::RequestResponse => {
            let mut stream = connect()?;
            measure(window, || exchange(&mut stream).map(|()| 1))
        }
        Kind::Http => {
            let mut stream = connect()?;
            measure(window, || {
                let mut answer = [0; MESSAGE];
                stream.write_all(REQUEST).context("send a request")?;
                stream
                    .read_exact(&mut answer)
                    .context("receive the answer")?;
                ensure!(answer == *ANSWER, "another answer");
                Ok(1)
            })
        }
        Kind::ConnectRequestClose => measure(window, || short(to)),
        Kind::PacedConnections => {
            let mut due = Instant::now();
            measure(window, || {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += Duration::from_secs(1) / PACE;
                short(to)
            })
        }
        Kind::Connect => {
            let mut times = Vec::new();
            let done = measure(window, || {
                let begun = Instant::now();
                let mut stream =
                    TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
                times.push(begun.elapsed());
                exchange(&mut stream)?;
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                Ok(1)
            })?;
            // Those of the warm time came first.
            let counted = times.split_off(times.len() - done.units as usize);
            let seconds = counted.iter().sum::<Duration>().as_secs_f64();
            Ok(Done { seconds, ..done })
        }
    }
}

/// A connection for one request, which the server closes.
fn short(to: SocketAddr) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    exchange(&mut stream)?;
    ensure!(stream.read(&mut [0])? == 0, "more than one answer");
    Ok(1)
}

fn exchange(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut message = [7; MESSAGE];
    stream.write_all(&message).context("send a request")?;
    stream
        .read_exact(&mut message)
        .context("receive the answer")
}

fn measure(
    window: Duration,
    mut step: impl FnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<Done> {
    let warm = Instant::now() + WARM;
    while Instant::now() < warm {
        step()?;
    }
    let (begun, before) = (Instant::now(), Processors::now()?);
    // One step at least: on a busy machine the window may be over before the first.
    let mut units = step()?;
    while begun.elapsed() < window {
        units += step()?;
    }
    let (seconds, after) = (begun.elapsed(), Processors::now()?);
    Ok(Done {
        units,
        seconds: seconds.as_secs_f64(),
        cpu_seconds: after.busy_since(&before, seconds),
    })
}
