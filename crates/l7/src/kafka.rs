//! Kafka: who produces to and consumes from which topics, in which groups, with which errors.
//!
//! Answers belong to requests by a number. Topics go by name or, in later versions, by a number of their own, whose name
//! answers to other requests tell ([`TopicNames`]). A consumer's later fetches name only what changes: its session is kept.

mod answers;
mod api;
mod overdue;
mod requests;
mod session;
mod side;
#[cfg(test)]
mod tests;
mod topics;
mod wire;

use std::collections::VecDeque;

use crate::{
    conversation::Direction,
    octets::Octets,
    record::{Ending, Kafka, KafkaTopic, Seen},
    stream::Piece,
};
use answers::Told;
use session::Session;
use side::{Message, Side};
use topics::{Topic, name_of};

pub(crate) use overdue::waits_for_others;
pub use topics::TopicNames;

/// Octets of one message that are kept; of a longer one the beginning is read.
pub const MESSAGE_OCTETS: usize = 16 << 10;

/// Requests of one connection that wait for an answer.
pub const REQUESTS: usize = 64;

/// Topics of one request, and of a session.
pub const TOPICS: usize = 64;

/// Partitions of a session.
pub const PARTITIONS: usize = 4096;

/// Octets of a topic's name (Kafka's limit is 249), of a group's and of a client's that are kept.
pub const NAME_OCTETS: usize = 255;

/// Topics whose name is kept for their number.
pub const TOPIC_NAMES: usize = 16_384;

/// Octets of the texts of one connection's requests; a further request is not followed.
pub const TEXT_OCTETS: usize = 128 << 10;

/// Octets that one connection takes at the most: a message of each side, requests that wait, a session.
pub const MEMORY_OCTETS: usize = 512 << 10;

/// By how much the number of a request behind a gap may be ahead.
const AHEAD: i32 = 10_000;

/// A request that waits.
#[derive(Clone, Debug)]
struct Waiting {
    correlation: i32,
    version: i16,
    record: Kafka,
    topics: Vec<(Topic, Option<u64>)>,
    text_octets: usize,
    /// Its answer may have been missed.
    missed: bool,
    /// It is overdue, and that was told.
    told: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    sides: [Side; 2],
    waiting: VecDeque<Waiting>,
    text_octets: usize,
    session: Session,
    /// Client and number of the latest request.
    latest: Option<(Option<Vec<u8>>, i32)>,
    /// Number of the latest answer whose request was not there yet.
    unasked: Option<i32>,
    /// How often something was missed.
    pub doubts: u64,
    /// Messages that cannot be read.
    pub malformed: u64,
    /// Requests there was no room for.
    pub over_budget: u64,
    /// Requests that were told as overdue, with what became of them.
    pub late: Vec<Kafka>,
}

/// What the first octets of both directions say of it: a request, and an answer that has its number.
pub(crate) fn is_request(octets: &[u8]) -> Option<i32> {
    let mut rest = Octets::new(octets);
    let length = rest.u32()?;
    let head = api::head(&mut rest)?;
    (10..=api::REQUEST_OCTETS)
        .contains(&length)
        .then_some(head.correlation)
}

/// Whether octets, which may end early, can begin a request.
pub(crate) fn may_be_request(octets: &[u8]) -> bool {
    api::may_begin(octets)
}

/// The number of an answer.
pub(crate) fn answer_number(octets: &[u8]) -> Option<i32> {
    let mut rest = Octets::new(octets);
    let (length, correlation) = (rest.u32()?, rest.u32()?);
    (4..=api::REQUEST_OCTETS)
        .contains(&length)
        .then_some(correlation.cast_signed())
}

/// The numbers of the answers of a segment that begins with one.
pub(crate) fn answer_numbers(octets: &[u8]) -> impl Iterator<Item = i32> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let number = answer_number(rest)?;
        let mut message = Octets::new(rest);
        let length = message.u32()? as usize;
        rest = message.take(length).map_or(&[][..], |_| message.rest());
        Some(number)
    })
}

impl Connection {
    /// A connection; `midway`: its beginning was not seen.
    pub fn new(midway: bool) -> Self {
        let mut sides = [Side::default(), Side::default()];
        if midway {
            sides.iter_mut().for_each(Side::lose);
        }
        Self {
            sides,
            waiting: VecDeque::new(),
            text_octets: 0,
            session: Session::new(!midway),
            latest: None,
            unasked: None,
            doubts: midway.into(),
            malformed: 0,
            over_budget: 0,
            late: Vec::new(),
        }
    }

    /// Octets that this connection takes.
    pub fn octets(&self) -> usize {
        let sides: usize = self.sides.iter().map(Side::octets).sum();
        let session = self.session.octets();
        size_of::<Self>()
            + sides
            + session
            + self.text_octets
            + self.waiting.capacity() * size_of::<Waiting>()
    }

