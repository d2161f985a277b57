//! Series out of spans: counters that grow by what each span counted, under the names of metrics.
//!
//! A counter begins at nothing with the day (UTC) in which the time that is asked for begins. Within a span its counts are taken to
//! have come evenly, so that it has values often enough for any range, however long the spans are.

mod families;

use std::collections::{BTreeSet, HashMap, HashSet};

use api::hubble::answers::{Edge, Part, Row, Side, Span};
use promql::{Error, Found, Labels, Matcher, NAME, Sample, Series};

pub(crate) use families::{BOUNDS, FAMILIES, Family};

/// Increments that are kept, of all series together.
const INCREMENTS: usize = 10_000_000;

/// Seconds since the Unix epoch between which spans were asked for, and how long they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// From when counters count.
    pub base: u64,
    /// From when there are values.
    pub since: u64,
    /// Until when.
    pub until: u64,
    /// Length of a span: 10, 60 or 3600.
    pub seconds: u32,
}

/// A day, seconds.
const DAY: u64 = 24 * 3600;
/// Spans of ten seconds are kept for an hour; what is asked a little later has to be there still.
const TENS: u64 = 3500;
/// Minutes are kept for a week, and of a longer time they would be too many.
const MINUTES: u64 = DAY + 3600;

impl Times {
    /// No time at all.
    pub(crate) const NONE: Self = Self {
        base: 0,
        since: 0,
        until: 0,
        seconds: 10,
    };

    /// Spans for values from `from` to `until`, milliseconds since the Unix epoch, when it is `now`, in seconds; none where
    /// nothing was counted yet.
    pub(crate) fn new(from: i64, until: i64, now: u64) -> Option<Self> {
        // Spans that all nodes have closed: their clocks differ a little, and they look at them once a second.
        let newest = now.saturating_sub(3);
        let seconds = |milliseconds: i64| u64::try_from(milliseconds.div_euclid(1000)).unwrap_or(0);
        let until = seconds(until.saturating_add(999)).min(newest);
        let from = seconds(from).max(now.saturating_sub(90 * DAY));
        let age = now.saturating_sub(from);
        let length = if age <= TENS {
            10
        } else if until.saturating_sub(from) <= MINUTES && age <= 7 * DAY {
            60
        } else {
            3600
        };
        // Who has lost his spans of ten seconds, as after a restart, has minutes in their place.
        let since = from - from % length.max(60);
        let until = until - until % 10;
        (since < until).then_some(Self {
            base: since - since % DAY,
            since,
            until,
            seconds: length as u32,
        })
    }

    /// Seconds between two values of a series.
    fn spacing(self) -> u64 {
        match self.seconds {
            ..=10 => 10,
            11..=60 => 30,
            _ => 120,
        }
    }
}

/// Counts of one span.
#[derive(Clone, Copy, Debug)]
struct Increment {
    start: u64,
    end: u64,
    count: f64,
}

/// Which series: its labels, and whose side saw what it counts.
type Key = (Labels, Side);

/// The series of a time.
pub(crate) struct Counts {
    times: Times,
    wanted: Vec<&'static Family>,
    places: HashMap<Key, usize>,
    series: Vec<Vec<Increment>>,
    /// Edges that somebody saw from the client's side, without their labels of metrics, with their service and without.
    seen: HashSet<Labels>,
    increments: usize,
    lost: u64,
    is_full: bool,
}

/// The edges of one node, by their numbers.
#[derive(Default)]
pub(crate) struct Edges(HashMap<u32, Known>);

/// An edge that a node named.
struct Known {
    edge: Edge,
    labels: Labels,
    /// Where its series are, by name and labels of their own.
    places: HashMap<String, usize>,
}

impl Counts {
    /// No counts, for series of these families.
    pub(crate) fn new(times: Times, wanted: Vec<&'static Family>) -> Self {
        Self {
            times,
            wanted,
            places: HashMap::new(),
            series: Vec::new(),
            seen: HashSet::new(),
            increments: 0,
            lost: 0,
            is_full: false,
        }
    }

    /// Whether there were too many to be kept.
    pub(crate) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Records that never came, in the spans from `since` on.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Adds a span of a node.
    pub(crate) fn add(&mut self, edges: &mut Edges, span: Span) {
        let (start, end) = (span.start, span.end);
        let part = span.part.unwrap_or_default();
        if end > self.times.since {
            self.lost = self.lost.saturating_add(part.lost);
        }
        self.add_seen(&part, (start, end));
        for mut row in part.rows {
            if let Some(edge) = row.edge.take() {
                let labels = families::labels(&edge);
                if edge.side() == Side::Client {
                    // By which service the client asked, only its node knows.
                    self.seen.insert(labels.with("service", ""));
                    self.seen.insert(labels.clone());
                }
                let places = HashMap::new();
                edges.0.insert(
                    row.number,
                    Known {
                        edge,
                        labels,
                        places,
                    },
                );
            }
            if let Some(known) = edges.0.get_mut(&row.number) {
                self.add_row(known, &row, (start, end));
            }
        }
    }

    /// Adds how much a span saw, and how much not.
    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    fn add_seen(&mut self, part: &Part, (start, end): (u64, u64)) {
        for (name, count) in [
            (families::RECORDS, part.seen),
            (families::LOST_RECORDS, part.lost),
        ] {
            if self.wanted.iter().any(|family| family.name == name) {
                let labels = Labels::default().with(NAME, name);
                let place = self.place((labels, Side::Client));
                let count = count as f64;
                self.push(place, Increment { start, end, count });
            }
        }
    }

