//! HTTP/2 and gRPC (RFC 9113): streams tell which answer belongs to which request, and fields that cannot be proven are unknown.

mod fields;
mod frames;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::{
    classify::PREFACE,
    conversation::Direction,
    record::{Ending, Http, Seen},
    stream::Piece,
};
use fields::Fields;
use frames::{Event, Frames};
use stream::Stream;

pub use frames::BLOCK_OCTETS;

/// Streams of one connection that are followed.
pub const STREAMS: usize = 256;

/// Octets of the texts of one connection's streams; a further stream is not followed.
pub const TEXT_OCTETS: usize = 512 << 10;

/// Octets that one connection takes at the most: blocks and tables of both directions, and streams.
pub const MEMORY_OCTETS: usize = 1 << 20;

/// Streams that ended a short time ago, of which frames may still be under way.
const ENDED: usize = 64;

/// By how much the number of a stream behind a gap may be ahead.
const AHEAD: u32 = 20_000;

/// How long a stream is kept whose end may have been missed.
pub const DOUBT_NS: u64 = 60_000_000_000;

/// One connection.
#[derive(Debug)]
pub struct Http2 {
    sides: [Frames; 2],
    streams: BTreeMap<u32, Stream>,
    text_octets: usize,
    ended: VecDeque<u32>,
    /// The last stream that the server answers.
    last: u32,
    /// What was said first is known: streams that were not seen are not there.
    from_start: bool,
    /// How often something was missed.
    pub doubts: u64,
    /// Streams that were not followed.
    pub over_budget: u64,
    /// Requests that were told as overdue, with what became of them.
    pub late: Vec<Http>,
}

impl Http2 {
    /// A connection; `midway`: its beginning was not seen.
    pub fn new(midway: bool) -> Self {
        let mut sides = [Frames::new(true), Frames::new(false)];
        if midway {
            sides.iter_mut().for_each(Frames::lose);
        }
        Self {
            sides,
            streams: BTreeMap::new(),
            text_octets: 0,
            ended: VecDeque::new(),
            last: u32::MAX,
            from_start: !midway,
            doubts: midway.into(),
            over_budget: 0,
            late: Vec::new(),
        }
    }

    /// A connection that was one of HTTP/1, whose last request is the first stream (RFC 7540, section 3.2).
    pub fn upgraded(request: Http, told: bool) -> Self {
        let mut connection = Self::new(false);
        let stream = Stream::upgraded(request, told);
        connection.text_octets = stream.octets();
        connection.streams.insert(1, stream);
        connection
    }

    /// Takes what comes next.
    pub fn piece(&mut self, direction: Direction, piece: Piece<'_>, out: &mut Vec<Http>) {
        let mine = direction as usize;
        let (octets, begins, time_ns) = match piece {
            Piece::Octets {
                octets,
                begins,
                time_ns,
            } => (octets, begins, time_ns),
            Piece::Gap {
                octets, time_ns, ..
            } => {
                if let Some(event) = self.sides[mine].skip(octets) {
                    self.event(direction, event, time_ns, out);
                }
                if direction == Direction::ToClient && self.sides[mine].is_lost() {
                    self.end_cancelled(out);
                }
                return;
            }
        };
        if begins && direction == Direction::ToServer && octets.starts_with(PREFACE) {
            // Nobody can have sent fields before, whatever was missed.
            self.from_start = true;
            self.sides[0] = Frames::new(true);
            if self.sides[1].is_lost() {
                self.sides[1].begin_anew();
            }
        }
        if self.sides[mine].is_lost() && !(begins && self.resume(direction, octets)) {
            self.missed(direction);
            if direction == Direction::ToClient {
                self.end_cancelled(out);
            }
            return;
        }
        if direction == Direction::ToClient {
            self.end_cancelled(out);
        }
        let mut rest = octets;
        while !rest.is_empty() {
            let (event, after) = self.sides[mine].read(rest, time_ns);
            rest = after;
            if let Some(event) = event {
                self.event(direction, event, time_ns, out);
            }
        }
    }

    /// Goes on after a gap. What is left of a frame may look like one, but hardly like one of a stream that there is.
    fn resume(&mut self, direction: Direction, octets: &[u8]) -> bool {
        let Self {
            sides,
            streams,
            ended,
            from_start,
            ..
        } = self;
        let opened = streams.keys().chain(ended.iter()).max().copied();
        let can_be = |id: u32| {
            let Some(latest) = opened.or(from_start.then_some(0)) else {
                // Streams of even numbers are a server's own, which hardly any opens.
                return id == 0 || id % 2 == 1;
            };
            let is_next = direction == Direction::ToServer && id % 2 == 1 && id > latest;
            let known = id == 0 || streams.contains_key(&id) || ended.contains(&id);
            known || (is_next && id - latest <= AHEAD)
        };
        sides[direction as usize].resume(octets, can_be)
    }

