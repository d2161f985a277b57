//! Numbered datagrams between two pods, a thousand a second, in a new flow each fifty: so each of those is judged anew.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use netlink::Namespace;

use crate::kubelet::RunningPod;

const EVERY: Duration = Duration::from_millis(1);
/// Datagrams of one flow.
const OF_A_FLOW: u64 = 50;
/// Room for some seconds: what the receiver is too late for is not lost by the network.
const BUFFER: usize = 16 << 20;
/// What is under way when the sender stops arrives within this time.
const QUIET: Duration = Duration::from_millis(300);

/// A running stream.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<anyhow::Result<u64>>,
    receiver: JoinHandle<Vec<u64>>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub sent: u64,
    pub arrived: u64,
}

impl Stream {
    pub(super) fn start(from: &RunningPod, to: &RunningPod) -> anyhow::Result<Self> {
        let address = to.ipv4()?;
        let there = to.sandbox.run(|| UdpSocket::bind((address, 0)))??;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&there, BUFFER)?;
        there.set_read_timeout(Some(QUIET))?;
        let target = there.local_addr()?;
        let namespace = Namespace::open(from.sandbox.path())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sending, receiving) = (Arc::clone(&stop), Arc::clone(&stop));
        Ok(Self {
            stop,
            sender: std::thread::spawn(move || send(&namespace, target, &sending)),
            receiver: std::thread::spawn(move || receive(&there, &receiving)),
        })
    }

    /// Ends it.
    pub(super) fn finish(self) -> anyhow::Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("a stream panicked");
        let sent = self.sender.join().map_err(panicked)?;
        let mut arrived = self.receiver.join().map_err(panicked)?;
        arrived.sort_unstable();
        arrived.dedup();
        Ok(Told {
            sent: sent?,
            arrived: arrived.len() as u64,
        })
    }
}

fn send(namespace: &Namespace, to: SocketAddr, stop: &AtomicBool) -> anyhow::Result<u64> {
    namespace.enter()?;
    let open = || UdpSocket::bind("0.0.0.0:0").context("bind a sender");
    let (begun, mut number, mut socket) = (Instant::now(), 0_u64, open()?);
    while !stop.load(Ordering::Relaxed) {
        let due = begun + EVERY * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if number.is_multiple_of(OF_A_FLOW) {
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