    fn add_row(&mut self, known: &mut Known, row: &Row, (start, end): (u64, u64)) {
        let Known {
            edge,
            labels,
            places,
        } = known;
        let mut key = String::new();
        for family in self.wanted.clone() {
            // What both nodes count apart from each other is added up.
            let side = if family.is_of_both {
                Side::Client
            } else {
                edge.side()
            };
            (family.of)(edge, row, &mut |name, others, count| {
                key.clear();
                key.push_str(name);
                for (name, value) in others {
                    key.extend(["\n", name, "=", value]);
                }
                let place = places.get(&key).copied().unwrap_or_else(|| {
                    let named = others
                        .iter()
                        .fold(labels.with(NAME, name), |labels, (name, value)| {
                            labels.with(name, value)
                        });
                    let place = self.place((named, side));
                    places.insert(key.clone(), place);
                    place
                });
                self.push(place, Increment { start, end, count });
            });
        }
    }

    fn place(&mut self, key: Key) -> usize {
        *self.places.entry(key).or_insert_with(|| {
            self.series.push(Vec::new());
            self.series.len() - 1
        })
    }

    fn push(&mut self, place: usize, increment: Increment) {
        let Some(series) = self.series.get_mut(place) else {
            return;
        };
        // A series that counted nothing is there all the same.
        if increment.count <= 0.0 && !series.is_empty() {
            return;
        }
        if self.increments >= INCREMENTS {
            self.is_full = true;
            return;
        }
        series.push(increment);
        self.increments += 1;
    }

    /// All series, each once: as the client's side sees it, or the server's where nobody saw the client's.
    fn all(&self) -> impl Iterator<Item = (&Labels, &[Increment])> {
        let whole = self.places.iter().filter(|((labels, side), _)| {
            *side == Side::Client || !self.seen.contains(&labels.only(families::is_of_edge))
        });
        whole.filter_map(|((labels, _), place)| Some((labels, self.series.get(*place)?.as_slice())))
    }

    /// The labels of all series, in order.
    pub(crate) fn labels(&self) -> BTreeSet<&Labels> {
        self.all().map(|(labels, _)| labels).collect()
    }

    /// The values of a counter from `from` to `until`, seconds since the Unix epoch.
    fn samples(&self, increments: &[Increment], from: u64, until: u64) -> Vec<Sample> {
        let spacing = self.times.spacing();
        let born = increments
            .iter()
            .map(|increment| increment.start)
            .min()
            .unwrap_or(0)
            .max(self.times.since);
        let first = born - born % spacing;
        let last = self.times.until;
        // How much is added up to each value; the first has what came before.
        let mut added =
            vec![
                0.0;
                usize::try_from((last.saturating_sub(first)).div_ceil(spacing)).unwrap_or(0) + 1
            ];
        for increment in increments {
            spread(*increment, first, spacing, &mut added);
        }
        let mut value = 0.0;
        let mut samples = Vec::new();
        for (number, count) in (0..).zip(added) {
            value += count;
            let time = (first + number * spacing).min(last);
            if (from..=until).contains(&time) {
                samples.push(Sample {
                    time: time as i64 * 1000,
                    value,
                });
            }
        }
        samples
    }
}

/// Adds an increment to the values after which its counts came, evenly over its span.
#[allow(clippy::cast_precision_loss, reason = "seconds of a span")]
fn spread(increment: Increment, first: u64, spacing: u64, added: &mut [f64]) {
    let Increment { start, end, count } = increment;
    // All that came before the first value is in it.
    if end <= first || end <= start {
        if let Some(before) = added.first_mut() {
            *before += count;
        }
        return;
    }
    let begin = start.max(first);
    let length = (end - begin) as f64;
    let mut at = begin;
    while at < end {
        let place = (at - first) / spacing;
        let next = (first + (place + 1) * spacing).min(end);
        let share = (next - at) as f64 / length;
        let place = usize::try_from(place + 1)
            .unwrap_or(usize::MAX)
            .min(added.len().saturating_sub(1));
        if let Some(value) = added.get_mut(place) {
            *value += count * share;
        }
        at = next;
    }
}

impl Series for Counts {
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        from: i64,
        until: i64,
    ) -> Box<dyn Iterator<Item = Result<Found, Error>> + 'a> {
        let seconds = |milliseconds: i64| u64::try_from(milliseconds.div_euclid(1000)).unwrap_or(0);
        // What lies within a second is not there: values are of whole seconds.
        let (from, until) = (seconds(from.saturating_add(999)), seconds(until));
        let mut wanted: Vec<_> = self
            .all()
            .filter(|(labels, _)| Matcher::all(matchers, labels))
            .collect();
        wanted.sort_unstable_by_key(|(labels, _)| *labels);
        Box::new(wanted.into_iter().map(move |(labels, increments)| {
            Ok(Found {
                labels: labels.clone(),
                samples: self.samples(increments, from, until),
            })
        }))
    }
}

/// The families of which a query reads series.
pub(crate) fn wanted(selectors: &[&[Matcher]]) -> Vec<&'static Family> {
    let may_be = |name: &str| {
        selectors.iter().any(|matchers| {
            let mut of_name = matchers.iter().filter(|matcher| matcher.name == NAME);
            of_name.all(|matcher| matcher.accepts(name))
        })
    };
    FAMILIES
        .iter()
        .filter(|family| family.names().any(|name| may_be(&name)))
        .collect()
}

#[cfg(test)]
mod tests;