    /// Tells of streams whose end was missed.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<Http>) {
        let old = self.streams.iter().filter(|(_, stream)| {
            let since = stream.record.start_ns.or(stream.record.answer_ns);
            (stream.may_have_ended() || stream.cancelled.is_some())
                && since.is_none_or(|since| now_ns.saturating_sub(since) >= DOUBT_NS)
        });
        for id in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, Ending::Unknown, out);
        }
    }

    /// Tells of requests that wait for too long. When their answers come they are no records any more.
    pub fn overdue(&mut self, mut is_overdue: impl FnMut(&mut Http) -> bool, out: &mut Vec<Http>) {
        let waiting = self.streams.values_mut().filter(|stream| stream.waits());
        for stream in waiting {
            let before = stream.octets();
            stream.told = is_overdue(&mut stream.record);
            self.text_octets = self.text_octets + stream.octets() - before;
            if stream.told {
                out.push(stream.clone().finish(Ending::Overdue));
            }
        }
    }

    /// The connection is over: tells of streams without a whole answer. `certain`: nothing was missed that is not in a gap.
    pub fn closed(&mut self, certain: bool, out: &mut Vec<Http>) {
        if !certain {
            self.missed(Direction::ToClient);
        }
        self.end_cancelled(out);
        while let Some((id, stream)) = self.streams.first_key_value() {
            let ending = if certain && !stream.may_have_ended() {
                Ending::Closed
            } else {
                Ending::Unknown
            };
            let id = *id;
            self.end(id, ending, out);
        }
    }

    /// Octets that this connection takes.
    pub fn octets(&self) -> usize {
        let sides: usize = self.sides.iter().map(Frames::octets).sum();
        size_of::<Self>() + sides + self.text_octets + self.streams.len() * size_of::<Stream>()
    }

    fn event(&mut self, direction: Direction, event: Event, time_ns: u64, out: &mut Vec<Http>) {
        match event {
            Event::Fields {
                stream,
                fields,
                ends,
                begin_ns,
            } => {
                // Streams of even numbers are a server's own.
                if stream % 2 == 0 || self.ended.contains(&stream) {
                    return;
                }
                self.fields(direction, stream, *fields, begin_ns);
                self.goes_on(direction, stream, ends, time_ns, out);
                self.refuse(out);
            }
            Event::Data {
                stream,
                octets,
                ends,
            } => {
                if let Some(known) = self.streams.get_mut(&stream) {
                    known.data(direction, octets);
                }
                self.goes_on(direction, stream, ends, time_ns, out);
            }
            Event::Reset { stream, code } => self.reset(direction, stream, code, out),
            Event::GoAway { last } if direction == Direction::ToClient => {
                self.last = last;
                self.refuse(out);
            }
            Event::GoAway { .. } => {}
            Event::Missed => {
                self.doubts += 1;
                self.missed(direction);
            }
        }
    }

    fn reset(&mut self, direction: Direction, id: u32, code: u32, out: &mut Vec<Http>) {
        let stream = self.streams.get_mut(&id);
        if direction == Direction::ToServer
            && let Some(stream) = stream.filter(|stream| !stream.is_answered())
        {
            // Whether an answer was lost shows with what the server says next.
            stream.cancelled = Some(code);
            return;
        }
        self.end(id, Ending::Reset(direction, code), out);
    }

    /// Streams that the client let go of are over.
    fn end_cancelled(&mut self, out: &mut Vec<Http>) {
        let cancelled = self.streams.iter();
        let cancelled = cancelled.filter_map(|(id, stream)| Some((*id, stream.cancelled?)));
        for (id, code) in cancelled.collect::<Vec<_>>() {
            self.end(id, Ending::Reset(Direction::ToServer, code), out);
        }
    }

    /// Streams after the last one that the server answers are over.
    fn refuse(&mut self, out: &mut Vec<Http>) {
        while let Some((id, _)) = self.streams.last_key_value()
            && *id > self.last
        {
            let id = *id;
            self.end(id, Ending::Refused, out);
        }
    }

    fn fields(&mut self, direction: Direction, id: u32, fields: Fields, begin_ns: u64) {
        let trailers = direction == Direction::ToServer && fields.method == Seen::Absent;
        if !self.streams.contains_key(&id) {
            let full = self.streams.len() >= STREAMS || self.text_octets >= TEXT_OCTETS;
            if full || trailers {
                self.over_budget += u64::from(full);
                return;
            }
        }
        let stream = self.streams.entry(id).or_default();
        let before = stream.octets();
        match direction {
            Direction::ToServer if !trailers => stream.request(fields, begin_ns),
            Direction::ToServer => {}
            Direction::ToClient => stream.answer(fields, begin_ns),
        }
        self.text_octets = self.text_octets + stream.octets() - before;
    }

    /// After a frame of a stream: notes its end and when it was seen last.
    fn goes_on(
        &mut self,
        direction: Direction,
        id: u32,
        ends: bool,
        time_ns: u64,
        out: &mut Vec<Http>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if direction == Direction::ToClient {
            stream.record.end_ns = Some(time_ns);
        }
        if ends {
            stream.ends(direction);
        }
        if ends && direction == Direction::ToClient {
            self.end(id, Ending::Whole, out);
        }
    }

    /// A stream is over.
    fn end(&mut self, id: u32, ending: Ending, out: &mut Vec<Http>) {
        if let Some(stream) = self.streams.remove(&id) {
            self.text_octets -= stream.octets();
            let of = if stream.told { &mut self.late } else { out };
            of.push(stream.finish(ending));
        }
        if self.ended.len() >= ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(id);
    }

    /// Frames of this direction may have been missed.
    fn missed(&mut self, direction: Direction) {
        for stream in self.streams.values_mut() {
            stream.miss(direction);
        }
    }
}
