//! Requests as values, and the handle that carries them into one network namespace.

use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::socket::{Refusal, Socket};
use crate::wire::Message;

/// One change asked of the kernel: finished bytes and the words for its error.
///
/// Built by the functions of [`link`](crate::link), [`address`](crate::address), [`route`](crate::route),
/// [`rule`](crate::rule), [`neighbour`](crate::neighbour) and [`filter`](crate::filter).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
    operation: &'static str,
    object: String,
    tolerated: Vec<i32>,
}

impl Request {
    pub(crate) fn new(
        operation: &'static str,
        object: impl Into<String>,
        message: Message,
    ) -> Self {
        Self {
            bytes: message.finish(),
            operation,
            object: object.into(),
            tolerated: Vec::new(),
        }
    }

    /// Treats this errno as success, e.g. `EEXIST` for an object that only has to be there.
    pub fn tolerating(mut self, errno: i32) -> Self {
        self.tolerated.push(errno);
        self
    }

    /// `EEXIST` counts as success.
    pub fn or_exists(self) -> Self {
        self.tolerating(libc::EEXIST)
    }

    /// Deleting what is not there counts as success (`ENODEV`, `ENOENT`, `ESRCH`, `EADDRNOTAVAIL`).
    pub fn or_gone(self) -> Self {
        self.tolerating(libc::ENODEV)
            .tolerating(libc::ENOENT)
            .tolerating(libc::ESRCH)
            .tolerating(libc::EADDRNOTAVAIL)
    }

    fn verdict(&self, answer: Option<Refusal>) -> Result<()> {
        match answer {
            Some(refusal) if !self.tolerated.contains(&refusal.errno) => {
                Err(Error::new(self.operation, &*self.object, refusal.errno)
                    .with_detail(refusal.detail))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.operation, self.object)
    }
}

/// A connection to the routing tables of one network namespace; it stays in that namespace whatever its thread does.
///
/// Exchanges of one handle are serialised; open several for work in parallel.
pub struct Handle {
    socket: Socket,
}

impl Handle {
    /// Opens a handle in the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        Ok(Self {
            socket: Socket::open(libc::NETLINK_ROUTE)?,
        })
    }

    /// Opens a handle in `namespace` (on a short-lived thread that enters it).
    pub fn open_in(namespace: &Namespace) -> Result<Self> {
        namespace.run(Self::open)?
    }

    /// Carries out one request.
    pub fn run(&self, request: &Request) -> Result<()> {
        self.run_each(std::slice::from_ref(request))
            .into_iter()
            .collect()
    }

    /// Carries out requests in order, in one send; the error is the first request's that failed.
    ///
    /// The kernel attempts every request, also those behind a failed one: a caller that must undo needs to treat all as
    /// possibly done.
    pub fn run_all(&self, requests: &[Request]) -> Result<()> {
        self.run_each(requests).into_iter().collect()
    }

    /// Carries out requests in order, in one send, and returns one result per request.
    pub fn run_each(&self, requests: &[Request]) -> Vec<Result<()>> {
        let messages: Vec<&[u8]> = requests.iter().map(|r| r.bytes.as_slice()).collect();
        match self.socket.acknowledge(&messages) {
            Ok(answers) => requests
                .iter()
                .zip(answers)
                .map(|(request, answer)| request.verdict(answer))
                .collect(),
            Err(error) => requests
                .iter()
                .map(|r| Err(Error::from_io(r.operation, &*r.object, &error)))
                .collect(),
        }
    }

    /// The cookie of this handle's namespace, as `bpf_get_netns_cookie` returns it.
    pub fn namespace_cookie(&self) -> Result<u64> {
        self.socket
            .namespace_cookie()
            .map_err(|e| Error::from_io("read", "network namespace cookie", &e))
    }

    pub(crate) fn query(
        &self,
        operation: &'static str,
        object: &str,
        message: Message,
        kind: u16,
    ) -> Result<Vec<Vec<u8>>> {
        query(&self.socket, operation, object, message, kind)
    }
}

pub(crate) fn query(
    socket: &Socket,
    operation: &'static str,
    object: &str,
    message: Message,
    kind: u16,
) -> Result<Vec<Vec<u8>>> {
    socket
        .query(&message.finish(), kind)
        .map_err(|e| Error::from_io(operation, object, &e))?
        .map_err(|refusal| Error::new(operation, object, refusal.errno).with_detail(refusal.detail))
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