    /// Takes what comes next.
    pub fn piece(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        names: &mut TopicNames,
        out: &mut Vec<Kafka>,
    ) {
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
                let message = self.sides[mine].skip(octets);
                if let Some(message) = message {
                    self.message(direction, &message, time_ns, names, out);
                }
                if self.sides[mine].is_lost() {
                    self.missed(direction);
                }
                return;
            }
        };
        if self.sides[mine].is_lost() {
            if !(begins && self.begins_message(direction, octets)) {
                self.missed(direction);
                return;
            }
            // A number alone is a weak sign; a request has its client's name too, and two numbers are two signs.
            let is_proven = direction == Direction::ToServer || self.is_followed(octets);
            self.sides[mine].resume(is_proven);
        }
        let mut rest = octets;
        while !rest.is_empty() {
            let Self { sides, waiting, .. } = self;
            let (message, after) = sides[mine].read(rest, time_ns, |next| answers(waiting, next));
            rest = after;
            if let Some(message) = message {
                self.message(direction, &message, time_ns, names, out);
            }
        }
        if self.sides[mine].is_lost() {
            self.missed(direction);
        }
    }

    /// The connection is over. `certain`: nothing was missed that is not in a gap.
    pub fn closed(&mut self, certain: bool, names: &TopicNames, out: &mut Vec<Kafka>) {
        // Answers may lie in what was taken for the beginning of a long one.
        let unproven = self.sides[Direction::ToClient as usize].is_unproven();
        for waiting in std::mem::take(&mut self.waiting) {
            let known = certain && !waiting.missed && !unproven;
            let ending = if known {
                Ending::Closed
            } else {
                Ending::Unknown
            };
            self.give(waiting.told, waiting.finish(ending, names), out);
        }
        self.text_octets = 0;
    }

    fn begins_message(&self, direction: Direction, octets: &[u8]) -> bool {
        match direction {
            Direction::ToServer => self.follows(octets),
            Direction::ToClient => answers(&self.waiting, octets) || self.is_followed(octets),
        }
    }

    /// Whether what begins like an answer ends where one with a later number begins, whose request waits.
    fn is_followed(&self, octets: &[u8]) -> bool {
        let mut rest = Octets::new(octets);
        let length = rest.u32().map(|length| length as usize);
        let next = length.and_then(|length| rest.take(length).map(|_| rest.rest()));
        let Some(next) = next.filter(|next| answers(&self.waiting, next)) else {
            return false;
        };
        let numbers = answer_number(octets).zip(answer_number(next));
        numbers.is_some_and(|(first, next)| (1..=AHEAD).contains(&next.wrapping_sub(first)))
    }

    /// Whether octets behind a gap begin a request: of the same client and with a number that follows, or, of a connection
    /// joined midway, one that ends with the octets.
    fn follows(&self, octets: &[u8]) -> bool {
        let mut rest = Octets::new(octets);
        let (Some(length), Some(head)) = (rest.u32(), api::head(&mut rest)) else {
            return false;
        };
        if let Some((client, number)) = &self.latest {
            let ahead = head.correlation.wrapping_sub(*number);
            return head.client == client.as_deref() && (1..=AHEAD).contains(&ahead);
        }
        let named = head.client.is_some_and(|client| !client.is_empty());
        named && octets.len() == length as usize + 4
    }

    /// Messages of a direction may have been missed.
    fn missed(&mut self, direction: Direction) {
        self.doubts += 1;
        match direction {
            Direction::ToServer => self.session.doubt(),
            Direction::ToClient => self
                .waiting
                .iter_mut()
                .for_each(|waiting| waiting.missed = true),
        }
    }

    fn message(
        &mut self,
        direction: Direction,
        message: &Message,
        time_ns: u64,
        names: &mut TopicNames,
        out: &mut Vec<Kafka>,
    ) {
        match direction {
            Direction::ToServer => self.request(message, time_ns, names, out),
            Direction::ToClient => self.answer(message, time_ns, names, out),
        }
    }

    fn request(
        &mut self,
        message: &Message,
        time_ns: u64,
        names: &TopicNames,
        out: &mut Vec<Kafka>,
    ) {
        let mut octets = Octets::new(&message.octets);
        let Some(head) = api::head(&mut octets) else {
            self.malformed += u64::from(message.is_whole());
            self.session.doubt();
            return;
        };
        self.latest = Some((head.client.map(<[u8]>::to_vec), head.correlation));
        let body = api::request(head.key, head.version, octets);
        let mut asked = body
            .map(|mut body| requests::read(head.key, &mut body))
            .unwrap_or_default();
        let mut all_topics = asked.whole;
        if head.key == api::FETCH {
            all_topics = self.session.asked(&mut asked);
        }
        // Whether it is answered at all stands before its topics.
        let missed = head.key == api::PRODUCE && !asked.whole && asked.topics.is_empty();
        let certain_group = asked.whole || asked.group.is_some();
        let group = asked.group.map(|group| name_of(&group));
        let waiting = Waiting {
            correlation: head.correlation,
            version: head.version,
            text_octets: 0,
            missed,
            told: false,
            record: Kafka {
                api: head.key,
                version: head.version,
                client: Seen::certain(head.client.map(name_of)),
                group: if certain_group {
                    Seen::certain(group)
                } else {
                    Seen::Unknown
                },
                all_topics,
                request_octets: u64::from(message.length) + 4,
                start_ns: message.begin_ns,
                ..Kafka::default()
            },
            topics: asked.topics,
        };
        if asked.unanswered {
            let mut record = waiting.finish(Ending::Whole, names);
            record.end_ns = Some(time_ns);
            record.response_octets = Seen::Absent;
            record.error = Seen::Absent;
            out.push(record);
            return;
        }
        // Its answer came while a part of it was waited for.
        let late = self
            .unasked
            .is_some_and(|number| (0..AHEAD).contains(&number.wrapping_sub(head.correlation)));
        if late {
            out.push(waiting.finish(Ending::Unknown, names));
        } else {
            self.wait(waiting);
        }
    }

    fn wait(&mut self, mut waiting: Waiting) {
        waiting.text_octets = waiting.octets();
        let full =
            self.waiting.len() >= REQUESTS || self.text_octets + waiting.text_octets > TEXT_OCTETS;
        if full {
            self.over_budget += 1;
            return;
        }
        self.text_octets += waiting.text_octets;
        self.waiting.push_back(waiting);
    }

    fn answer(
        &mut self,
        message: &Message,
        time_ns: u64,
        names: &mut TopicNames,
        out: &mut Vec<Kafka>,
    ) {
        let mut octets = Octets::new(&message.octets);
        let Some(number) = octets.u32().map(u32::cast_signed) else {
            self.waiting
                .iter_mut()
                .for_each(|waiting| waiting.missed = true);
            return;
        };
        let Some(at) = self
            .waiting
            .iter()
            .position(|waiting| waiting.correlation == number)
        else {
            self.unasked = Some(number);
            return;
        };
        // A broker answers in order: what was asked before has been answered.
        for earlier in self.waiting.drain(..at).collect::<Vec<_>>() {
            self.text_octets -= earlier.text_octets;
            self.give(earlier.told, earlier.finish(Ending::Unknown, names), out);
        }
        let Some(waiting) = self.waiting.pop_front() else {
            return;
        };
        self.text_octets -= waiting.text_octets;
        let key = waiting.record.api;
        let body = api::answer(key, waiting.version, octets.rest());
        // What its octets say may be said by others.
        let body = body.filter(|_| !message.is_unproven);
        let told = body
            .map(|mut body| answers::read(key, &mut body))
            .unwrap_or_default();
        for (id, name) in &told.names {
            names.learn(*id, name);
        }
        if key == api::FETCH {
            self.session.told(&told);
        }
        let was_told = waiting.told;
        let mut record = waiting.finish(Ending::Whole, names);
        record.tell(&told, names);
        // What was sent first may have come last.
        record.end_ns = Some(time_ns.max(message.begin_ns));
        if !message.is_unproven {
            record.response_octets = Seen::Known(u64::from(message.length) + 4);
        }
        self.give(was_told, record, out);
    }
}

