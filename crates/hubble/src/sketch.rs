//! Distributions of durations that can be merged: counts in buckets that grow by a constant factor, so that a quantile is wrong
//! by at most 1 % (the idea of DDSketch, Masson et al., VLDB 2019).

use std::collections::BTreeMap;
use std::time::Duration;

use api::hubble::answers as pb;

/// The largest relative error of a quantile.
const ERROR: f64 = 0.01;
/// Durations below it, microseconds, are not told apart.
const LEAST: f64 = 1.0;
/// The last bucket, for everything from about two hours on.
const LAST: u32 = 1140;

fn growth() -> f64 {
    (1.0 + ERROR) / (1.0 - ERROR)
}

/// A distribution of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    buckets: BTreeMap<u32, u64>,
}

impl Sketch {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        *self.buckets.entry(bucket(duration)).or_default() += 1;
    }

    /// Adds all that another sketch has counted. Buckets beyond the last count as the last.
    pub fn merge(&mut self, other: &pb::Sketch) {
        for (bucket, count) in other.bucket.iter().zip(&other.count) {
            let own = self.buckets.entry((*bucket).min(LAST)).or_default();
            *own = own.saturating_add(*count);
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The duration that a share `quantile` (0 to 1) of all are not longer than; none of nothing.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank, at least 1 and at most the count"
    )]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        let rank = (quantile.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut below = 0_u64;
        for (bucket, count) in &self.buckets {
            below = below.saturating_add(*count);
            if below >= rank {
                return Some(middle(*bucket));
            }
        }
        None
    }
}

impl From<&Sketch> for pb::Sketch {
    fn from(sketch: &Sketch) -> Self {
        Self {
            bucket: sketch.buckets.keys().copied().collect(),
            count: sketch.buckets.values().copied().collect(),
        }
    }
}

impl From<&pb::Sketch> for Sketch {
    fn from(message: &pb::Sketch) -> Self {
        let mut sketch = Self::default();
        sketch.merge(message);
        sketch
    }
}

/// A distribution of one duration.
pub(crate) fn of_one(duration: Duration) -> pb::Sketch {
    pb::Sketch {
        bucket: vec![bucket(duration)],
        count: vec![1],
    }
}

/// Buckets of a distribution that are put in one by one.
const FEW: usize = 8;

/// Adds a distribution to another, as messages: where most have one duration, or the same ones, that is less work than to make
/// maps of them.
pub(crate) fn merge(into: &mut Option<pb::Sketch>, of: Option<pb::Sketch>) {
    let Some(of) = of else { return };
    let Some(into) = into else {
        *into = Some(of);
        return;
    };
    if !is_ordered(into) || !is_ordered(&of) {
        let mut sum = Sketch::from(&*into);
        sum.merge(&of);
        *into = pb::Sketch::from(&sum);
    } else if of.bucket == into.bucket {
        for (own, count) in into.count.iter_mut().zip(of.count) {
            *own = own.saturating_add(count);
        }
    } else if of.bucket.len() <= FEW {
        put(into, &of);
    } else {
        *into = zipped(into, &of);
    }
}

/// Whether its buckets rise, up to the last, and each has a count.
fn is_ordered(of: &pb::Sketch) -> bool {
    let rise = of.bucket.is_sorted_by(|a, b| a < b);
    rise && of.bucket.len() == of.count.len() && of.bucket.last().is_none_or(|last| *last <= LAST)
}

fn put(into: &mut pb::Sketch, of: &pb::Sketch) {
    for (bucket, count) in of.bucket.iter().zip(&of.count) {
        match into.bucket.binary_search(bucket) {
            Ok(at) => {
                if let Some(own) = into.count.get_mut(at) {
                    *own = own.saturating_add(*count);
                }
            }
            Err(at) => {
                into.bucket.insert(at, *bucket);
                into.count.insert(at, *count);
            }
        }
    }
}

/// The sum of two whose buckets rise.
fn zipped(a: &pb::Sketch, b: &pb::Sketch) -> pb::Sketch {
    let room = a.bucket.len() + b.bucket.len();
    let mut sum = pb::Sketch {
        bucket: Vec::with_capacity(room),
        count: Vec::with_capacity(room),
    };
    let mut b = b.bucket.iter().zip(&b.count).peekable();
    let mut push = |bucket: u32, count: u64| {
        sum.bucket.push(bucket);
        sum.count.push(count);
    };
    for (bucket, count) in a.bucket.iter().zip(&a.count) {
        while let Some((below, count)) = b.next_if(|(of, _)| *of < bucket) {
            push(*below, *count);
        }
        let same = b.next_if(|(of, _)| *of == bucket);
        push(
            *bucket,
            count.saturating_add(same.map_or(0, |(_, count)| *count)),
        );
    }
    b.for_each(|(bucket, count)| push(*bucket, *count));
    sum
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and the last bucket"
)]
fn bucket(duration: Duration) -> u32 {
    let microseconds = (duration.as_secs_f64() * 1e6).max(LEAST);
    let bucket = (microseconds.ln() / growth().ln()).ceil();
    bucket.clamp(0.0, f64::from(LAST)) as u32
}

/// The duration from which no duration of the bucket is further away than the error.
fn middle(bucket: u32) -> Duration {
    let growth = growth();
    let microseconds = 2.0 * growth.powf(f64::from(bucket)) / (growth + 1.0);
    Duration::from_secs_f64(microseconds / 1e6)
}

/// The duration that a bucket stands for, seconds.
pub(crate) fn seconds(bucket: u32) -> f64 {
    middle(bucket.min(LAST)).as_secs_f64()
}

#[cfg(test)]
mod tests;
