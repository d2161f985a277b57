//! Quantiles: of values, and of histograms in classic buckets.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::Grid;
use super::column::{Column, unique};
use crate::{Error, Labels, NAME};

/// The label with the upper bound of a bucket.
const BOUND: &str = "le";
/// How much two counts of buckets may differ, relatively, to be taken for the same.
const SAME: f64 = 1e-12;

/// In the order of the values, what is no number first.
pub(super) fn ascending(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other)
        .unwrap_or_else(|| other.is_nan().cmp(&one.is_nan()))
}

/// What is asked for outside of 0 to 1, or of nothing.
fn out_of_range(share: f64) -> Option<f64> {
    if share.is_nan() {
        Some(f64::NAN)
    } else if share < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if share > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// The value that a share of all values is not above, between two values where it falls between them.
#[allow(clippy::cast_precision_loss, reason = "values of one range or group")]
pub(super) fn quantile(share: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    if let Some(value) = out_of_range(share) {
        return value;
    }
    values.sort_by(|one, other| ascending(*one, *other));
    let rank = share * (values.len() - 1) as f64;
    let weight = rank - rank.floor();
    let value = |place: f64| {
        values
            .get(place as usize)
            .or(values.last())
            .copied()
            .unwrap_or(f64::NAN)
    };
    let lower = value(rank.floor());
    if weight == 0.0 {
        return lower;
    }
    lower * (1.0 - weight) + value(rank.floor() + 1.0) * weight
}

/// Upper bound, and how many are not above it.
#[derive(Clone, Copy)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// `histogram_quantile`: histograms are the columns that differ in nothing but the bucket's bound.
pub(super) fn of_histograms(
    shares: &[f64],
    columns: &[Column],
    grid: Grid,
) -> Result<Vec<Column>, Error> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut histograms: Vec<(Labels, Vec<(f64, &Column)>)> = Vec::new();
    for column in columns {
        let Some(bound) = bound(column.labels.get(BOUND)) else {
            continue;
        };
        // Histograms of two names are two, though their quantiles would go by the same labels.
        let key = column.labels.only(|name| name != BOUND);
        let place = *places.entry(key.clone()).or_insert_with(|| {
            histograms.push((key, Vec::new()));
            histograms.len() - 1
        });
        if let Some((_, buckets)) = histograms.get_mut(place) {
            buckets.push((bound, column));
        }
    }
    let made = histograms.into_iter().map(|(labels, buckets)| {
        let mut column = Column::empty(labels.only(|name| name != NAME), grid);
        for (at, (value, share)) in column.values.iter_mut().zip(shares).enumerate() {
            let found = buckets.iter().filter_map(|(bound, column)| {
                let count = column.values.get(at).copied().flatten()?;
                Some(Bucket {
                    bound: *bound,
                    count,
                })
            });
            let found: Vec<Bucket> = found.collect();
            *value = (!found.is_empty()).then(|| of_buckets(*share, found));
        }
        column
    });
    unique(made.collect())
}

fn bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The quantile, between the bounds of its bucket as if all were spread evenly.
fn of_buckets(share: f64, mut buckets: Vec<Bucket>) -> f64 {
    if let Some(value) = out_of_range(share) {
        return value;
    }
    buckets.sort_by(|one, other| ascending(one.bound, other.bound));
    buckets.dedup_by(|of, into| {
        #[allow(clippy::float_cmp, reason = "a bound is what was written")]
        let is_same = of.bound == into.bound;
        if is_same {
            into.count += of.count;
        }
        is_same
    });
    monotonic(&mut buckets);
    let [below @ .., last] = buckets.as_slice() else {
        return f64::NAN;
    };
    let Some(highest) = below.last() else {
        return f64::NAN;
    };
    if last.bound != f64::INFINITY || last.count == 0.0 {
        return f64::NAN;
    }
    let rank = share * last.count;
    // Not `count < rank`: a rank that is no number is of the last bucket.
    let place = below.partition_point(|bucket| {
        !matches!(
            bucket.count.partial_cmp(&rank),
            Some(Ordering::Greater | Ordering::Equal)
        )
    });
    let Some(bucket) = below.get(place) else {
        return highest.bound;
    };
    if place == 0 && bucket.bound <= 0.0 {
        return bucket.bound;
    }
    let lower = place.checked_sub(1).and_then(|before| below.get(before));
    let Bucket {
        bound: start,
        count,
    } = lower.copied().unwrap_or(Bucket {
        bound: 0.0,
        count: 0.0,
    });
    start + (bucket.bound - start) * ((rank - count) / (bucket.count - count))
}

/// Counts never become less from bucket to bucket: where they do, it is by rounding or because values are of several times.
fn monotonic(buckets: &mut [Bucket]) {
    let Some(mut before) = buckets.first().map(|first| first.count) else {
        return;
    };
    for bucket in buckets.iter_mut().skip(1) {
        if bucket.count < before || is_same(before, bucket.count) {
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
}

#[allow(clippy::float_cmp, reason = "what is the same needs no margin")]
fn is_same(one: f64, other: f64) -> bool {
    if one == other || one.is_nan() && other.is_nan() {
        return true;
    }
    let (sum, difference) = (one.abs() + other.abs(), (one - other).abs());
    if one == 0.0 || other == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SAME * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SAME
}
