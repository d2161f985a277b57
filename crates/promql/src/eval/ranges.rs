//! Range vectors: series with the values of a time before each time of a grid.

use super::column::{Column, Part};
use super::{Grid, Line, Query};
use crate::ast::{Expr, Shift};
use crate::{Error, Found, Labels, Sample};

/// A range vector, and the values of its series over all times.
pub(super) struct Ranges {
    series: Vec<Found>,
    /// Milliseconds.
    range: i64,
    /// The end of the range for each time of the grid, milliseconds since the Unix epoch.
    ends: Vec<i64>,
}

/// The values of one series in the time before one time.
pub(super) struct Window<'a> {
    /// At least one.
    pub samples: &'a [Sample],
    /// Beginning (which is not in it) and end, milliseconds since the Unix epoch.
    pub start: i64,
    pub end: i64,
    /// The time that is asked for, milliseconds since the Unix epoch.
    pub time: i64,
}

impl Query<'_> {
    /// A range selector or a subquery.
    pub(super) fn ranges(&self, expr: &Expr, grid: Grid) -> Result<Ranges, Error> {
        let (mut series, range, shift) = match expr.bare() {
            Expr::Matrix { selector, range } => {
                (self.read(selector, grid, *range)?, *range, selector.shift)
            }
            Expr::Subquery {
                inner,
                range,
                step,
                shift,
            } => {
                let step = step.unwrap_or(self.limits.subquery_step);
                (
                    self.subquery(inner, (*range, step), *shift, grid)?,
                    *range,
                    *shift,
                )
            }
            _ => return Err(Error::execution("a range vector was expected")),
        };
        for found in &mut series {
            found.samples.retain(|sample| !sample.is_stale());
        }
        series.retain(|found| !found.samples.is_empty());
        let ends = grid.times().map(|time| self.shifted(shift, time)).collect();
        Ok(Ranges {
            series,
            range,
            ends,
        })
    }

    /// The values of an expression at multiples of a step.
    fn subquery(
        &self,
        inner: &Expr,
        (range, step): (i64, i64),
        shift: Shift,
        grid: Grid,
    ) -> Result<Vec<Found>, Error> {
        if grid.count == 0 {
            return Ok(Vec::new());
        }
        let from = self.shifted(shift, grid.start).saturating_sub(range);
        let until = self.shifted(shift, grid.last());
        // The first multiple after the beginning, which is not in the range itself.
        let start = from.div_euclid(step).saturating_add(1).saturating_mul(step);
        let times = Grid::new(start, until, step);
        self.pay(times.count)?;
        let columns = match self.part(inner, times)? {
            Part::Vector(columns) => columns,
            Part::Scalar(values) => vec![Column {
                labels: Labels::default(),
                values: values.into_iter().map(Some).collect(),
            }],
            Part::Text(_) => Vec::new(),
        };
        let lines = columns.into_iter().map(|column| column.into_line(times));
        Ok(lines
            .map(|line| Found {
                labels: line.labels,
                samples: line.samples,
            })
            .collect())
    }

    /// A function of the values of each range. It gets the number of the time; what it yields nothing for has no value then.
    pub(super) fn over(
        &self,
        expr: &Expr,
        grid: Grid,
        of: impl Fn(usize, &Window<'_>) -> Option<f64>,
    ) -> Result<Vec<Column>, Error> {
        let ranges = self.ranges(expr, grid)?;
        let mut columns = Vec::with_capacity(ranges.series.len());
        for found in &ranges.series {
            self.pay(grid.count)?;
            let mut values = Vec::with_capacity(grid.count);
            for (at, (time, end)) in grid.times().zip(&ranges.ends).enumerate() {
                let start = end.saturating_sub(ranges.range);
                let samples = between(&found.samples, start, *end);
                let window = Window {
                    samples,
                    start,
                    end: *end,
                    time,
                };
                values.push(if samples.is_empty() {
                    None
                } else {
                    of(at, &window)
                });
                // A window may hold many samples: the clock is looked at while they are gone through.
                if at % 64 == 63 {
                    self.pay(0)?;
                }
            }
            columns.push(Column {
                labels: found.labels.clone(),
                values,
            });
        }
        columns.retain(|column| !column.is_empty());
        Ok(columns)
    }
}

impl Ranges {
    /// All values of the range that ends at the only time of a grid.
    pub(super) fn whole(&self, grid: Grid) -> Vec<Line> {
        let end = self.ends.first().copied().unwrap_or(grid.start);
        let lines = self.series.iter().map(|found| Line {
            labels: found.labels.clone(),
            samples: between(&found.samples, end.saturating_sub(self.range), end).to_vec(),
        });
        let mut lines: Vec<Line> = lines.filter(|line| !line.samples.is_empty()).collect();
        lines.sort_by(|one, other| one.labels.cmp(&other.labels));
        lines
    }
}

/// Values after `start` and up to `end`.
fn between(samples: &[Sample], start: i64, end: i64) -> &[Sample] {
    let first = samples.partition_point(|sample| sample.time <= start);
    let last = samples.partition_point(|sample| sample.time <= end);
    samples.get(first..last).unwrap_or_default()
}
