//! One direction of Kafka: messages behind their length, of which the beginning is kept.

use super::{MESSAGE_OCTETS, api::REQUEST_OCTETS};

/// A message: its beginning, and how long it was.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) octets: Vec<u8>,
    pub(super) length: u32,
    /// When its first octet was seen.
    pub(super) begin_ns: u64,
    /// Nothing but its number says that it is one.
    pub(super) is_unproven: bool,
}

impl Message {
    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.octets.len() == self.length as usize
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Octets of the length.
    head: Vec<u8>,
    message: Message,
    left: u64,
    /// Behind a hole nothing is where it seems.
    holed: bool,
    lost: bool,
    /// What looks like a message may be none, until it ends where a segment does.
    unproven: bool,
}

impl Side {
    pub(super) fn lose(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Goes on with a message that begins with what follows; one that is not proven has to end where a segment does.
    pub(super) fn resume(&mut self, is_proven: bool) {
        *self = Self {
            unproven: !is_proven,
            ..Self::default()
        };
    }

    /// Whether it is between two messages.
    pub(super) fn is_between(&self) -> bool {
        !self.lost && !self.unproven && self.head.is_empty() && self.left == 0
    }

    pub(super) fn is_unproven(&self) -> bool {
        self.unproven
    }

    pub(super) fn octets(&self) -> usize {
        self.message.octets.capacity() + self.head.capacity()
    }

    /// Reads up to the end of a message, and gives the octets behind it. Nothing more comes of what cannot be a message, nor of
    /// one that is not proven and behind which none `may_follow`.
    pub(super) fn read<'a>(
        &mut self,
        octets: &'a [u8],
        time_ns: u64,
        may_follow: impl Fn(&[u8]) -> bool,
    ) -> (Option<Message>, &'a [u8]) {
        if self.left > 0 {
            let count = octets
                .len()
                .min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= count as u64;
            if !self.holed {
                let room = MESSAGE_OCTETS - self.message.octets.len();
                self.message
                    .octets
                    .extend_from_slice(&octets[..count.min(room)]);
                self.holed = count > room;
            }
            let rest = &octets[count..];
            if self.unproven && self.left == 0 && !rest.is_empty() && !may_follow(rest) {
                self.lose();
                return (None, &[]);
            }
            return (self.ended(), rest);
        }
        if self.head.is_empty() {
            self.message.begin_ns = time_ns;
        }
        let count = octets.len().min(4 - self.head.len());
        self.head.extend_from_slice(&octets[..count]);
        if let Some(length) = self.head.first_chunk::<4>() {
            let length = u32::from_be_bytes(*length);
            if !(4..=REQUEST_OCTETS).contains(&length) {
                self.lose();
                return (None, &[]);
            }
            self.head.clear();
            self.message.length = length;
            self.left = length.into();
        }
        (None, &octets[count..])
    }

    /// Passes over octets that are not there.
    pub(super) fn skip(&mut self, octets: u64) -> Option<Message> {
        if self.left == 0 || octets > self.left {
            // What is missing may hold its end and other messages.
            let seen = std::mem::take(&mut self.message);
            let told = self.left > 0 && !self.unproven;
            self.lose();
            return told.then_some(seen);
        }
        self.left -= octets;
        self.holed = true;
        self.ended()
    }

    fn ended(&mut self) -> Option<Message> {
        (self.left == 0).then(|| {
            self.holed = false;
            self.message.is_unproven = std::mem::take(&mut self.unproven);
            std::mem::take(&mut self.message)
        })
    }
}
