//! One direction of TLS: records (RFC 8446, section 5.1), of which the first message is read and the others passed over.

use crate::{conversation::Direction, octets::Octets};

/// Octets of a message that are kept: more than any hello has in practice.
pub const MESSAGE_OCTETS: usize = 16 << 10;

/// Octets of a record's head.
const HEAD_OCTETS: usize = 5;

/// What a record may hold (RFC 5246, section 6.2.3).
const RECORD_OCTETS: u16 = (1 << 14) + 2048;

mod kind {
    pub(super) const CHANGE: u8 = 20;
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    pub(super) const APPLICATION: u8 = 23;
}

/// What happens in a direction.
#[derive(Debug)]
pub(super) enum Event {
    /// The hello, without its head; `whole` or as far as it was seen.
    Message {
        octets: Vec<u8>,
        whole: bool,
        begin_ns: u64,
    },
    /// An alert that is not encrypted.
    Alert { fatal: bool, code: u8 },
    /// What follows is encrypted with new keys.
    Changed,
    /// Encrypted data.
    Application,
}

/// What octets that are not there cost.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) event: Option<Event>,
    /// Something that counts may have been in them.
    pub(super) missed: bool,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Side {
    /// Type of the message that is read: that of the side's hello.
    wanted: u8,
    head: Vec<u8>,
    kind: u8,
    left: u64,
    length: u16,
    /// Octets of messages, or of an alert.
    message: Vec<u8>,
    begin_ns: u64,
    /// The hello was given.
    told: bool,
    /// Something of the record or of the message is missing.
    holed: bool,
    lost: bool,
}

impl Side {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            wanted: match direction {
                Direction::ToServer => 1,
                Direction::ToClient => 2,
            },
            head: Vec::new(),
            kind: 0,
            left: 0,
            length: 0,
            message: Vec::new(),
            begin_ns: 0,
            told: false,
            holed: false,
            lost: false,
        }
    }

    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.left = 0;
        self.head.clear();
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn octets(&self) -> usize {
        self.head.capacity() + self.message.capacity()
    }

    /// Reads the next message of the wanted type as well.
    pub(super) fn another_message(&mut self) {
        self.told = false;
        self.message.clear();
    }

    /// Goes on after a gap, if a segment that begins so begins with a record.
    pub(super) fn resume(&mut self, octets: &[u8]) -> bool {
        let fits = begins_with_record(octets);
        if fits {
            self.lost = false;
            self.holed = false;
            self.message.clear();
        }
        fits
    }

    /// Reads up to the next event, and gives the octets behind it.
    pub(super) fn read<'a>(&mut self, octets: &'a [u8], time_ns: u64) -> (Option<Event>, &'a [u8]) {
        if self.lost {
            return (None, &[]);
        }
        if self.left == 0 {
            return self.read_head(octets, time_ns);
        }
        let count = octets
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (mine, rest) = octets.split_at(count);
        self.left -= count as u64;
        let wants = match self.kind {
            kind::HANDSHAKE => !self.told,
            kind::ALERT => true,
            _ => false,
        };
        if wants && !self.holed {
            let room = MESSAGE_OCTETS - self.message.len().min(MESSAGE_OCTETS);
            self.message
                .extend_from_slice(&mine[..mine.len().min(room)]);
        }
        (self.taken(), rest)
    }

    /// Passes over octets that are not there.
    pub(super) fn skip(&mut self, octets: u64) -> Skipped {
        if self.lost {
            return Skipped::default();
        }
        let within = self.head.is_empty() && octets <= self.left;
        let hello = self.kind == kind::HANDSHAKE && !self.told;
        self.holed = true;
        if within {
            self.left -= octets;
        } else {
            self.lose();
        }
        // What was seen of the hello is all there will be.
        let seen = hello && !self.message.is_empty();
        Skipped {
            event: if seen { self.tell(false) } else { None },
            // The version is in the server's hello.
            missed: !within || hello && self.wanted == 2 || self.kind == kind::ALERT,
        }
    }

    fn read_head<'a>(&mut self, octets: &'a [u8], time_ns: u64) -> (Option<Event>, &'a [u8]) {
        if self.head.is_empty() && self.message.is_empty() {
            self.begin_ns = time_ns;
        }
        let count = octets.len().min(HEAD_OCTETS - self.head.len());
        self.head.extend_from_slice(&octets[..count]);
        let rest = &octets[count..];
        if self.head.len() < HEAD_OCTETS {
            return (None, rest);
        }
        let mut head = Octets::new(&self.head);
        let Some((kind, length)) = head_of(&mut head) else {
            self.lose();
            return (None, &[]);
        };
        self.head.clear();
        let goes_on =
            kind == kind::HANDSHAKE && self.kind == kind::HANDSHAKE && !self.message.is_empty();
        if !goes_on {
            self.message.clear();
            self.holed = false;
        }
        self.kind = kind;
        self.length = length;
        self.left = length.into();
        let event = match kind {
            kind::CHANGE => Some(Event::Changed),
            kind::APPLICATION => Some(Event::Application),
            _ => None,
        };
        (event, rest)
    }

    /// After octets of a record: what they say.
    fn taken(&mut self) -> Option<Event> {
        match self.kind {
            kind::HANDSHAKE if !self.told => {
                let mut message = Octets::new(&self.message);
                let (kind, length) = (message.u8()?, message.u24()?);
                if kind != self.wanted {
                    self.told = true;
                    self.message.clear();
                    return None;
                }
                let there = message.rest().len();
                let whole = there >= length as usize;
                (whole || self.message.len() >= MESSAGE_OCTETS).then(|| self.tell(whole))?
            }
            kind::ALERT if self.left == 0 => {
                let message = std::mem::take(&mut self.message);
                let whole = self.length == 2 && !self.holed;
                match message[..] {
                    [level @ 1..=2, code] if whole => Some(Event::Alert {
                        fatal: level == 2,
                        code,
                    }),
                    // It is encrypted.
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn tell(&mut self, whole: bool) -> Option<Event> {
        self.told = true;
        let mut octets = std::mem::take(&mut self.message);
        let mut message = Octets::new(&octets);
        let (kind, length) = (message.u8()?, message.u24()?);
        if kind != self.wanted {
            return None;
        }
        octets.drain(..4);
        octets.truncate(length as usize);
        Some(Event::Message {
            octets,
            whole,
            begin_ns: self.begin_ns,
        })
    }
}

/// Type and length of a record.
fn head_of(octets: &mut Octets<'_>) -> Option<(u8, u16)> {
    let (kind, major, minor, length) = (octets.u8()?, octets.u8()?, octets.u8()?, octets.u16()?);
    let fits = (kind::CHANGE..=kind::APPLICATION).contains(&kind)
        && major == 3
        && minor <= 4
        && (1..=RECORD_OCTETS).contains(&length);
    fits.then_some((kind, length))
}

/// Whether octets at the beginning of a segment are a record: one that goes on behind them, or another one behind it.
fn begins_with_record(octets: &[u8]) -> bool {
    let mut rest = Octets::new(octets);
    let Some((_, length)) = head_of(&mut rest) else {
        return false;
    };
    match rest.take(length.into()) {
        Some(_) => rest.is_empty() || head_of(&mut rest).is_some(),
        None => true,
    }
}
