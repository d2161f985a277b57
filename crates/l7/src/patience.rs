//! How long answers take of late, by kind of request: what waits for longer than nearly all of its kind did is overdue.
//!
//! A kind is a method and a path template of a service. Of one of which few were answered nobody can say what is long; and where answers
//! come when there is something to tell, those before took long as well.

use std::hash::BuildHasher;

use hashbrown::HashMap;

use crate::record::{Http, Seen};

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
    /// Number of a request's kind; none if its name was not seen.
    fn kind(&self, service: u64, of: &Http) -> Option<u64> {
        let (Seen::Known(method), Seen::Known(template)) = (&of.method, &of.template) else {
            return None;
        };
        Some(self.kinds.hasher().hash_one((service, method, template)))
    }

    /// Takes in how long an answer took; its request has its template.
    pub(crate) fn note(&mut self, service: u64, of: &Http) {
        let (Some(kind), Some(start_ns), Some(answer_ns)) =
            (self.kind(service, of), of.start_ns, of.answer_ns)
        else {
            return;
        };
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            self.kinds.retain(|_, of| of.answers >= ENOUGH);
            if self.kinds.len() >= KINDS {
                self.kinds.clear();
            }
        }
        let known = self.kinds.entry(kind).or_default();
        known.note(answer_ns.saturating_sub(start_ns));
    }

    /// Whether a request that has waited for so long is overdue; it has its template.
    pub(crate) fn is_over(&self, service: u64, of: &Http, waited_ns: u64) -> bool {
        let known = self
            .kind(service, of)
            .and_then(|kind| self.kinds.get(&kind));
        let long_ns = known.and_then(Kind::long_ns);
        long_ns.is_some_and(|long_ns| waited_ns > long_ns.max(LEAST_NS))
    }
}
