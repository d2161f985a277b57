//! A netlink socket: batches out, acknowledgements and dumps in.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::wire;

/// Requests per `sendmsg`: their acknowledgements fit the receive buffer also when it could not be raised.
const BATCH: usize = 64;
/// The kernel fills up to 32 KiB per dump datagram.
const RECEIVE_BUFFER: usize = 64 * 1024;
const RECEIVE_SOCKET_BUFFER: libc::c_int = 1024 * 1024;
/// The kernel answers inside `sendmsg`; this only bounds a lost answer.
const ANSWER_TIMEOUT_SECONDS: i64 = 30;
const DUMP_ATTEMPTS: usize = 8;

const SOL_NETLINK: libc::c_int = 270;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;
const NETLINK_GET_STRICT_CHK: libc::c_int = 12;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSGERR_ATTR_MSG: u16 = 1;
const SO_NETNS_COOKIE: libc::c_int = 71;

/// What the kernel answered to one message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: i32,
    pub(crate) detail: String,
}

pub(crate) struct Socket {
    fd: OwnedFd,
    /// A request and its answers are one exchange on one queue, so exchanges must not interleave: that is the whole
    /// state here, and a table has nothing to say about it.
    exchange: Mutex<Exchange>,
}

struct Exchange {
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a netlink socket of `protocol` in the calling thread's network namespace.
    pub(crate) fn open(protocol: libc::c_int) -> Result<Self> {
        const OPEN: &str = "open netlink socket of protocol";
        // SAFETY: no pointers; a non-negative result is a new descriptor that nobody else owns.
        let fd = unsafe {
            let raw = libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                protocol,
            );
            if raw < 0 {
                return Err(Error::last_os(OPEN, protocol.to_string()));
            }
            OwnedFd::from_raw_fd(raw)
        };
        let socket = Self {
            fd,
            exchange: Mutex::new(Exchange {
                sequence: 0,
                buffer: vec![0; RECEIVE_BUFFER],
            }),
        };
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK] {
            socket
                .option(SOL_NETLINK, option, &1_i32)
                .map_err(|e| Error::from_io(OPEN, protocol.to_string(), &e))?;
        }
        let timeout = libc::timeval {
            tv_sec: ANSWER_TIMEOUT_SECONDS,
            tv_usec: 0,
        };
        socket
            .option(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)
            .map_err(|e| Error::from_io(OPEN, protocol.to_string(), &e))?;
        // Needs CAP_NET_ADMIN; without it the default buffer holds one batch.
        if socket
            .option(
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                &RECEIVE_SOCKET_BUFFER,
            )
            .is_err()
        {
            let _ = socket.option(libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_SOCKET_BUFFER);
        }
        Ok(socket)
    }

    fn option<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
        // SAFETY: pointer and length describe `value`, which lives across the call.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// The cookie of the network namespace this socket was opened in (Linux 5.14).
    pub(crate) fn namespace_cookie(&self) -> io::Result<u64> {
        let mut cookie = 0_u64;
        let mut length = size_of::<u64>() as libc::socklen_t;
        // SAFETY: both pointers are to live locals; `length` says how much may be written.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_NETNS_COOKIE,
                std::ptr::from_mut(&mut cookie).cast(),
                &raw mut length,
            )
        };
        if result == 0 {
            Ok(cookie)
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Sends messages that ask for an acknowledgement and returns one answer per message, in order.
    ///
    /// The kernel works through the whole batch: a refused message does not stop those behind it.
    pub(crate) fn acknowledge(&self, messages: &[&[u8]]) -> io::Result<Vec<Option<Refusal>>> {
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Vec::with_capacity(messages.len());
        for batch in messages.chunks(BATCH) {
            self.acknowledge_batch(&mut exchange, batch, &mut answers)?;
        }
        Ok(answers)
    }

    fn acknowledge_batch(
        &self,
        exchange: &mut Exchange,
        batch: &[&[u8]],
        answers: &mut Vec<Option<Refusal>>,
    ) -> io::Result<()> {
        let first = exchange.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(batch.iter().map(|m| m.len() + 4).sum());
        for message in batch {
            exchange.sequence = exchange.sequence.wrapping_add(1);
            let start = bytes.len();
            bytes.extend_from_slice(message);
            wire::set_sequence(&mut bytes[start..], exchange.sequence);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        self.send(&bytes)?;
        let base = answers.len();
        let mut missing = batch.len();
        answers.resize(base + batch.len(), None);
        while missing > 0 {
            let length = self.receive(&mut exchange.buffer)?;
            for message in wire::messages(&exchange.buffer[..length]) {
                let position = message.sequence.wrapping_sub(first) as usize;
                if message.kind != libc::NLMSG_ERROR as u16 || position >= batch.len() {
                    continue;
                }
                answers[base + position] = refusal(&message);
                missing -= 1;
            }
        }
        Ok(())
    }

    /// Sends one request and returns the payloads of its answers of type `kind`, until done, an error or one answer.
    pub(crate) fn query(
        &self,
        message: &[u8],
        kind: u16,
    ) -> io::Result<std::result::Result<Vec<Vec<u8>>, Refusal>> {
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(answer) = self.query_once(&mut exchange, message, kind)? {
                return Ok(answer);
            }
        }
        Ok(Err(Refusal {
            errno: libc::EBUSY,
            detail: "the list kept changing while it was read".to_owned(),
        }))
    }

    /// `None`: the table changed while it was listed, so the list may lack entries.
    #[allow(
        clippy::type_complexity,
        reason = "private, and the one caller unwraps it at once"
    )]
    fn query_once(
        &self,
        exchange: &mut Exchange,
        message: &[u8],
        kind: u16,
    ) -> io::Result<Option<std::result::Result<Vec<Vec<u8>>, Refusal>>> {
        exchange.sequence = exchange.sequence.wrapping_add(1);
        let sequence = exchange.sequence;
        let is_dump = wire::u16_at(message, 6).unwrap_or(0) & libc::NLM_F_DUMP as u16
            == libc::NLM_F_DUMP as u16;
        let mut bytes = message.to_vec();
        wire::set_sequence(&mut bytes, sequence);
        self.send(&bytes)?;
        let mut found = Vec::new();
        let mut interrupted = false;
        loop {
            let length = self.receive(&mut exchange.buffer)?;
            for message in
                wire::messages(&exchange.buffer[..length]).filter(|m| m.sequence == sequence)
            {
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                if message.kind == libc::NLMSG_ERROR as u16 {
                    return Ok(Some(refusal(&message).map_or(Ok(found), Err)));
                }
                if message.kind == libc::NLMSG_DONE as u16 {
                    if let Some(refusal) = refusal(&message) {
                        return Ok(Some(Err(refusal)));
                    }
                    return Ok((!interrupted).then_some(Ok(found)));
                }
                if message.kind == kind {
                    found.push(message.payload.to_vec());
                    if !is_dump {
                        return Ok(Some(Ok(found)));
                    }
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            // SAFETY: pointer and length describe `bytes`; an unbound netlink socket without a peer talks to the kernel.
            let sent =
                unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
            if sent >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: pointer and length describe `buffer`, which is exclusively borrowed.
            let length = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_TRUNC,
                )
            };
            match usize::try_from(length) {
                Ok(length) if length <= buffer.len() => return Ok(length),
                Ok(_) => return Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// The error an `NLMSG_ERROR` or `NLMSG_DONE` carries, `None` for success.
fn refusal(message: &wire::Received<'_>) -> Option<Refusal> {
    let errno = wire::u32_at(message.payload, 0).map_or(libc::EBADMSG, |raw| -(raw as i32));
    if errno == 0 {
        return None;
    }
    let attributes_start = if message.kind == libc::NLMSG_ERROR as u16 {
        size_of::<i32>() + wire::HEADER
    } else {
        size_of::<i32>()
    };
    let detail = if message.flags & NLM_F_ACK_TLVS == 0 {
        String::new()
    } else {
        wire::attributes(message.payload.get(attributes_start..).unwrap_or(&[]))
            .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
            .map_or_else(String::new, |(_, text)| wire::text(text))
    };
    Some(Refusal { errno, detail })
}
