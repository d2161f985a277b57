//! One direction of HTTP/2: frames (RFC 9113, sections 4 and 6), of which those with fields are read and the others passed
//! over without being there.

use super::fields::Fields;
use crate::{
    classify::{PREFACE, frame_length},
    hpack::Table,
    octets::Octets,
};

/// Octets of a block of fields over all its frames; a longer one is not read.
pub const BLOCK_OCTETS: usize = 32 << 10;

/// Octets of a frame's head.
const HEAD_OCTETS: usize = 9;

/// What a frame after a gap may have at the most, to be taken for one.
const PLAUSIBLE_OCTETS: u32 = 1 << 20;

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}

mod flag {
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
}

/// What happens in a direction.
#[derive(Debug)]
pub(super) enum Event {
    /// A block of fields.
    Fields {
        stream: u32,
        fields: Box<Fields>,
        ends: bool,
        /// When the first octet of its frame was seen.
        begin_ns: u64,
    },
    /// A frame of data; how much of it is padding may be unknown.
    Data {
        stream: u32,
        octets: Option<u64>,
        ends: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    /// Streams after this one are not answered.
    GoAway {
        last: u32,
    },
    /// Frames may have been missed.
    Missed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// A frame under way.
#[derive(Debug, Default)]
struct Payload {
    head: Head,
    left: u64,
    /// What is kept of it.
    octets: Vec<u8>,
    holed: bool,
    begin_ns: u64,
}

/// A block under way.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends: bool,
    promise: bool,
    octets: Vec<u8>,
    holed: bool,
    begin_ns: u64,
}

#[derive(Debug)]
enum At {
    /// So many octets of the client's first ones were seen.
    Preface(usize),
    Head(Vec<u8>, u64),
    Payload(Payload),
    /// Until a segment begins with frames.
    Lost,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    block: Option<Block>,
    table: Table,
}

impl Frames {
    /// From the beginning, which of a client has a preface.
    pub(super) fn new(preface: bool) -> Self {
        Self {
            at: if preface {
                At::Preface(0)
            } else {
                At::Head(Vec::new(), 0)
            },
            block: None,
            table: Table::default(),
        }
    }

    pub(super) fn lose(&mut self) {
        self.at = At::Lost;
        self.block = None;
        self.table.forget();
    }

    /// Begins where frames begin, with a table to which nothing was said yet.
    pub(super) fn begin_anew(&mut self) {
        self.lose();
        self.table = Table::default();
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.at, At::Lost)
    }

    /// Octets that it takes.
    pub(super) fn octets(&self) -> usize {
        let at = match &self.at {
            At::Head(octets, _) => octets.capacity(),
            At::Payload(payload) => payload.octets.capacity(),
            At::Preface(_) | At::Lost => 0,
        };
        let block = self
            .block
            .as_ref()
            .map_or(0, |block| block.octets.capacity());
        at + block + self.table.memory()
    }

    /// Goes on after a gap, if a segment that begins so begins with frames of streams that there can be.
    pub(super) fn resume(&mut self, octets: &[u8], can_be: impl Fn(u32) -> bool) -> bool {
        let begins = begins_with_frames(octets, can_be);
        if begins {
            self.at = At::Head(Vec::new(), 0);
        }
        begins
    }

