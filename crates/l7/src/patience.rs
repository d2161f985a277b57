//! How long answers take of late, by kind of request: what waits for longer than nearly all of its kind did is overdue.
//!
//! A kind is a method and a path template of a service, or a call of Kafka's. Of one of which few were answered nobody can say what is long; and where answers
//! come when there is something to tell, those before took long as well.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::kafka;
use crate::record::{Ending, Http, Kafka, Seen};

#[cfg(test)]
mod tests;

/// Nothing is overdue before this time.
pub const LEAST_NS: u64 = 10_000_000_000;
/// Answers without which nobody knows how long they take.
pub const ENOUGH: u32 = 100;
/// Kinds that are known at once.
const KINDS: usize = 4096;
/// After so many answers those of before count half.
const MANY: u32 = 1 << 14;
/// Latencies by powers of two of milliseconds; the last is for all that took more than an hour.
const BUCKETS: usize = 24;
const MS: u64 = 1_000_000;

/// A request that somebody waits for.
pub(crate) trait Request {
    /// Number of its kind; none if that was not seen, or what waits for something else than the server.
    fn kind(&self, service: u64, hasher: &DefaultHashBuilder) -> Option<u64>;
    /// How long its answer took; none if there was none.
    fn took_ns(&self) -> Option<u64>;
}

/// It has its template.
impl Request for Http {
    fn kind(&self, service: u64, hasher: &DefaultHashBuilder) -> Option<u64> {
        let (Seen::Known(method), Seen::Known(template)) = (&self.method, &self.template) else {
            return None;
        };
        Some(hasher.hash_one((service, method, template)))
    }

    fn took_ns(&self) -> Option<u64> {
        Some(self.answer_ns?.saturating_sub(self.start_ns?))
    }
}

impl Request for Kafka {
    fn kind(&self, service: u64, hasher: &DefaultHashBuilder) -> Option<u64> {
        let waits_for_others = kafka::waits_for_others(self.api);
        (!waits_for_others).then(|| hasher.hash_one((service, self.api)))
    }

    fn took_ns(&self) -> Option<u64> {
        let is_answered = self.ending == Ending::Whole && self.response_octets != Seen::Absent;
        let end_ns = self.end_ns.filter(|_| is_answered)?;
        Some(end_ns.saturating_sub(self.start_ns))
    }
}

/// How long answers took.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    kinds: HashMap<u64, Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    answers: u32,
    buckets: [u32; BUCKETS],
}

impl Kind {
    fn note(&mut self, latency_ns: u64) {
        let bits = u64::BITS - (latency_ns / MS).leading_zeros();
        let at = usize::try_from(bits).unwrap_or(BUCKETS).min(BUCKETS - 1);
        self.buckets[at] += 1;
        self.answers += 1;
        if self.answers >= MANY {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.answers = self.buckets.iter().sum();
        }
    }

    /// A time that at most one of a thousand took longer than; none if that is not known.
    fn long_ns(&self) -> Option<u64> {
        let mut slower = 0;
        let slowest_first = self.buckets.iter().rev();
        let above = slowest_first.take_while(|count| {
            slower += **count;
            slower <= self.answers / 1000
        });
        let above = above.count();
        let at = BUCKETS
            .checked_sub(above + 1)
            .filter(|at| *at < BUCKETS - 1)?;
        (self.answers >= ENOUGH).then_some(MS << at)
    }
}

impl Patience {
    /// Takes in how long an answer took.
    pub(crate) fn note(&mut self, service: u64, of: &impl Request) {
        let kind = of.kind(service, self.kinds.hasher());
        let (Some(kind), Some(took_ns)) = (kind, of.took_ns()) else {
            return;
        };
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            self.kinds.retain(|_, of| of.answers >= ENOUGH);
            if self.kinds.len() >= KINDS {
                self.kinds.clear();
            }
        }
        self.kinds.entry(kind).or_default().note(took_ns);
    }

    /// Whether a request that has waited for so long is overdue.
    pub(crate) fn is_over(&self, service: u64, of: &impl Request, waited_ns: u64) -> bool {
        let kind = of.kind(service, self.kinds.hasher());
        let known = kind.and_then(|kind| self.kinds.get(&kind));
        let long_ns = known.and_then(Kind::long_ns);
        long_ns.is_some_and(|long_ns| waited_ns > long_ns.max(LEAST_NS))
    }
}
