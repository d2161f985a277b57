//! Which protocol a connection speaks, by what it says first.
//!
//! A protocol is recognised by its own marks, in both directions where one would do for others as well. What is not
//! recognised within [`PACKETS`] packets with payload is [`Protocol::Other`]. A hint (name of a port, `appProtocol`)
//! decides only where the octets leave several answers.

use crate::conversation::Direction;

mod marks;
#[cfg(test)]
mod tests;

pub use marks::is_http1_answer_start;
pub(crate) use marks::{PREFACE, begins_http1_request, dns_over_tcp, frame_length, http1_answer};

/// Packets with payload, in both directions, after which an unknown protocol is given up.
pub const PACKETS: u8 = 4;

/// Turns of a connection that was joined midway, after which an unknown protocol is given up.
const TURNS: u8 = 16;

/// Octets of each direction that are looked at.
pub const PREFIX_OCTETS: usize = 512;

/// Octets of the latest segment that are looked at.
const LATEST_OCTETS: usize = 300;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2, and gRPC on it.
    Http2,
    /// Kafka.
    Kafka,
    /// TLS, whatever is in it.
    Tls,
    /// DNS.
    Dns,
    /// None of these, or it cannot be said.
    Other,
}

/// What the marks of one protocol say of the octets seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is this protocol.
    Yes,
    /// It can be, so far.
    Maybe,
    /// It is not.
    No,
}

/// Looks at the beginning of a connection.
#[derive(Debug, Default)]
pub struct Classifier {
    prefixes: [Prefix; 2],
    packets: u8,
    turns: u8,
    /// Who spoke last.
    speaker: Option<Direction>,
    hint: Option<Protocol>,
    /// What is seen first may be the midst of something, of any number of packets: turns are counted.
    midway: bool,
    beginnings: u8,
}

/// The first octets of one direction.
#[derive(Debug, Default)]
pub(crate) struct Prefix {
    /// The first octets, without a gap.
    pub(crate) octets: Vec<u8>,
    /// Octets of the first segment, those that were not sampled included.
    pub(crate) first_segment: u64,
    /// The first octets of the latest segment, and of the latest one after the other direction spoke.
    pub(crate) latest: Vec<u8>,
    pub(crate) turn: Vec<u8>,
    /// Nothing follows, or not without a gap.
    pub(crate) closed: bool,
}

impl Prefix {
    /// Where messages may begin.
    pub(crate) fn segments(&self) -> [&[u8]; 3] {
        [&self.octets, &self.latest, &self.turn]
    }
}

type Marks = fn(&Prefix, &Prefix) -> Mark;

/// All protocols, with their marks; of two that may both be it the first one is more common.
const MARKS: [(Protocol, Marks); 5] = [
    (Protocol::Http1, marks::http1),
    (Protocol::Http2, marks::http2),
    (Protocol::Tls, marks::tls),
    (Protocol::Dns, marks::dns),
    (Protocol::Kafka, marks::kafka),
];

impl Classifier {
    /// Begins, with what the configuration says of the port.
    pub fn new(hint: Option<Protocol>) -> Self {
        Self {
            hint,
            ..Self::default()
        }
    }

    /// Says whether the connection's beginning was missed.
    pub(crate) fn joined_midway(&mut self, midway: bool) {
        self.midway = midway;
    }

    /// Forgets what was said; not who said it last. `counts`: for one more beginning.
    pub(crate) fn begin_anew(&mut self, counts: bool) {
        *self = Self {
            speaker: self.speaker,
            hint: self.hint,
            midway: self.midway,
            beginnings: self.beginnings + u8::from(counts),
            ..Self::default()
        };
    }

    /// How often it began anew.
    pub(crate) fn beginnings(&self) -> u8 {
        self.beginnings
    }

    /// Whether somebody else speaks than before.
    pub(crate) fn takes_turn(&self, direction: Direction) -> bool {
        self.speaker != Some(direction)
    }

    /// Takes octets; answers as soon as it can be said.
    pub fn octets(
        &mut self,
        direction: Direction,
        octets: &[u8],
        begins: bool,
    ) -> Option<Protocol> {
        let takes_turn = self.takes_turn(direction);
        self.speaker = Some(direction);
        self.turns = self.turns.saturating_add(takes_turn.into());
        let prefix = &mut self.prefixes[direction as usize];
        if begins {
            let count = octets.len().min(LATEST_OCTETS);
            prefix.latest = octets[..count].to_vec();
        }
        if begins && takes_turn {
            prefix.turn.clone_from(&prefix.latest);
        }
        if !prefix.closed {
            if prefix.octets.is_empty() {
                prefix.first_segment = octets.len() as u64;
            }
            let room = PREFIX_OCTETS - prefix.octets.len();
            prefix.octets.extend(octets.iter().take(room));
            prefix.closed = octets.len() > room;
        }
        if begins {
            self.packets = self.packets.saturating_add(1);
        }
        self.decide()
    }

    /// Takes a gap.
    pub fn gap(&mut self, direction: Direction, octets: u64, cut: bool) -> Option<Protocol> {
        let prefix = &mut self.prefixes[direction as usize];
        if cut && !prefix.closed && prefix.first_segment == prefix.octets.len() as u64 {
            prefix.first_segment += octets;
        }
        prefix.closed = true;
        self.decide()
    }

    fn decide(&self) -> Option<Protocol> {
        let [to_server, to_client] = &self.prefixes;
        let marks = MARKS.map(|(protocol, mark)| (protocol, mark(to_server, to_client)));
        let all = |wanted| {
            let marks = marks.iter().filter(move |(_, mark)| *mark == wanted);
            marks.map(|(protocol, _)| *protocol)
        };
        let hinted = all(Mark::Yes).find(|protocol| Some(*protocol) == self.hint);
        if let Some(protocol) = hinted.or_else(|| all(Mark::Yes).next()) {
            return Some(protocol);
        }
        let hopeless = all(Mark::Maybe).next().is_none();
        let patient = if self.midway {
            self.turns < TURNS
        } else {
            self.packets < PACKETS
        };
        (hopeless || !patient).then_some(Protocol::Other)
    }
}
