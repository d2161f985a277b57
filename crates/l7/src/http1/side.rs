//! One direction of HTTP/1: heads, and bodies that are passed over without being there (RFC 9112, sections 6 and 7).

use super::head::{Head, Progress, Reader};
use crate::{
    classify::{self, Mark},
    conversation::Direction,
    record::Seen,
};

/// Octets of the line before a chunk.
const CHUNK_LINE_OCTETS: usize = 1024;

/// Octets of the fields behind the last chunk.
const TRAILER_OCTETS: usize = 64 << 10;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
    /// Nobody can tell.
    Unknown,
    /// Nothing that follows is HTTP/1.
    Opaque,
}

/// What happens in a direction.
#[derive(Debug)]
pub(super) enum Event {
    /// A head; one that is not whole ends in a gap. After a whole one the owner says how the body ends.
    Head(Box<Head>),
    /// The end of a body.
    End(Seen<u64>),
    /// Where the message that was under way ends is not known.
    Endless,
    /// Messages may have been missed.
    Missed,
}

#[derive(Debug)]
enum At {
    Head(Reader),
    Length(u64),
    Chunks(Chunks),
    UntilClose,
    /// Until a segment begins with a head.
    Lost,
    Opaque,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    /// After the digits, up to the end of the line.
    Extension,
    Data(u64),
    /// CR and LF behind the data.
    DataEnd,
    Trailer,
}

#[derive(Debug, Default)]
struct Chunks {
    part: Part,
    size: u64,
    digits: usize,
    /// Octets of the line or of the trailer.
    octets: usize,
    /// Octets of the trailer's line but CR.
    line: usize,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Side {
    direction: Direction,
    at: At,
    /// Octets of the body so far.
    body: u64,
}

impl Side {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            at: At::Head(Reader::default()),
            body: 0,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.at, At::Lost)
    }

    /// Whether it is between two messages.
    pub(super) fn is_between(&self) -> bool {
        matches!(&self.at, At::Head(reader) if reader.is_empty())
    }

    /// Whether the body is one that ends with the connection.
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self.at, At::UntilClose)
    }

    pub(super) fn lose(&mut self) {
        self.at = At::Lost;
    }

    /// Octets that are kept.
    pub(super) fn octets(&self) -> usize {
        match &self.at {
            At::Head(reader) => reader.octets(),
            _ => 0,
        }
    }

    /// Octets of the body under way.
    pub(super) fn body(&self) -> u64 {
        self.body
    }

    /// Whether a segment that begins so begins a message.
    pub(super) fn begins_message(&self, octets: &[u8]) -> bool {
        match self.direction {
            Direction::ToServer => classify::begins_http1_request(octets),
            Direction::ToClient => classify::http1_answer(octets) == Mark::Yes,
        }
    }

    /// Begins anew with a head.
    pub(super) fn resume(&mut self) {
        self.at = At::Head(Reader::default());
    }

    /// Says how the body ends whose head was just read.
    pub(super) fn body_follows(&mut self, framing: Framing) -> Option<Event> {
        self.body = 0;
        self.at = match framing {
            Framing::Length(0) => {
                self.resume();
                return Some(Event::End(Seen::Known(0)));
            }
            Framing::Length(length) => At::Length(length),
            Framing::Chunked => At::Chunks(Chunks::default()),
            Framing::UntilClose => At::UntilClose,
            Framing::Unknown => At::Lost,
            Framing::Opaque => At::Opaque,
        };
        None
    }

    /// Reads up to the next event, and gives the octets behind it.
    pub(super) fn read<'a>(&mut self, octets: &'a [u8], time_ns: u64) -> (Option<Event>, &'a [u8]) {
        match &mut self.at {
            At::Head(reader) => match reader.read(octets, time_ns) {
                Progress::More => (None, &[]),
                Progress::Done(head, count) => (Some(Event::Head(head)), &octets[count..]),
                Progress::Wrong => {
                    self.at = At::Lost;
                    (Some(Event::Missed), &[])
                }
            },
            At::Length(left) => {
                let mine = octets
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                self.body += mine as u64;
                *left -= mine as u64;
                let ended = *left == 0;
                (ended.then(|| self.end()), &octets[mine..])
            }
            At::Chunks(chunks) => match chunks.read(octets, &mut self.body) {
                Some((true, count)) => (Some(self.end()), &octets[count..]),
                Some((false, _)) => (None, &[]),
                None => {
                    self.at = At::Lost;
                    (Some(Event::Endless), &[])
                }
            },
            At::UntilClose => {
                self.body += octets.len() as u64;
                (None, &[])
            }
            At::Lost | At::Opaque => (None, &[]),
        }
    }

    /// Passes over octets that are not there.
    pub(super) fn skip(&mut self, octets: u64) -> Option<Event> {
        match &mut self.at {
            At::Head(reader) => {
                let head = reader.cut();
                self.at = At::Lost;
                Some(head.map_or(Event::Missed, Event::Head))
            }
            At::Length(left)
            | At::Chunks(Chunks {
                part: Part::Data(left),
                ..
            }) if octets <= *left => {
                *left -= octets;
                self.body += octets;
                match &mut self.at {
                    At::Length(0) => Some(self.end()),
                    At::Chunks(chunks) if chunks.part == Part::Data(0) => {
                        chunks.part = Part::DataEnd;
                        None
                    }
                    _ => None,
                }
            }
            At::Length(_) | At::Chunks(_) => {
                self.at = At::Lost;
                Some(Event::Endless)
            }
            At::UntilClose => {
                self.body += octets;
                None
            }
            At::Lost | At::Opaque => None,
        }
    }

    fn end(&mut self) -> Event {
        self.resume();
        Event::End(Seen::Known(self.body))
    }
}

