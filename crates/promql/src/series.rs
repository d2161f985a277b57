//! What the evaluator asks of whoever keeps the series.

use crate::{Error, Labels, Matcher};

/// One value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub time: i64,
    /// The value.
    pub value: f64,
}

/// Bits of the value that says that a series ended (Prometheus, `model/value`).
const STALE: u64 = 0x7ff0_0000_0000_0002;

impl Sample {
    /// The mark after the last value of a series that ended.
    pub const fn stale(time: i64) -> Self {
        Self {
            time,
            value: f64::from_bits(STALE),
        }
    }

    /// Whether it is that mark.
    pub const fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE
    }
}

/// A series that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its labels, its name among them.
    pub labels: Labels,
    /// Its values in the order of their times.
    pub samples: Vec<Sample>,
}

/// Whoever keeps the series.
pub trait Series {
    /// The series that all of `matchers` accept, one by one, each once, with their values from `from` to `until`, both included;
    /// milliseconds since the Unix epoch.
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        from: i64,
        until: i64,
    ) -> Box<dyn Iterator<Item = Result<Found, Error>> + 'a>;
}
