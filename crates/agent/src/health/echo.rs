//! ICMP echo (RFC 792, RFC 4443) through raw sockets, which need CAP_NET_RAW.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with};
use tokio::net::UdpSocket;

use super::path::timed_out;

/// How long each answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Types of ICMP, and of ICMPv6.
const REQUESTS: [u8; 2] = [8, 128];
const REPLIES: [u8; 2] = [0, 129];

/// Sends requests and waits for their answers.
pub(super) struct Echo {
    tries: u32,
    /// One for all: to the packet path requests to a node are one connection then.
    id: u16,
    sequence: AtomicU16,
}

impl Echo {
    pub(super) fn new(tries: u32) -> Self {
        Self {
            tries,
            id: rand::random(),
            sequence: AtomicU16::new(0),
        }
    }

    /// Time to the first answer; the last error if none came.
    pub(super) async fn send(&self, to: IpAddr) -> io::Result<Duration> {
        let mut last = timed_out(PATIENCE);
        for _ in 0..self.tries {
            let begun = Instant::now();
            match tokio::time::timeout(PATIENCE, self.exchange(to)).await {
                Ok(Ok(())) => return Ok(begun.elapsed()),
                Ok(Err(error)) => {
                    last = error;
                    // Who cannot send now may be able to in a moment.
                    tokio::time::sleep(PATIENCE.saturating_sub(begun.elapsed())).await;
                }
                Err(_) => last = timed_out(PATIENCE * self.tries),
            }
        }
        Err(last)
    }

    /// A socket of its own for each: connected, so that the kernel hands it what comes from that address only.
    async fn exchange(&self, to: IpAddr) -> io::Result<()> {
        let socket = open(to)?;
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        socket.send(&request(to, self.id, sequence)).await?;
        let mut buffer = [0; 256];
        loop {
            let read = socket.recv(&mut buffer).await?;
            let packet = buffer.get(..read).unwrap_or_default();
            if is_reply(to, packet, self.id, sequence) {
                return Ok(());
            }
        }
    }
}

/// A raw socket. The type is that of a datagram socket, which is sent to and received from by the same calls.
fn open(to: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::RAW, flags, Some(protocol))?;
    connect(&socket, &SocketAddr::new(to, 0))?;
    UdpSocket::from_std(socket.into())
}

/// Type, code, checksum, identifier, sequence. The kernel computes the checksum of ICMPv6 (RFC 3542, section 3.1).
fn request(to: IpAddr, id: u16, sequence: u16) -> [u8; 8] {
    let kind = REQUESTS[usize::from(to.is_ipv6())];
    let ([a, b], [c, d]) = (id.to_be_bytes(), sequence.to_be_bytes());
    let mut packet = [kind, 0, 0, 0, a, b, c, d];
    if to.is_ipv4() {
        let [high, low] = checksum(packet).to_be_bytes();
        (packet[2], packet[3]) = (high, low);
    }
    packet
}

/// RFC 1071, over whole words.
fn checksum(packet: [u8; 8]) -> u16 {
    let words = packet.chunks_exact(2);
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Whether it answers that request. What comes over IPv4 has its header in front, over IPv6 not.
fn is_reply(from: IpAddr, packet: &[u8], id: u16, sequence: u16) -> bool {
    let header = match from {
        IpAddr::V4(_) => packet
            .first()
            .map_or(0, |first| usize::from(first & 0xf) * 4),
        IpAddr::V6(_) => 0,
    };
    let Some([kind, code, _, _, rest @ ..]) = packet.get(header..) else {
        return false;
    };
    let ([a, b], [c, d]) = (id.to_be_bytes(), sequence.to_be_bytes());
    *kind == REPLIES[usize::from(from.is_ipv6())] && *code == 0 && rest.starts_with(&[a, b, c, d])
}

#[cfg(test)]
mod tests;