impl Chunks {
    /// Whether the body ends, and after how many octets; nothing if these are no chunks.
    fn read(&mut self, octets: &[u8], body: &mut u64) -> Option<(bool, usize)> {
        let mut at = 0;
        while let Some(octet) = octets.get(at) {
            if let Part::Data(left) = &mut self.part {
                let here = (octets.len() - at) as u64;
                let mine = here.min(*left);
                *left -= mine;
                *body += mine;
                at += mine as usize;
                if *left == 0 {
                    self.part = Part::DataEnd;
                }
                continue;
            }
            at += 1;
            if self.octet(*octet)? {
                return Some((true, at));
            }
        }
        Some((false, at))
    }

    /// Takes an octet that is no data; true with the last one of the body.
    fn octet(&mut self, octet: u8) -> Option<bool> {
        match (self.part, octet) {
            (Part::Size, digit) if digit.is_ascii_hexdigit() && self.digits < 16 => {
                let digit = char::from(digit).to_digit(16)?;
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
            }
            (Part::Size | Part::Extension, b'\n') if self.digits > 0 => {
                let size = self.size;
                *self = Self::default();
                self.part = match size {
                    0 => Part::Trailer,
                    size => Part::Data(size),
                };
            }
            (Part::Size, b'\r' | b';' | b' ' | b'\t') if self.digits > 0 => {
                self.part = Part::Extension;
            }
            (Part::Extension, _) if self.octets < CHUNK_LINE_OCTETS => self.octets += 1,
            (Part::DataEnd, b'\r') if self.octets == 0 => self.octets = 1,
            (Part::DataEnd, b'\n') => *self = Self::default(),
            (Part::Trailer, b'\n') => {
                let empty = self.line == 0;
                self.line = 0;
                return Some(empty);
            }
            (Part::Trailer, b'\r') => {}
            (Part::Trailer, _) if self.octets < TRAILER_OCTETS => {
                self.octets += 1;
                self.line += 1;
            }
            _ => return None,
        }
        Some(false)
    }
}
