//! HTTP/1: requests and their answers (RFC 9112).
//!
//! Answers come in the order of their requests, so counting tells which belong together, as long as none was missed. When
//! one may have been, requests and answers become records of their own, until one exchange was seen from its begin to its
//! end and the next request came after it. That rests on a client that does not pipeline; one that was seen to
//! do so is not believed again.

mod exchange;
mod head;
mod overdue;
mod side;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::{
    conversation::Direction,
    record::{Ending, Http, HttpVersion, Seen},
    stream::{Hole, Piece},
};
use exchange::{Exchange, answer_framing, request_framing};
use head::{Head, Start};
use side::{Event, Framing, Side};

pub use head::{HEAD_OCTETS, LINE_OCTETS};

/// Requests of one connection that wait for their answers.
pub const REQUESTS: usize = 32;

/// Octets that one connection takes at the most: lines under way, and the texts of requests that wait.
pub const MEMORY_OCTETS: usize = 256 << 10;

/// Whether it is known which answer belongs to which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Sure,
    Doubt(Since),
}

/// What was seen since there is doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Nothing that helps.
    Nothing,
    /// One request, to which an answer would have a body of its own or, as to HEAD, none.
    Asked { bodiless: bool },
    /// Its answer has begun.
    Answering,
    /// One whole exchange.
    Exchange,
}

/// One connection.
#[derive(Debug)]
pub struct Http1 {
    sides: [Side; 2],
    waiting: VecDeque<Exchange>,
    /// An answer of which nobody knows the request.
    loose: Option<Http>,
    trust: Trust,
    /// The client sent a request before it had the answer to the one before.
    pipelined: bool,
    /// When something was seen of the answers last.
    answers_ns: u64,
    /// How often there was doubt.
    pub doubts: u64,
    /// Requests that were told as overdue, with what became of them.
    pub late: Vec<Http>,
    upgraded: bool,
}

/// The connection goes on with HTTP/2 (RFC 7540, section 3.2): its first stream is this request.
#[derive(Debug)]
pub struct Upgrade {
    /// The request, which has no answer yet.
    pub request: Http,
    /// Whether it was told as overdue.
    pub told: bool,
    /// Octets of the last piece that belong to HTTP/2 already.
    pub left: usize,
}

impl Http1 {
    /// A connection; `midway`: its beginning was not seen.
    pub fn new(midway: bool) -> Self {
        let mut sides = Direction::ALL.map(Side::new);
        if midway {
            sides.iter_mut().for_each(Side::lose);
        }
        Self {
            sides,
            waiting: VecDeque::new(),
            loose: None,
            trust: if midway {
                Trust::Doubt(Since::Nothing)
            } else {
                Trust::Sure
            },
            pipelined: false,
            answers_ns: 0,
            doubts: midway.into(),
            late: Vec::new(),
            upgraded: false,
        }
    }

    /// Takes what comes next.
    pub fn piece(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        out: &mut Vec<Http>,
    ) -> Option<Upgrade> {
        let upgrade = match piece {
            Piece::Octets {
                octets,
                begins,
                time_ns,
            } => self.octets_follow(direction, octets, begins, time_ns, out),
            Piece::Gap {
                octets,
                hole,
                time_ns,
            } => {
                self.gap(direction, octets, hole, time_ns, out);
                None
            }
        };
        let lost = self.sides[Direction::ToClient as usize].is_lost();
        if direction == Direction::ToClient && lost && self.trust == Trust::Sure {
            // It may have been the answer to any of them.
            for exchange in &mut self.waiting {
                exchange.endless = true;
            }
        }
        upgrade
    }

    fn gap(
        &mut self,
        direction: Direction,
        octets: u64,
        hole: Hole,
        time_ns: u64,
        out: &mut Vec<Http>,
    ) {
        // What was lost was seen by nobody; its time is that of the sample behind it.
        if hole == Hole::Cut {
            self.seen(direction, time_ns);
        }
        let between = self.sides[direction as usize].is_between();
        if let Some(event) = self.sides[direction as usize].skip(octets) {
            self.event(direction, event, time_ns, out);
        }
        // A whole segment that nobody saw can have held more than what was under way.
        let lost = hole == Hole::Lost && self.sides[direction as usize].is_lost();
        if lost && direction == Direction::ToServer && !between {
            self.doubt(out);
        }
    }

