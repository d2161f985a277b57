//! One stream: a request and its answer.

use super::fields::Fields;
use crate::{
    conversation::Direction,
    record::{Ending, Grpc, Http, HttpVersion, Seen},
};

/// How far one side of a stream came.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    octets: u64,
    /// How many octets there were is not known.
    odd: bool,
    /// Fields were seen.
    begun: bool,
    ended: bool,
    /// Frames may have been missed since the stream began.
    missed: bool,
}

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) record: Http,
    halves: [Half; 2],
    /// Frames may have been missed, a reset among them.
    missed: bool,
    /// The client let go of it, with this code.
    pub(super) cancelled: Option<u32>,
    /// It is overdue, and that was told.
    pub(super) told: bool,
    grpc: Seen<bool>,
    grpc_status: Seen<u32>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            record: Http {
                version: HttpVersion::Http2,
                ..Http::default()
            },
            halves: [Half::default(); 2],
            missed: false,
            cancelled: None,
            told: false,
            grpc: Seen::Unknown,
            grpc_status: Seen::Absent,
        }
    }
}

impl Stream {
    pub(super) fn upgraded(request: Http, told: bool) -> Self {
        let mut stream = Self {
            told,
            record: Http {
                status: Seen::Unknown,
                answer_ns: None,
                end_ns: None,
                ..request
            },
            grpc: Seen::Known(false),
            ..Self::default()
        };
        let half = &mut stream.halves[Direction::ToServer as usize];
        half.begun = true;
        half.ended = true;
        half.octets = stream.record.request_octets.known().copied().unwrap_or(0);
        half.odd = stream.record.request_octets.known().is_none();
        stream
    }

    pub(super) fn octets(&self) -> usize {
        self.record.octets()
    }

    /// Takes the fields of a request.
    pub(super) fn request(&mut self, fields: Fields, begin_ns: u64) {
        let half = &mut self.halves[Direction::ToServer as usize];
        if half.begun {
            return;
        }
        half.begun = true;
        self.record.method = fields.method;
        self.record.path = fields.path;
        self.record.host = fields.host;
        self.record.traceparent = fields.traceparent;
        self.record.start_ns = Some(begin_ns);
        self.grpc = match fields.grpc {
            Seen::Absent => Seen::Known(false),
            seen => seen,
        };
    }

    /// Takes the fields of an answer, or those behind it.
    pub(super) fn answer(&mut self, fields: Fields, begin_ns: u64) {
        let half = &mut self.halves[Direction::ToClient as usize];
        match fields.status {
            // An interim answer (RFC 9110, section 15.2).
            Seen::Known(100..200) => return,
            Seen::Known(_) => {
                self.record.status = fields.status;
                self.record.answer_ns = Some(begin_ns);
            }
            Seen::Absent | Seen::Unknown => {
                self.record.answer_ns = self.record.answer_ns.or(Some(begin_ns));
            }
        }
        half.begun = true;
        if fields.grpc == Seen::Known(true) {
            self.grpc = Seen::Known(true);
        }
        self.grpc_status = fields.grpc_status;
    }

    pub(super) fn data(&mut self, direction: Direction, octets: Option<u64>) {
        let half = &mut self.halves[direction as usize];
        half.octets += octets.unwrap_or(0);
        half.odd |= octets.is_none();
    }

    pub(super) fn ends(&mut self, direction: Direction) {
        self.halves[direction as usize].ended = true;
    }

    pub(super) fn miss(&mut self, direction: Direction) {
        let half = &mut self.halves[direction as usize];
        half.missed |= !half.ended;
        self.missed = true;
    }

    /// Whether anything of an answer was seen.
    pub(super) fn is_answered(&self) -> bool {
        self.halves[Direction::ToClient as usize].begun
    }

    /// Whether all of it was seen, and nothing came back.
    pub(super) fn waits(&self) -> bool {
        let [request, answer] = &self.halves;
        let asked = request.begun && request.ended && !request.odd;
        asked && !answer.begun && !self.missed && self.cancelled.is_none() && !self.told
    }

    /// Whether its end may have been missed.
    pub(super) fn may_have_ended(&self) -> bool {
        self.missed
    }

    /// The record, once nothing more comes.
    pub(super) fn finish(self, ending: Ending) -> Http {
        let Self {
            mut record,
            halves: [request, answer],
            ..
        } = self;
        // A request whose fields were missed may have had data before what was seen of it.
        if request.begun && request.ended && !request.odd && !request.missed {
            record.request_octets = Seen::Known(request.octets);
        }
        let whole = ending == Ending::Whole && !answer.odd && !answer.missed;
        if whole && record.status != Seen::Unknown {
            record.response_octets = Seen::Known(answer.octets);
        }
        let nothing = record.status == Seen::Unknown && !answer.begun && !answer.missed;
        if nothing && request.begun && ending != Ending::Unknown {
            record.status = Seen::Absent;
        }
        record.grpc = match (self.grpc, &record.path) {
            (Seen::Known(false), _) => Seen::Absent,
            (Seen::Known(true), path) => Seen::Known(call(path, &answer, ending, self.grpc_status)),
            (Seen::Absent | Seen::Unknown, _) => Seen::Unknown,
        };
        record.ending = ending;
        record
    }
}

/// What gRPC says: service and method in the path, the status in the trailers.
fn call(path: &Seen<String>, answer: &Half, ending: Ending, status: Seen<u32>) -> Grpc {
    let parts = match path {
        Seen::Known(path) => path.trim_start_matches('/').rsplit_once('/'),
        Seen::Absent | Seen::Unknown => None,
    };
    let name = |name: Option<&str>| name.map_or(Seen::Unknown, |name| Seen::Known(name.into()));
    // Without the end of the answer the status was not said, or not seen.
    let whole = ending == Ending::Whole;
    Grpc {
        service: name(parts.map(|(service, _)| service)),
        method: name(parts.map(|(_, method)| method)),
        status: match status {
            Seen::Absent if answer.missed || !whole => Seen::Unknown,
            status => status,
        },
    }
}
