//! One direction of a TCP connection, put in order by sequence number.
//!
//! Samples may come out of order, again, overlapping, joined to one large segment, cut short, or not at all. Out come octets
//! in order, and [`Piece::Gap`] where there are none. A connection that was there before us begins with its first sample.

use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Octets of one direction that wait for a segment before them, at the most.
pub const HELD_OCTETS: usize = 64 << 10;

/// Samples of one direction that wait for a segment before them, at the most.
pub const HELD_SAMPLES: usize = 64;

/// How long a sample waits for a segment before it: longer than the shortest retransmission timeout of Linux, 200 ms.
pub const HOLD_NS: u64 = 1_000_000_000;

/// A sample so far behind or ahead is no late segment: the stream goes on elsewhere.
const JUMP: i32 = 1 << 28;

/// What was seen of one segment.
///
/// Two samples of one segment are possible: the first one's `length` then ends where the second one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Sequence number of the first octet, or of the SYN.
    pub sequence: u32,
    /// The segment begins a connection; its sequence number counts for one.
    pub syn: bool,
    /// The first octets of the payload, all or not.
    pub octets: &'a [u8],
    /// Octets of payload in the segment; fewer than in `octets` counts as those.
    pub length: u32,
    /// The sequence number behind what whoever takes samples had seen of this direction, if that is known: what is missing
    /// before it was left out on purpose, and is not waited for.
    pub expected: Option<u32>,
    /// When it was seen.
    pub time_ns: u64,
}

/// Why octets are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The sample of a segment ends before the segment does, or segments behind it were left out on purpose.
    Cut,
    /// No sample of the segment came.
    Lost,
}

/// What comes next in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Octets that follow those before them.
    Octets {
        /// The octets; at least one.
        octets: &'a [u8],
        /// They begin a segment, so that what a peer wrote at once may begin here.
        begins: bool,
        /// When their sample was seen.
        time_ns: u64,
    },
    /// Octets that nobody saw.
    Gap {
        /// How many; at least one.
        octets: u64,
        /// Why.
        hole: Hole,
        /// When the sample before (cut) or after it (lost) was seen.
        time_ns: u64,
    },
}

/// One direction.
#[derive(Debug, Default)]
pub struct Stream {
    /// Sequence number of what comes next, once anything has come.
    next: Option<u32>,
    /// The first sequence number after the SYN, if that was seen.
    first: Option<u32>,
    /// In the order of their distance from `next`; none reaches back to it.
    held: VecDeque<Held>,
    held_octets: usize,
    /// When the last of what was given was seen.
    given_ns: u64,
}

#[derive(Debug)]
struct Held {
    sequence: u32,
    octets: Box<[u8]>,
    length: u32,
    expected: Option<u32>,
    time_ns: u64,
}

impl Held {
    fn sample(&self) -> Sample<'_> {
        Sample {
            sequence: self.sequence,
            syn: false,
            octets: &self.octets,
            length: self.length,
            expected: self.expected,
            time_ns: self.time_ns,
        }
    }
}