/// Whether octets begin with the number of a request that waits.
fn answers(waiting: &VecDeque<Waiting>, octets: &[u8]) -> bool {
    let number = answer_number(octets);
    let mut waiting = waiting.iter();
    number.is_some_and(|number| waiting.any(|waiting| waiting.correlation == number))
}

impl Waiting {
    /// Octets of its texts.
    fn octets(&self) -> usize {
        let texts = [&self.record.client, &self.record.group];
        let texts = texts
            .into_iter()
            .filter_map(Seen::known)
            .map(String::capacity);
        let topics = self.topics.iter().map(|(topic, _)| topic.octets());
        texts.chain(topics).sum()
    }

    fn finish(self, ending: Ending, names: &TopicNames) -> Kafka {
        let mut record = self.record;
        record.ending = ending;
        record.topics = self
            .topics
            .iter()
            .map(|(topic, octets)| KafkaTopic {
                octets: octets.map_or(Seen::Unknown, Seen::Known),
                ..names.topic(topic)
            })
            .collect();
        record
    }
}

impl Kafka {
    /// Takes what its answer said.
    fn tell(&mut self, told: &Told, names: &TopicNames) {
        if told.whole || told.error != 0 {
            self.error = Seen::Known(told.error);
        }
        if self.api == api::FETCH && told.whole {
            // What is not in the answer had nothing new.
            for topic in &mut self.topics {
                topic.octets = Seen::Known(0);
                topic.error = Seen::Known(0);
            }
        }
        for part in &told.parts {
            let told = names.topic(&part.topic);
            let known = self.topics.iter().position(|topic| topic.is_same(&told));
            if known.is_none() {
                if self.topics.len() >= TOPICS {
                    continue;
                }
                self.topics.push(told);
            }
            let at = known.unwrap_or(self.topics.len() - 1);
            let Some(topic) = self.topics.get_mut(at) else {
                continue;
            };
            if part.whole || part.error != 0 {
                topic.error = Seen::Known(part.error);
            }
            if self.api == api::FETCH {
                topic.octets = part.octets.map_or(Seen::Unknown, Seen::Known);
            }
        }
    }
}
