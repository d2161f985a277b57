//! Functions of the values of a range. The rules of extrapolation and of sums are those of Prometheus (`promql/functions.go`).

use super::quantile::quantile;
use super::ranges::Window;
use crate::Sample;

/// What is made of a counter or a gauge over a range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slope {
    /// Of a counter, a second.
    Rate,
    /// Of a counter.
    Increase,
    /// Of a gauge.
    Delta,
}

/// A sum that keeps what is lost by rounding (Neumaier's variant of Kahan's).
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub sum: f64,
    pub lost: f64,
}

impl Sum {
    pub(super) const fn of(sum: f64) -> Self {
        Self { sum, lost: 0.0 }
    }

    pub(super) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - sum) + value;
        } else {
            self.lost += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    pub(super) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.lost
        }
    }
}

/// The mean: out of the sum, as long as that is a number.
pub(super) fn mean(mut values: impl Iterator<Item = f64>) -> f64 {
    let Some(first) = values.next() else {
        return f64::NAN;
    };
    let (mut sum, mut count) = (Sum::of(first), 1.0);
    let mut running: Option<Sum> = None;
    for value in values {
        count += 1.0;
        if running.is_none() {
            let mut next = sum;
            next.add(value);
            if !next.sum.is_infinite() {
                sum = next;
                continue;
            }
        }
        let share = (count - 1.0) / count;
        let before = running.unwrap_or(Sum {
            sum: sum.sum / (count - 1.0),
            lost: sum.lost / (count - 1.0),
        });
        let mut next = Sum {
            sum: share * before.sum,
            lost: share * before.lost,
        };
        next.add(value / count);
        running = Some(next);
    }
    running.map_or(sum.sum / count + sum.lost / count, |of| of.sum + of.lost)
}

/// What a series changed by over the range, extrapolated to the range's ends where its values come near to them.
pub(super) fn extrapolated(window: &Window<'_>, slope: Slope) -> Option<f64> {
    let (first, last) = (window.samples.first()?, window.samples.last()?);
    let intervals = window.samples.len() - 1;
    if intervals == 0 {
        return None;
    }
    let is_counter = slope != Slope::Delta;
    let mut change = last.value - first.value;
    if is_counter {
        for pair in window.samples.windows(2) {
            if let [before, after] = pair
                && after.value < before.value
            {
                change += before.value;
            }
        }
    }
    let sampled = seconds(last.time - first.time);
    #[allow(clippy::cast_precision_loss, reason = "samples of one range")]
    let between = sampled / intervals as f64;
    let threshold = between * 1.1;
    let mut to_start = seconds(first.time - window.start);
    let mut to_end = seconds(window.end - last.time);
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    // A counter was not below nothing.
    if is_counter && change > 0.0 && first.value >= 0.0 {
        to_start = to_start.min(sampled * (first.value / change));
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut factor = if sampled == 0.0 {
        1.0
    } else {
        (sampled + to_start + to_end) / sampled
    };
    if slope == Slope::Rate {
        factor /= seconds(window.end - window.start);
    }
    Some(change * factor)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds of a range, or of the time since 1970"
)]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// What the last two values differ by; of a counter a second.
pub(super) fn instant(samples: &[Sample], is_counter: bool) -> Option<f64> {
    let [.., before, after] = samples else {
        return None;
    };
    let between = seconds(after.time - before.time);
    if between == 0.0 {
        return None;
    }
    let was_reset = is_counter && after.value < before.value;
    let change = if was_reset {
        after.value
    } else {
        after.value - before.value
    };
    Some(if is_counter { change / between } else { change })
}

/// Slope, and value at `time`, of the line that lies closest to the values (least squares).
#[allow(
    clippy::float_cmp,
    reason = "a line through the same values has no slope"
)]
fn line(samples: &[Sample], time: i64) -> Option<(f64, f64)> {
    let [first, _, ..] = samples else { return None };
    if samples.iter().all(|sample| sample.value == first.value) {
        let value = first.value;
        return Some(if value.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, value)
        });
    }
    let [mut x, mut y, mut xy, mut xx] = [Sum::default(); 4];
    for sample in samples {
        let at = seconds(sample.time - time);
        x.add(at);
        y.add(sample.value);
        xy.add(at * sample.value);
        xx.add(at * at);
    }
    let [x, y, xy, xx] = [x, y, xy, xx].map(|sum| sum.sum + sum.lost);
    #[allow(clippy::cast_precision_loss, reason = "samples of one range")]
    let count = samples.len() as f64;
    let slope = (xy - x * y / count) / (xx - x * x / count);
    Some((slope, y / count - slope * x / count))
}

/// Slope of the line that lies closest to the values, a second.
pub(super) fn deriv(samples: &[Sample]) -> Option<f64> {
    line(samples, samples.first()?.time).map(|(slope, _)| slope)
}

/// The value of that line, `ahead` seconds after the time that is asked for.
pub(super) fn predict(window: &Window<'_>, ahead: f64) -> Option<f64> {
    line(window.samples, window.time).map(|(slope, value)| slope * ahead + value)
}

/// How often a value is another than the one before.
#[allow(clippy::float_cmp, reason = "any other value is a change")]
pub(super) fn changes(samples: &[Sample]) -> f64 {
    count(samples, |before, after| {
        before != after && !(before.is_nan() && after.is_nan())
    })
}

/// How often a value is less than the one before.
pub(super) fn resets(samples: &[Sample]) -> f64 {
    count(samples, |before, after| after < before)
}

fn count(samples: &[Sample], counts: impl Fn(f64, f64) -> bool) -> f64 {
    let mut count = 0.0;
    for pair in samples.windows(2) {
        if let [before, after] = pair
            && counts(before.value, after.value)
        {
            count += 1.0;
        }
    }
    count
}

/// The mean square of the distance from the mean (Welford).
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut mean, mut squares, mut count) = (Sum::default(), Sum::default(), 0.0);
    for value in values {
        count += 1.0;
        let distance = value - (mean.sum + mean.lost);
        mean.add(distance / count);
        squares.add(distance * (value - (mean.sum + mean.lost)));
    }
    (squares.sum + squares.lost) / count
}

/// The functions called `…_over_time` that take a range alone, by what comes before.
pub(super) fn over_time(name: &str, samples: &[Sample]) -> Option<f64> {
    let mut values = samples.iter().map(|sample| sample.value);
    let first = values.clone().next()?;
    Some(match name {
        "avg" => mean(values),
        "sum" => {
            let mut sum = Sum::default();
            values.for_each(|value| sum.add(value));
            sum.total()
        }
        #[allow(clippy::cast_precision_loss, reason = "samples of one range")]
        "count" => samples.len() as f64,
        "min" => values.fold(first, |least, value| {
            if value < least || least.is_nan() {
                value
            } else {
                least
            }
        }),
        "max" => values.fold(first, |most, value| {
            if value > most || most.is_nan() {
                value
            } else {
                most
            }
        }),
        "stddev" => variance(values).sqrt(),
        "stdvar" => variance(values),
        "present" => 1.0,
        "first" => first,
        "last" => values.next_back()?,
        _ => return None,
    })
}

/// A quantile of the values.
pub(super) fn quantile_over_time(samples: &[Sample], share: f64) -> f64 {
    quantile(share, samples.iter().map(|sample| sample.value).collect())
}
