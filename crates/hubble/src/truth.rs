//! Connections and requests whose outcome is known, told as the data plane tells of them: what is counted, kept and answered is
//! held against what was sent, and what that costs is measured.
//!
//! [`Generator`] makes batches of connections: the events, entries and samples of payload that the kernel would give
//! ([`Step`]), and what is true of each ([`Case`]). [`Reader`] takes steps on the way on which an agent takes them.

mod cases;
mod octets;
mod reader;
mod speech;
mod talk;
mod town;

use datapath::abi::connection::{Connection, ConnectionKey};
use datapath::abi::event::Event;
use datapath::abi::sample::Sample;
use l7::record::Record as Said;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use api::hubble::answers::{Cause, Counters, Edge};
use std::time::Duration;

use crate::connections::{Entry, RoundTrip};
use crate::records::{Party, Record};
pub use reader::{Reader, Spoke};
pub use town::Town;

/// Connections begin within so many nanoseconds of their batch.
const SPREAD_NS: u64 = 2_000_000_000;
/// A batch is over, with all its time-outs, after so many nanoseconds.
const BATCH_NS: u64 = 20_000_000_000;

/// Something that the kernel gives.
#[derive(Clone, Debug)]
pub enum Step {
    /// An event of the ring, and what it tells.
    Event(Box<Event>, Box<Record>),
    /// The entry of a connection when somebody looks at it, and the record that it stands for.
    Entry(ConnectionKey, Box<Connection>, Entry, Box<Record>),
    /// A sample with its octets.
    Sample(Box<Sample>, Vec<u8>),
    /// A sample that found no room in the ring, which is counted.
    Lost,
    /// Another second.
    Second,
}

/// What happens to samples on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They come; some twice, some in parts, some before those that they follow.
    Whole,
    /// Of some connections one does not come.
    Losing,
}

/// A connection, or an attempt at one, and what is true of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Between whom.
    pub edge: Edge,
    /// Who began; its address and port name the connection within its batch.
    pub client: Party,
    /// What it counts for.
    pub counters: Counters,
    /// How long its first answer took.
    pub connect: Option<Duration>,
    /// What the client measured or, if it did not, the server.
    pub round_trip: Option<RoundTrip>,
    /// Why it failed, and with how many packets.
    pub failure: Option<(Cause, u64)>,
    /// What was said, in order.
    pub said: Vec<Said>,
    /// Of the questions those that were a search, not a failure.
    pub searched: usize,
    /// Samples of it that were lost.
    pub lost: u64,
}

/// Connections that begin at about the same time.
#[derive(Debug)]
pub struct Batch {
    /// What the kernel gives, and when, monotonic nanoseconds; in order.
    pub steps: Vec<(u64, Step)>,
    /// What is true.
    pub cases: Vec<Case>,
}

/// Makes batches; the same of the same seed.
pub struct Generator {
    random: StdRng,
    number: u64,
    now_ns: u64,
}

impl Generator {
    /// A generator whose connections begin at a moment, monotonic nanoseconds.
    pub fn new(seed: u64, now_ns: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            number: 0,
            now_ns,
        }
    }

    /// Time passes without connections until a moment, monotonic nanoseconds.
    pub const fn go_on_at(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// So many connections, from begin to end.
    pub fn batch(&mut self, connections: usize, way: Way) -> Batch {
        let (mut steps, mut cases) = (Vec::new(), Vec::with_capacity(connections));
        for _ in 0..connections {
            let at_ns = self.now_ns + self.random.random_range(0..SPREAD_NS);
            let (case, of_case) = cases::case(&mut self.random, self.number, at_ns, way);
            self.number += 1;
            cases.push(case);
            steps.extend(of_case);
        }
        let end_ns = self.now_ns + BATCH_NS;
        let seconds = (self.now_ns..end_ns).step_by(1_000_000_000);
        steps.extend(seconds.map(|at_ns| (at_ns, Step::Second)));
        self.now_ns = end_ns;
        // What is of one moment stays in the order in which it was made.
        steps.sort_by_key(|(at_ns, _)| *at_ns);
        Batch { steps, cases }
    }
}

#[cfg(test)]
mod tests;
