//! DNS over UDP and TCP: questions and answers, brought together by identifier, name and type.
//!
//! A question that is sent again is one record with its number of attempts; one that nobody answers within
//! [`TIMEOUT_NS`] is a record of that, and an answer that comes later is counted, not told.

use std::collections::VecDeque;

use crate::{
    classify::{Mark, dns_over_tcp},
    conversation::Direction,
    record::{Dns, DnsAnswer, DnsOutcome},
    stream::Piece,
};

pub mod message;
#[cfg(test)]
mod tests;

pub use message::{Message, parse};

/// How long a question is waited for: what resolvers wait for a server by default.
pub const TIMEOUT_NS: u64 = 5_000_000_000;

/// Questions of one connection that wait for an answer.
pub const QUESTIONS: usize = 128;

/// Records of one answer that are kept.
pub const ANSWERS: usize = 32;

/// Octets that one connection takes at the most: two messages under way, and the names of questions that wait.
pub const MEMORY_OCTETS: usize = 160 << 10;

/// Octets of one message over TCP that are kept; of a longer one the beginning is read.
pub const MESSAGE_OCTETS: usize = 4096;

/// What one side asked, or where its answers are.
#[derive(Debug)]
struct Question {
    id: u16,
    qname: String,
    qtype: u16,
    attempts: u32,
    start_ns: u64,
    timed_out: bool,
    /// Its answer may have been missed.
    missed: bool,
}

/// What was seen and makes no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Messages that cannot be read.
    pub malformed: u64,
    /// Answers that came after their time-out.
    pub late: u64,
    /// Questions there was no room for.
    pub over_budget: u64,
    /// Gaps behind which messages may be missing.
    pub gaps: u64,
}

/// The questions and answers of one connection.
#[derive(Debug, Default)]
pub struct Questions {
    /// In the order of their first attempt.
    waiting: VecDeque<Question>,
    /// What made no record.
    pub losses: Losses,
}

impl Questions {
    /// Takes one message: octets that may end early, and when they were seen.
    pub fn message(
        &mut self,
        direction: Direction,
        octets: &[u8],
        time_ns: u64,
        out: &mut Vec<Dns>,
    ) {
        match (message::parse(octets), direction) {
            (Some(message), Direction::ToServer) if !message.answers => {
                self.question(message, time_ns);
            }
            (Some(message), Direction::ToClient) if message.answers => {
                self.answer(message, time_ns, out);
            }
            _ => {
                self.losses.malformed += 1;
                if direction == Direction::ToClient {
                    self.missed();
                }
            }
        }
    }

    /// Tells of the questions that nobody answered in time.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<Dns>) {
        for question in &mut self.waiting {
            let waited = now_ns.saturating_sub(question.start_ns);
            if !question.timed_out && waited >= TIMEOUT_NS {
                question.timed_out = true;
                out.push(question.unanswered(DnsOutcome::Timeout));
            }
        }
        // A late answer is known as such for as long again.
        let forget =
            |question: &Question| now_ns.saturating_sub(question.start_ns) >= 2 * TIMEOUT_NS;
        while self.waiting.front().is_some_and(forget) {
            self.waiting.pop_front();
        }
    }

    /// Tells of the questions that are open: no answer comes any more. `certain`: none was missed.
    pub fn closed(&mut self, certain: bool, out: &mut Vec<Dns>) {
        if !certain {
            self.missed();
        }
        let waiting = self
            .waiting
            .drain(..)
            .filter(|question| !question.timed_out);
        out.extend(waiting.map(|question| question.unanswered(DnsOutcome::Closed)));
    }

    /// Answers may have been missed.
    pub(crate) fn missed(&mut self) {
        for question in &mut self.waiting {
            question.missed = true;
        }
    }

    /// Octets that the questions take.
    pub fn octets(&self) -> usize {
        let names: usize = self
            .waiting
            .iter()
            .map(|question| question.qname.capacity())
            .sum();
        self.waiting.capacity() * size_of::<Question>() + names
    }

    /// Whether nothing is waited for.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    fn position(&self, message: &Message) -> Option<usize> {
        self.waiting.iter().position(|question| {
            question.id == message.id
                && question.qtype == message.qtype
                && question.qname == message.qname
        })
    }

    fn question(&mut self, message: Message, time_ns: u64) {
        if let Some(at) = self.position(&message) {
            if !self.waiting[at].timed_out {
                self.waiting[at].attempts += 1;
                return;
            }
            self.waiting.remove(at);
        }
        if self.waiting.len() >= QUESTIONS {
            self.losses.over_budget += 1;
            return;
        }
        self.waiting.push_back(Question {
            id: message.id,
            qname: message.qname,
            qtype: message.qtype,
            attempts: 1,
            start_ns: time_ns,
            timed_out: false,
            missed: false,
        });
    }

    fn answer(&mut self, message: Message, time_ns: u64, out: &mut Vec<Dns>) {
        let question = self
            .position(&message)
            .and_then(|at| self.waiting.remove(at));
        if question.as_ref().is_some_and(|question| question.timed_out) {
            self.losses.late += 1;
            return;
        }
        let start_ns = question.as_ref().map(|question| question.start_ns);
        out.push(Dns {
            outcome: DnsOutcome::Code(message.rcode),
            attempts: question.map_or(0, |question| question.attempts),
            start_ns: start_ns.unwrap_or(time_ns),
            latency_ns: start_ns.map(|start| time_ns.saturating_sub(start)),
            qname: message.qname,
            qtype: message.qtype,
            answers: message.records,
            all_answers: message.all_records,
            truncated: message.truncated,
        });
    }
}

