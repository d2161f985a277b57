//! Both directions of a connection: what was said, in the order in which it was said.
//!
//! While one direction waits for a segment, the other one waits with it: an answer is not read before its request.

use std::collections::VecDeque;

use crate::stream::{HELD_OCTETS, HELD_SAMPLES, HOLD_NS, Hole, Piece, Sample, Stream};

#[cfg(test)]
mod tests;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The side that opened the connection.
    ToServer,
    /// The side that accepted it.
    ToClient,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToServer, Self::ToClient];

    /// The other one.
    pub fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// A piece with octets of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    octets: Box<[u8]>,
    begins: bool,
    gap: Option<(u64, Hole)>,
    time_ns: u64,
}

impl From<Piece<'_>> for Kept {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Octets {
                octets,
                begins,
                time_ns,
            } => Self {
                octets: octets.into(),
                begins,
                gap: None,
                time_ns,
            },
            Piece::Gap {
                octets,
                hole,
                time_ns,
            } => Self {
                octets: Box::default(),
                begins: false,
                gap: Some((octets, hole)),
                time_ns,
            },
        }
    }
}

impl Kept {
    pub(crate) fn piece(&self) -> Piece<'_> {
        match self.gap {
            Some((octets, hole)) => Piece::Gap {
                octets,
                hole,
                time_ns: self.time_ns,
            },
            None => Piece::Octets {
                octets: &self.octets,
                begins: self.begins,
                time_ns: self.time_ns,
            },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }
}

/// Two streams.
#[derive(Debug, Default)]
pub struct Conversation {
    streams: [Stream; 2],
    /// In order, and later than what the other direction waits for.
    postponed: [VecDeque<Kept>; 2],
    postponed_octets: usize,
}

impl Conversation {
    /// Takes a sample, and gives what can now be read.
    pub fn push(
        &mut self,
        direction: Direction,
        sample: Sample<'_>,
        out: &mut impl FnMut(Direction, Piece<'_>),
    ) {
        let mine = direction as usize;
        if self.is_straight() {
            self.streams[mine].push(sample, &mut |piece| out(direction, piece));
            return;
        }
        let (postponed, octets) = (&mut self.postponed[mine], &mut self.postponed_octets);
        self.streams[mine].push(sample, &mut |piece| {
            let kept = Kept::from(piece);
            *octets += kept.len();
            postponed.push_back(kept);
        });
        self.release(sample.time_ns, out);
    }

    /// Gives up what waited for [`HOLD_NS`].
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Direction, Piece<'_>)) {
        if !self.is_straight() {
            self.release(now_ns, out);
        }
    }

    /// Gives all that is left. `ends` are the sequence numbers behind the last octet of each direction, without FIN. Says
    /// whether everything is known that is not in a gap.
    pub fn finish(
        &mut self,
        ends: Option<[u32; 2]>,
        out: &mut impl FnMut(Direction, Piece<'_>),
    ) -> bool {
        self.release(u64::MAX, out);
        let mut certain = true;
        for direction in Direction::ALL {
            let end = ends.map(|ends| ends[direction as usize]);
            let stream = &mut self.streams[direction as usize];
            certain &= stream.finish(end, &mut |piece| out(direction, piece));
        }
        certain
    }

    /// Whether a SYN with this sequence number would begin another connection than this one.
    pub fn is_other(&self, direction: Direction, syn: u32) -> bool {
        self.streams[direction as usize].is_other(syn)
    }

    /// Octets that wait.
    pub fn held_octets(&self) -> usize {
        let held: usize = self.streams.iter().map(Stream::held_octets).sum();
        held + self.postponed_octets
    }

    /// Whether nothing waits for anything.
    fn is_straight(&self) -> bool {
        let waits = |stream: &Stream| stream.since().is_some();
        !self.streams.iter().any(waits) && self.postponed.iter().all(VecDeque::is_empty)
    }

    fn release(&mut self, now_ns: u64, out: &mut impl FnMut(Direction, Piece<'_>)) {
        for direction in Direction::ALL {
            let mine = direction as usize;
            let (postponed, octets) = (&mut self.postponed[mine], &mut self.postponed_octets);
            self.streams[mine].tick(now_ns, &mut |piece| {
                let kept = Kept::from(piece);
                *octets += kept.len();
                postponed.push_back(kept);
            });
        }
        loop {
            self.give(out);
            if !self.over_budget(now_ns) {
                return;
            }
            // What the other side waits for does not come any more.
            for direction in Direction::ALL {
                let mine = direction as usize;
                let (postponed, octets) = (&mut self.postponed[mine], &mut self.postponed_octets);
                self.streams[mine].finish(None, &mut |piece| {
                    let kept = Kept::from(piece);
                    *octets += kept.len();
                    postponed.push_back(kept);
                });
            }
        }
    }

    /// Gives what is not later than what the other direction waits for, in the order of time.
    fn give(&mut self, out: &mut impl FnMut(Direction, Piece<'_>)) {
        // What is followed by something was said before it, also if its sample came late.
        let mut times = [0, 1].map(|side| {
            let mut earliest = u64::MAX;
            let times = self.postponed[side].iter().rev().map(|kept| {
                earliest = earliest.min(kept.time_ns);
                earliest
            });
            times.collect::<Vec<_>>()
        });
        loop {
            let first = |side: usize| times[side].last().copied().unwrap_or(u64::MAX);
            let direction = if first(0) <= first(1) {
                Direction::ToServer
            } else {
                Direction::ToClient
            };
            let other = &self.streams[direction.reverse() as usize];
            let until = other.since().unwrap_or(u64::MAX);
            let mine = direction as usize;
            if first(mine) > until {
                return;
            }
            let Some(kept) = self.postponed[mine].pop_front() else {
                return;
            };
            times[mine].pop();
            self.postponed_octets -= kept.len();
            out(direction, kept.piece());
        }
    }

    fn over_budget(&self, now_ns: u64) -> bool {
        let oldest = self.postponed.iter().filter_map(VecDeque::front);
        let late = |kept: &Kept| now_ns.saturating_sub(kept.time_ns) >= HOLD_NS;
        let count: usize = self.postponed.iter().map(VecDeque::len).sum();
        self.postponed_octets > HELD_OCTETS
            || count > 2 * HELD_SAMPLES
            || oldest.into_iter().any(late)
    }
}
