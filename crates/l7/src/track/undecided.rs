//! A connection of which nobody knows yet what it speaks: what it said is kept until then.

use crate::{
    classify::{Classifier, PREFIX_OCTETS, Protocol},
    conversation::{Direction, Kept},
    stream::{Hole, Piece},
};

/// Octets that are kept until the protocol is known; a connection that says more before is something else.
const OCTETS: usize = 32 << 10;

/// So often a connection that was joined midway is looked at anew, each time from where the other side speaks: what was seen
/// first was the midst of a message.
const BEGINNINGS: u8 = 16;

/// What was said, and what it may be.
#[derive(Debug)]
pub(super) struct Undecided {
    classifier: Box<Classifier>,
    kept: Vec<(Direction, Kept)>,
    octets: usize,
}

impl Undecided {
    pub(super) fn new(hint: Option<Protocol>) -> Self {
        Self {
            classifier: Box::new(Classifier::new(hint)),
            kept: Vec::new(),
            octets: 0,
        }
    }

    /// Octets that it takes.
    pub(super) fn octets(&self) -> usize {
        self.octets + size_of::<Classifier>() + 2 * PREFIX_OCTETS
    }

    /// What was said until now.
    pub(super) fn into_kept(self) -> Vec<(Direction, Kept)> {
        self.kept
    }

    /// Keeps a piece until the protocol is known.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        midway: bool,
    ) -> Option<Protocol> {
        self.classifier.joined_midway(midway);
        let takes_turn = self.classifier.takes_turn(direction);
        let protocol = self.keep(direction, piece);
        if protocol != Some(Protocol::Other)
            || !midway
            || self.classifier.beginnings() >= BEGINNINGS
        {
            return protocol;
        }
        self.begin_anew(takes_turn);
        if !takes_turn {
            return None;
        }
        let protocol = self.keep(direction, piece);
        if protocol == Some(Protocol::Other) {
            self.begin_anew(false);
            return None;
        }
        protocol
    }

    fn keep(&mut self, direction: Direction, piece: Piece<'_>) -> Option<Protocol> {
        let protocol = match piece {
            Piece::Octets { octets, begins, .. } => {
                self.classifier.octets(direction, octets, begins)
            }
            Piece::Gap { octets, hole, .. } => {
                self.classifier.gap(direction, octets, hole == Hole::Cut)
            }
        };
        let piece = Kept::from(piece);
        self.octets += piece.len() + size_of::<Kept>();
        self.kept.push((direction, piece));
        protocol.or((self.octets > OCTETS).then_some(Protocol::Other))
    }

    fn begin_anew(&mut self, counts: bool) {
        self.classifier.begin_anew(counts);
        self.kept.clear();
        self.octets = 0;
    }
}
