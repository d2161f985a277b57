//! Clients of services, in a process of their own: this test binary, started in a node's cgroup with a task.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

/// Environment variable with the task.
pub(crate) const TASK: &str = "AX_CLIENT_TASK";
/// What the line with the result begins with.
pub(crate) const RESULT: &str = "result: ";

const EVERY: Duration = Duration::from_millis(100);
/// Seconds after which who waits for a file has waited in vain.
const LONGEST: u64 = 600;
const PATIENCE: Duration = Duration::from_millis(300);

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Tcp,
    /// UDP with `connect`.
    Connected,
    /// UDP with an address for each datagram.
    Udp,
}

/// One question to one address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) kind: Kind,
    pub(crate) to: SocketAddr,
}

impl Probe {
    pub(crate) fn new(kind: Kind, ip: IpAddr, port: u16) -> Self {
        Self {
            kind,
            to: (ip, port).into(),
        }
    }
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Backend(u8),
    Refused,
    Silence,
    Failed(String),
    /// As an expectation: whatever backend.
    Any,
}

impl Outcome {
    pub(crate) fn allows(&self, got: &Self) -> bool {
        match self {
            Self::Any => matches!(got, Self::Backend(_)),
            other => other == got,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Task {
    Probe(Vec<Probe>),
    /// Holds `each` sockets of each kind to each service address, and one of TCP and connected UDP to each direct one.
    Hold {
        each: usize,
        service: Vec<SocketAddr>,
        direct: Vec<SocketAddr>,
        until: Until,
    },
}

/// When to let go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Until {
    /// After so long.
    Seconds(u64),
    /// When the file is there.
    File(PathBuf),
}

impl Until {
    /// The latest time, and what to look for before.
    fn bounds(&self) -> (Instant, Option<&Path>) {
        let (seconds, file) = match self {
            Self::Seconds(seconds) => (*seconds, None),
            Self::File(path) => (LONGEST, Some(path.as_path())),
        };
        (Instant::now() + Duration::from_secs(seconds), file)
    }
}

/// The life of one client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) kind: Kind,
    pub(crate) direct: bool,
    /// Who answered, without repetitions.
    pub(crate) backends: Vec<u8>,
    /// How often it had to open another socket.
    pub(crate) renewed: usize,
    /// Its socket was aborted by somebody.
    pub(crate) aborted: bool,
    /// Longest time between two answers.
    pub(crate) worst_ms: u128,
    pub(crate) errors: Vec<String>,
}

/// Does the task, if this process was started for one.
pub(crate) fn work() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let task = serde_json::from_str(&task).expect("a task");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let text = runtime.block_on(async {
        match task {
            Task::Probe(probes) => {
                let mut outcomes = Vec::new();
                for probe in probes {
                    outcomes.push(ask_once(&probe).await);
                }
                serde_json::to_string(&outcomes)
            }
            Task::Hold {
                each,
                service,
                direct,
                until,
            } => serde_json::to_string(&hold(each, &service, &direct, &until).await),
        }
    });
    println!("\n{RESULT}{}", text.expect("JSON"));
}

enum Socket {
    Stream(TcpStream),
    Connected(UdpSocket),
    Free(UdpSocket, SocketAddr),
}

async fn open(kind: Kind, to: SocketAddr) -> std::io::Result<Socket> {
    if kind == Kind::Tcp {
        let stream = timeout(PATIENCE, TcpStream::connect(to)).await??;
        return Ok(Socket::Stream(stream));
    }
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    if kind == Kind::Udp {
        return Ok(Socket::Free(socket, to));
    }
    socket.connect(to).await?;
    Ok(Socket::Connected(socket))
}

async fn ask(socket: &mut Socket) -> std::io::Result<u8> {
    let mut answer = [0; 1];
    match socket {
        Socket::Stream(stream) => {
            stream.write_all(b"?").await?;
            stream.read_exact(&mut answer).await?;
        }
        Socket::Connected(socket) => {
            socket.send(b"?").await?;
            timeout(PATIENCE, socket.recv(&mut answer)).await??;
        }
        Socket::Free(socket, to) => {
            socket.send_to(b"?", *to).await?;
            let (_, from) = timeout(PATIENCE, socket.recv_from(&mut answer)).await??;
            if from != *to {
                return Err(std::io::Error::other(format!("answer from {from}")));
            }
        }
    }
    Ok(answer[0])
}

async fn ask_once(probe: &Probe) -> Outcome {
    let question = async {
        let mut socket = open(probe.kind, probe.to).await?;
        // An ICMP error meets the next call.
        match ask(&mut socket).await {
            Err(error) if error.kind() == ErrorKind::TimedOut && probe.kind != Kind::Tcp => {
                ask(&mut socket).await
            }
            other => other,
        }
    };
    match timeout(Duration::from_secs(1), question).await {
        Ok(Ok(id)) => Outcome::Backend(id),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Outcome::Refused,
        Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => Outcome::Silence,
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => Outcome::Silence,
    }
}

async fn hold(
    each: usize,
    service: &[SocketAddr],
    direct: &[SocketAddr],
    until: &Until,
) -> Vec<Client> {
    let mut tasks = tokio::task::JoinSet::new();
    for to in service {
        for kind in [Kind::Tcp, Kind::Connected, Kind::Udp] {
            for _ in 0..each {
                tasks.spawn(live(kind, *to, false, until.clone()));
            }
        }
    }
    for (at, to) in direct.iter().enumerate() {
        tasks.spawn(live(Kind::Connected, *to, true, until.clone()));
        // The first one's pod goes.
        if at > 0 {
            tasks.spawn(live(Kind::Tcp, *to, true, until.clone()));
        }
    }
    tasks.join_all().await
}

/// Asks again and again; another socket is opened only when the old one fails, not when an answer is late.
async fn live(kind: Kind, to: SocketAddr, direct: bool, until: Until) -> Client {
    let (end, file) = until.bounds();
    let mut client = Client {
        kind,
        direct,
        backends: Vec::new(),
        renewed: 0,
        aborted: false,
        worst_ms: 0,
        errors: Vec::new(),
    };
    let (mut socket, mut last) = (None, None::<Instant>);
    while Instant::now() < end && !file.is_some_and(Path::exists) {
        let result = match &mut socket {
            None => open(kind, to).await.map(|new| {
                client.renewed += usize::from(last.is_some());
                socket = Some(new);
            }),
            Some(socket) => timeout(end.saturating_duration_since(Instant::now()), ask(socket))
                .await
                .unwrap_or(Err(ErrorKind::TimedOut.into()))
                .map(|id| {
                    if client.backends.last() != Some(&id) {
                        client.backends.push(id);
                    }
                    let now = Instant::now();
                    client.worst_ms = client
                        .worst_ms
                        .max(last.map_or(0, |last| (now - last).as_millis()));
                    last = Some(now);
                }),
        };
        match result {
            Ok(()) => sleep(EVERY).await,
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => {
                client.aborted |= error.kind() == ErrorKind::ConnectionAborted;
                client.errors.push(error.to_string());
                client.errors.truncate(4);
                socket = None;
                sleep(EVERY / 5).await;
            }
        }
    }
    if let Some(last) = last {
        client.worst_ms = client.worst_ms.max(last.elapsed().as_millis());
    }
    client
}