    fn octets_follow(
        &mut self,
        direction: Direction,
        octets: &[u8],
        begins: bool,
        time_ns: u64,
        out: &mut Vec<Http>,
    ) -> Option<Upgrade> {
        self.seen(direction, time_ns);
        if self.sides[direction as usize].is_lost() {
            let found = begins && self.sides[direction as usize].begins_message(octets);
            if !found || !self.may_resume(direction, out) {
                return None;
            }
            self.sides[direction as usize].resume();
        }
        let mut rest = octets;
        while !rest.is_empty() {
            let (event, after) = self.sides[direction as usize].read(rest, time_ns);
            rest = after;
            if let Some(event) = event {
                self.event(direction, event, time_ns, out);
            }
            if std::mem::take(&mut self.upgraded) {
                let Exchange { record, told, .. } = self.waiting.pop_front()?;
                return Some(Upgrade {
                    request: record,
                    told,
                    left: rest.len(),
                });
            }
        }
        None
    }

    /// The connection is over: tells of what has no whole answer. `certain`: nothing was missed that is not in a gap.
    pub fn closed(&mut self, certain: bool, out: &mut Vec<Http>) {
        let whole = self.sides[Direction::ToClient as usize].ends_with_connection();
        let octets = self.sides[Direction::ToClient as usize].body();
        for exchange in &mut self.waiting {
            if !certain || exchange.endless {
                continue;
            }
            if exchange.answered && whole {
                exchange.record.ending = Ending::Whole;
                exchange.record.response_octets = Seen::Known(octets);
            } else {
                exchange.record.ending = Ending::Closed;
                if !exchange.answered {
                    exchange.record.status = Seen::Absent;
                }
            }
        }
        self.tell_all(out);
        out.extend(self.loose.take());
    }

    fn tell_all(&mut self, out: &mut Vec<Http>) {
        for exchange in self.waiting.drain(..) {
            exchange.tell(&mut self.late, out);
        }
    }

    /// Octets that this connection takes.
    pub fn octets(&self) -> usize {
        let sides: usize = self.sides.iter().map(Side::octets).sum();
        let waiting = self.waiting.iter().map(|exchange| &exchange.record);
        let texts: usize = waiting.chain(&self.loose).map(Http::octets).sum();
        size_of::<Self>() + sides + texts + self.waiting.capacity() * size_of::<Exchange>()
    }

    /// Notes when something of the answer that is under way was seen.
    fn seen(&mut self, direction: Direction, time_ns: u64) {
        if direction == Direction::ToClient {
            // What was sent first may come last.
            self.answers_ns = self.answers_ns.max(time_ns);
        }
    }

    /// Whether what looks like the head of a message, in a direction where nobody knows what comes, may be one.
    fn may_resume(&mut self, direction: Direction, out: &mut Vec<Http>) -> bool {
        if self.trust != Trust::Sure {
            return true;
        }
        let open = self.waiting.front().is_some_and(|front| front.endless);
        // The head of the answer to the first was seen, and what was missed came after the second was sent.
        let answered = self.waiting.front().is_some_and(|front| front.answered);
        let missed = answered && self.waiting.get(1).is_some_and(|next| next.endless);
        match (direction, self.waiting.len()) {
            // The next request comes after the answer to the last one.
            (Direction::ToServer, 0) => true,
            (Direction::ToServer, _) => open,
            // The next request was sent, so the answer to the last one is over.
            (Direction::ToClient, 2) if open && !missed && !self.pipelined => {
                self.finish_front(out);
                true
            }
            (Direction::ToClient, 0 | 1) => false,
            (Direction::ToClient, _) => {
                self.doubt(out);
                true
            }
        }
    }

