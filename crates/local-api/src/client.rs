//! A blocking client of the agent: one connection per request, every wait bounded.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::http::{Answer, Patience, Timed};

/// Bytes of an answer's body that are accepted.
pub const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// HTTP methods the agent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Create under a given name.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

/// Why a request has no good answer. Each names method and path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens, the socket is missing or may not be used, or its queue stayed full.
    #[error("{method} {path}: connect to {}: {source}", .socket.display())]
    Connect {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
        /// The agent's socket.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The agent took too long as a whole.
    #[error("{method} {path}: no complete answer within {after:?}")]
    Timeout {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("{method} {path}: {source}")]
    Exchange {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The answer is longer than [`BODY_LIMIT`].
    #[error("{method} {path}: the answer is longer than {BODY_LIMIT} bytes")]
    TooLarge {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
    },
    /// The agent refused.
    #[error("{method} {path}: the agent answered {status}{}", message_suffix(.message))]
    Status {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// The agent's own words, may be empty.
        message: String,
    },
    /// The request or the answer does not have the expected shape.
    #[error("{method} {path}: {what}: {source}")]
    Shape {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
        /// Which of the two.
        what: &'static str,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
}

fn message_suffix(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

impl Error {
    /// The status the agent refused with.
    pub fn status(&self) -> Option<u16> {
        if let Self::Status { status, .. } = self {
            Some(*status)
        } else {
            None
        }
    }

    /// The agent could not be asked or gave no answer: nothing is known about what it did.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Timeout { .. } | Self::Exchange { .. }
        )
    }

    /// The object does not exist (404).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a place in the agent's queue of connections.
    pub connect: Duration,
    /// For the whole exchange, connecting included, however slowly the answer trickles.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_mins(1),
        }
    }
}

/// A request: method, path below the root (with [`crate::BASE`]), query, header fields, JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body. `path` is used as it is: put what comes from outside through [`encode`] or [`Self::query`].
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a query parameter, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.path
            .push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&encode(name));
        self.path.push('=');
        self.path.push_str(&encode(value));
        self
    }

    /// Adds a header field; control characters in the value become spaces.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .push((name, value.replace(char::is_control, " ")));
        self
    }

    /// Sets the body, which is `application/json` unless a header field says something else.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        self.body = serde_json::to_vec(body).map_err(|source| Error::Shape {
            method: self.method,
            path: self.path.clone(),
            what: "the request cannot be written as JSON",
            source,
        })?;
        Ok(self)
    }

    fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        if self.path.bytes().any(|b| b <= b' ' || b == 0x7f) || !self.path.starts_with('/') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path is not one of HTTP",
            ));
        }
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let is_type = |(name, _): &(&str, String)| name.eq_ignore_ascii_case("content-type");
        if !self.body.is_empty() && !self.headers.iter().any(is_type) {
            head.push_str("Content-Type: application/json\r\n");
        }
        head.push_str("Connection: close\r\nContent-Length: ");
        head.push_str(&self.body.len().to_string());
        head.push_str("\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes)
    }
}

/// Percent-encodes a path segment or a query word. Colons and commas stay readable, as endpoint ids contain them.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte) {
            encoded.push(byte as char);
        } else {
            let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

/// A good answer (2xx).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status, e.g. 206 when a deletion met errors.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// A good answer whose body is read as it comes, without a limit in time or size: for streams.
#[derive(Debug)]
pub struct Stream {
    /// HTTP status.
    pub status: u16,
    answer: Answer,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.answer.read(buffer)
    }
}

/// A client of one agent. Cheap: it holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    timeouts: Timeouts,
}

impl Client {
    /// A client of the agent at this socket, with the default [`Timeouts`].
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            timeouts: Timeouts::default(),
        }
    }

    /// The same client with other limits.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The agent's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads an object.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(&Request::new(Method::Get, path))
    }

    /// Creates an object under a given name.
    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.call(&Request::new(Method::Put, path).json(body)?)
    }

    /// Creates an object.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.call(&Request::new(Method::Post, path).json(body)?)
    }

    /// Changes an object; the answer's body, if any, is in the response.
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<Response, Error> {
        self.send(&Request::new(Method::Patch, path).json(body)?)
    }

    /// Removes an object; 206 in the response says that it went with errors.
    pub fn delete(&self, path: &str) -> Result<Response, Error> {
        self.send(&Request::new(Method::Delete, path))
    }

    /// Sends a request and reads its answer as JSON.
    pub fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let response = self.send(request)?;
        serde_json::from_slice(&response.body).map_err(|source| Error::Shape {
            method: request.method,
            path: request.path.clone(),
            what: "the answer has an unexpected shape",
            source,
        })
    }

    /// Sends a request and reads its answer; a status other than 2xx is an error with the agent's message.
    pub fn send(&self, request: &Request) -> Result<Response, Error> {
        let mut answer = self.exchange(request)?;
        let status = answer.status;
        let body = self.read_body(request, &mut answer)?;
        if (200..300).contains(&status) {
            Ok(Response { status, body })
        } else {
            Err(refused(request, status, &body))
        }
    }

    /// Sends a request and hands out its answer's body as it comes. The head is bounded in time, the body is not.
    pub fn stream(&self, request: &Request) -> Result<Stream, Error> {
        let mut answer = self.exchange(request)?;
        let status = answer.status;
        if !(200..300).contains(&status) {
            let body = self.read_body(request, &mut answer)?;
            return Err(refused(request, status, &body));
        }
        answer.set_patience(Patience::Endless);
        Ok(Stream { status, answer })
    }

    fn exchange(&self, request: &Request) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.timeouts.total;
        let stream = self.connect().map_err(|source| Error::Connect {
            method: request.method,
            path: request.path.clone(),
            socket: self.socket.clone(),
            source,
        })?;
        let mut stream = Timed::new(stream, deadline);
        request
            .write(&mut stream)
            .and_then(|()| Answer::read(stream))
            .map_err(|e| self.broken(request, e))
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A full queue of connections blocks connect(); the send time-out bounds that.
        socket.set_write_timeout(Some(self.timeouts.connect.min(self.timeouts.total)))?;
        socket.connect(&SockAddr::unix(&self.socket)?)?;
        Ok(OwnedFd::from(socket).into())
    }

    fn read_body(&self, request: &Request, answer: &mut Answer) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        answer
            .take(BODY_LIMIT + 1)
            .read_to_end(&mut body)
            .map_err(|e| self.broken(request, e))?;
        if body.len() as u64 > BODY_LIMIT {
            return Err(Error::TooLarge {
                method: request.method,
                path: request.path.clone(),
            });
        }
        Ok(body)
    }

    fn broken(&self, request: &Request, source: io::Error) -> Error {
        let (method, path) = (request.method, request.path.clone());
        if source.kind() == io::ErrorKind::TimedOut {
            Error::Timeout {
                method,
                path,
                after: self.timeouts.total,
            }
        } else {
            Error::Exchange {
                method,
                path,
                source,
            }
        }
    }
}

fn refused(request: &Request, status: u16, body: &[u8]) -> Error {
    Error::Status {
        method: request.method,
        path: request.path.clone(),
        status,
        message: message_of(body),
    }
}

/// The agent's words: a JSON string, an object with `message`, or plain text (its first line).
fn message_of(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Object(object)) => object
            .get("message")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        _ => String::from_utf8_lossy(body)
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}