impl Stream {
    /// Takes a sample, and gives what can now be read.
    pub fn push(&mut self, sample: Sample<'_>, out: &mut impl FnMut(Piece<'_>)) {
        if sample.syn {
            self.start(sample.sequence.wrapping_add(1));
            self.given_ns = self.given_ns.max(sample.time_ns);
        }
        let sample = Sample {
            sequence: sample.sequence.wrapping_add(sample.syn.into()),
            length: sample.length.max(sample.octets.len() as u32),
            ..sample
        };
        if sample.length == 0 {
            return;
        }
        let next = *self.next.get_or_insert(sample.sequence);
        let ahead = sample.sequence.wrapping_sub(next).cast_signed();
        if ahead <= -JUMP {
            // Half the numbers and more were missed.
            self.held.clear();
            self.held_octets = 0;
            self.hold(sample);
            self.give_up(out);
        } else if ahead <= 0 {
            self.deliver(sample, out);
            self.drain(out);
        } else {
            self.hold(sample);
            self.drain(out);
        }
        while self.over_budget()
            || self
                .since()
                .is_some_and(|since| late(since, sample.time_ns))
        {
            self.give_up(out);
        }
    }

    /// Gives up what waited too long for a segment before it.
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Piece<'_>)) {
        while self.since().is_some_and(|since| late(since, now_ns)) {
            self.give_up(out);
        }
    }

    /// Gives what is left, with its gaps: nothing more will come. `end` is the sequence number behind the last octet,
    /// without FIN. Says whether everything is known that is not in a gap.
    pub fn finish(&mut self, end: Option<u32>, out: &mut impl FnMut(Piece<'_>)) -> bool {
        while !self.held.is_empty() {
            self.give_up(out);
        }
        let (Some(next), Some(end)) = (self.next, end) else {
            return false;
        };
        let missing = end.wrapping_sub(next);
        if missing.cast_signed() > 0 {
            out(Piece::Gap {
                octets: missing.into(),
                hole: Hole::Lost,
                time_ns: self.given_ns,
            });
            self.next = Some(end);
        }
        true
    }

    /// Since when samples wait for a segment before them.
    pub fn since(&self) -> Option<u64> {
        self.held.iter().map(|held| held.time_ns).min()
    }

    /// Whether a SYN with this sequence number would begin another connection than this one.
    pub fn is_other(&self, syn: u32) -> bool {
        let first = syn.wrapping_add(1);
        match self.first {
            Some(known) => known != first,
            None => self.next.is_some_and(|next| next != first),
        }
    }

    /// Octets that wait.
    pub fn held_octets(&self) -> usize {
        self.held_octets
    }

    fn start(&mut self, first: u32) {
        if self.next.is_none() {
            self.next = Some(first);
            self.first = Some(first);
        }
    }

    /// Gives what of the sample has not been given yet.
    fn deliver(&mut self, sample: Sample<'_>, out: &mut impl FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        self.given_ns = self.given_ns.max(sample.time_ns);
        let known = next.wrapping_sub(sample.sequence);
        if known >= sample.length {
            return;
        }
        let octets = sample.octets.get(known as usize..).unwrap_or_default();
        if !octets.is_empty() {
            out(Piece::Octets {
                octets,
                begins: known == 0,
                time_ns: sample.time_ns,
            });
        }
        let missing = sample.length - known - octets.len() as u32;
        if missing > 0 {
            out(Piece::Gap {
                octets: missing.into(),
                hole: Hole::Cut,
                time_ns: sample.time_ns,
            });
        }
        self.next = Some(sample.sequence.wrapping_add(sample.length));
    }

    /// Gives what waited and now follows.
    fn drain(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        while self.reaches_first(out)
            && let Some(held) = self.held.pop_front()
        {
            self.held_octets -= held.octets.len();
            self.deliver(held.sample(), out);
        }
    }

    /// Whether the first sample that waits follows; passes over what was left out before it. What was lost before it has
    /// a sample that waits, since it was out of order: so the first one's word counts for all that is missing.
    fn reaches_first(&mut self, out: &mut impl FnMut(Piece<'_>)) -> bool {
        let (Some(next), Some(first)) = (self.next, self.held.front()) else {
            return false;
        };
        let ahead = |from: u32, to: u32| to.wrapping_sub(from).cast_signed();
        let left_out = first
            .expected
            .filter(|expected| ahead(next, *expected) > 0 && ahead(*expected, first.sequence) >= 0);
        let reached = left_out.unwrap_or(next);
        if reached != next {
            out(Piece::Gap {
                octets: reached.wrapping_sub(next).into(),
                hole: Hole::Cut,
                time_ns: self.given_ns.min(first.time_ns),
            });
            self.next = Some(reached);
        }
        ahead(reached, first.sequence) <= 0
    }

    fn hold(&mut self, sample: Sample<'_>) {
        let Some(next) = self.next else { return };
        let distance = |sequence: u32| sequence.wrapping_sub(next);
        let at = self
            .held
            .partition_point(|held| distance(held.sequence) < distance(sample.sequence));
        if let Some(same) = self.held.get(at)
            && same.sequence == sample.sequence
            && same.length >= sample.length
            && same.octets.len() >= sample.octets.len()
        {
            return;
        }
        self.held_octets += sample.octets.len();
        self.held.insert(
            at,
            Held {
                sequence: sample.sequence,
                octets: sample.octets.into(),
                length: sample.length,
                expected: sample.expected,
                time_ns: sample.time_ns,
            },
        );
    }

    fn over_budget(&self) -> bool {
        self.held_octets > HELD_OCTETS || self.held.len() > HELD_SAMPLES
    }

    /// Calls what is missing before the first sample that waits a gap.
    fn give_up(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        if let (Some(next), Some(first)) = (self.next, self.held.front()) {
            out(Piece::Gap {
                octets: first.sequence.wrapping_sub(next).into(),
                hole: Hole::Lost,
                time_ns: first.time_ns,
            });
            self.next = Some(first.sequence);
        }
        self.drain(out);
    }
}

fn late(since_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(since_ns) >= HOLD_NS
}