    fn event(&mut self, direction: Direction, event: Event, time_ns: u64, out: &mut Vec<Http>) {
        match (direction, event) {
            (Direction::ToServer, Event::Head(head)) => self.request(&head, out),
            (Direction::ToClient, Event::Head(head)) => self.answer(&head, time_ns, out),
            (Direction::ToServer, Event::End(octets)) => {
                if let Some(last) = self.waiting.back_mut().filter(|last| last.asking) {
                    last.asking = false;
                    last.record.request_octets = octets;
                }
            }
            (Direction::ToClient, Event::End(octets)) => self.answer_ended(octets, out),
            // The end of a request whose sample was cut; that the client waits for the answer tells where it is.
            (Direction::ToServer, Event::Endless) => {
                if let Some(last) = self.waiting.back_mut() {
                    last.record.request_octets = Seen::Unknown;
                    last.asking = false;
                }
            }
            (Direction::ToServer, Event::Missed) => self.doubt(out),
            (Direction::ToClient, Event::Endless | Event::Missed) => self.answer_missed(out),
        }
    }

    fn request(&mut self, head: &Head, out: &mut Vec<Http>) {
        let mut exchange = Exchange::new(head);
        let side = &mut self.sides[Direction::ToServer as usize];
        let ended = if head.whole {
            side.body_follows(request_framing(head))
        } else {
            exchange.asking = false;
            None
        };
        if let Some(Event::End(octets)) = ended {
            exchange.asking = false;
            exchange.record.request_octets = octets;
        }
        match self.trust {
            Trust::Doubt(Since::Exchange) if !self.pipelined => {
                self.trust = Trust::Sure;
                if self.sides[Direction::ToClient as usize].is_lost() {
                    self.sides[Direction::ToClient as usize].resume();
                }
            }
            Trust::Doubt(since) => {
                // The answer under way is that of a request before the doubt.
                let alone = since == Since::Nothing && self.waiting.is_empty() && !exchange.connect;
                self.trust = Trust::Doubt(if alone {
                    Since::Asked {
                        bodiless: exchange.bodiless,
                    }
                } else {
                    Since::Nothing
                });
                out.push(exchange.record);
                return;
            }
            Trust::Sure => {}
        }
        if self.waiting.len() >= REQUESTS {
            self.waiting.push_back(exchange);
            self.doubt(out);
            return;
        }
        self.waiting.push_back(exchange);
    }

    fn answer(&mut self, head: &Head, time_ns: u64, out: &mut Vec<Http>) {
        let Some(Start::Answer { status, version }) = head.start else {
            self.sides[Direction::ToClient as usize].lose();
            self.doubt(out);
            return;
        };
        let is_final = status >= 200 || status == 101;
        if !is_final && head.whole {
            self.sides[Direction::ToClient as usize].resume();
            return;
        }
        if !is_final {
            self.answer_missed(out);
            return;
        }
        if self.trust == Trust::Sure && self.waiting.is_empty() {
            // More answers than requests.
            self.doubt(out);
        }
        let framing = if self.trust == Trust::Sure {
            self.answer_to_front(head, status)
        } else {
            out.extend(self.loose.take());
            self.answer_to_nobody(head, status, version)
        };
        let target = match self.waiting.front_mut() {
            Some(front) if self.loose.is_none() => Some(&mut front.record),
            _ => self.loose.as_mut(),
        };
        if let Some(record) = target {
            record.status = Seen::Known(status);
            record.answer_ns = Some(head.start_ns);
            record.end_ns = Some(time_ns);
        }
        if !self.upgraded {
            self.answer_body(head.whole, framing, out);
        }
    }

    /// An answer to the oldest request; says how its body ends.
    fn answer_to_front(&mut self, head: &Head, status: u16) -> Framing {
        let next = self.waiting.get(1);
        self.pipelined |= next.is_some_and(|next| next.record.start_ns < Some(head.start_ns));
        let Some(front) = self.waiting.front_mut() else {
            return Framing::Unknown;
        };
        front.answered = true;
        front.endless = false;
        self.upgraded = front.h2c && head.h2c && status == 101;
        answer_framing(head, status, front.bodiless, front.connect)
    }

