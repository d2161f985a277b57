//! Records: what one request, question or handshake was, and how it went.
//!
//! Texts are of others: they were cut to a length, and what could steer a terminal is escaped.

use std::net::IpAddr;

use crate::conversation::Direction;

/// A value that may have been missed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Seen<T> {
    /// This was said.
    Known(T),
    /// Nothing was said, for certain.
    Absent,
    /// What was said was not seen.
    #[default]
    Unknown,
}

impl<T> Seen<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }

    /// Known or absent.
    pub fn certain(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A request over HTTP and its answer.
    Http(Box<Http>),
    /// A question to a DNS server and its answer.
    Dns(Box<Dns>),
    /// A handshake of TLS.
    Tls(Box<Tls>),
    /// A request to a Kafka broker and its answer.
    Kafka(Box<Kafka>),
}

/// Version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ending {
    /// With a whole answer.
    Whole,
    /// The connection was closed before the answer, or before its end.
    Closed,
    /// HTTP/2: the stream was reset, by whom and with which error code (RFC 9113, section 7).
    Reset(Direction, u32),
    /// HTTP/2: the server said that it would not answer any more (GOAWAY).
    Refused,
    /// Not yet, on an open connection, after a time longer than nearly all of its kind took, see [`crate::patience`].
    Overdue,
    /// The end was not seen, or it cannot be told to which request it belongs.
    #[default]
    Unknown,
}

/// A request over HTTP and its answer. What was not seen of either is unknown; a request whose answer cannot be told from
/// others has an unknown status, and an answer whose request cannot be told has an unknown method and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Version of the request, or of the answer if that is all there is.
    pub version: HttpVersion,
    /// Method.
    pub method: Seen<String>,
    /// Path, without query and fragment.
    pub path: Seen<String>,
    /// Path with what looks like an identifier replaced, see [`crate::template`].
    pub template: Seen<String>,
    /// Host that was asked for, without user information.
    pub host: Seen<String>,
    /// Status code of the final answer; absent if the connection ended before it.
    pub status: Seen<u16>,
    /// Octets of the request's body, without what frames it.
    pub request_octets: Seen<u64>,
    /// Octets of the answer's body, without what frames it.
    pub response_octets: Seen<u64>,
    /// First octet of the request.
    pub start_ns: Option<u64>,
    /// First octet of the final answer.
    pub answer_ns: Option<u64>,
    /// Last octet of the answer that was seen.
    pub end_ns: Option<u64>,
    /// Header `traceparent` of the request (W3C Trace Context), if it is well-formed.
    pub traceparent: Seen<String>,
    /// What gRPC says of the call; absent if it is none.
    pub grpc: Seen<Grpc>,
    /// How it ended.
    pub ending: Ending,
}

impl Http {
    /// Octets of its texts.
    pub(crate) fn octets(&self) -> usize {
        let texts = [
            &self.method,
            &self.path,
            &self.template,
            &self.host,
            &self.traceparent,
        ];
        let texts = texts.into_iter().filter_map(Seen::known);
        texts.map(String::capacity).sum()
    }
}

/// A call of gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grpc {
    /// Full name of the service.
    pub service: Seen<String>,
    /// Name of the method.
    pub method: Seen<String>,
    /// Status code.
    pub status: Seen<u32>,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsOutcome {
    /// With an answer that has this code (RFC 1035, section 4.1.1, and RFC 6895).
    Code(u16),
    /// No answer came in time.
    Timeout,
    /// The connection ended before an answer or the time-out.
    Closed,
    /// Nobody knows: what may have been the answer was not seen.
    Unknown,
}

/// A question to a DNS server and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name that was asked for, in lower case, without the dot at its end; the root is `.`.
    pub qname: String,
    /// Type that was asked for (RFC 1035, section 3.2.2).
    pub qtype: u16,
    /// How it ended.
    pub outcome: DnsOutcome,
    /// How often the question was sent; 0 if it was not seen.
    pub attempts: u32,
    /// When the question was sent first; with 0 attempts when the answer came.
    pub start_ns: u64,
    /// From the first question to the answer, if there were both.
    pub latency_ns: Option<u64>,
    /// Records of the answer, at most [`crate::dns::ANSWERS`].
    pub answers: Vec<DnsAnswer>,
    /// Whether these are all.
    pub all_answers: bool,
    /// The server said that the answer was cut (bit TC).
    pub truncated: bool,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsAnswer {
    /// Owner's name, written as in [`Dns::qname`].
    pub name: String,
    /// How long it may be kept, in seconds.
    pub ttl_s: u32,
    /// What it says.
    pub data: DnsData,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsData {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME: the other name.
    Alias(String),
    /// SRV: target and port.
    Service(String, u16),
    /// Another type.
    Other(u16),
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsEnding {
    /// Both sides agreed, as far as can be seen: from version 1.3 on a refusal after the server's hello is encrypted.
    Done,
    /// By an alert: whose, and its code (RFC 8446, section 6.2).
    Alert(Direction, u8),
    /// The connection was closed before the handshake was over.
    Closed,
    /// It was not seen.
    #[default]
    Unknown,
}

/// A handshake of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Name of the server that the client asks for (SNI).
    pub server_name: Seen<String>,
    /// Protocols that the client offers (ALPN).
    pub alpn_offered: Seen<Vec<String>>,
    /// The one that the server chose; from version 1.3 on that is encrypted, and unknown.
    pub alpn: Seen<String>,
    /// Version that the server chose, as on the wire: 0x0303 is 1.2, 0x0304 is 1.3.
    pub version: Seen<u16>,
    /// First octet of the client's hello.
    pub start_ns: Option<u64>,
    /// The server's hello.
    pub hello_ns: Option<u64>,
    /// When both sides had agreed: 1.3, the client's first record after the server's hello; before, the second change of keys.
    pub done_ns: Option<u64>,
    /// How it ended.
    pub ending: TlsEnding,
}

/// A request to a Kafka broker and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kafka {
    /// Number of the call: 0 produces, 1 fetches; the others are in Kafka's protocol guide.
    pub api: i16,
    /// Version of the call.
    pub version: i16,
    /// What the client calls itself (`client.id`).
    pub client: Seen<String>,
    /// Consumer group; absent if the call has none.
    pub group: Seen<String>,
    /// Topics; of a fetch those of its session.
    pub topics: Vec<KafkaTopic>,
    /// Whether these are all.
    pub all_topics: bool,
    /// First error code of the answer that is not zero, else zero; absent if none will come.
    pub error: Seen<i16>,
    /// Octets of the request on the wire.
    pub request_octets: u64,
    /// Octets of the answer on the wire; absent if none will come.
    pub response_octets: Seen<u64>,
    /// First octet of the request.
    pub start_ns: u64,
    /// Last octet of the answer that was seen, or of a request without one.
    pub end_ns: Option<u64>,
    /// How it ended.
    pub ending: Ending,
}

/// A topic of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaTopic {
    /// Its name; unknown if only its number was said, and no answer yet that has both.
    pub name: Seen<String>,
    /// Its number, if it was said.
    pub id: Option<[u8; 16]>,
    /// Octets of its records in the request or in the answer.
    pub octets: Seen<u64>,
    /// First error code of its partitions that is not zero, else zero.
    pub error: Seen<i16>,
}

impl KafkaTopic {
    /// Whether both are one topic.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(id), Some(other)) => id == other,
            _ => self.name.known().is_some() && self.name == other.name,
        }
    }
}
