//! One request with what is known of its answer, and how bodies end.

use super::{
    head::{Head, Start},
    side::Framing,
};
use crate::record::{Http, Seen};

/// A request that waits for its answer, or for the rest of it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) record: Http,
    pub(super) bodiless: bool,
    pub(super) connect: bool,
    pub(super) h2c: bool,
    /// The end of the request was not seen yet.
    pub(super) asking: bool,
    /// The head of the final answer was seen.
    pub(super) answered: bool,
    /// Where the answer ends is not known, or it was missed.
    pub(super) endless: bool,
    /// It is overdue, and that was told.
    pub(super) told: bool,
}

impl Exchange {
    pub(super) fn new(head: &Head) -> Self {
        let rest = |value: &Option<String>| match value {
            Some(value) => Seen::Known(value.clone()),
            None if head.whole => Seen::Absent,
            None => Seen::Unknown,
        };
        let mut record = Http {
            host: rest(&head.host),
            traceparent: rest(&head.traceparent),
            grpc: Seen::Absent,
            start_ns: Some(head.start_ns),
            ..Http::default()
        };
        let (mut bodiless, mut connect) = (false, false);
        if let Some(Start::Request {
            method,
            path,
            version,
        }) = &head.start
        {
            bodiless = method == "HEAD";
            connect = method == "CONNECT";
            record.version = *version;
            record.method = Seen::Known(method.clone());
            record.path = path.clone().map_or(Seen::Unknown, Seen::Known);
        }
        if let Framing::Length(length) = request_framing(head)
            && head.whole
        {
            record.request_octets = Seen::Known(length);
        }
        Self {
            record,
            bodiless,
            connect,
            h2c: head.h2c,
            asking: true,
            answered: false,
            endless: false,
            told: false,
        }
    }

    /// Whether all of it was seen, and nothing came back.
    pub(super) fn waits(&self) -> bool {
        let asked = !self.asking && self.record.request_octets.known().is_some();
        asked && !self.answered && !self.endless && !self.told
    }

    /// Tells of it, once.
    pub(super) fn tell(self, late: &mut Vec<Http>, out: &mut Vec<Http>) {
        let of = if self.told { late } else { out };
        of.push(self.record);
    }
}

/// How a request's body ends (RFC 9112, section 6.3).
pub(super) fn request_framing(head: &Head) -> Framing {
    match head {
        Head { chunked: true, .. } => Framing::Chunked,
        Head {
            odd_coding: true, ..
        }
        | Head { broken: true, .. } => Framing::Unknown,
        _ => Framing::Length(head.length.unwrap_or(0)),
    }
}

/// How an answer's body ends (RFC 9112, section 6.3).
pub(super) fn answer_framing(head: &Head, status: u16, bodiless: bool, connect: bool) -> Framing {
    match (status, head) {
        (101, _) => Framing::Opaque,
        (200..300, _) if connect => Framing::Opaque,
        (204 | 304, _) => Framing::Length(0),
        _ if bodiless => Framing::Length(0),
        (_, Head { chunked: true, .. }) => Framing::Chunked,
        (
            _,
            Head {
                odd_coding: true, ..
            },
        ) => Framing::UntilClose,
        (_, Head { broken: true, .. }) => Framing::Unknown,
        (
            _,
            Head {
                length: Some(length),
                ..
            },
        ) => Framing::Length(*length),
        _ => Framing::UntilClose,
    }
}
