//! The TCP and UDP sockets of a namespace: list them, and abort those whose peer is gone.

use std::net::SocketAddr;

use crate::Family;
use crate::error::{Error, Result};
use crate::handle::query;
use crate::namespace::Namespace;
use crate::socket::Socket;
use crate::wire::{self, Message};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const ALL_STATES: u32 = u32::MAX;
const SOCKET_ID: usize = 48;
const ANSWER: usize = 4 + SOCKET_ID + 20;
/// `INET_DIAG_INFO`: attribute of an answer, and as a bit (`1 << (attribute - 1)`) the wish for it.
const INFO: u16 = 2;
/// Place of `tcpi_bytes_received` in `struct tcp_info` (since Linux 4.1).
const BYTES_RECEIVED: usize = 128;

/// Transport protocols with sockets to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    fn raw(self) -> u8 {
        match self {
            Self::Tcp => libc::IPPROTO_TCP as u8,
            Self::Udp => libc::IPPROTO_UDP as u8,
        }
    }
}

/// A socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// Address family of the socket; an IPv6 socket can hold IPv4-mapped addresses.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// TCP state number (1 established, 10 listen); for UDP 1 is connected and 7 is not.
    pub state: u8,
    /// Own address and port.
    pub local: SocketAddr,
    /// Peer; port 0 when not connected.
    pub remote: SocketAddr,
    /// Owner.
    pub uid: u32,
    /// Inode of the socket, as in `/proc/PID/fd`.
    pub inode: u32,
    /// The kernel's identification, with the cookie: names exactly this socket.
    id: [u8; SOCKET_ID],
}

impl InetSocket {
    fn parse(payload: &[u8], protocol: Protocol) -> Option<Self> {
        let payload = payload.get(..ANSWER)?;
        let family = if i32::from(*payload.first()?) == libc::AF_INET {
            Family::V4
        } else {
            Family::V6
        };
        let id: [u8; SOCKET_ID] = *payload.get(4..)?.first_chunk()?;
        let width = if family == Family::V4 { 4 } else { 16 };
        let address = |start: usize| wire::ip(id.get(start..start + width)?);
        Some(Self {
            family,
            protocol,
            state: *payload.get(1)?,
            local: SocketAddr::new(address(4)?, wire::be16_at(&id, 0)?),
            remote: SocketAddr::new(address(20)?, wire::be16_at(&id, 2)?),
            uid: wire::u32_at(payload, 4 + SOCKET_ID + 12)?,
            inode: wire::u32_at(payload, 4 + SOCKET_ID + 16)?,
            id,
        })
    }

    /// The socket's cookie, as `bpf_get_socket_cookie` returns it.
    pub fn cookie(&self) -> u64 {
        let half = |start| u64::from(wire::u32_at(&self.id, start).unwrap_or_default());
        half(40) | half(44) << 32
    }

    /// The peer with an IPv4-mapped address written as IPv4.
    pub fn canonical_remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote.ip().to_canonical(), self.remote.port())
    }
}

/// A connection to the socket tables of one network namespace.
pub struct Diag {
    socket: Socket,
}

impl Diag {
    /// Opens it for the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        Ok(Self {
            socket: Socket::open(libc::NETLINK_SOCK_DIAG)?,
        })
    }

    /// Opens it for `namespace`.
    pub fn open_in(namespace: &Namespace) -> Result<Self> {
        namespace.run(Self::open)?
    }

    /// Lists the sockets of one family and protocol, in all states.
    pub fn sockets(&self, family: Family, protocol: Protocol) -> Result<Vec<InetSocket>> {
        let answers = self.list(family, protocol, 0)?;
        Ok(answers
            .iter()
            .filter_map(|payload| InetSocket::parse(payload, protocol))
            .collect())
    }

    /// TCP sockets of one family, each with the octets that it has received and acknowledged since it was opened.
    pub fn received(&self, family: Family) -> Result<Vec<(InetSocket, u64)>> {
        let answers = self.list(family, Protocol::Tcp, 1 << (INFO - 1))?;
        let read = |payload: &Vec<u8>| {
            let socket = InetSocket::parse(payload, Protocol::Tcp)?;
            let mut attributes = wire::attributes(payload.get(ANSWER..)?);
            let (_, info) = attributes.find(|(kind, _)| *kind == INFO)?;
            Some((socket, wire::u64_at(info, BYTES_RECEIVED)?))
        };
        Ok(answers.iter().filter_map(read).collect())
    }

    /// Answers of a list, with the attributes of these bits.
    fn list(&self, family: Family, protocol: Protocol, extensions: u8) -> Result<Vec<Vec<u8>>> {
        let message = request(
            SOCK_DIAG_BY_FAMILY,
            wire::DUMP,
            (family, protocol, extensions),
            &[0; SOCKET_ID],
        );
        let object = format!(
            "{protocol:?} sockets over IP{}",
            if family == Family::V4 { "v4" } else { "v6" }
        );
        query(&self.socket, "list", &object, message, SOCK_DIAG_BY_FAMILY)
    }

    /// Aborts one socket: its owner gets `ECONNABORTED`. Needs `CONFIG_INET_DIAG_DESTROY` and `CAP_NET_ADMIN`.
    pub fn destroy(&self, socket: &InetSocket) -> Result<()> {
        let message = request(
            SOCK_DESTROY,
            wire::ACK,
            (socket.family, socket.protocol, 0),
            &socket.id,
        )
        .finish();
        let object = || {
            format!(
                "{:?} {} to {}",
                socket.protocol, socket.local, socket.remote
            )
        };
        let answer = self
            .socket
            .acknowledge(&[&message])
            .map_err(|e| Error::from_io("destroy socket", object(), &e))?;
        match answer.into_iter().next().flatten() {
            None => Ok(()),
            Some(refusal) => {
                Err(Error::new("destroy socket", object(), refusal.errno)
                    .with_detail(refusal.detail))
            }
        }
    }

    /// Aborts all sockets of a protocol, of both families, that `condemned` picks; how many there were.
    /// Sockets that closed meanwhile do not count.
    pub fn destroy_all(
        &self,
        protocol: Protocol,
        condemned: impl Fn(&InetSocket) -> bool,
    ) -> Result<usize> {
        let mut destroyed = 0;
        for family in [Family::V4, Family::V6] {
            for socket in self
                .sockets(family, protocol)?
                .iter()
                .filter(|s| condemned(s))
            {
                match self.destroy(socket) {
                    Ok(()) => destroyed += 1,
                    Err(error) if error.is_not_found() => (),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(destroyed)
    }
}

impl std::fmt::Debug for Diag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diag").finish_non_exhaustive()
    }
}

/// `struct inet_diag_req_v2`.
fn request(
    kind: u16,
    flags: u16,
    (family, protocol, extensions): (Family, Protocol, u8),
    id: &[u8; SOCKET_ID],
) -> Message {
    let mut fixed = [0; 8 + SOCKET_ID];
    fixed[0] = family.raw();
    fixed[1] = protocol.raw();
    fixed[2] = extensions;
    fixed[4..8].copy_from_slice(&ALL_STATES.to_ne_bytes());
    fixed[8..].copy_from_slice(id);
    Message::new(kind, flags).fixed(&fixed)
}
