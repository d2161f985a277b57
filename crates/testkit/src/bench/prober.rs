//! Numbered datagrams at a fixed rate between two pods: when they stop arriving, when they begin, which are missing.

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::kubelet::RunningPod;

/// Time between two datagrams, so also how exactly a moment is known.
const EVERY: Duration = Duration::from_micros(500);
/// So long nothing arrives when a policy denies; longer than a busy machine holds a thread up.
const QUIET: Duration = Duration::from_millis(150);
/// Nothing takes longer; a slow agent is to be a figure, a dead one is not.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Arrived {
    /// How many.
    count: u64,
    /// When the newest came.
    newest: Option<Instant>,
}

/// A running stream of datagrams.
pub(crate) struct Prober {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    // One writer, one reader, a few words: a table has nothing to add.
    arrived: Arc<Mutex<Arrived>>,
    threads: Vec<JoinHandle<()>>,
}

impl Prober {
    /// Starts it, and waits for the first datagram to arrive.
    pub(crate) fn start(from: &RunningPod, to: &RunningPod) -> anyhow::Result<Self> {
        let address = to.ipv4()?;
        let there = to.sandbox.run(|| UdpSocket::bind((address, 0)))??;
        let target = there.local_addr()?;
        let here = from.sandbox.run(|| UdpSocket::bind("0.0.0.0:0"))??;
        Self::over(here, target, there)
    }

    /// The same over sockets: what `here` sends to `target` comes to `there`.
    fn over(here: UdpSocket, target: SocketAddr, there: UdpSocket) -> anyhow::Result<Self> {
        there.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let (sending, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let (receiving, seen) = (Arc::clone(&stop), Arc::clone(&arrived));
        let threads = vec![
            std::thread::spawn(move || send(&here, target, &sending, &counted)),
            std::thread::spawn(move || receive(&there, &receiving, &seen)),
        ];
        let prober = Self {
            stop,
            sent,
            arrived,
            threads,
        };
        prober
            .begins_after(Instant::now())
            .context("no datagram arrives at all")?;
        Ok(prober)
    }

    fn newest(&self) -> Option<Instant> {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .newest
    }

    /// Time from `since` to the first arrival seen after it.
    pub(crate) fn begins_after(&self, since: Instant) -> anyhow::Result<Duration> {
        loop {
            if let Some(newest) = self.newest().filter(|newest| *newest > since) {
                return Ok(newest - since);
            }
            if since.elapsed() > LIMIT {
                bail!("nothing arrives after {LIMIT:?}");
            }
            std::thread::sleep(EVERY / 2);
        }
    }

    /// Time from `since` to the last arrival before a silence; zero when that was earlier.
    pub(crate) fn ends_after(&self, since: Instant) -> anyhow::Result<Duration> {
        loop {
            let newest = self.newest().unwrap_or(since);
            if newest.max(since).elapsed() > QUIET {
                return Ok(newest.saturating_duration_since(since));
            }
            if since.elapsed() > LIMIT {
                bail!("datagrams still arrive after {LIMIT:?}");
            }
            std::thread::sleep(EVERY * 4);
        }
    }

    /// Ends it; how many were sent, and how many of them did not arrive.
    pub(crate) fn finish(mut self) -> (u64, u64) {
        self.join();
        let sent = self.sent.load(Ordering::Relaxed);
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        (sent, sent.saturating_sub(arrived.count))
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.join();
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, stop: &AtomicBool, sent: &AtomicU64) {
    let begun = Instant::now();
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep((begun + EVERY * number).saturating_duration_since(Instant::now()));
        // A refusal by ICMP is an answer to a denied datagram, which counts as sent all the same.
        let _ = socket.send_to(&number.to_be_bytes(), to);
        sent.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
}

fn receive(socket: &UdpSocket, stop: &AtomicBool, arrived: &Mutex<Arrived>) {
    let mut buffer = [0; 8];
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
                arrived.count += 1;
                arrived.newest = Some(Instant::now());
            }
            // What is under way when the sender stops still arrives within the time that this waited.
            Err(_) if stop.load(Ordering::Relaxed) => return,
            Err(_) => {}
        }
    }
}
