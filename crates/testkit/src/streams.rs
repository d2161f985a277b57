//! Numbered datagrams between pods, a thousand a second: which were sent, and which arrived.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use netlink::Namespace;

use crate::kubelet::RunningPod;

const EVERY: Duration = Duration::from_millis(1);
/// Room for some seconds: what the receiver is too late for is not lost by the network.
const BUFFER: usize = 16 << 20;
/// What is under way when the sender stops arrives within this time.
const QUIET: Duration = Duration::from_millis(300);
/// So many of the missing are named.
const NAMED: usize = 20;

/// A stream until it is finished.
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<anyhow::Result<u64>>,
    receiver: JoinHandle<Vec<u64>>,
}

/// By which way, and how, a stream goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Port of the server, 0 for any.
    pub port: u16,
    /// Where it is sent to, if not to the server itself.
    pub service: Option<SocketAddr>,
    /// Datagrams after which another flow begins, which is judged anew.
    pub of_a_flow: Option<u64>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How many were sent; their numbers begin with 0.
    pub sent: u64,
    /// Numbers of those that arrived, sorted, each once.
    pub arrived: Vec<u64>,
}

impl Told {
    /// The first of those that were sent and did not arrive.
    pub fn missing(&self) -> Vec<u64> {
        (0..self.sent)
            .filter(|number| self.arrived.binary_search(number).is_err())
            .take(NAMED)
            .collect()
    }
}

impl Stream {
    /// One flow, straight to the server.
    pub fn start(from: &Namespace, server: &RunningPod) -> anyhow::Result<Self> {
        Self::by(Way::default(), from, server)
    }

    /// By another way.
    pub fn by(way: Way, from: &Namespace, server: &RunningPod) -> anyhow::Result<Self> {
        let at = (server.ipv4()?, way.port);
        let there = server.sandbox.run(|| UdpSocket::bind(at))??;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&there, BUFFER)?;
        there.set_read_timeout(Some(QUIET))?;
        let to = way.service.map_or_else(|| there.local_addr(), Ok)?;
        let namespace = Namespace::open(from.path())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sending, receiving) = (Arc::clone(&stop), Arc::clone(&stop));
        Ok(Self {
            stop,
            sender: std::thread::spawn(move || send(&namespace, to, way.of_a_flow, &sending)),
            receiver: std::thread::spawn(move || receive(&there, &receiving)),
        })
    }

    /// Ends it.
    pub fn finish(self) -> anyhow::Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("a stream panicked");
        let sent = self.sender.join().map_err(panicked)?;
        let mut arrived = self.receiver.join().map_err(panicked)?;
        arrived.sort_unstable();
        arrived.dedup();
        Ok(Told {
            sent: sent?,
            arrived,
        })
    }
}

fn send(
    namespace: &Namespace,
    to: SocketAddr,
    of_a_flow: Option<u64>,
    stop: &AtomicBool,
) -> anyhow::Result<u64> {
    namespace.enter()?;
    let open = || UdpSocket::bind("0.0.0.0:0").context("bind a sender");
    let (begun, mut number, mut socket) = (Instant::now(), 0_u64, open()?);
    while !stop.load(Ordering::Relaxed) {
        let due = begun + EVERY * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if of_a_flow.is_some_and(|length| number.is_multiple_of(length)) {
            socket = open()?;
        }
        // A refusal by ICMP answers a denied datagram, which counts as sent all the same.
        let _ = socket.send_to(&number.to_be_bytes(), to);
        number += 1;
    }
    Ok(number)
}

fn receive(socket: &UdpSocket, stop: &AtomicBool) -> Vec<u64> {
    let (mut arrived, mut buffer) = (Vec::new(), [0; 8]);
    loop {
        match socket.recv(&mut buffer) {
            Ok(8) => arrived.push(u64::from_be_bytes(buffer)),
            Err(_) if stop.load(Ordering::Relaxed) => return arrived,
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