impl Question {
    fn unanswered(&self, outcome: DnsOutcome) -> Dns {
        let outcome = if self.missed {
            DnsOutcome::Unknown
        } else {
            outcome
        };
        Dns {
            qname: self.qname.clone(),
            qtype: self.qtype,
            outcome,
            attempts: self.attempts,
            start_ns: self.start_ns,
            latency_ns: None,
            answers: Vec::<DnsAnswer>::new(),
            all_answers: false,
            truncated: false,
        }
    }
}

/// DNS on a stream: each message behind its length.
#[derive(Debug, Default)]
pub struct OverTcp {
    questions: Questions,
    sides: [Side; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Side {
    /// Length and message, as far as they came; gaps are not in it.
    octets: Vec<u8>,
    /// Octets of the message that came or will not come.
    passed: usize,
    /// A gap in the message: what follows cannot be put behind what is there.
    holed: bool,
    /// Where the next message begins is not known.
    lost: bool,
}

impl OverTcp {
    /// A connection; `midway`: its beginning was not seen.
    pub fn new(midway: bool) -> Self {
        let mut connection = Self::default();
        for side in &mut connection.sides {
            side.lost = midway;
        }
        connection
    }

    /// Octets that this connection takes.
    pub fn octets(&self) -> usize {
        let sides: usize = self.sides.iter().map(|side| side.octets.capacity()).sum();
        size_of::<Self>() + sides + self.questions.octets()
    }

    /// What made no record.
    pub fn losses(&self) -> Losses {
        self.questions.losses
    }

    /// Takes what comes next.
    pub fn piece(&mut self, direction: Direction, piece: Piece<'_>, out: &mut Vec<Dns>) {
        let side = &mut self.sides[direction as usize];
        match piece {
            Piece::Octets {
                octets,
                begins,
                time_ns,
            } => {
                if side.lost {
                    let mark = dns_over_tcp(octets, direction == Direction::ToClient);
                    if !begins || mark != Mark::Yes {
                        if direction == Direction::ToClient {
                            self.questions.missed();
                        }
                        return;
                    }
                    *side = Side::default();
                }
                let mut rest = octets;
                while !rest.is_empty() && !side.lost {
                    rest = side.take(rest);
                    side.give(&mut self.questions, direction, time_ns, out);
                }
            }
            Piece::Gap {
                octets, time_ns, ..
            } => {
                side.skip(octets);
                if side.lost && direction == Direction::ToClient {
                    self.questions.missed();
                }
                side.give(&mut self.questions, direction, time_ns, out);
                self.questions.losses.gaps += u64::from(side.lost);
            }
        }
    }

    /// Tells of what nobody answered in time.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<Dns>) {
        self.questions.tick(now_ns, out);
    }

    /// Tells of what is open; `certain`: nothing was missed that is not in a gap.
    pub fn closed(&mut self, certain: bool, out: &mut Vec<Dns>) {
        self.questions.closed(certain, out);
    }
}

impl Side {
    /// Length of the message with the field before it, once that is known.
    fn whole(&self) -> Option<usize> {
        let length = self.octets.first_chunk::<2>()?;
        Some(2 + usize::from(u16::from_be_bytes(*length)))
    }

    fn take<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let missing = self.whole().unwrap_or(2) - self.passed;
        let (mine, rest) = octets.split_at(missing.min(octets.len()));
        self.passed += mine.len();
        if !self.holed {
            let room = (MESSAGE_OCTETS + 2).saturating_sub(self.octets.len());
            self.octets.extend(mine.iter().take(room));
        }
        rest
    }

    fn skip(&mut self, octets: u64) {
        let missing = self.whole().map_or(0, |whole| (whole - self.passed) as u64);
        if octets > missing {
            self.lost = true;
        }
        self.passed += octets.min(missing) as usize;
        self.holed = true;
    }

    /// Reads the message if it is whole, or if no more of it will be known.
    fn give(&mut self, to: &mut Questions, direction: Direction, time_ns: u64, out: &mut Vec<Dns>) {
        let whole = self.whole().is_some_and(|whole| self.passed >= whole);
        if !whole {
            return;
        }
        let message = self.octets.get(2..).unwrap_or_default();
        to.message(direction, message, time_ns, out);
        self.octets.clear();
        self.passed = 0;
        self.holed = false;
    }
}

/// Whether octets begin a message with one question: for classification, as strict as can be. `length` is that of the message.
pub(crate) fn looks_like_message(octets: &[u8], length: usize, answer: bool) -> Mark {
    message::looks_right(octets, length, answer)
}