    /// Reads up to the next event, and gives the octets behind it.
    pub(super) fn read<'a>(&mut self, octets: &'a [u8], time_ns: u64) -> (Option<Event>, &'a [u8]) {
        match &mut self.at {
            At::Preface(seen) => {
                let count = octets.len().min(PREFACE.len() - *seen);
                let fits = octets[..count] == PREFACE[*seen..*seen + count];
                *seen += count;
                if !fits {
                    self.lose();
                    return (Some(Event::Missed), &[]);
                }
                if *seen == PREFACE.len() {
                    self.at = At::Head(Vec::new(), 0);
                }
                (None, &octets[count..])
            }
            At::Head(head, begin_ns) => {
                if head.is_empty() {
                    *begin_ns = time_ns;
                }
                let count = octets.len().min(HEAD_OCTETS - head.len());
                head.extend_from_slice(&octets[..count]);
                let begin_ns = *begin_ns;
                let event = Head::parse(head).and_then(|head| self.begin(head, begin_ns));
                (event, &octets[count..])
            }
            At::Payload(payload) => {
                let count = octets
                    .len()
                    .min(usize::try_from(payload.left).unwrap_or(usize::MAX));
                payload.take(&octets[..count]);
                let event = if payload.left == 0 { self.end() } else { None };
                (event, &octets[count..])
            }
            At::Lost => (None, &[]),
        }
    }

    /// Passes over octets that are not there.
    pub(super) fn skip(&mut self, octets: u64) -> Option<Event> {
        match &mut self.at {
            At::Payload(payload) if octets <= payload.left => {
                payload.left -= octets;
                payload.holed = true;
                if payload.left == 0 { self.end() } else { None }
            }
            _ => {
                self.lose();
                Some(Event::Missed)
            }
        }
    }

    /// A frame's head was read.
    fn begin(&mut self, head: Head, begin_ns: u64) -> Option<Event> {
        // Between the frames of a block there is no other one (section 6.10).
        let continues = self
            .block
            .as_ref()
            .is_some_and(|block| block.stream == head.stream);
        if self.block.is_some() && !(head.kind == kind::CONTINUATION && continues) {
            self.lose();
            return Some(Event::Missed);
        }
        self.at = At::Payload(Payload {
            head,
            left: head.length.into(),
            begin_ns,
            ..Payload::default()
        });
        if head.length == 0 { self.end() } else { None }
    }

    /// A frame is over.
    fn end(&mut self) -> Option<Event> {
        let next = At::Head(Vec::new(), 0);
        let At::Payload(payload) = std::mem::replace(&mut self.at, next) else {
            return None;
        };
        let Head {
            kind,
            flags,
            stream,
            ..
        } = payload.head;
        match kind {
            kind::DATA => Some(Event::Data {
                stream,
                octets: payload.data_octets(),
                ends: flags & flag::END_STREAM != 0,
            }),
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => self.block_goes_on(&payload),
            kind::RST_STREAM if !payload.holed => {
                let code = Octets::new(&payload.octets).u32()?;
                Some(Event::Reset { stream, code })
            }
            kind::GOAWAY if payload.octets.len() >= 4 => {
                let last = Octets::new(&payload.octets).u32()?;
                Some(Event::GoAway {
                    last: last & 0x7fff_ffff,
                })
            }
            // It ended a stream, or several, and nobody knows how.
            kind::RST_STREAM | kind::GOAWAY => Some(Event::Missed),
            _ => None,
        }
    }

    fn block_goes_on(&mut self, payload: &Payload) -> Option<Event> {
        let Head {
            kind,
            flags,
            stream,
            ..
        } = payload.head;
        let fragment = payload.fragment();
        let block = match (kind, &mut self.block) {
            (kind::CONTINUATION, Some(block)) => block,
            // Its beginning was missed.
            (kind::CONTINUATION, None) => {
                self.table.forget();
                return None;
            }
            (_, block) => block.insert(Block {
                stream,
                ends: kind == kind::HEADERS && flags & flag::END_STREAM != 0,
                promise: kind == kind::PUSH_PROMISE,
                octets: Vec::new(),
                holed: false,
                begin_ns: payload.begin_ns,
            }),
        };
        match fragment {
            Some(fragment) if block.octets.len() + fragment.len() <= BLOCK_OCTETS => {
                block.octets.extend_from_slice(fragment);
            }
            _ => block.holed = true,
        }
        if flags & flag::END_HEADERS == 0 {
            return None;
        }
        let block = self.block.take()?;
        let mut fields = Fields::default();
        if block.holed {
            self.table.forget();
            fields.miss();
        } else if self
            .table
            .read(&block.octets, &mut |field| fields.take(field))
            .is_err()
        {
            fields.miss();
        }
        // What a server says by itself answers nobody.
        (!block.promise).then(|| Event::Fields {
            stream: block.stream,
            fields: Box::new(fields),
            ends: block.ends,
            begin_ns: block.begin_ns,
        })
    }
}

impl Head {
    fn parse(octets: &[u8]) -> Option<Self> {
        let mut octets = Octets::new(octets);
        Some(Self {
            length: octets.u24()?,
            kind: octets.u8()?,
            flags: octets.u8()?,
            stream: octets.u32()? & 0x7fff_ffff,
        })
    }
}

impl Payload {
    fn take(&mut self, octets: &[u8]) {
        self.left -= octets.len() as u64;
        let wanted = match self.head.kind {
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => BLOCK_OCTETS + 512,
            kind::RST_STREAM | kind::GOAWAY => 4,
            kind::DATA => 1,
            _ => 0,
        };
        // Behind a hole nothing is where it seems.
        if !self.holed {
            let room = usize::saturating_sub(wanted, self.octets.len());
            self.octets
                .extend_from_slice(&octets[..octets.len().min(room)]);
        }
    }

    /// Octets of data, without padding (section 6.1).
    fn data_octets(&self) -> Option<u64> {
        let all = u64::from(self.head.length);
        if self.head.flags & flag::PADDED == 0 {
            return Some(all);
        }
        let padding = self.octets.first()?;
        all.checked_sub(1 + u64::from(*padding))
    }

    /// The part of a block in a frame (sections 6.2, 6.6 and 6.10), if all of it is there.
    fn fragment(&self) -> Option<&[u8]> {
        if self.holed || self.octets.len() != self.head.length as usize {
            return None;
        }
        let mut octets = Octets::new(&self.octets);
        let Head { kind, flags, .. } = self.head;
        let opens = kind != kind::CONTINUATION;
        let padding = if opens && flags & flag::PADDED != 0 {
            octets.u8()?
        } else {
            0
        };
        let before = match kind {
            kind::HEADERS if flags & flag::PRIORITY != 0 => 5,
            kind::PUSH_PROMISE => 4,
            _ => 0,
        };
        octets.take(before)?;
        let rest = octets.rest();
        rest.get(..rest.len().checked_sub(padding.into())?)
    }
}

/// Whether octets at the beginning of a segment are frames: two heads that fit, or one whose frame ends with the octets.
fn begins_with_frames(octets: &[u8], can_be: impl Fn(u32) -> bool) -> bool {
    let mut rest = Octets::new(octets);
    for number in 0..2 {
        if number > 0 && rest.is_empty() {
            return true;
        }
        if Head::parse(rest.rest()).is_some_and(|head| !can_be(head.stream)) {
            return false;
        }
        let length = frame_length(&mut rest).filter(|length| *length <= PLAUSIBLE_OCTETS);
        let Some(length) = length else {
            return false;
        };
        if rest.take(length as usize).is_none() {
            return number > 0;
        }
    }
    true
}