    /// An answer of which nobody knows the request; says how its body ends if it answers what was asked last.
    fn answer_to_nobody(&mut self, head: &Head, status: u16, version: HttpVersion) -> Framing {
        self.loose = Some(Http {
            version,
            ..Http::default()
        });
        let Trust::Doubt(Since::Asked { bodiless }) = self.trust else {
            self.trust = Trust::Doubt(Since::Nothing);
            return match answer_framing(head, status, false, false) {
                Framing::Length(0) => Framing::Length(0),
                // Perhaps it answers HEAD.
                _ => Framing::Unknown,
            };
        };
        self.trust = Trust::Doubt(Since::Answering);
        answer_framing(head, status, bodiless, false)
    }

    fn answer_body(&mut self, whole: bool, framing: Framing, out: &mut Vec<Http>) {
        let framing = if whole { framing } else { Framing::Unknown };
        let event = self.sides[Direction::ToClient as usize].body_follows(framing);
        match (event, framing) {
            (Some(Event::End(octets)), _) => self.answer_ended(octets, out),
            (_, Framing::Unknown) => self.answer_missed(out),
            (_, Framing::Opaque) => {
                self.sides[Direction::ToServer as usize].body_follows(Framing::Opaque);
                self.answer_ended(Seen::Unknown, out);
            }
            _ => {}
        }
    }

    fn answer_ended(&mut self, octets: Seen<u64>, out: &mut Vec<Http>) {
        if let Some(mut record) = self.loose.take() {
            record.response_octets = octets;
            record.end_ns = Some(self.answers_ns);
            record.ending = Ending::Whole;
            out.push(record);
        } else if let Some(mut exchange) = self.waiting.pop_front() {
            exchange.record.response_octets = octets;
            exchange.record.end_ns = Some(self.answers_ns);
            exchange.record.ending = Ending::Whole;
            exchange.tell(&mut self.late, out);
            return;
        }
        if let Trust::Doubt(since) = &mut self.trust {
            *since = match since {
                Since::Answering => Since::Exchange,
                _ => Since::Nothing,
            };
        }
    }

    /// The answer under way, or the one that should come, cannot be followed to its end.
    fn answer_missed(&mut self, out: &mut Vec<Http>) {
        if self.trust != Trust::Sure {
            // That the next request comes tells as well that the answer is over.
            self.trust = Trust::Doubt(match self.trust {
                Trust::Doubt(Since::Answering) => Since::Exchange,
                _ => Since::Nothing,
            });
            out.extend(self.loose.take());
            self.tell_all(out);
            return;
        }
        // With two, the second one was sent when the answer to the first was there.
        let few = self.waiting.len() == 1 || self.waiting.len() == 2 && !self.pipelined;
        if let Some(front) = self.waiting.front_mut().filter(|_| few) {
            front.endless = true;
            return;
        }
        self.sides[Direction::ToClient as usize].lose();
        self.doubt(out);
    }

    /// The answer to the oldest request is over, where it ended was not seen.
    fn finish_front(&mut self, out: &mut Vec<Http>) {
        if let Some(exchange) = self.waiting.pop_front() {
            exchange.tell(&mut self.late, out);
        }
    }

    /// From here on nobody knows which answer belongs to which request.
    fn doubt(&mut self, out: &mut Vec<Http>) {
        self.doubts += 1;
        self.trust = Trust::Doubt(Since::Nothing);
        out.extend(self.loose.take());
        // The answer that has begun is that of the oldest request, and ends as it should.
        let begun = self
            .waiting
            .pop_front_if(|front| front.answered && !front.endless);
        let following = !self.sides[Direction::ToClient as usize].is_lost();
        self.tell_all(out);
        match begun {
            Some(exchange) if following => self.waiting.push_back(exchange),
            Some(exchange) => exchange.tell(&mut self.late, out),
            None => {}
        }
    }
}

impl Default for Http1 {
    fn default() -> Self {
        Self::new(false)
    }
}
