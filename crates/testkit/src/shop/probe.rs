//! The prober: numbered datagrams at a fixed rate, and a receiver that says exactly which ones arrived.
//!
//! With 1,000 a second, a gap of one millisecond in forwarding, or in policy, shows as a number.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::UdpSocket;

use super::http::println_line;

const MAGIC: u64 = 0x6178_6f6e_656d_6531;

/// What a receiver saw from one sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Different datagrams that arrived.
    pub received: u64,
    /// Arrivals beyond the first of a datagram.
    pub duplicates: u64,
    /// Highest number seen plus one: what must have been sent at least.
    pub span: u64,
    /// Numbers below `span` that never came, the first hundred as ranges `first..=last`.
    pub missing: Vec<(u64, u64)>,
    /// How many never came below `span`.
    pub lost: u64,
}

impl Report {
    /// The report of a set of arrived numbers.
    pub fn of(seen: &BTreeSet<u64>, duplicates: u64) -> Self {
        let span = seen.last().map_or(0, |last| last + 1);
        let mut missing = Vec::new();
        let mut expected = 0;
        for &number in seen {
            if number > expected {
                missing.push((expected, number - 1));
            }
            expected = number + 1;
        }
        missing.truncate(100);
        let received = seen.len() as u64;
        Self {
            received,
            duplicates,
            span,
            missing,
            lost: span - received,
        }
    }
}

/// Sends `count` numbered datagrams to `to`, one each `every`, never in bursts; prints `{"sent": n}` at the end.
pub async fn send(
    from: SocketAddr,
    to: SocketAddr,
    every: Duration,
    count: u64,
) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(from)
        .await
        .with_context(|| format!("bind {from}"))?;
    socket
        .connect(to)
        .await
        .with_context(|| format!("connect {to}"))?;
    let start = Instant::now();
    let mut refused = 0_u64;
    for number in 0..count {
        let due = start + every.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        tokio::time::sleep_until(due.into()).await;
        let mut datagram = [0_u8; 16];
        datagram[..8].copy_from_slice(&MAGIC.to_be_bytes());
        datagram[8..].copy_from_slice(&number.to_be_bytes());
        if socket.send(&datagram).await.is_err() {
            refused += 1;
        }
    }
    println_line(
        &json!({ "sent": count, "refused": refused, "seconds": start.elapsed().as_secs_f64() }),
    );
    Ok(())
}

/// Receives on `listen` until nothing has come for `quiet` after the first datagram, or `limit` has passed; prints the report.
pub async fn receive(listen: SocketAddr, quiet: Duration, limit: Duration) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(listen)
        .await
        .with_context(|| format!("bind {listen}"))?;
    println_line(&json!({ "listening": listen.to_string() }));
    let end = Instant::now() + limit;
    let (mut seen, mut duplicates) = (BTreeSet::new(), 0);
    let mut buffer = [0_u8; 64];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wait = if seen.is_empty() {
            left
        } else {
            left.min(quiet)
        };
        let Ok(length) = tokio::time::timeout(wait, socket.recv(&mut buffer)).await else {
            break;
        };
        let Some(number) = number_of(buffer.get(..length?).unwrap_or_default()) else {
            continue;
        };
        if !seen.insert(number) {
            duplicates += 1;
        }
    }
    println_line(&serde_json::to_value(Report::of(&seen, duplicates))?);
    Ok(())
}

fn number_of(datagram: &[u8]) -> Option<u64> {
    let (magic, number) = datagram.split_first_chunk::<8>()?;
    (u64::from_be_bytes(*magic) == MAGIC)
        .then(|| number.first_chunk::<8>().map(|n| u64::from_be_bytes(*n)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_every_gap() {
        let seen = BTreeSet::from([1, 2, 5]);
        let report = Report::of(&seen, 1);
        assert_eq!((report.received, report.span, report.lost), (3, 6, 3));
        assert_eq!(report.missing, [(0, 0), (3, 4)]);
    }

    #[test]
    fn nothing_received_is_not_success() {
        assert_eq!(Report::of(&BTreeSet::new(), 0), Report::default());
    }

    #[test]
    fn a_foreign_datagram_is_not_counted() {
        assert_eq!(number_of(b"hello, world, 16"), None);
        assert_eq!(number_of(&MAGIC.to_be_bytes()), None);
    }
}
