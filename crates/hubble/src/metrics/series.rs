//! The series of one family: found by the values of their labels, bounded in number, dropped with the pod they tell of.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        exemplar::{CounterWithExemplar, HistogramWithExemplars},
    },
};

/// Series that a family has at most, besides those of [`OTHER`].
pub const MAX_SERIES: usize = 20_000;

/// A full family lets go of series that nothing was counted in for so long.
const IDLE: Duration = Duration::from_hours(1);

/// How often a full family is searched for them.
const SEARCH_EVERY: Duration = Duration::from_mins(1);

/// Value of the labels that are not kept apart when a family is full.
pub const OTHER: &str = "other";

/// Upper ends of buckets in seconds, as Prometheus' clients have them by default.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Label set of an exemplar.
pub(super) type Trace = Vec<(&'static str, String)>;
/// A counter whose newest count may name a trace.
pub(super) type TracedCounter = CounterWithExemplar<Trace>;
/// A histogram of seconds whose buckets may name a trace.
pub(super) type TracedHistogram = HistogramWithExemplars<Trace>;

/// What a series holds. Clones share it.
pub(super) trait Value: Clone + EncodeMetric + Send {
    /// Of a series that is new.
    fn zero() -> Self;
}

impl Value for Counter {
    fn zero() -> Self {
        Self::default()
    }
}

impl Value for TracedCounter {
    fn zero() -> Self {
        Self::default()
    }
}

impl Value for TracedHistogram {
    fn zero() -> Self {
        Self::new(BUCKETS.into_iter())
    }
}

/// Values of labels, in one buffer that is used again and again: each with its length before it.
#[derive(Clone, Default)]
pub(super) struct Values(Vec<u8>);

const LENGTH: usize = size_of::<u32>();

impl Values {
    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a value; of one that is longer than 4 GiB, nothing.
    pub(super) fn push(&mut self, value: &str) {
        let length = u32::try_from(value.len()).unwrap_or(0);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0
            .extend_from_slice(&value.as_bytes()[..length as usize]);
    }

    /// Appends one value that is written in pieces.
    pub(super) fn write(&mut self, pieces: impl IntoIterator<Item: AsRef<str>>) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; LENGTH]);
        for piece in pieces {
            self.0.extend_from_slice(piece.as_ref().as_bytes());
        }
        match u32::try_from(self.0.len() - start - LENGTH) {
            Ok(length) => {
                self.0[start..start + LENGTH].copy_from_slice(&length.to_ne_bytes());
            }
            Err(_) => self.0.truncate(start + LENGTH),
        }
    }

    /// Where the next value begins, to take back what is appended from there on.
    pub(super) fn mark(&self) -> usize {
        self.0.len()
    }

    /// Takes back all values from a mark on.
    pub(super) fn back(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    /// Whether nothing but empty text was appended since a mark.
    pub(super) fn is_blank(&self, mark: usize) -> bool {
        self.0.len() <= mark + LENGTH
    }
}

/// The values in a buffer, in order.
fn split(mut key: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (length, rest) = key.split_first_chunk::<LENGTH>()?;
        let (value, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        key = rest;
        // Only text goes in.
        Some(str::from_utf8(value).unwrap_or_default())
    })
}

/// A label of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: &'static str,
    pub(super) range: Range,
}

/// How many values a label can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// A few words of our own.
    Few,
    /// As many as others think of.
    Open,
}

impl Label {
    /// A label with a few values.
    pub(super) const fn few(name: &'static str) -> Self {
        let range = Range::Few;
        Self { name, range }
    }

    /// A label with any number of values.
    pub(super) const fn open(name: &'static str) -> Self {
        let range = Range::Open;
        Self { name, range }
    }
}

/// What a label says of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfPod {
    /// `namespace/name`.
    Path,
    /// Its namespace.
    Namespace,
    /// Its name.
    Name,
}

/// Labels that together name a pod: a series that has all of them so is about it.
pub(super) type Tie = Vec<(&'static str, OfPod)>;

/// Name, help and labels of a family.
pub(super) struct Head {
    /// Name; of a counter without the `_total` that the format appends.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// In the order in which values are given.
    pub(super) labels: Vec<Label>,
    pub(super) ties: Vec<Tie>,
}

struct Series<V> {
    value: V,
    touched: Instant,
}

struct Held<V> {
    series: HashMap<Box<[u8]>, Series<V>>,
    searched: Option<Instant>,
    overflowed: u64,
}

/// A family and its series.
pub(super) struct Family<V> {
    head: Head,
    max: usize,
    // Touched for a moment by each flow; a table keeps every version for its readers, a counter is worth none of them.
    held: Mutex<Held<V>>,
}

/// What all families can do.
pub(super) trait Kept: Send + Sync {
    /// Drops the series about a pod.
    fn forget(&self, namespace: &str, name: &str);
    /// Writes all series.
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result;
    /// Name without the `_total` of a counter, and how often a count went to [`OTHER`].
    fn overflowed(&self) -> (&'static str, u64);
}

impl<V: Value> Family<V> {
    pub(super) fn new(head: Head) -> Self {
        Self::bounded(head, MAX_SERIES)
    }

    pub(super) fn bounded(head: Head, max: usize) -> Self {
        let held = Held {
            series: HashMap::new(),
            searched: None,
            overflowed: 0,
        };
        Self {
            head,
            max,
            held: Mutex::new(held),
        }
    }

    /// The series of these values, new if need be.
    pub(super) fn of(&self, values: &Values, now: Instant) -> V {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = held.series.get_mut(values.0.as_slice()) {
            series.touched = now;
            return series.value.clone();
        }
        let key = if held.series.len() < self.max || held.make_room(now, self.max) {
            values.0.as_slice().into()
        } else {
            held.overflowed += 1;
            self.other(values)
        };
        let series = held.series.entry(key).or_insert_with(|| Series {
            value: V::zero(),
            touched: now,
        });
        series.touched = now;
        series.value.clone()
    }

    /// These values, with those of open labels left out.
    fn other(&self, values: &Values) -> Box<[u8]> {
        let mut other = Values::default();
        for (label, value) in self.head.labels.iter().zip(split(&values.0)) {
            other.push(match label.range {
                Range::Few => value,
                Range::Open => OTHER,
            });
        }
        other.0.into()
    }

    fn is_about(&self, key: &[u8], namespace: &str, name: &str) -> bool {
        let value_of = |wanted: &str| {
            let mut labels = self.head.labels.iter().zip(split(key));
            let found = labels.find(|(label, _)| label.name == wanted);
            found.map(|(_, value)| value)
        };
        self.head.ties.iter().any(|tie| {
            tie.iter().all(|(label, part)| {
                value_of(label).is_some_and(|value| match part {
                    OfPod::Path => value.split_once('/') == Some((namespace, name)),
                    OfPod::Namespace => value == namespace,
                    OfPod::Name => value == name,
                })
            })
        })
    }
}

impl<V> Held<V> {
    /// Lets go of what is idle, now and then; whether there is room.
    fn make_room(&mut self, now: Instant, max: usize) -> bool {
        let since = |then| now.saturating_duration_since(then);
        if self.searched.is_some_and(|last| since(last) < SEARCH_EVERY) {
            return false;
        }
        self.searched = Some(now);
        self.series.retain(|_, series| since(series.touched) < IDLE);
        self.series.len() < max
    }
}

impl<V: Value> Kept for Family<V> {
    fn forget(&self, namespace: &str, name: &str) {
        if self.head.ties.is_empty() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.series
            .retain(|key, _| !self.is_about(key, namespace, name));
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // Copied out, so that flows do not wait until a page is written.
        let copied: Vec<(Box<[u8]>, V)> = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let series = held.series.iter();
            series
                .map(|(key, series)| (key.clone(), series.value.clone()))
                .collect()
        };
        let Some((_, first)) = copied.first() else {
            return Ok(());
        };
        let mut rows: Vec<_> = copied
            .iter()
            .map(|(key, value)| {
                let names = self.head.labels.iter().map(|label| label.name);
                let mut labels: Vec<_> = names.zip(split(key)).collect();
                labels.sort_unstable();
                (labels, value)
            })
            .collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let Head { name, help, .. } = self.head;
        let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
        for (labels, value) in rows {
            value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn overflowed(&self) -> (&'static str, u64) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (self.head.name, held.overflowed)
    }
}

#[cfg(test)]
mod tests;
